use std::{fmt, net::IpAddr, str::FromStr};

use cutwater_wire::tls::{Role, is_host};

use crate::CertsError;

/// A machine by all the names that it is reached by: `worker1.lan,10.0.0.11`. Files are called by the first.
///
/// A name may begin with `*.`, for any host of a domain. Every certificate is for this machine's own
/// `localhost`, `127.0.0.1` and `::1` besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    names: Vec<String>,
}

impl Host {
    /// All its names, the first first.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn file_name(&self) -> String {
        self.names.first().map_or_else(String::new, |name| name.replace(':', "_").replace('*', "any"))
    }
}

impl FromStr for Host {
    type Err = CertsError;

    fn from_str(text: &str) -> Result<Self, CertsError> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        for name in &names {
            let refused = |why| Err(CertsError::Host { name: name.clone(), why });
            let plain = name.strip_prefix("*.").unwrap_or(name);
            if !is_host(plain) || (plain != name && plain.parse::<IpAddr>().is_ok()) {
                return refused("it is neither the name of a host nor an address (without a port)");
            }
            // In a certificate such a name is a role.
            if Role::ALL.iter().any(|role| role.name().eq_ignore_ascii_case(name)) {
                return refused("hosts cannot be called as roles are");
            }
        }
        Ok(Self { names })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts_and_the_rest_is_not() {
        let host: Host = "worker1.lan, 10.0.0.11,::1,*.workers.lan".parse().unwrap();
        assert_eq!(host.names(), ["worker1.lan", "10.0.0.11", "::1", "*.workers.lan"]);
        assert_eq!("::1".parse::<Host>().unwrap().file_name(), "__1");
        assert_eq!("*.lan".parse::<Host>().unwrap().file_name(), "any.lan");
        for text in
            ["", "a,", "a b", "host:7077", "../up", "*.10.0.0.1", "*", "cutwater-master", "a,Cutwater-Worker"]
        {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
