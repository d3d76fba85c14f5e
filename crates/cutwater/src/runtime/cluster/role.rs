use std::{env, net::SocketAddr};

use super::token::Token;
use crate::error::Error;

/// What a process is. The same executable is all of them.
#[derive(Clone, Debug, Default)]
pub(crate) enum Role {
    /// Master and worker in one.
    #[default]
    Embedded,
    /// Runs the program, on workers in other processes.
    Master {
        /// Where workers join.
        listen: SocketAddr,
        /// How many workers it starts itself, on this machine.
        workers: usize,
    },
    /// Runs tasks for a master, and nothing of the program besides.
    Worker {
        /// Where the master is.
        join: String,
    },
}

pub(super) const ROLE: &str = "CUTWATER_ROLE";
pub(super) const JOIN: &str = "CUTWATER_JOIN";
pub(super) const TOKEN: &str = "CUTWATER_TOKEN";
const MASTER: &str = "CUTWATER_MASTER";
/// Where a master writes the address at which workers reach it, for whoever started it.
pub(super) const ADDRESS_FILE: &str = "CUTWATER_ADDRESS_FILE";

/// What the environment makes of this process, whatever the program says, and the token in it.
pub(crate) fn role_of_process() -> Result<(Option<Role>, Option<Token>), Error> {
    let token = env::var(TOKEN).ok().map(|token| Token::from_text(&token));
    let role = match env::var(ROLE).as_deref() {
        Err(_) | Ok("") => None,
        Ok("worker") => {
            let join = env::var(JOIN).map_err(|_| {
                Error::config(&[format!("{ROLE}=worker needs {JOIN}=ADDRESS, the address of the master")])
            })?;
            Some(Role::Worker { join })
        }
        Ok("master") => {
            let listen = env::var(MASTER).ok().and_then(|address| address.parse().ok()).ok_or_else(|| {
                Error::config(&[format!("{ROLE}=master needs {MASTER}=ADDRESS, where it listens")])
            })?;
            Some(Role::Master { listen, workers: 0 })
        }
        Ok(other) => {
            return Err(Error::config(&[format!("{ROLE}={other} is none of: master, worker")]));
        }
    };
    Ok((role, token))
}
