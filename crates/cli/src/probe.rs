//! `cutwater probe`: asks a master or worker whether it answers.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, anyhow};
use clap::Args;
use cutwater_core::limits;
use cutwater_wire::{credentials::Credentials, handshake::Secret, message::Introduction, tls::Role};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    access::{Access, host_of},
    token,
};

/// Whom to ask.
#[derive(Args, Clone, Debug)]
pub struct Probe {
    #[command(flatten)]
    access: Access,
    /// A master, or the address at which a worker serves its blocks.
    #[arg(value_name = "HOST:PORT")]
    address: String,
}

/// Makes the same handshake as whoever has business there, so success says more than that a port is open: the
/// network thread answers, and certificates or token are those of the run.
///
/// # Errors
/// Nobody answers, or they do not let us in.
pub async fn run(probe: Probe) -> anyhow::Result<()> {
    let tls = probe.access.tls()?;
    let read = |file: &PathBuf| token::read(file);
    let secret = probe.access.token_file.as_ref().map_or_else(|| Ok(Secret::of("")), read)?;
    let credentials = Credentials::new(secret, tls);
    let address = &probe.address;
    let asking = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        credentials.connect(stream, host_of(address), Role::Worker, &Introduction::Probe).await
    };
    let asked = timeout(Duration::from_millis(limits::HANDSHAKE_MS_MAX), asking).await;
    let (_, ()) = asked
        .map_err(|_| anyhow!("{address} does not answer"))?
        .with_context(|| format!("{address} does not let us in"))?;
    println!("{address} answers");
    Ok(())
}
