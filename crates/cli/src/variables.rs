//! What a process of a job is told by its environment. The secret of the run is among it: command lines
//! can be read by everyone on a machine, an environment only by its user.

use std::{fs, io, net::SocketAddr, path::Path};

use cutwater_wire::agent::{Part, Start};

use crate::agent::Options;

/// The file in the folder of a job to which its master writes where it listens.
pub const ADDRESS_FILE_NAME: &str = "master.address";

/// What a master has said to whoever started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where workers join.
    pub address: String,
    /// Whether it goes on where it was when it is started again: what it needs for that is written down.
    pub goes_on: bool,
}

impl Listening {
    /// What the master of the job in `folder` has said, if it has.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(folder.join(ADDRESS_FILE_NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        let address = lines.next().unwrap_or_default().to_owned();
        Ok(Some(Self { address, goes_on: lines.next() == Some("goes on") }))
    }

    fn port(&self) -> Option<u16> {
        self.address.rsplit_once(':')?.1.parse().ok()
    }
}

/// The variables of a process of `start` on an agent, beginning with those that the caller wants.
///
/// It listens where the agent does, at any port, and is reached by the name by which the agent was. Where the
/// agent has certificates, they are the program's too.
///
/// A master that is started again listens where the one `before` it did, since its workers were told so; and it is a
/// standby, so that it waits should another have taken over meanwhile.
pub fn of(
    start: &Start,
    agent: &Options,
    folder: &Path,
    before: Option<&Listening>,
) -> Vec<(String, String)> {
    let mut variables = start.environment.clone();
    let mut set = |name: &str, value: String| variables.push((format!("CUTWATER_{name}"), value));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let anywhere = SocketAddr::new(agent.listen.ip(), 0).to_string();
    set("TOKEN", start.token.0.clone());
    set("ADVERTISE", start.host.clone());
    match &start.part {
        Part::Master { workers } => {
            set("ROLE", "master".to_owned());
            let port = before.and_then(Listening::port).unwrap_or(0);
            set("MASTER", SocketAddr::new(agent.listen.ip(), port).to_string());
            if before.is_some() {
                set("STANDBY", "true".to_owned());
            }
            set("MIN_WORKERS", workers.to_string());
            set("ADDRESS_FILE", text(&folder.join(ADDRESS_FILE_NAME)));
        }
        Part::Workers { join, threads, .. } => {
            set("ROLE", "worker".to_owned());
            set("JOIN", join.clone());
            set("BIND", anywhere);
            set("THREADS", threads.to_string());
        }
    }
    let access = &agent.access;
    let files = [
        ("AUTHORITY", &access.tls_authority),
        ("CERTIFICATE", &access.tls_certificate),
        ("KEY", &access.tls_key),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            set(&format!("TLS_{name}"), text(file));
        }
    }
    variables
}
