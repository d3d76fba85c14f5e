//! Settings of a program that runs on more than one machine.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use cutwater_core::limits;
use cutwater_wire::{
    credentials::Credentials,
    handshake::Secret,
    tls::{self, Tls, TlsFiles, is_host},
};

use super::Builder;
use crate::{
    error::Error,
    runtime::cluster::{Role, Token, dialled},
};

/// The files that were named, as many as there are.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedFiles {
    pub authority: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// What a process of a cluster needs to know besides its role.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Certificates, if connections are to be encrypted.
    pub tls: Option<Tls>,
    /// Where a worker serves its blocks.
    pub bind: Option<SocketAddr>,
    /// By what others reach this process.
    pub advertise: Option<String>,
    /// What a worker says it has; the machine's memory if nothing is said.
    pub memory_bytes: Option<u64>,
    pub min_workers: usize,
    pub min_slots: u32,
    pub join_wait: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            tls: None,
            bind: None,
            advertise: None,
            memory_bytes: None,
            min_workers: 0,
            min_slots: 0,
            join_wait: Duration::from_millis(limits::JOIN_MS_MAX),
        }
    }
}

impl Network {
    /// What workers dial to join a master that listens at `address`.
    pub fn reached_at(&self, address: SocketAddr) -> String {
        match &self.advertise {
            Some(host) => dialled(host, address.port()),
            // Of a machine's addresses none is better than the others; this one is right on it, at least.
            None if address.ip().is_unspecified() => dialled("localhost", address.port()),
            None => address.to_string(),
        }
    }

    /// The token and the certificates. Without a token, certificates are proof enough.
    pub fn credentials(&self, token: Option<&Token>) -> Result<Credentials, Error> {
        let secret = match (token, &self.tls) {
            (Some(token), _) => token.secret(),
            (None, Some(_)) => Secret::of(""),
            (None, None) => Secret::new().map_err(Error::external)?,
        };
        Ok(Credentials::new(secret, self.tls.clone()))
    }
}

