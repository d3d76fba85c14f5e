//! The sub-commands and their options.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use clap::{Args, Parser, Subcommand, value_parser};
use cutwater::{Builder, Context};

use crate::generate;

/// Every figure that cutwater claims, measured.
///
/// Each sub-command prints exactly one line of JSON on standard output; progress and explanations go to
/// standard error. The exit code is 0 only if the job's answer was checked and found right.
#[derive(Debug, Parser)]
#[command(name = "cutwater-bench", version, max_term_width = 110)]
pub struct Cli {
    /// What every job understands.
    #[command(flatten)]
    pub common: Common,

    /// What to run.
    #[command(subcommand)]
    pub job: Job,
}

/// Options of every sub-command, given before or after its name.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Compute threads in a process [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    /// Worker processes on this machine, each with --threads; 0 runs everything in this process
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    pub workers: usize,

    /// Intervals to measure, after the warm-up [default: the whole input, or what the job needs]
    #[arg(long, global = true, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub intervals: Option<u64>,

    /// Length of an interval in milliseconds, for jobs driven by the clock [default: the job's own]
    #[arg(long, global = true, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub interval_ms: Option<u64>,

    /// Intervals to run first and leave out of the figures
    #[arg(long, global = true, value_name = "N", default_value_t = 5)]
    pub warmup: u64,
}

impl Common {
    /// The compute threads of a process: as asked, or one for each core.
    pub fn threads(&self) -> usize {
        let threads = self.threads.or_else(|| thread::available_parallelism().ok());
        threads.map_or(1, NonZeroUsize::get)
    }

    /// The settings of a job's program.
    pub fn builder(&self) -> Builder {
        Context::builder("cutwater-bench").threads(self.threads()).workers(self.workers)
    }
}

/// The jobs.
#[derive(Clone, Debug, Subcommand)]
pub enum Job {
    /// Write a text file for the other jobs: 100-byte records of 10 words, Zipf(1.0) over 10,000 words
    ///
    /// It has no intervals and writes with one thread: of the common options, none changes anything.
    Generate(Generate),
    /// Count the lines that contain a pattern
    Grep(Grep),
    /// Keep a running count of every word
    Wordcount(Words),
    /// Count every word over a sliding window, adding what enters and taking away what leaves
    Window(Windowed),
    /// Find the ten most frequent words of a sliding window
    Topk(Windowed),
    /// Run a stateful program with 10,000 keys of state and no input: what an interval costs by itself
    Empty,
    /// Let records arrive at a steady rate over a socket: how long until their interval is done?
    Latency(LatencyOptions),
    /// Let clients send as fast as workers acknowledge: how much is taken in, and is anything lost?
    Ingest(IngestOptions),
    /// Kill workers in mid-run: how late do outputs come, for how long, and is anything lost?
    ///
    /// A record is held by two workers, so killing one loses nothing. Of several that are killed at once none holds what
    /// another received, as long as there are such; from there on records are lost, the program says so and the run fails.
    Recovery(RecoveryOptions),
    /// Let the tasks of one worker take many times longer: what does it cost, without copies of slow tasks and with?
    Straggler(StragglerOptions),
    /// Kill the master while a standby waits: for how long does nothing come, and is anything lost?
    Failover(FailoverOptions),
    /// Kill, stop and continue workers and masters at random, under load: is each acknowledged record counted once?
    ///
    /// A worker, a master, or both at once, or two workers that hold nothing together, of four or more; and the next when some
    /// intervals have come. What is done is the same for the same seed; when it hits, and which
    /// two, is not.
    Chaos(ChaosOptions),
    /// A process of a program that another job has started
    #[command(hide = true)]
    Program(ProgramOptions),
    /// Keep state for many keys of which each interval touches a few
    State(StateOptions),
}

impl Job {
    /// The name by which the job is called and reported.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Generate(_) => "generate",
            Self::Grep(_) => "grep",
            Self::Wordcount(_) => "wordcount",
            Self::Window(_) => "window",
            Self::Topk(_) => "topk",
            Self::Empty => "empty",
            Self::Latency(_) => "latency",
            Self::Ingest(_) => "ingest",
            Self::Program(_) => "program",
            Self::Recovery(_) => "recovery",
            Self::Straggler(_) => "straggler",
            Self::Failover(_) => "failover",
            Self::Chaos(_) => "chaos",
            Self::State(_) => "state",
        }
    }
}

