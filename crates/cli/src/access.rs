//! What lets callers and agents speak to each other: a token on loopback, certificates beyond.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;
use cutwater_wire::{
    credentials::Credentials,
    handshake::Secret,
    tls::{Tls, TlsFiles},
};

use crate::token;

/// The files by which a command or an agent proves what it may do.
#[derive(Args, Clone, Debug, Default)]
pub struct Access {
    /// The file with the token that agents and their callers share. The first agent makes it.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The certificate of the authority, for connections beyond loopback.
    #[arg(long, value_name = "FILE", env = "CUTWATER_TLS_AUTHORITY")]
    pub tls_authority: Option<PathBuf>,
    /// The certificate of this machine.
    #[arg(long, value_name = "FILE", env = "CUTWATER_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, value_name = "FILE", env = "CUTWATER_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
}

impl Access {
    /// The files with certificates, if there are to be any.
    ///
    /// # Errors
    /// Only some of the three are named.
    pub fn tls_files(&self) -> anyhow::Result<Option<TlsFiles>> {
        match (&self.tls_authority, &self.tls_certificate, &self.tls_key) {
            (None, None, None) => Ok(None),
            (Some(authority), Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                authority: authority.clone(),
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            _ => bail!(
                "--tls-authority, --tls-certificate and --tls-key go together; `cutwater certs` makes the files"
            ),
        }
    }

    /// The certificates, if there are to be any.
    ///
    /// # Errors
    /// The files cannot be used: all that is wrong with them is said.
    pub fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let read = |files| Tls::read(&files).map_err(|faults| anyhow!("{}", faults.join("\n")));
        self.tls_files()?.map(read).transpose()
    }

    /// What a caller proves itself by.
    ///
    /// # Errors
    /// A file cannot be read, or is not for this user only.
    pub fn of_caller(&self) -> anyhow::Result<Credentials> {
        let tls = self.tls()?;
        let secret = match (&self.token_file, &tls) {
            (Some(file), _) => token::read(file)?,
            // Certificates are proof enough.
            (None, Some(_)) => Secret::of(""),
            (None, None) => token::read(&token::usual_file()?)?,
        };
        Ok(Credentials::new(secret, tls))
    }

    /// What an agent proves itself by, and asks of its callers.
    ///
    /// # Errors
    /// As for a caller, or the token cannot be made.
    pub fn of_agent(&self) -> anyhow::Result<Credentials> {
        let tls = self.tls()?;
        let secret = match (&self.token_file, &tls) {
            (Some(file), _) => token::read_or_make(file)?,
            (None, Some(_)) => Secret::of(""),
            (None, None) => token::read_or_make(&token::usual_file()?)?,
        };
        Ok(Credentials::new(secret, tls))
    }
}

/// The host in `HOST:PORT`, as a certificate names it.
pub fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_come_with_their_key() {
        let access = Access { tls_key: Some("key.pem".into()), ..Access::default() };
        assert!(access.of_caller().unwrap_err().to_string().contains("go together"));
        let file = Some(PathBuf::from("/nowhere.pem"));
        let access = Access {
            tls_authority: file.clone(),
            tls_certificate: file.clone(),
            tls_key: file,
            token_file: None,
        };
        assert!(access.of_agent().unwrap_err().to_string().contains("/nowhere.pem"));
    }

    #[test]
    fn hosts_are_named_as_in_certificates() {
        assert_eq!((host_of("a.lan:1"), host_of("[::1]:1")), ("a.lan", "::1"));
    }
}
