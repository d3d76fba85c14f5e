//! A small private authority for a cluster: it makes the certificates by which masters, workers and clients
//! know each other beyond loopback.
//!
//! ```
//! use cutwater_certs::{Request, Host, make};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("certs");
//! let made = make(&Request {
//!     masters: vec!["master.lan".parse()?],
//!     workers: vec!["worker1.lan,10.0.0.11".parse()?, "worker2.lan,10.0.0.12".parse()?],
//!     ..Request::new(&folder)
//! })?;
//! assert!(made.is_new_authority);
//! assert_eq!(made.issued.len(), 3);
//! assert!(folder.join("worker-worker1.lan-key.pem").exists());
//! // What is there is never written over, and a second call adds to the same authority.
//! assert!(make(&Request { masters: vec!["master.lan".parse()?], ..Request::new(&folder) }).is_err());
//! assert!(!make(&Request { clients: vec!["shop".parse()?], ..Request::new(&folder) })?.is_new_authority);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each process needs three files: `authority.pem`, and the certificate and key of its role and host. The
//! authority's own key, `authority-key.pem`, is needed by no process: whoever has it can make a master,
//! whose tasks are code to run, so it is best kept elsewhere.

mod authority;
mod error;
mod files;
mod host;

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use authority::Authority;
pub use cutwater_wire::tls::Role;
pub use error::CertsError;
pub use host::Host;

/// How long a certificate is valid if nothing is said, in days.
pub const DAYS: u32 = 365;

/// Clocks differ: a certificate is valid from so long before it was made.
const EARLIER: Duration = Duration::from_secs(3600);

/// Which certificates are wanted, and where.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where they are written. It is made if it is not there, for its owner only. If there is an authority in
    /// it already, that one signs; otherwise one is made.
    pub folder: PathBuf,
    /// Hosts that masters run on.
    pub masters: Vec<Host>,
    /// Hosts that workers run on.
    pub workers: Vec<Host>,
    /// Clients, by any name.
    pub clients: Vec<Host>,
    /// How many days they are valid; the authority is for ten times as many.
    pub days: u32,
    /// From when on they are valid: an hour ago if nothing is said, since clocks differ.
    pub from: Option<SystemTime>,
}

impl Request {
    /// For no host yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            masters: Vec::new(),
            workers: Vec::new(),
            clients: Vec::new(),
            days: DAYS,
            from: None,
        }
    }

    fn wanted(&self) -> impl Iterator<Item = (Role, &Host)> {
        let all =
            [(Role::Master, &self.masters), (Role::Worker, &self.workers), (Role::Client, &self.clients)];
        all.into_iter().flat_map(|(role, hosts)| hosts.iter().map(move |host| (role, host)))
    }
}

/// What [`make`] has made. It prints as what a person wants to know.
#[derive(Clone, Debug)]
pub struct Made {
    /// The certificate of the authority, which every process needs.
    pub authority: PathBuf,
    /// Its private key, which no process needs.
    pub authority_key: PathBuf,
    /// Whether the authority was made now.
    pub is_new_authority: bool,
    /// A certificate for each role and host.
    pub issued: Vec<Issued>,
    /// How many days they are valid.
    pub days: u32,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// What its holder may be.
    pub role: Role,
    /// The host it is for.
    pub host: Host,
    /// Its file.
    pub certificate: PathBuf,
    /// The file of its private key, readable for its owner only.
    pub key: PathBuf,
}

impl Issued {
    fn of(role: Role, host: &Host, folder: &Path) -> Self {
        let stem = format!("{role}-{}", host.file_name());
        Self {
            role,
            host: host.clone(),
            certificate: folder.join(format!("{stem}.pem")),
            key: folder.join(format!("{stem}-key.pem")),
        }
    }
}

/// Makes certificates, and an authority for them if the folder has none.
///
/// # Errors
/// Nothing is asked for; a file that would be written is there already (all are listed, and nothing is
/// written); the authority in the folder cannot be read; or files cannot be written.
pub fn make(request: &Request) -> Result<Made, CertsError> {
    let folder = &request.folder;
    let issued: Vec<Issued> = request.wanted().map(|(role, host)| Issued::of(role, host, folder)).collect();
    if issued.is_empty() {
        return Err(CertsError::NothingWanted);
    }
    let mut files = HashSet::new();
    for Issued { host, certificate, .. } in &issued {
        if !files.insert(certificate) {
            return Err(CertsError::Host { name: host.to_string(), why: "it is named twice for one role" });
        }
    }
    let there = issued.iter().flat_map(|issued| [&issued.certificate, &issued.key]);
    let there: Vec<PathBuf> = there.filter(|file| file.exists()).cloned().collect();
    if !there.is_empty() {
        return Err(CertsError::Exists(there));
    }
    let from = request.from.unwrap_or_else(|| SystemTime::now() - EARLIER);
    let (authority, is_new_authority) = Authority::open_or_make(folder, from, request.days)?;
    for Issued { role, host, certificate, key } in &issued {
        let (pem, key_pem) = authority.issue(*role, host, from, request.days)?;
        files::write_private(key, &key_pem)?;
        files::write_public(certificate, &pem)?;
    }
    Ok(Made {
        authority: authority::certificate_file(folder),
        authority_key: authority::key_file(folder),
        is_new_authority,
        issued,
        days: request.days,
    })
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = if self.is_new_authority { "made" } else { "used" };
        writeln!(f, "{age} the authority {}", self.authority.display())?;
        for Issued { role, host, certificate, key } in &self.issued {
            writeln!(f, "made for the {role} on {host}: {} and {}", certificate.display(), key.display())?;
        }
        writeln!(
            f,
            "valid for {} days. Each process needs authority.pem and the two files of its role and host:",
            self.days
        )?;
        writeln!(f, "    [tls]\n    authority = \"…\"\n    certificate = \"…\"\n    key = \"…\"")?;
        write!(
            f,
            "Keep {} away from all of them: who has it can make a master.",
            self.authority_key.display()
        )
    }
}
