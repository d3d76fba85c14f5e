//! Every setting that is not code, once: its name in the configuration file, in the environment and on the
//! command line follow from its row here.

use std::{fmt::Write, path::PathBuf, time::Duration};

use super::{Builder, OnFailure, place::Part};

/// A setting.
///
/// | where | `min_workers` in `[cluster]` | `authority` in `[tls]` |
/// |---|---|---|
/// | file | `min_workers = 3` below `[cluster]` | `authority = "…"` below `[tls]` |
/// | environment | `CUTWATER_MIN_WORKERS=3` | `CUTWATER_TLS_AUTHORITY=…` |
/// | command line | `--min-workers 3` | `--tls-authority …` |
pub(super) struct Setting {
    /// The table of the file that it is in; empty for the file itself.
    pub section: &'static str,
    pub key: &'static str,
    /// What stands for its value in the help; empty for a switch.
    pub value: &'static str,
    pub help: &'static str,
    pub kind: Kind,
}

/// What kind of value a setting has, and how it is set.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A whole number, of at most so much.
    Number(u64, fn(Builder, u64) -> Builder),
    Float(fn(Builder, f64) -> Builder),
    /// On the command line it stands alone: `--batch`, `--no-batch`.
    Switch(fn(Builder, bool) -> Builder),
    Text(fn(Builder, String) -> Builder),
    /// A file or folder; in the configuration file relative to that.
    File(fn(Builder, PathBuf) -> Builder),
}

impl Kind {
    /// What is needed, for whoever gave something else.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Number(..) => "a whole number",
            Self::Float(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::Text(_) => "text in quotes",
            Self::File(_) => "the name of a file, in quotes",
        }
    }
}

/// The tables of the configuration file.
pub(super) const SECTIONS: [&str; 2] = ["cluster", "tls"];

const fn row(
    section: &'static str,
    key: &'static str,
    value: &'static str,
    help: &'static str,
    kind: Kind,
) -> Setting {
    Setting { section, key, value, help, kind }
}

/// A number that is held in 32 bits.
const U32: u64 = u32::MAX as u64;

/// A number of which there are at most some thousands.
const COUNT: u64 = 1 << 16;

/// Milliseconds of at most a year.
const MS: u64 = 366 * 86_400_000;

const fn ms(set: fn(Builder, u64) -> Builder) -> Kind {
    Kind::Number(MS, set)
}

