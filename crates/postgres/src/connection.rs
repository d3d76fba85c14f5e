//! Connections to a server, and whose move it is when one fails.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cutwater::Error;
use cutwater_core::limits;
use postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode},
};
use serde::{Deserialize, Serialize};

use crate::encryption::{Encryption, explained};

/// Where a server is and who asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// May hold a password and is never printed.
    connection: String,
    pub encryption: Encryption,
}

/// Connections that nobody uses at the moment. Every compute thread uses one at a time, each task for itself; to make
/// one takes longer than most tasks do.
static IDLE: Mutex<Vec<(Server, Client)>> = Mutex::new(Vec::new());

/// A connection that is in use. It is kept for others only if it is [handed back](Self::hand_back): one that has
/// failed is closed.
pub(crate) struct Connection {
    server: Server,
    client: Client,
}

impl Server {
    pub fn new(connection: &str) -> Self {
        Self { connection: connection.to_owned(), encryption: Encryption::default() }
    }

    pub fn connect(&self) -> Result<Connection, Error> {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(at) = idle.iter().position(|(server, _)| server == self) {
            let (server, client) = idle.swap_remove(at);
            if !client.is_closed() {
                return Ok(Connection { server, client });
            }
        }
        drop(idle);
        let mut config = self.config()?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_millis(limits::CONNECT_MS_MAX));
        }
        if config.get_application_name().is_none() {
            config.application_name("cutwater");
        }
        let tried = format!("cannot connect to {self}");
        let tls = self.encryption.connector(&config).map_err(|error| error.at(&tried))?;
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let connected = match tls {
            Some(tls) => config.connect(tls),
            None => config.connect(NoTls),
        };
        let failed = |error| match explained(&error) {
            Some(why) => Error::user(format_args!("{tried}: {why}")),
            None => said(&tried, &error),
        };
        let mut client = connected.map_err(failed)?;
        // A master that is paused in the middle of a commit must not keep the next one from the sink.
        let timeout = limits::SINK_TRANSACTION_IDLE_MS_MAX;
        client
            .batch_execute(&format!("SET idle_in_transaction_session_timeout = {timeout}"))
            .map_err(failed)?;
        Ok(Connection { server: self.clone(), client })
    }

    fn config(&self) -> Result<Config, Error> {
        self.connection.parse().map_err(|error: postgres::Error| {
            // The text itself is not said: it may hold a password.
            let why = why(&error);
            let advice = match why.contains("sslmode") {
                true => "; it is `require`, which verifies the server as `verify-full` does elsewhere, or `disable`",
                false => "",
            };
            Error::user(format_args!("the connection string of a Postgres sink is wrong: {why}{advice}"))
        })
    }
}

impl fmt::Display for Server {
    /// Where, and as whom: not the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(config) = self.config() else { return f.write_str("a server that cannot be understood") };
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "?".to_owned(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let user = config.get_user().unwrap_or("?");
        write!(f, "Postgres at {host}:{port}, as {user}")
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Connection {
    /// It has done what it was to do, and can do more.
    pub fn hand_back(self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits::SINK_IDLE_CONNECTIONS_MAX {
            idle.push((self.server, self.client));
        }
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// An error with what was tried, as the engine takes it: outside things that may go away are tried again, faults of the
/// program and of the table are not.
pub(crate) fn said(tried: &str, error: &postgres::Error) -> Error {
    let message = format!("{tried}: {}", why(error));
    // By the class of the code: data, constraints, rights, syntax and names, a row given twice.
    let is_fault = error.code().is_some_and(|code| {
        ["21", "22", "23", "28", "3D", "3F", "42"].iter().any(|class| code.code().starts_with(class))
    });
    // Where the server has said nothing, a value may have been refused before it was sent.
    let is_refused = error.as_db_error().is_none() && why(error).contains("error serializing");
    if is_fault || is_refused { Error::user(message) } else { Error::external(message) }
}

/// What the server said, or what is behind the error. Not the server's details: they hold values of rows.
fn why(error: &postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        text += &format!(": {next}");
        source = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_said() {
        for text in [
            "host=db.example user=me password=hunter2 dbname=x",
            "postgres://me:hunter2@db.example:5433/x",
            "host=db.example password=hunter2 wrong=hunter2 port=hunter2",
            "password='hunter2",
        ] {
            let server = Server::new(text);
            let said = format!("{server} {server:?} {:?}", server.config().err());
            assert!(!said.contains("hunter2"), "{said}");
        }
        assert_eq!(Server::new("host=a port=1 user=b password=c").to_string(), "Postgres at a:1, as b");
    }

    #[test]
    fn modes_of_other_clients_are_explained() {
        for mode in ["verify-full", "verify-ca", "allow"] {
            let said = Server::new(&format!("host=a sslmode={mode}")).config().unwrap_err().to_string();
            assert!(said.contains("it is `require`, which verifies"), "{said}");
        }
    }
}
