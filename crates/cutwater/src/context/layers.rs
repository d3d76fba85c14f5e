//! Settings from the environment and the command line, over those of the program and its file.

use std::{env, path::PathBuf};

use super::{
    Builder,
    options::{Kind, SETTINGS, Setting, usage},
    place::Part,
};
use crate::runtime::cluster::{Role, Token};

pub(crate) const ROLE: &str = "CUTWATER_ROLE";
pub(crate) const JOIN: &str = "CUTWATER_JOIN";
pub(crate) const TOKEN: &str = "CUTWATER_TOKEN";
/// Where a master writes the address at which workers reach it, for whoever started it.
pub(crate) const ADDRESS_FILE: &str = "CUTWATER_ADDRESS_FILE";
const MASTER: &str = "CUTWATER_MASTER";
const WORKERS: &str = "CUTWATER_WORKERS";
const CONFIG: &str = "CUTWATER_CONFIG";

/// A variable of the environment that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl Builder {
    /// All that was said, one layer over the other.
    pub(super) fn layered(mut self) -> Self {
        self.end_layer("the program");
        let arguments = std::mem::take(&mut self.command_line);
        let config = named_file(&arguments).or_else(|| variable(CONFIG).map(PathBuf::from));
        if let Some(file) = config.or_else(|| self.config_file.take()) {
            self = self.read_file(&file);
            self.end_layer(&file.display().to_string());
        }
        self = self.read_environment();
        self = self.read_arguments(arguments);
        self.end_layer("the command line");
        self.read_place()
    }

    fn end_layer(&mut self, layer: &str) {
        self.faults.extend(self.place.end_layer(layer));
    }

    fn read_environment(mut self) -> Self {
        if let Some(token) = variable(TOKEN) {
            self.settings.token = Some(Token::from_text(&token));
        }
        for setting in SETTINGS {
            let name = setting.variable();
            // That one is said by whoever starts the process; see `read_place`.
            if name == ROLE {
                continue;
            }
            if let Some(value) = variable(&name) {
                self = self.set_text(setting, &name, '=', &value);
            }
        }
        self.end_layer("the environment");
        self
    }

    /// Whoever starts the process with `CUTWATER_ROLE` decides what it is and where, whatever its command
    /// line says: it may be that of another process, as for the workers that a master starts.
    fn read_place(mut self) -> Self {
        let Some(role) = variable(ROLE) else { return self };
        match Part::named(&role) {
            Some(part) => {
                let workers = variable(WORKERS).and_then(|workers| workers.parse().ok());
                self.place.force(part, variable(MASTER), variable(JOIN), workers);
            }
            None => self.faults.push(format!("{ROLE}={role} is none of: {}", Part::NAMES)),
        }
        self
    }

    fn read_arguments(mut self, arguments: Vec<String>) -> Self {
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            if !argument.starts_with('-') {
                self.settings.arguments.push(argument);
                continue;
            }
            let (flag, inline) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            match flag {
                "--help" | "-h" => {
                    println!("{}", usage(&self.settings.name));
                    std::process::exit(0);
                }
                "--config" => {
                    if inline.or_else(|| arguments.next()).is_none() {
                        self.faults.push("--config needs a value".to_owned());
                    }
                    continue;
                }
                "--worker" if inline.is_none() => {
                    self.place.say_part(Part::Worker);
                    continue;
                }
                // Alone it means the usual address.
                "--master" if inline.is_none() && !arguments.peek().is_some_and(|next| is_address(next)) => {
                    self.place.say_part(Part::Master);
                    continue;
                }
                _ => {}
            }
            let off = flag.strip_prefix("--no-").map(|name| format!("--{name}"));
            let found = SETTINGS.iter().find_map(|setting| match (setting.kind, &off) {
                (Kind::Switch(set), Some(off)) if setting.flag() == *off => {
                    Some((setting, Some((set, false))))
                }
                (Kind::Switch(set), None) if setting.flag() == flag => Some((setting, Some((set, true)))),
                (_, None) if setting.flag() == flag => Some((setting, None)),
                _ => None,
            });
            self = match (found, inline) {
                (Some((_, Some((set, on)))), None) => set(self, on),
                (Some((setting, None)), inline) => match inline.or_else(|| arguments.next()) {
                    Some(value) => self.set_text(setting, flag, ' ', &value),
                    None => self.faulty(format!("{flag} needs a value")),
                },
                (Some((_, Some(_))), Some(value)) => {
                    self.faulty(format!("{flag}={value}: {flag} takes no value"))
                }
                (None, Some(value)) if flag == "--worker" => {
                    self.faulty(format!("{flag}={value}: {flag} takes no value"))
                }
                (None, _) => self.faulty(format!("unknown argument {flag}{}; try --help", meant(flag))),
            };
        }
        self
    }

    /// Sets it to what stands under that name as text.
    fn set_text(self, setting: &Setting, name: &str, between: char, text: &str) -> Self {
        let place = &format!("{name}{between}{text}");
        let wrong = |kind: &str| format!("{place} is not {kind}");
        match setting.kind {
            Kind::Number(max, set) => match text.parse::<u64>() {
                Ok(number) if number <= max => self.set_at(place, |b| set(b, number)),
                _ => self.faulty(wrong("a number it can be")),
            },
            Kind::Float(set) => match text.parse() {
                Ok(number) => self.set_at(place, |b| set(b, number)),
                Err(_) => self.faulty(wrong("a number it can be")),
            },
            Kind::Switch(set) => match text {
                "1" | "true" | "yes" | "on" => set(self, true),
                "0" | "false" | "no" | "off" => set(self, false),
                _ => self.faulty(wrong("true or false")),
            },
            // A text may be an address with a password in it; whoever finds fault with it knows what to show.
            Kind::Text(set) => self.set_at(name, |b| set(b, text.to_owned())),
            // A key instead of its file must not come into any message.
            Kind::File(_) if text.contains("-----BEGIN") => self.faulty(format!(
                "{}: that is a certificate or key itself; give the name of a file",
                setting.flag()
            )),
            Kind::File(set) => set(self, PathBuf::from(text)),
        }
    }

    /// Sets something, and says of what is wrong with it where it was said.
    pub(super) fn set_at(self, place: &str, set: impl FnOnce(Self) -> Self) -> Self {
        let before = self.faults.len();
        let mut builder = set(self);
        for fault in builder.faults.iter_mut().skip(before) {
            *fault = format!("{place}: {fault}");
        }
        builder
    }

    pub(super) fn faulty(mut self, fault: String) -> Self {
        self.faults.push(fault);
        self
    }

    /// What is needed to be what this process is.
    pub(super) fn decide_role(&mut self) {
        self.settings.role = self.place.role(&mut self.faults);
        if let Role::Worker { join } = &self.settings.role
            && !is_address(join)
        {
            self.faults.push(format!("a worker of {join}: that is not HOST:PORT, the address of a master"));
        }
    }
}

