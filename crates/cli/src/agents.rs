//! The set of agents that a command speaks to.

use std::{fs, path::PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use cutwater_wire::agent::Caller;
use tokio::task::JoinSet;

use crate::{access::Access, caller::Connection};

/// Where an agent is looked for if nothing is said.
pub const USUAL: &str = "127.0.0.1:7078";

/// Which agents, and what proves that we may speak to them.
#[derive(Args, Clone, Debug)]
pub struct Agents {
    /// The agents, `HOST:PORT`, separated by commas.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', env = "CUTWATER_AGENTS")]
    agents: Vec<String>,
    /// A file with the agents instead, one a line; what follows a `#` is a comment.
    #[arg(long, value_name = "FILE")]
    agents_file: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

impl Agents {
    /// Their addresses, in order.
    ///
    /// # Errors
    /// The file cannot be read, or what is named is no address.
    pub fn addresses(&self) -> anyhow::Result<Vec<String>> {
        let mut named = self.agents.clone();
        if let Some(file) = &self.agents_file {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
            named = lines.map(str::to_owned).collect();
        }
        let mut addresses = Vec::new();
        for address in named.iter().map(|address| address.trim()).filter(|address| !address.is_empty()) {
            let port = address
                .rsplit_once(':')
                .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            ensure!(port.is_some(), "{address} is not the address of an agent, HOST:PORT");
            ensure!(!addresses.iter().any(|other| other == address), "agent {address} is named twice");
            addresses.push(address.to_owned());
        }
        if addresses.is_empty() {
            ensure!(self.agents_file.is_none(), "the file of agents names none");
            addresses.push(USUAL.to_owned());
        }
        Ok(addresses)
    }

    /// Connects to each of them, at the same time.
    ///
    /// # Errors
    /// What is named is wrong, or there is no token. Whoever cannot be reached is an error of its own.
    pub async fn connect(&self) -> anyhow::Result<Vec<anyhow::Result<Connection>>> {
        let credentials = self.access.of_caller()?;
        let mut opening = JoinSet::new();
        let addresses = self.addresses()?;
        for (place, address) in addresses.iter().cloned().enumerate() {
            let credentials = credentials.clone();
            opening.spawn(
                async move { (place, Connection::open(&address, &credentials, Caller::Person).await) },
            );
        }
        let mut opened = opening.join_all().await;
        opened.sort_by_key(|(place, _)| *place);
        Ok(opened.into_iter().map(|(_, connection)| connection).collect())
    }

    /// Connects to all of them.
    ///
    /// # Errors
    /// Some cannot be reached: every one of them is named.
    pub async fn connect_all(&self) -> anyhow::Result<Vec<Connection>> {
        let (mut connections, mut faults) = (Vec::new(), Vec::new());
        for connection in self.connect().await? {
            match connection {
                Ok(connection) => connections.push(connection),
                Err(error) => faults.push(format!("{error:#}")),
            }
        }
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        Ok(connections)
    }

    /// Connects to those that are there; says on standard error which are not.
    ///
    /// # Errors
    /// None is.
    pub async fn connect_some(&self) -> anyhow::Result<Vec<Connection>> {
        let (mut connections, mut fault) = (Vec::new(), None);
        for connection in self.connect().await? {
            match connection {
                Ok(connection) => connections.push(connection),
                Err(error) => {
                    if let Some(before) = fault.replace(error) {
                        eprintln!("{before:#}");
                    }
                }
            }
        }
        match fault {
            Some(error) if connections.is_empty() => Err(error),
            Some(error) => {
                eprintln!("{error:#}");
                Ok(connections)
            }
            None => Ok(connections),
        }
    }
}

/// The place among `agents` of the one that `named` means: by its address, or by its host if that is enough.
///
/// # Errors
/// There is none, or more than one.
pub fn find(agents: &[Connection], named: &str) -> anyhow::Result<usize> {
    let means =
        |address: &str| address == named || address.rsplit_once(':').is_some_and(|(host, _)| host == named);
    let mut places = (0..agents.len()).filter(|place| means(&agents[*place].address));
    let all = || agents.iter().map(|agent| agent.address.as_str()).collect::<Vec<_>>().join(", ");
    let place = places.next().ok_or_else(|| anyhow!("{named} is none of the agents: {}", all()))?;
    ensure!(places.next().is_none(), "{named} is more than one of the agents: {}", all());
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(named: &[&str], file: Option<PathBuf>) -> Agents {
        let agents = named.iter().map(|&agent| agent.to_owned()).collect();
        Agents { agents, agents_file: file, access: Access::default() }
    }

    #[test]
    fn they_are_named_on_the_command_line_or_in_a_file() {
        assert_eq!(agents(&[], None).addresses().unwrap(), [USUAL]);
        assert_eq!(agents(&["a:1", "[::1]:2"], None).addresses().unwrap(), ["a:1", "[::1]:2"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# ours\na:1\n\n b:2 # the new one\n").unwrap();
        assert_eq!(agents(&[], Some(file.path().to_owned())).addresses().unwrap(), ["a:1", "b:2"]);
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (wrong, why) in
            [("a", "HOST:PORT"), (":1", "HOST:PORT"), ("a:b", "HOST:PORT"), ("a:99999", "HOST:PORT")]
        {
            let error = agents(&[wrong], None).addresses().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(wrong), "{error}");
        }
        let error = agents(&["a:1", "a:1"], None).addresses().unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = agents(&[], Some(file.path().to_owned())).addresses().unwrap_err().to_string();
        assert!(error.contains("names none"), "{error}");
    }
}
