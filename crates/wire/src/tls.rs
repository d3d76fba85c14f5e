//! Encryption with certificates at both ends, for connections beyond loopback.
//!
//! Both ends have a certificate of one private authority, and nothing else is believed: no authority of the
//! system's, no other version than TLS 1.3. A certificate names the hosts it is for and a **role**:
//! the name `cutwater-master`, `cutwater-worker` or `cutwater-client` among its other names. Whoever is dialled has to have
//! the role and the host that were meant; whoever dials has to have a role that is let in there.

use std::{
    fmt, io,
    panic::{RefUnwindSafe, UnwindSafe},
    path::PathBuf,
    sync::Arc,
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor, TlsConnector, TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, Error as TlsError, InvalidMessage, RootCertStore,
        ServerConfig,
        client::{Resumption, WebPkiServerVerifier, verify_server_name},
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
        version::TLS13,
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

/// The files with the certificates of a process, all of them PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the authority, by which others are judged.
    pub authority: PathBuf,
    /// The certificate of this process.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificates of a process, ready for connections.
///
/// Properties:
/// - each connection is verified by itself; none is resumed;
/// - the private key leaves it in no form: it is not printed and not in any error.
///
/// Cloning it is free.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    own: Arc<CertificateDer<'static>>,
}

impl Tls {
    /// From files.
    ///
    /// # Errors
    /// All that is wrong with them, each with the file and what to do.
    pub fn read(files: &TlsFiles) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut note = |file: &PathBuf, fault: &dyn fmt::Display| {
            faults.push(format!("{}: {fault}", file.display()));
        };
        let missing = "holds no certificate in PEM; `cutwater certs` makes them";
        let mut certificates = |file: &PathBuf| {
            let read: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(file).and_then(|certificates| certificates.collect());
            match read {
                Ok(read) if !read.is_empty() => Some(read),
                Ok(_) => {
                    note(file, &missing);
                    None
                }
                Err(error) => {
                    note(file, &format_args!("cannot be read as certificates: {error}"));
                    None
                }
            }
        };
        let authority = certificates(&files.authority);
        let chain = certificates(&files.certificate);
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| note(&files.key, &format_args!("cannot be read as a private key: {error}")))
            .ok();
        let (Some(authority), Some(chain), Some(key)) = (authority, chain, key) else { return Err(faults) };
        let mut roots = RootCertStore::empty();
        for certificate in authority {
            if let Err(error) = roots.add(certificate) {
                note(&files.authority, &format_args!("holds no certificate of an authority: {error}"));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Self::new(roots, chain, key).map_err(|error| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            vec![format!(
                "{certificate} and {key} cannot be used: {error}; the key has to be that of the certificate"
            )]
        })
    }

    fn new(
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let own = chain.first().cloned().ok_or(TlsError::NoCertificatesPresented)?;
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let unusable = |error: &dyn fmt::Display| TlsError::General(error.to_string());
        let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_webpki_verifier(servers.map_err(|error| unusable(&error))?)
            .with_client_auth_cert(chain.clone(), key.clone_key())?;
        client.resumption = Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(clients.map_err(|error| unusable(&error))?)
            .with_single_cert(chain, key)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            own: Arc::new(own),
        })
    }

    /// The roles that the certificate of this process has.
    pub fn roles(&self) -> Vec<Role> {
        roles(&self.own)
    }

    /// Whether the certificate of this process is for `host`, so that others reach it there.
    pub fn is_for(&self, host: &str) -> bool {
        is_named(&self.own, host)
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
        let stream = self.connector.connect(name, stream).await.map_err(|error| explained(error, host))?;
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
        let stream = self.acceptor.accept(stream).await.map_err(|error| explained(error, "here"))?;
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

// Nothing of it changes once it is made, so a panic leaves it whole.
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

impl WireError {
    /// The same error, in words of its own if TLS is behind it.
    pub(crate) fn unwrapped(self) -> Self {
        match self {
            Self::Io(error) => explained(error, "there"),
            other => other,
        }
    }
}

/// What an error of TLS means for whoever reads it.
fn explained(error: io::Error, host: &str) -> WireError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return WireError::Io(error);
    };
    let certs = "`cutwater certs` makes certificates";
    let theirs = |what: String| WireError::Certificate(format!("the certificate of the other end {what}"));
    let ours = |what: &str| {
        WireError::Certificate(format!("the other end does not accept the certificate of this one: {what}"))
    };
    let foreign = "is not of the authority that is trusted";
    match tls {
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => WireError::NoTls,
        TlsError::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                theirs(format!("has expired; {certs} anew"))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                theirs("is not valid yet; are the clocks of both machines right?".to_owned())
            }
            CertificateError::NotValidForName => theirs(format!("is not for {host}; {certs} for more hosts")),
            CertificateError::NotValidForNameContext { presented, .. } => {
                theirs(format!("is for {}, and not for {host}; {certs} for more hosts", presented.join(", ")))
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                theirs(format!("{foreign} here; both ends need certificates of one authority"))
            }
            other => theirs(format!("is not accepted: {other}")),
        },
        TlsError::NoCertificatesPresented => theirs(format!("is missing; {certs} for it")),
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => ours("it has expired, or the clock there is wrong"),
            AlertDescription::UnknownCA | AlertDescription::DecryptError => ours(
                "it is not of the authority that is trusted there; both ends need certificates of one authority",
            ),
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                ours("it is not valid there, or not for the host that was dialled; its log says more")
            }
            AlertDescription::CertificateRequired => ours("it has seen none"),
            other => WireError::Certificate(format!("the other end ended the handshake of TLS: {other:?}")),
        },
        other => WireError::Certificate(format!("the handshake of TLS failed: {other}")),
    }
}