/// Options of `generate`.
#[derive(Clone, Debug, Args)]
pub struct Generate {
    /// Records to write, of 100 bytes each
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub records: u64,

    /// File to write; it is replaced only when the new one is complete
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// Which words are drawn; the vocabulary is always the same
    #[arg(long, value_name = "S", default_value_t = generate::DEFAULT_SEED)]
    pub seed: u64,
}

/// Input of the jobs that read text. An interval is a chunk of the file; the next begins when the last ends.
#[derive(Clone, Debug, Args)]
pub struct Text {
    /// Text file to read, as written by `generate`
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,

    /// Records in an interval
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = value_parser!(u64).range(1..))]
    pub chunk_records: u64,
}

/// Input of the jobs that count words.
#[derive(Clone, Debug, Args)]
pub struct Words {
    /// What is read.
    #[command(flatten)]
    pub text: Text,

    /// Make a string of every word instead of looking it up where it lies
    #[arg(long)]
    pub owned: bool,

    /// Write checkpoints to a folder of the run's own, so many seconds apart [default: none are written]
    #[arg(long, value_name = "S", value_parser = positive)]
    pub checkpoint_s: Option<f64>,
}

/// Options of `grep`.
#[derive(Clone, Debug, Args)]
pub struct Grep {
    /// What is read.
    #[command(flatten)]
    pub text: Text,

    /// Text to look for, byte for byte; the default is in about one generated line of a thousand
    #[arg(long, value_name = "P", default_value = generate::RARE_WORD)]
    pub pattern: String,
}

/// Options of the jobs over a sliding window.
#[derive(Clone, Debug, Args)]
pub struct Windowed {
    /// What is read, and how.
    #[command(flatten)]
    pub words: Words,

    /// Length of the window in intervals; it slides by one
    #[arg(long, value_name = "W", default_value_t = 30, value_parser = value_parser!(u64).range(1..))]
    pub window: u64,
}

/// Options of `latency`.
#[derive(Clone, Copy, Debug, Args)]
pub struct LatencyOptions {
    /// Records a second
    #[arg(long, value_name = "R", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..))]
    pub rate: u64,

    /// For how long, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = value_parser!(u64).range(1..))]
    pub seconds: u64,
}

/// Options of `ingest`.
#[derive(Clone, Copy, Debug, Args)]
pub struct IngestOptions {
    /// For how long, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = value_parser!(u64).range(1..))]
    pub seconds: u64,

    /// Clients, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u64).range(1..=99))]
    pub clients: u64,
}

/// Options of `recovery`.
#[derive(Clone, Debug, Args)]
pub struct RecoveryOptions {
    /// Workers to kill with -9, all at once
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub kill: usize,

    /// Seconds between two checkpoints
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = positive)]
    pub checkpoint_s: f64,

    /// For how long, in seconds; workers are killed in the middle
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u64).range(1..))]
    pub seconds: u64,

    /// Records a second [default: half of what is measured first]
    #[arg(long, value_name = "R", value_parser = value_parser!(u64).range(1..))]
    pub rate: Option<u64>,

    /// File for a picture of the delays
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err("it has to be more than 0".into()) }
}

/// Options of `straggler`.
#[derive(Clone, Debug, Args)]
pub struct StragglerOptions {
    /// How many times longer the tasks of one worker take
    #[arg(long, value_name = "F", default_value_t = 10.0, value_parser = positive)]
    pub slow: f64,

    /// How long the program's function works on a partition elsewhere, in milliseconds; it sleeps, so that workers
    /// are like machines of their own
    #[arg(long, value_name = "MS", default_value_t = 20.0, value_parser = positive)]
    pub task_ms: f64,

    /// Records a second [default: half of what the undisturbed run can take]
    #[arg(long, value_name = "R", value_parser = value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
}

