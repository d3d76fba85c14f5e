use std::net::{SocketAddr, ToSocketAddrs};

use crate::runtime::cluster::Role;

/// Where a master listens, and is looked for, if nothing is said.
pub(super) const MASTER: &str = "127.0.0.1:7077";

/// What a process is to be, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Embedded,
    Master,
    Worker,
}

impl Part {
    pub const NAMES: &str = "embedded, master, worker";

    pub fn named(name: &str) -> Option<Self> {
        match name {
            "embedded" => Some(Self::Embedded),
            "master" => Some(Self::Master),
            "worker" => Some(Self::Worker),
            _ => None,
        }
    }
}

/// What was said of the place of this process in a cluster, by the program, the file, the environment and the
/// command line.
///
/// Properties:
/// - of those the last that says what this process is decides; one that only gives addresses says it by
///   them: who has workers is a master, who joins is a worker;
/// - a file that gives both, for all machines, leaves it to the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    master: Option<String>,
    join: Option<String>,
    workers: usize,
    decided: Option<Part>,
    /// Said in the layer that is being read.
    now: Said,
    /// The last layer said both.
    undecided: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Said {
    part: Option<Part>,
    master: bool,
    workers: bool,
    join: bool,
}

impl Place {
    pub fn say_part(&mut self, part: Part) {
        self.now.part = Some(part);
    }

    pub fn say_master(&mut self, address: String) {
        self.master = Some(address);
        self.now.master = true;
    }

    pub fn say_join(&mut self, address: String) {
        self.join = Some(address);
        self.now.join = true;
    }

    pub fn say_workers(&mut self, workers: usize) {
        self.workers = workers;
        self.now.workers |= workers > 0;
    }

    /// Everything in `layer` has been said; answers with what in it contradicts itself.
    pub fn end_layer(&mut self, layer: &str) -> Option<String> {
        let Said { part, master, workers, join } = std::mem::take(&mut self.now);
        let decided = match (part, master || workers, join) {
            (Some(Part::Worker), _, _) if workers => {
                return Some(format!(
                    "{layer}: workers are started by a master, and this process is to be a worker; leave one of them out"
                ));
            }
            (Some(part), _, _) => Some(part),
            (None, true, true) => {
                self.undecided = Some(layer.to_owned());
                return None;
            }
            (None, true, false) => Some(Part::Master),
            (None, false, true) => Some(Part::Worker),
            (None, false, false) => None,
        };
        if decided.is_some() {
            (self.decided, self.undecided) = (decided, None);
        }
        None
    }

    /// Whoever started the process says what it is, over everything that was said before, and what of the
    /// rest it says.
    pub fn force(
        &mut self,
        part: Part,
        master: Option<String>,
        join: Option<String>,
        workers: Option<usize>,
    ) {
        (self.decided, self.undecided) = (Some(part), None);
        self.master = master.or(self.master.take());
        self.join = join.or(self.join.take());
        self.workers = workers.unwrap_or(self.workers);
    }

    /// What this process is.
    pub fn role(&self, faults: &mut Vec<String>) -> Role {
        if let Some(layer) = &self.undecided {
            faults.push(format!(
                "{layer}: both `master` and `join` are given; say what this process is, with CUTWATER_ROLE=master or CUTWATER_ROLE=worker, or --role"
            ));
        }
        match self.decided.unwrap_or(Part::Embedded) {
            Part::Embedded => Role::Embedded,
            Part::Worker => Role::Worker { join: self.join.clone().unwrap_or_else(|| MASTER.to_owned()) },
            Part::Master => {
                // Nobody has to know the port of a master whose workers it starts itself.
                let usual = if self.workers > 0 { "127.0.0.1:0" } else { MASTER };
                let address = self.master.as_deref().unwrap_or(usual);
                let listen = resolved(address).unwrap_or_else(|why| {
                    faults.push(format!(
                        "a master at {address}: {why}; give it as ADDRESS:PORT, 0.0.0.0:7077 for example"
                    ));
                    SocketAddr::from(([127, 0, 0, 1], 0))
                });
                Role::Master { listen, workers: self.workers }
            }
        }
    }
}

fn resolved(address: &str) -> Result<SocketAddr, String> {
    let all =
        address.to_socket_addrs().map_err(|error| format!("the address cannot be understood: {error}"))?;
    all.into_iter().next().ok_or_else(|| "the address is of no machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of layers, each said by a function.
    fn role(layers: &[fn(&mut Place)]) -> (String, Vec<String>) {
        let (mut place, mut faults) = (Place::default(), Vec::new());
        for layer in layers {
            layer(&mut place);
            faults.extend(place.end_layer("layer"));
        }
        let role = place.role(&mut faults);
        (format!("{role:?}"), faults)
    }

    #[test]
    fn the_last_that_says_something_decides() {
        let join = |place: &mut Place| place.say_join("m:1".into());
        let master = |place: &mut Place| place.say_master("127.0.0.1:2".into());
        let workers = |place: &mut Place| place.say_workers(3);
        let worker = |place: &mut Place| place.say_part(Part::Worker);
        let nothing = |_: &mut Place| {};
        let both = |place: &mut Place| {
            place.say_join("m:1".into());
            place.say_master("127.0.0.1:2".into());
        };
        assert_eq!(role(&[]).0, "Embedded");
        assert_eq!(role(&[master, join, nothing]).0, r#"Worker { join: "m:1" }"#);
        assert_eq!(role(&[join, master]).0, "Master { listen: 127.0.0.1:2, workers: 0 }");
        assert_eq!(role(&[workers]).0, "Master { listen: 127.0.0.1:0, workers: 3 }");
        assert_eq!(role(&[both, worker]), (r#"Worker { join: "m:1" }"#.to_owned(), vec![]));
        // Whoever starts a process knows better than its command line, which may be that of its master.
        let started = |place: &mut Place| place.force(Part::Worker, None, Some("m:3".into()), None);
        assert_eq!(role(&[both, workers, started]), (r#"Worker { join: "m:3" }"#.to_owned(), vec![]));
        let (_, faults) = role(&[both]);
        assert!(faults[0].contains("CUTWATER_ROLE"), "{faults:?}");
        let (_, faults) = role(&[|place| {
            place.say_workers(2);
            place.say_part(Part::Worker);
        }]);
        assert!(faults[0].contains("started by a master"), "{faults:?}");
        let (_, faults) = role(&[|place| place.say_master("nowhere".into())]);
        assert!(faults[0].contains("ADDRESS:PORT"), "{faults:?}");
    }
}