impl Builder {
    /// Runs tasks in so many worker processes, which are started on this machine: this executable with
    /// the arguments of this process. Each has as many compute threads as [`threads`](Self::threads) says.
    /// The program itself runs in this process only; in the others, whatever makes the first context
    /// becomes a worker and never returns. So a context is to be made early in `main`.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.place.say_workers(workers);
        self
    }

    /// Runs tasks in workers that join at `address`. Beyond loopback that takes [certificates](Self::tls).
    #[must_use]
    pub fn master(mut self, address: impl ToSocketAddrs) -> Self {
        match address.to_socket_addrs().map(|mut all| all.next()) {
            Ok(Some(listen)) => self.place.say_master(listen.to_string()),
            Ok(None) => self.faults.push("master: the address is of no machine".to_owned()),
            Err(error) => self.faults.push(format!("master: the address cannot be understood: {error}")),
        }
        self
    }

    /// The file with the token that workers and master of a run share. A master makes it if it is not
    /// there. With [certificates](Self::tls) there need not be any.
    #[must_use]
    pub fn token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.token_file = Some(file.into());
        self
    }

    /// Encrypts every connection between processes, and has both ends of each prove themselves by a
    /// certificate of one private authority. The files are PEM; `cutwater certs` makes them. The certificate
    /// is for a role, and one for workers does not make a master.
    ///
    /// Tasks are code to run, so beyond loopback there are no connections without.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let program = Context::builder("clicks")
    ///     .master("0.0.0.0:7077")
    ///     .tls("authority.pem", "master-m.lan.pem", "master-m.lan-key.pem");
    /// // All that is wrong is listed, here that there are no such files.
    /// assert!(program.build().unwrap_err().to_string().contains("authority.pem"));
    /// ```
    #[must_use]
    pub fn tls(
        mut self,
        authority: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls = NamedFiles {
            authority: Some(authority.into()),
            certificate: Some(certificate.into()),
            key: Some(key.into()),
        };
        self
    }

    /// The address at which a worker serves its blocks to others, on a machine that has several: `10.0.0.5`,
    /// or with a port, `10.0.0.5:7100`. If nothing is said, the address by which it reaches the master, and any
    /// free port.
    #[must_use]
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        let address = address.into();
        let parsed =
            address.parse::<SocketAddr>().or_else(|_| address.parse().map(|ip: IpAddr| (ip, 0).into()));
        match parsed {
            Ok(bind) => self.settings.network.bind = Some(bind),
            Err(_) => self.faults.push(format!(
                "{address:?} is no address of this machine; give one as 10.0.0.5, or with a port as 10.0.0.5:7100"
            )),
        }
        self
    }

    /// The name or address by which other processes reach this one, if that is not the one that it
    /// [listens](Self::master) at or is [bound](Self::bind) to: behind a translation of addresses, or if
    /// certificates are for names.
    #[must_use]
    pub fn advertise(mut self, host: impl Into<String>) -> Self {
        let host = host.into();
        if is_host(&host) {
            self.settings.network.advertise = Some(host);
        } else {
            self.faults
                .push(format!("{host:?} is neither a name nor an address to advertise (without a port)"));
        }
        self
    }

    /// How many workers have to have joined before the program begins: as many as are
    /// [started](Self::workers), or one, if nothing is said. If they do not come
    /// [in time](Self::join_wait), building the context fails.
    #[must_use]
    pub fn min_workers(mut self, workers: usize) -> Self {
        self.settings.network.min_workers = workers;
        self
    }

    /// How many tasks all workers together must be able to run at a time before the program begins.
    #[must_use]
    pub fn min_slots(mut self, slots: u32) -> Self {
        self.settings.network.min_slots = slots;
        self
    }

    /// How long a master waits for its workers to join, and a worker for its master to be there. Half a
    /// minute if nothing is said.
    #[must_use]
    pub fn join_wait(mut self, wait: Duration) -> Self {
        self.settings.network.join_wait = wait;
        self
    }

    /// How much memory a worker says it has. That of its machine if nothing is said.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.settings.network.memory_bytes = Some(bytes);
        self
    }

    /// Reads the certificates, and sees that they are good for what this process is.
    pub(super) fn decide_network(&mut self) {
        let NamedFiles { authority, certificate, key } = std::mem::take(&mut self.tls);
        match (authority, certificate, key) {
            (None, None, None) => {}
            (Some(authority), Some(certificate), Some(key)) => {
                warn_if_public(&key);
                match Tls::read(&TlsFiles { authority, certificate, key }) {
                    Ok(tls) => self.settings.network.tls = Some(tls),
                    Err(faults) => {
                        self.faults.extend(faults);
                        // What follows would complain that there are none.
                        return;
                    }
                }
            }
            (authority, certificate, key) => {
                let missing = [("authority", authority), ("certificate", certificate), ("key", key)];
                let missing = missing.iter().filter(|(_, file)| file.is_none()).map(|(name, _)| *name);
                self.faults.push(format!(
                    "[tls] has no {}; encryption takes all three of authority, certificate and key",
                    missing.collect::<Vec<_>>().join(" and no ")
                ));
                return;
            }
        }
        let (network, faults) = (&self.settings.network, &mut self.faults);
        match &self.settings.role {
            Role::Embedded => {}
            Role::Master { listen, workers } => {
                network.wants_tls(&format!("a master at {listen}"), listen.ip(), faults);
                network.wants_role(tls::Role::Master, faults);
                if let Some(bind) = network.bind
                    && bind.port() != 0
                    && *workers > 1
                {
                    faults.push(format!(
                        "{workers} workers on this machine cannot all serve at {bind}; leave out the port"
                    ));
                }
                if listen.ip().is_unspecified() && *workers > 0 && network.advertise.is_none() {
                    faults.push(format!("a master at {listen} with workers on this machine: say by `advertise` what other machines call this one, so that their workers reach those here"));
                }
            }
            Role::Worker { .. } => {
                if let Some(bind) = network.bind {
                    network.wants_tls(&format!("a worker at {bind}"), bind.ip(), faults);
                    if bind.ip().is_unspecified() && network.advertise.is_none() {
                        faults.push(format!(
                            "a worker at {bind}: say by `advertise` what others call this machine"
                        ));
                    }
                }
                network.wants_role(tls::Role::Worker, faults);
                if let (Some(tls), Some(host)) = (&network.tls, &network.advertise)
                    && !tls.is_for(host)
                {
                    faults.push(format!("advertise {host}: the certificate of this worker is not for {host}, so others would refuse it; `cutwater certs` makes one that is"));
                }
            }
        }
    }
}

/// Where secrets are mounted, their owner may be another user, so this is no fault.
fn warn_if_public(key: &Path) {
    if key.metadata().is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
        tracing::warn!(file = %key.display(), "everybody on this machine can use this private key (chmod 600)");
    }
}

impl Network {
    fn wants_tls(&self, who: &str, address: IpAddr, faults: &mut Vec<String>) {
        if self.tls.is_none() && !address.is_loopback() {
            faults.push(format!(
                "{who}: tasks are code to run, so beyond loopback there are only encrypted connections; make certificates with `cutwater certs` and name them in [tls], or use 127.0.0.1"
            ));
        }
    }

    fn wants_role(&self, role: tls::Role, faults: &mut Vec<String>) {
        if let Some(tls) = &self.tls
            && !tls.roles().iter().any(|has| has.may_be(role))
        {
            faults.push(format!("the certificate of this process is not for a {role}, which it is to be; `cutwater certs` makes one for each role"));
        }
    }
}