pub(super) const SETTINGS: &[Setting] = &[
    row(
        "",
        "threads",
        "N",
        "compute threads (default: all cores)",
        Kind::Number(COUNT, |b, n| b.threads(n as usize)),
    ),
    row(
        "",
        "parallelism",
        "N",
        "partitions where the program gives no number (default: threads)",
        Kind::Number(U32, |b, n| b.parallelism(n as u32)),
    ),
    row(
        "",
        "interval_ms",
        "N",
        "length of an interval in milliseconds",
        ms(|b, n| b.interval(Duration::from_millis(n))),
    ),
    row(
        "",
        "intervals",
        "N",
        "stop after N intervals",
        Kind::Number(u64::MAX, |mut b, n| {
            b.settings.intervals_max = Some(n);
            b
        }),
    ),
    row("", "batch", "", "past data: as fast as it goes, with a progress bar", Kind::Switch(Builder::batch)),
    row(
        "",
        "progress",
        "",
        "that progress bar, on a terminal (default: yes)",
        Kind::Switch(Builder::progress),
    ),
    row("", "speed", "X", "replay past data X times faster than it happened", Kind::Float(Builder::speed)),
    row(
        "",
        "backpressure",
        "",
        "take from sources what can be processed in time",
        Kind::Switch(Builder::backpressure),
    ),
    row(
        "",
        "initial_rate",
        "N",
        "records a second that back pressure begins with",
        Kind::Number(u64::MAX, Builder::initial_rate),
    ),
    row(
        "",
        "max_rate",
        "N",
        "records a second that are taken from a source at most",
        Kind::Number(u64::MAX, Builder::max_rate),
    ),
    row(
        "",
        "slack_ms",
        "N",
        "wait so long before an interval starts",
        ms(|b, n| b.slack(Duration::from_millis(n))),
    ),
    row(
        "",
        "checkpoint",
        "URL",
        "write states and inputs there, and go on from there when started again",
        Kind::Text(|b, url| b.checkpoint(url)),
    ),
    row(
        "",
        "checkpoint_ms",
        "N",
        "write states every N milliseconds (default: 10000)",
        ms(|b, n| b.checkpoint_every(Duration::from_millis(n))),
    ),
    row(
        "",
        "checkpoint_intervals",
        "N",
        "write states after N intervals at the latest (default: 1000)",
        Kind::Number(U32, Builder::checkpoint_intervals),
    ),
    row(
        "",
        "allow_drop",
        "NAMES",
        "states that a changed program may drop, by the names of their streams, with commas between them",
        Kind::Text(|b, names| names.split(',').map(str::trim).fold(b, Builder::allow_drop)),
    ),
    row(
        "",
        "allow_lost",
        "",
        "go on without received records that nobody holds any more",
        Kind::Switch(Builder::allow_lost),
    ),
    row(
        "",
        "standby",
        "",
        "wait until the master that runs this program is gone, and take over",
        Kind::Switch(Builder::standby),
    ),
    row(
        "",
        "continue",
        "",
        "go on after an interval that failed",
        Kind::Switch(|b, on| b.on_failure(if on { OnFailure::Continue } else { OnFailure::Stop })),
    ),
    row(
        "",
        "run_twice",
        "",
        "run every task twice and compare: is the program deterministic?",
        Kind::Switch(Builder::run_twice),
    ),
    row(
        "",
        "speculation",
        "",
        "copies of tasks that take too long (default: yes)",
        Kind::Switch(Builder::speculation),
    ),
    row(
        "",
        "overlap",
        "",
        "begin an interval that is due while the one before is being run (default: yes)",
        Kind::Switch(Builder::overlap),
    ),
    row(
        "cluster",
        "compression",
        "C",
        "compress what workers send each other: auto (to other machines), on or off",
        Kind::Text(|mut b, text| {
            match text.parse() {
                Ok(compression) => b.settings.compression = compression,
                Err(why) => b.faults.push(why),
            }
            b
        }),
    ),
    row(
        "cluster",
        "role",
        "R",
        "what this process is: embedded, master or worker",
        Kind::Text(Builder::role),
    ),
    row(
        "cluster",
        "workers",
        "N",
        "run tasks in N worker processes, started on this machine",
        Kind::Number(COUNT, |b, n| b.workers(n as usize)),
    ),
    row(
        "cluster",
        "master",
        "ADDR",
        "run tasks in workers that join at ADDR (127.0.0.1:7077)",
        Kind::Text(|mut b, address| {
            b.place.say_master(address);
            b
        }),
    ),
    row(
        "cluster",
        "join",
        "ADDR",
        "be a worker of the master at ADDR",
        Kind::Text(|mut b, address| {
            b.place.say_join(address);
            b
        }),
    ),
    row(
        "cluster",
        "min_workers",
        "N",
        "begin when N workers have joined",
        Kind::Number(COUNT, |b, n| b.min_workers(n as usize)),
    ),
    row(
        "cluster",
        "min_slots",
        "N",
        "begin when workers can run N tasks at a time",
        Kind::Number(U32, |b, n| b.min_slots(n as u32)),
    ),
    row(
        "cluster",
        "join_wait_ms",
        "N",
        "wait so long for workers, or for the master (30000)",
        ms(|b, n| b.join_wait(Duration::from_millis(n))),
    ),
    row(
        "cluster",
        "bind",
        "ADDR",
        "a worker serves its blocks there: an address, with a port or without",
        Kind::Text(Builder::bind),
    ),
    row(
        "cluster",
        "advertise",
        "HOST",
        "others reach this process by that name or address",
        Kind::Text(Builder::advertise),
    ),
    row(
        "cluster",
        "memory_mb",
        "N",
        "memory that a worker says it has (default: the machine's)",
        Kind::Number(1 << 40, |b, n| b.memory_bytes(n << 20)),
    ),
    row(
        "cluster",
        "token_file",
        "FILE",
        "the file with the token that master and workers share",
        Kind::File(Builder::token_file),
    ),
    row(
        "cluster",
        "clients",
        "ADDR",
        "where clients send records if there are no workers (any free port of 127.0.0.1)",
        Kind::Text(|b, address| b.clients(address)),
    ),
    row(
        "tls",
        "authority",
        "FILE",
        "certificate of the authority by which others are judged",
        Kind::File(|mut b, file| {
            b.tls.authority = Some(file);
            b
        }),
    ),
    row(
        "tls",
        "certificate",
        "FILE",
        "certificate of this process",
        Kind::File(|mut b, file| {
            b.tls.certificate = Some(file);
            b
        }),
    ),
    row(
        "tls",
        "key",
        "FILE",
        "private key of this process",
        Kind::File(|mut b, file| {
            b.tls.key = Some(file);
            b
        }),
    ),
];

