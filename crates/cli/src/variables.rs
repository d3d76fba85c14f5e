//! What a process of a job is told by its environment. The secret of the run is among it: command lines
//! can be read by everyone on a machine, an environment only by its user.

use std::{net::SocketAddr, path::Path};

use cutwater_wire::agent::{Part, Start};

/// The file in the folder of a job to which its master writes where it listens.
pub const ADDRESS_FILE_NAME: &str = "master.address";

/// The variables of a process of `start` on the agent that listens at `agent`.
pub fn of(start: &Start, agent: SocketAddr, folder: &Path) -> Vec<(String, String)> {
    let mut variables = start.environment.clone();
    let mut set = |name: &str, value: String| variables.push((format!("CUTWATER_{name}"), value));
    set("TOKEN", start.token.0.clone());
    match &start.part {
        Part::Master { workers } => {
            set("ROLE", "master".to_owned());
            // Any port: the program says which.
            set("MASTER", SocketAddr::new(agent.ip(), 0).to_string());
            set("MIN_WORKERS", workers.to_string());
            set("ADDRESS_FILE", folder.join(ADDRESS_FILE_NAME).to_string_lossy().into_owned());
        }
        Part::Workers { join, threads, .. } => {
            set("ROLE", "worker".to_owned());
            set("JOIN", join.clone());
            set("THREADS", threads.to_string());
        }
    }
    variables
}