/// Options of `failover`.
#[derive(Clone, Debug, Args)]
pub struct FailoverOptions {
    /// For how long, in seconds; the master is killed in the middle
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(1..))]
    pub seconds: u64,

    /// Records a second [default: half of what is measured first]
    #[arg(long, value_name = "R", value_parser = value_parser!(u64).range(1..))]
    pub rate: Option<u64>,

    /// Seconds between two checkpoints
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = positive)]
    pub checkpoint_s: f64,
}

/// Options of `chaos`.
#[derive(Clone, Debug, Args)]
pub struct ChaosOptions {
    /// For how long
    #[arg(long, value_name = "M", default_value_t = 5.0, value_parser = positive)]
    pub minutes: f64,

    /// What is done, to whom, and for how long
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Records a second
    #[arg(long, value_name = "R", default_value_t = 5_000, value_parser = value_parser!(u64).range(1..))]
    pub rate: u64,

    /// Seconds between two checkpoints
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = positive)]
    pub checkpoint_s: f64,
}

/// Options of `program`.
#[derive(Clone, Debug, Args)]
pub struct ProgramOptions {
    /// Where its processes meet
    #[arg(long)]
    pub folder: PathBuf,
}

/// Options of `state`.
#[derive(Clone, Copy, Debug, Args)]
pub struct StateOptions {
    /// Keys that have state
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..))]
    pub keys: u64,

    /// Keys that each interval touches, all different
    #[arg(long, value_name = "T", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..))]
    pub touched: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["cutwater-bench"].iter().chain(arguments))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_stand_before_or_after_the_job() {
        for arguments in [["--threads", "3", "empty"], ["empty", "--threads", "3"]] {
            assert_eq!(parse(&arguments).unwrap().common.threads(), 3);
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let cli = parse(&["topk", "--input", "f"]).unwrap();
        assert_eq!((cli.common.workers, cli.common.warmup, cli.common.intervals), (0, 5, None));
        assert!(cli.common.threads() >= 1);
        let Job::Topk(options) = cli.job else { panic!("parsed as another job") };
        let Words { text, owned, checkpoint_s } = options.words;
        assert_eq!((text.chunk_records, owned, checkpoint_s, options.window), (500_000, false, None, 30));
    }

    /// They run at half of capacity then.
    #[test]
    fn a_rate_is_asked_for_or_not() {
        let rate = |arguments: &[&str]| match parse(arguments).unwrap().job {
            Job::Failover(options) => options.rate,
            Job::Recovery(options) => options.rate,
            _ => panic!("parsed as another job"),
        };
        assert_eq!((rate(&["failover"]), rate(&["recovery"])), (None, None));
        assert_eq!(rate(&["failover", "--rate", "7"]), Some(7));
    }

    #[test]
    fn every_job_is_called_by_the_name_it_reports() {
        for command in Cli::command().get_subcommands().filter(|c| c.get_name() != "help") {
            let mut arguments = vec![command.get_name()];
            match command.get_name() {
                "generate" => arguments.extend(["--records", "1", "--out", "f"]),
                "program" => arguments.extend(["--folder", "f"]),
                "empty" | "state" | "latency" | "ingest" | "recovery" | "straggler" | "failover"
                | "chaos" => {}
                _ => arguments.extend(["--input", "f"]),
            }
            assert_eq!(parse(&arguments).unwrap().job.name(), command.get_name());
        }
    }

    #[test]
    fn nothing_that_must_be_positive_may_be_zero() {
        for option in ["--threads", "--intervals", "--interval-ms"] {
            assert!(parse(&["empty", option, "0"]).is_err(), "{option}");
        }
        for option in ["--keys", "--touched"] {
            assert!(parse(&["state", option, "0"]).is_err(), "{option}");
        }
        for (job, option) in [
            ("recovery", "--checkpoint-s"),
            ("wordcount", "--checkpoint-s"),
            ("recovery", "--rate"),
            ("straggler", "--slow"),
            ("failover", "--seconds"),
            ("chaos", "--minutes"),
        ] {
            for value in ["0", "-1", "x"] {
                assert!(parse(&[job, &format!("{option}={value}")]).is_err(), "{job} {option}");
            }
        }
        for option in ["--chunk-records", "--window"] {
            assert!(parse(&["window", "--input", "f", option, "0"]).is_err(), "{option}");
        }
    }
}
