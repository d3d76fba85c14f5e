//! What a process of a job is told by its environment. The secret of the run is among it: command lines
//! can be read by everyone on a machine, an environment only by its user.

use std::{net::SocketAddr, path::Path};

use cutwater_wire::agent::{Part, Start};

use crate::agent::Options;

/// The file in the folder of a job to which its master writes where it listens.
pub const ADDRESS_FILE_NAME: &str = "master.address";

/// The variables of a process of `start` on an agent, beginning with those that the caller wants.
///
/// It listens where the agent does, at any port, and is reached by the name by which the agent was. Where the
/// agent has certificates, they are the program's too.
pub fn of(start: &Start, agent: &Options, folder: &Path) -> Vec<(String, String)> {
    let mut variables = start.environment.clone();
    let mut set = |name: &str, value: String| variables.push((format!("CUTWATER_{name}"), value));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let anywhere = SocketAddr::new(agent.listen.ip(), 0).to_string();
    set("TOKEN", start.token.0.clone());
    set("ADVERTISE", start.host.clone());
    match &start.part {
        Part::Master { workers } => {
            set("ROLE", "master".to_owned());
            set("MASTER", anywhere);
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
