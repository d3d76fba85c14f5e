//! Workers in other processes.
//!
//! - [`role`]: what this process is: a program by itself, a master or a worker;
//! - [`token`] and [`identity`]: what proves that a process belongs here;
//! - [`listen`]: the master's door; [`told`]: who is told where it is; [`spawn`]: workers that the master starts itself;
//! - [`join`]: the life of a worker process; [`seek`]: how it finds its master, or the next; [`plans`]: the stages it was told of;
//! - [`handshakes`]: connections that have proven nothing yet; [`clocks`]: how far those of the machines are apart;
//! - [`serve`] and [`fetch`]: blocks between workers; [`wanted`]: which of them a task has to be brought; [`ahead`]:
//!   which of them were brought before it came; [`copier`]: those that more are to hold;
//! - [`outbox`]: messages that share frames.
//!
//! Sockets are asynchronous, on one thread of their own; tasks run on compute threads, so a slow function
//! of the program never delays a heartbeat.

mod ahead;
mod clocks;
mod copier;
#[cfg(any(test, feature = "decoders"))]
pub mod decoders;
mod fetch;
mod handshakes;
pub(super) mod identity;
mod join;
mod listen;
mod outbox;
mod plans;
mod role;
mod seek;
mod serve;
mod spawn;
mod token;
mod told;
mod wanted;

use std::net::{IpAddr, SocketAddr};

use crate::error::Error;

pub(crate) use join::work;
pub(crate) use listen::Listener;
pub(crate) use role::Role;
pub(crate) use serve::{Served, serve};
pub(crate) use spawn::{Children, Start};
pub(crate) use token::{Token, TokenFile};
pub(crate) use told::tell_address;

/// A host and a port, as they are dialled: addresses of version 6 in brackets.
pub(crate) fn dialled(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

/// The threads on which sockets are served: one, since what they do is small, and nothing of the program runs there.
pub(crate) fn network_threads() -> Result<tokio::runtime::Runtime, Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let started = builder.worker_threads(1).thread_name("cutwater-net").enable_all().build();
    started.map_err(|error| Error::external(format_args!("cannot start network threads: {error}")))
}

/// The host of an address `HOST:PORT`, as certificates name it.
pub(super) fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart_and_together() {
        for (host, port, address) in [
            ("worker.lan", 7, "worker.lan:7"),
            ("10.0.0.1", 80, "10.0.0.1:80"),
            ("fe80::1", 9, "[fe80::1]:9"),
        ] {
            assert_eq!(dialled(host, port), address);
            assert_eq!(host_of(address), host);
        }
    }
}