/// The file that the command line names.
fn named_file(arguments: &[String]) -> Option<PathBuf> {
    let mut arguments = arguments.iter();
    let mut named = None;
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            named = arguments.next().map(PathBuf::from);
        } else if let Some(file) = argument.strip_prefix("--config=") {
            named = Some(PathBuf::from(file));
        }
    }
    named
}

/// Whether this looks like `HOST:PORT`.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// What may have been meant by an unknown flag.
fn meant(flag: &str) -> String {
    let flags = SETTINGS.iter().map(Setting::flag).chain(["--worker".to_owned(), "--config".to_owned()]);
    nearest(flag, flags).map_or_else(String::new, |flag| format!(" (did you mean {flag}?)"))
}

/// The name that is nearest to an unknown one, if any is near.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let ranked = names.map(|known| (strsim::damerau_levenshtein(name, &known), known));
    let (distance, known) = ranked.min()?;
    (distance <= 2).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> Builder {
        let flags = ["program"].iter().chain(flags).map(|flag| (*flag).to_owned());
        Builder::new("test").args(flags).layered()
    }

    /// `--master` may stand alone, and then takes nothing that is not an address.
    #[test]
    fn a_master_takes_an_address_or_none() {
        let listens = |flags: &[&str]| {
            let mut builder = read(flags);
            builder.decide_role();
            assert_eq!(builder.faults, Vec::<String>::new());
            (format!("{:?}", builder.settings.role), builder.settings.arguments)
        };
        let at = |address: &str| format!("Master {{ listen: {address}, workers: 0 }}");
        for (flags, address, arguments) in [
            (&["--master", "127.0.0.1:9", "in.csv"][..], "127.0.0.1:9", &["in.csv"][..]),
            (&["--master=127.0.0.1:9", "a:1"], "127.0.0.1:9", &["a:1"]),
            (&["--master", "in.csv"], "127.0.0.1:7077", &["in.csv"]),
            (&["in.csv", "--master"], "127.0.0.1:7077", &["in.csv"]),
            (&["--role", "master"], "127.0.0.1:7077", &[]),
        ] {
            assert_eq!(listens(flags), (at(address), arguments.iter().map(|a| (*a).to_owned()).collect()));
        }
        let (role, _) = listens(&["--worker"]);
        assert_eq!(role, r#"Worker { join: "127.0.0.1:7077" }"#);
    }

    #[test]
    fn the_place_of_a_fault_shows_numbers_and_no_texts() {
        let faults = read(&["--threads", "0", "--advertise=u:secret@h", "--interval-ms=x"]).faults;
        assert!(faults[0].starts_with("--threads 0: threads(0)"), "{faults:?}");
        assert!(faults[1].starts_with("--advertise: "), "{faults:?}");
        assert_eq!(faults[2], "--interval-ms x is not a number it can be");
    }

    #[test]
    fn what_was_meant_is_guessed_if_it_is_near() {
        let faults = read(&["--thread", "2", "--frobnicate", "--no-threads", "--no-speculation"]).faults;
        let wanted = [
            "unknown argument --thread (did you mean --threads?); try --help",
            "unknown argument --frobnicate; try --help",
            "unknown argument --no-threads; try --help",
        ];
        assert_eq!(faults, wanted);
    }
}
