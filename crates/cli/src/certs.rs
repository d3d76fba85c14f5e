//! Makes certificates, so that processes on different machines know each other.

use std::path::PathBuf;

use clap::Args;
use cutwater_certs::{DAYS, Host, Made, Request, make};

/// Which certificates are wanted.
#[derive(Args, Clone, Debug)]
pub struct Certs {
    /// The folder for them. If there is an authority in it already, that one signs.
    #[arg(long, value_name = "FOLDER", default_value = "certs")]
    pub dir: PathBuf,
    /// A host that masters run on, by all its names and addresses; may be given again.
    #[arg(long = "master", value_name = "HOST[,…]")]
    pub masters: Vec<Host>,
    /// A host that workers run on, by all its names and addresses; may be given again.
    #[arg(long = "worker", value_name = "HOST[,…]")]
    pub workers: Vec<Host>,
    /// A client, by any name; may be given again.
    #[arg(long = "client", value_name = "NAME")]
    pub clients: Vec<Host>,
    /// How many days they are valid.
    #[arg(long, value_name = "N", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..))]
    pub days: u32,
}

/// Makes them.
///
/// # Errors
/// Those of [`make`].
pub fn run(certs: Certs) -> anyhow::Result<Made> {
    let Certs { dir, masters, workers, clients, days } = certs;
    Ok(make(&Request { masters, workers, clients, days, ..Request::new(dir) })?)
}
