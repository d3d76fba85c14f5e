//! Encryption with certificates at both ends, for connections beyond loopback.
//!
//! Both ends have a certificate of one private authority, and nothing else is believed: no authority of the
//! system's, no other version than TLS 1.3. A certificate names the hosts it is for and a **role**:
//! the name `cutwater-master`, `cutwater-worker` or `cutwater-client` among its other names. Whoever is dialled has to have
//! the role and the host that were meant; whoever dials has to have a role that is let in there.

mod explained;
mod files;
mod renewed;

use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
};

use explained::explained;
pub use files::TlsFiles;
use renewed::Renewed;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsStream,
    rustls::{
        client::verify_server_name,
        pki_types::{CertificateDer, ServerName},
        server::ParsedCertificate,
    },
};

use crate::{WireError, channel::Channel};

/// What the holder of a certificate may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It hands out tasks, which are code to run: who has this certificate may do everything.
    Master,
    /// It runs tasks, holds blocks and takes records.
    Worker,
    /// It sends records.
    Client,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Master, Self::Worker, Self::Client];

    /// The name in the certificate that stands for the role.
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "cutwater-master",
            Self::Worker => "cutwater-worker",
            Self::Client => "cutwater-client",
        }
    }

    /// Whether a certificate of this role will do where `wanted` is meant. A master's does for everything,
    /// since who hands out code could be a worker or a client anyway; so the workers that a master starts
    /// beside itself need none of their own.
    pub fn may_be(self, wanted: Self) -> bool {
        self == wanted || self == Self::Master
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Client => "client",
        })
    }
}

/// The certificates of a process, ready for connections.
///
/// Properties:
/// - each connection is verified by itself; none is resumed;
/// - certificates that are replaced are taken up by the next connection, so that a process outlives them;
/// - the private key leaves it in no form: it is not printed and not in any error.
///
/// Cloning it is free. Any thread may use it.
#[derive(Clone)]
pub struct Tls {
    renewed: Arc<Renewed>,
}

impl Tls {
    /// From files. They are read again when they have changed.
    ///
    /// # Errors
    /// All that is wrong with them, each with the file and what to do.
    pub fn read(files: &TlsFiles) -> Result<Self, Vec<String>> {
        Ok(Self { renewed: Arc::new(Renewed::read(files)?) })
    }

    /// The roles that the certificate of this process has.
    pub fn roles(&self) -> Vec<Role> {
        roles(&self.renewed.current().own)
    }

    /// Whether the certificate of this process is for `host`, so that others reach it there.
    pub fn is_for(&self, host: &str) -> bool {
        is_named(&self.renewed.current().own, host)
    }

    /// Encrypts a connection that was made to `host`.
    ///
    /// # Errors
    /// Whoever is there does not speak TLS, or has no certificate of our authority for that host and role.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
        role: Role,
    ) -> Result<Channel<S>, WireError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| WireError::Certificate(format!("{host} is neither a name nor an address")))?;
        let connector = self.renewed.current().connector.clone();
        let stream = connector.connect(name, stream).await.map_err(|error| explained(error, host))?;
        let channel = Channel::Encrypted(Box::new(TlsStream::Client(stream)));
        match self.wrong_role(&channel, &[role]) {
            Some(why) => Err(WireError::Certificate(why)),
            None => Ok(channel),
        }
    }

    /// Encrypts a connection that was accepted. Who it is has yet to be judged by
    /// [its role](Self::wrong_role).
    ///
    /// # Errors
    /// The other end does not speak TLS, or has no certificate of our authority.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<Channel<S>, WireError> {
        let acceptor = self.renewed.current().acceptor.clone();
        let stream = acceptor.accept(stream).await.map_err(|error| explained(error, "here"))?;
        Ok(Channel::Encrypted(Box::new(TlsStream::Server(stream))))
    }

    /// Why the certificate at the other end does for none of these roles, if so.
    pub fn wrong_role<S>(&self, channel: &Channel<S>, wanted: &[Role]) -> Option<String> {
        let Channel::Encrypted(stream) = channel else { return None };
        let has =
            stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(roles).unwrap_or_default();
        if has.iter().any(|has| wanted.iter().any(|wanted| has.may_be(*wanted))) {
            return None;
        }
        let list = |roles: &[Role]| match roles {
            [] => "none".to_owned(),
            roles => roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", "),
        };
        Some(format!(
            "the certificate of the other end is for the role {}, and {} is needed here; `cutwater certs` makes one for each role",
            list(&has),
            list(wanted)
        ))
    }
}

// What there is of it is replaced as a whole, so a panic leaves it whole.
impl UnwindSafe for Tls {}
impl RefUnwindSafe for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// Whether this can be the host of a certificate: a name, or an address, without a port.
///
/// ```
/// use cutwater_wire::tls::is_host;
///
/// assert!(is_host("worker1.lan") && is_host("::1"));
/// assert!(!is_host("worker1.lan:7077") && !is_host(""));
/// ```
pub fn is_host(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

fn roles(certificate: &CertificateDer<'_>) -> Vec<Role> {
    Role::ALL.into_iter().filter(|role| is_named(certificate, role.name())).collect()
}

fn is_named(certificate: &CertificateDer<'_>, name: &str) -> bool {
    match (ParsedCertificate::try_from(certificate), ServerName::try_from(name)) {
        (Ok(certificate), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
        _ => false,
    }
}
