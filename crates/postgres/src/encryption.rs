//! Whether a connection is encrypted, and whom it believes.

use std::{
    error::Error as _,
    io,
    sync::{Arc, OnceLock},
};

use cutwater::Error;
use postgres::{
    Config,
    config::{Host, SslMode},
};
use serde::{Deserialize, Serialize};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, Error as TlsError, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// What a program has said about it. Nothing of this is secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// Authorities that are believed, in PEM, instead of the system's.
    pub root_certificates: Option<String>,
    pub plain_beyond_loopback: bool,
}

impl Encryption {
    /// How to connect to what a connection string says: encrypted and verified, or not encrypted at all. There is
    /// nothing in between, since whoever can read what is on the way can also answer in the server's place.
    pub fn connector(&self, config: &Config) -> Result<Option<MakeRustlsConnect>, Error> {
        let is_wanted = match config.get_ssl_mode() {
            SslMode::Disable if !is_local(config) && !self.plain_beyond_loopback => {
                return Err(Error::user(
                    "sslmode=disable would send passwords and rows readable over a network; leave it out, or call \
                     `plain_beyond_loopback` if nobody else can read or write there",
                ));
            }
            SslMode::Disable => false,
            // The default.
            SslMode::Prefer => {
                self.root_certificates.is_some() || !(is_local(config) || self.plain_beyond_loopback)
            }
            _ => true,
        };
        if !is_wanted || has_sockets_only(config) {
            return Ok(None);
        }
        let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::external)?;
        let tls = versions.with_root_certificates(self.roots()?).with_no_client_auth();
        Ok(Some(MakeRustlsConnect::new(tls)))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, Error> {
        let Some(pem) = &self.root_certificates else { return Ok(roots_of_system()) };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let added = certificate.map_err(|error| error.to_string());
            let added = added.and_then(|found| roots.add(found).map_err(|error| error.to_string()));
            added.map_err(|why| {
                Error::user(format_args!("`root_certificates` of a Postgres sink cannot be read: {why}"))
            })?;
        }
        if roots.is_empty() {
            return Err(Error::user(
                "`root_certificates` of a Postgres sink hold no certificate; they are to be the text of a PEM file",
            ));
        }
        Ok(Arc::new(roots))
    }
}

/// Read once: they are some hundred files.
fn roots_of_system() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate of the system's cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}

/// Whether nothing leaves this machine.
fn is_local(config: &Config) -> bool {
    // They say where a host is, whatever it is called.
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(|address| address.to_canonical().is_loopback());
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) if name.eq_ignore_ascii_case("localhost") => true,
        Host::Tcp(name) => {
            name.parse().is_ok_and(|address: std::net::IpAddr| address.to_canonical().is_loopback())
        }
    })
}

/// Over sockets of the file system servers speak no TLS.
fn has_sockets_only(config: &Config) -> bool {
    config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
}

/// What is wrong and what to do, if it is for want of encryption or of trust that a connection was not made.
pub(crate) fn explained(error: &postgres::Error) -> Option<String> {
    let source = error.source()?;
    if source.to_string() == "server does not support TLS" {
        return Some(
            "the server speaks no TLS; set `ssl = on` and a certificate there, or call `plain_beyond_loopback` if nobody \
             else can read or write what is on its way"
                .to_owned(),
        );
    }
    let tls = source.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<TlsError>()?;
    let TlsError::InvalidCertificate(why) = tls else { return Some(format!("TLS failed: {tls}")) };
    let why = match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is of no authority that is trusted here; give the authority's certificate to `root_certificates`"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "is for {}, and not for {}; connect by a name that it is for, with `hostaddr` where that does not resolve",
            presented.join(", "),
            expected.to_str(),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        other => format!("is not accepted: {other}"),
    };
    Some(format!("the server's certificate {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_encrypted(encryption: &Encryption, text: &str) -> Result<bool, Error> {
        Ok(encryption.connector(&text.parse().unwrap())?.is_some())
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_it_is_said_that_it_need_not_be() {
        let (usual, plain) =
            (Encryption::default(), Encryption { plain_beyond_loopback: true, ..Default::default() });
        let local =
            ["/run/postgresql", "localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1", "db hostaddr=::1"];
        for host in local {
            let text = format!("host={host} user=me");
            assert!(!is_encrypted(&usual, &text).unwrap(), "{text}");
            let encrypted = is_encrypted(&usual, &format!("{text} sslmode=require")).unwrap();
            assert_eq!(encrypted, !host.starts_with('/'), "{text}");
        }
        let beyond =
            ["db", "10.0.0.1", "localhost.example", "localhost,db", "/run,db", "localhost hostaddr=10.0.0.1"];
        for host in beyond {
            let text = format!("host={host} user=me");
            assert!(is_encrypted(&usual, &text).unwrap(), "{text}");
            assert!(is_encrypted(&usual, &format!("{text} sslmode=prefer")).unwrap(), "{text}");
            assert!(!is_encrypted(&plain, &text).unwrap(), "{text}");
            assert!(is_encrypted(&plain, &format!("{text} sslmode=require")).unwrap(), "{text}");
            let disabled = format!("{text} sslmode=disable");
            assert!(!is_encrypted(&plain, &disabled).unwrap(), "{text}");
            let said = is_encrypted(&usual, &disabled).unwrap_err().to_string();
            assert!(said.contains("`plain_beyond_loopback`"), "{said}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let of = |pem: &str| Encryption { root_certificates: Some(pem.to_owned()), ..Default::default() };
        for pem in ["", "/etc/root.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let said = is_encrypted(&of(pem), "host=localhost").unwrap_err().to_string();
            assert!(said.contains("`root_certificates`"), "{said}");
        }
    }
}