impl Setting {
    /// Its name where there are no sections.
    fn name(&self) -> String {
        match self.section {
            "tls" => format!("tls_{}", self.key),
            _ => self.key.to_owned(),
        }
    }

    pub fn flag(&self) -> String {
        format!("--{}", self.name().replace('_', "-"))
    }

    pub fn variable(&self) -> String {
        format!("CUTWATER_{}", self.name().to_uppercase())
    }
}

impl Builder {
    /// What a process is, by its name.
    fn role(mut self, role: String) -> Self {
        match Part::named(&role) {
            Some(part) => self.place.say_part(part),
            None => self.faults.push(format!("{role:?} is none of: {}", Part::NAMES)),
        }
        self
    }
}

/// The text of `--help`.
pub(super) fn usage(program: &str) -> String {
    let mut text = format!("{program}\n\noptions:\n");
    let mut line = |flag: &str, help: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {flag:<24} {help}");
    };
    for setting in SETTINGS {
        line(&format!("{} {}", setting.flag(), setting.value), setting.help);
    }
    line("--worker", "be a worker, of the same executable; of the master at 127.0.0.1:7077");
    line("--config FILE", "read settings from there");
    line("--help", "this text");
    text.push_str(
        "\nSwitches that are on are turned off by --no-…. Each is a key of the configuration file too (--min-workers is\n\
         min_workers in [cluster], --tls-key is key in [tls]) and a variable of the environment (CUTWATER_MIN_WORKERS).\n\
         The command line goes before the environment, that before the file, and that before the program.",
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// No two settings share a name anywhere, and each is in the help and in a section there is.
    #[test]
    fn every_setting_has_a_name_of_its_own() {
        let (mut flags, mut keys) = (HashSet::new(), HashSet::new());
        let usage = usage("program");
        for setting in SETTINGS {
            assert!(flags.insert(setting.flag()) && keys.insert((setting.section, setting.key)));
            assert!(setting.section.is_empty() || SECTIONS.contains(&setting.section));
            assert!(usage.contains(&format!("  {} {}", setting.flag(), setting.value)), "{}", setting.flag());
            let is_switch = matches!(setting.kind, Kind::Switch(_));
            assert_eq!(setting.value.is_empty(), is_switch, "{}", setting.key);
        }
        let tls = SETTINGS.iter().find(|setting| setting.key == "key").unwrap();
        assert_eq!((tls.flag(), tls.variable()), ("--tls-key".into(), "CUTWATER_TLS_KEY".into()));
    }
}
