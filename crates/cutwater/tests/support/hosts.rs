//! Machines, as far as one machine can have several: network namespaces with a network between them, which
//! take the rights of root and `ip` (Debian: iproute2). Without either the test says so and is over.

use std::{
    io::Write,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Hosts on one network, which go with this.
pub struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// So many, with the addresses 10.77.0.1 and on. The first also has the bridge that connects them all.
    ///
    /// Nothing outside the namespaces is touched, so any number of tests may do this at the same time.
    fn new(count: usize) -> Result<Self, String> {
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let mut hosts = Self { names: Vec::new() };
        for number in 1..=count {
            let name = format!("cutwater-{}-{network}-{number}", std::process::id());
            ip(&["netns", "add", &name])?;
            hosts.names.push(name);
        }
        let first = hosts.names[0].clone();
        ip(&["-n", &first, "link", "add", "net", "type", "bridge"])?;
        ip(&["-n", &first, "addr", "add", "10.77.0.1/24", "dev", "net"])?;
        ip(&["-n", &first, "link", "set", "net", "up"])?;
        for (name, number) in hosts.names.iter().zip(1..) {
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            if number > 1 {
                let port = format!("port{number}");
                ip(&[
                    "-n", &first, "link", "add", &port, "type", "veth", "peer", "name", "net", "netns", name,
                ])?;
                ip(&["-n", &first, "link", "set", &port, "master", "net", "up"])?;
                ip(&["-n", name, "addr", "add", &format!("10.77.0.{number}/24"), "dev", "net"])?;
                ip(&["-n", name, "link", "set", "net", "up"])?;
            }
        }
        Ok(hosts)
    }

    /// What they are called by `ip`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The words that run a command on one of them, counted from 1.
    pub fn on(&self, number: usize) -> [&str; 4] {
        ["ip", "netns", "exec", &self.names[number - 1]]
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // Their network goes with them. One that cannot be removed has been said to be there by `ip`.
        self.names.iter().for_each(|name| drop(ip(&["netns", "delete", name])));
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let done =
        Command::new("ip").args(words).output().map_err(|error| format!("there is no `ip`: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim()))
}

/// The hosts, or a word about why there are none. On a machine that says it is to have them (as `./test` does
/// where it can) their absence is a failure.
pub fn hosts(count: usize) -> Option<Hosts> {
    match Hosts::new(count) {
        Ok(hosts) => Some(hosts),
        Err(why) => {
            assert!(std::env::var("CUTWATER_TEST_HOSTS").is_err(), "{why}");
            // What is printed by macros is shown of tests that fail only.
            let _ = writeln!(std::io::stderr(), "skipped, since it takes root and network namespaces: {why}");
            None
        }
    }
}
