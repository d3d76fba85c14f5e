use std::{fmt, path::PathBuf, sync::Arc};

use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, Error as TlsError, RootCertStore, ServerConfig,
        client::{Resumption, WebPkiServerVerifier},
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{NoServerSessionStorage, WebPkiClientVerifier},
        version::TLS13,
    },
};

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

/// What was in the files when they were read.
pub(super) struct Loaded {
    pub connector: TlsConnector,
    pub acceptor: TlsAcceptor,
    /// The certificate of this process.
    pub own: CertificateDer<'static>,
}

impl Loaded {
    /// All of them, or all that is wrong with them.
    pub fn load(files: &TlsFiles) -> Result<Self, Vec<String>> {
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
            own,
        })
    }
}
