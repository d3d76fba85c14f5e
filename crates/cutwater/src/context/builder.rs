use std::{
    net::{Ipv4Addr, ToSocketAddrs},
    num::NonZero,
    path::PathBuf,
    str::FromStr,
    thread,
    time::Duration,
};

use cutwater_core::{limits, rate::Pid};

use crate::{
    Context,
    error::Error,
    runtime::cluster::{Role, Start, Token},
};

/// The settings of a program, one call each, and its command line.
///
/// ```
/// use std::time::Duration;
/// use cutwater::{Context, OnFailure};
///
/// let ctx = Context::builder("clicks")
///     .interval(Duration::from_millis(500))
///     .threads(2)
///     .on_failure(OnFailure::Continue)
///     .build()?;
/// assert_eq!(ctx.interval(), Duration::from_millis(500));
/// # Ok::<(), cutwater::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    settings: Settings,
    faults: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub name: String,
    pub interval: Duration,
    pub threads: usize,
    pub parallelism: Option<u32>,
    pub intervals_max: Option<u64>,
    pub speed: f64,
    pub slack: Duration,
    pub batch: bool,
    pub on_failure: OnFailure,
    pub handle_signals: bool,
    pub interval_records_max: usize,
    pub interval_bytes_max: usize,
    pub backpressure: bool,
    pub pid: Pid,
    pub initial_rate: Option<f64>,
    pub max_rate: Option<f64>,
    pub remember: Duration,
    pub run_twice: bool,
    /// What distinguishes this run from those before: larger than theirs.
    pub epoch: Option<u64>,
    pub speculation: bool,
    pub progress: bool,
    pub arguments: Vec<String>,
    pub role: Role,
    pub token_file: Option<PathBuf>,
    pub start: Start,
}

impl Settings {
    /// The token by which a worker joins the master at `address`.
    pub fn token_for(&self, address: &str) -> Result<Token, Error> {
        if let Some(file) = &self.token_file {
            return Token::read(file);
        }
        let master = address.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(|| {
            Error::config(&[format!("--join {address}: it is not the address of a machine, HOST:PORT")])
        })?;
        Token::read(&Token::usual_file(master))
    }
}

/// What happens after an interval has failed. Either way the failure is reported with the operation
/// that failed, and outputs of the interval that were done before stay done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The program stops with the error.
    #[default]
    Stop,
    /// The program goes on. The records of the interval are set aside: for windows and state it
    /// counts as an interval without records.
    Continue,
}

/// Where a master listens, and is looked for, if nothing is said.
const MASTER: &str = "127.0.0.1:7077";

const USAGE: &str = "options:
  --threads N      compute threads (default: all cores)
  --parallelism N  partitions where the program gives no number (default: threads)
  --interval-ms N  length of an interval in milliseconds
  --intervals N    stop after N intervals
  --batch          past data: as fast as it goes, with a progress bar
  --speed X        replay past data X times faster than it happened
  --backpressure   take from sources what can be processed in time
  --initial-rate N records a second that back pressure begins with
  --max-rate N     records a second that are taken from a source at most
  --slack-ms N     wait so long before an interval starts
  --continue       go on after an interval that failed
  --workers N      run tasks in N worker processes, started on this machine
  --master[=ADDR]  run tasks in workers that join at ADDR (127.0.0.1:7077)
  --worker         be such a worker, of the same executable
  --join ADDR      the address of the worker's master
  --token-file F   the file with the token that master and workers share
  --no-speculation no copies of tasks that take too long
  --run-twice      run every task twice and compare: is the program deterministic?
  --help           this text";

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        let settings = Settings {
            name: name.to_owned(),
            interval: Duration::from_secs(1),
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            parallelism: None,
            intervals_max: None,
            speed: 1.0,
            slack: Duration::ZERO,
            batch: false,
            on_failure: OnFailure::Stop,
            handle_signals: true,
            interval_records_max: limits::INTERVAL_RECORDS_MAX,
            interval_bytes_max: limits::INTERVAL_BYTES_MAX,
            backpressure: false,
            pid: Pid::default(),
            initial_rate: None,
            max_rate: None,
            remember: Duration::ZERO,
            run_twice: false,
            epoch: None,
            speculation: true,
            progress: true,
            arguments: Vec::new(),
            role: Role::Embedded,
            token_file: None,
            start: Start::default(),
        };
        Self { settings, faults: Vec::new() }
    }

    /// The length of an interval; whole milliseconds, at least one. One second if nothing is said.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        if interval.is_zero() || !interval.as_nanos().is_multiple_of(1_000_000) {
            self.faults
                .push(format!("an interval of {interval:?} is not a positive number of whole milliseconds"));
        } else {
            self.settings.interval = interval;
        }
        self
    }

    /// How many compute threads there are. As many as the machine has cores if nothing is said.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        if threads == 0 {
            self.faults.push("threads(0): there must be at least one compute thread".to_owned());
        } else {
            self.settings.threads = threads;
        }
        self
    }

    /// How many partitions there are where no number is given: of datasets made from records or files, of
    /// what a source takes in, and of whatever a shuffle makes (`api.md` §12). If nothing is said, as many
    /// as there are compute threads; a shuffle of a dataset then makes as many as its largest parent has.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::builder("words").threads(2).parallelism(6).build()?;
    /// let words = ctx.parallelize(["to", "be", "or"].map(String::from));
    /// assert_eq!(words.num_partitions(), 6);
    /// assert_eq!(words.distinct().num_partitions(), 6);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn parallelism(mut self, partitions: u32) -> Self {
        if partitions == 0 {
            self.faults.push("parallelism(0): a dataset without partitions holds no records".to_owned());
        } else {
            self.settings.parallelism = Some(partitions);
        }
        self
    }

    /// Runs over past data as fast as it goes, with a progress bar. Intervals are cut by the records'
    /// own times, or by the ranges of files that their source was told to take, and outputs equal those
    /// of a live run over the same records.
    #[must_use]
    pub fn batch(mut self, batch: bool) -> Self {
        self.settings.batch = batch;
        self
    }

    /// Waits so long after its end before an interval starts; its bounds do not move (`paper.md` §1).
    /// Records that happened in the interval and arrive meanwhile are in it, if their source goes by
    /// [their own time](crate::source::SourceBuilder::event_time) or replays files. No slack if nothing is
    /// said.
    ///
    /// Outputs come later by as much. In [batch mode](Self::batch) nothing waits, and replayed files are read
    /// as far ahead, so that the intervals are the same.
    #[must_use]
    pub fn slack(mut self, slack: Duration) -> Self {
        self.settings.slack = slack;
        self
    }

    /// How many times faster than it happened past data is replayed. Intervals keep their length in the
    /// time of the records, so a second of ours is `speed` seconds of theirs.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        if speed.is_finite() && speed > 0.0 {
            self.settings.speed = speed;
        } else {
            self.faults.push(format!("a speed of {speed} is not a positive number"));
        }
        self
    }

    /// What happens after an interval has failed. The program stops if nothing is said.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.settings.on_failure = on_failure;
        self
    }

    /// Whether Ctrl-C and SIGTERM stop the program gracefully (and a second one at once). They do if
    /// nothing is said.
    #[must_use]
    pub fn handle_signals(mut self, handle: bool) -> Self {
        self.settings.handle_signals = handle;
        self
    }

    /// The most records that an interval takes from one source, from the first interval on. Sources that
    /// are faster wait.
    #[must_use]
    pub fn interval_records_max(mut self, records: usize) -> Self {
        if records == 0 {
            self.faults.push("interval_records_max(0): no record could ever enter".to_owned());
        }
        self.settings.interval_records_max = records.max(1);
        self
    }

    /// The most bytes that an interval takes from one source that knows its bytes.
    #[must_use]
    pub fn interval_bytes_max(mut self, bytes: usize) -> Self {
        if bytes == 0 {
            self.faults.push("interval_bytes_max(0): no record could ever enter".to_owned());
        }
        self.settings.interval_bytes_max = bytes.max(1);
        self
    }

    /// Whether what an interval takes from each received source (sockets, HTTP, channels, generators, receivers
    /// of your own) follows the rate at which the intervals before were processed, so that delays do not
    /// grow without end; its senders wait (`api.md` §9). It does not if nothing is said.
    ///
    /// The rate is estimated after each interval that had records and did not fail, and takes effect at the
    /// next one to be received. It is at least [that of the estimator](Self::pid), and within
    /// [`max_rate`](Self::max_rate) and [`interval_records_max`](Self::interval_records_max), which hold
    /// from the first interval on; until there is an estimate it is [`initial_rate`](Self::initial_rate).
    ///
    /// ```
    /// # use std::time::Duration;
    /// use cutwater::{Context, testing::Harness};
    ///
    /// let second = Duration::from_secs(1);
    /// let program = Context::builder("test").interval(second).threads(1).backpressure(true).initial_rate(500);
    /// let harness = Harness::with(program, 1);
    /// let (sender, numbers) = harness.ctx().channel::<u32>("numbers");
    /// numbers.print();
    /// let mut taken = Vec::new();
    /// for _ in 0..4 {
    ///     while sender.try_send(7).is_ok() {}
    ///     // It takes twice the time that there is.
    ///     taken.push(harness.step_taking(2 * second)?.records());
    /// }
    /// assert_eq!(taken, [500, 500, 200, 100]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn backpressure(mut self, on: bool) -> Self {
        self.settings.backpressure = on;
        self
    }

    /// Records a second that are taken from each received source while [back pressure](Self::backpressure)
    /// does not know better. [`max_rate`](Self::max_rate) if nothing is said.
    #[must_use]
    pub fn initial_rate(mut self, records_per_second: u64) -> Self {
        if records_per_second == 0 {
            self.faults.push("initial_rate(0): no record could ever enter".to_owned());
        }
        self.settings.initial_rate = Some(records_per_second as f64);
        self
    }

    /// The most records a second that are taken from each received source, with or without
    /// [back pressure](Self::backpressure). No bound if nothing is said.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Context, testing::Harness};
    /// let program = Context::builder("test").interval(Duration::from_millis(500)).max_rate(100);
    /// let harness = Harness::with(program, 1);
    /// let (sender, numbers) = harness.ctx().channel::<u32>("numbers");
    /// while sender.try_send(7).is_ok() {}
    /// assert_eq!(harness.run(&numbers.count(), 1)?, [[50]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn max_rate(mut self, records_per_second: u64) -> Self {
        if records_per_second == 0 {
            self.faults.push("max_rate(0): no record could ever enter".to_owned());
        }
        self.settings.max_rate = Some(records_per_second as f64);
        self
    }

    /// How strongly [back pressure](Self::backpressure) follows what it observes. What is usual if nothing is
    /// said.
    ///
    /// ```
    /// use cutwater::{Context, Pid};
    ///
    /// let low = Context::builder("slow").backpressure(true).pid(Pid { rate_min: 5.0, ..Pid::default() });
    /// # drop(low);
    /// ```
    #[must_use]
    pub fn pid(mut self, pid: Pid) -> Self {
        self.faults.extend(pid.fault());
        self.settings.pid = pid;
        self
    }

    /// Keeps the datasets of every stream for at least this long, for
    /// [`slice`](crate::DStream::slice) and the like; operations that look back keep what they need
    /// anyway (`api.md` §4.10).
    #[must_use]
    pub fn remember(mut self, span: Duration) -> Self {
        self.settings.remember = span;
        self
    }

    /// Whether every task is run twice and what it gives compared, to find functions that are not
    /// deterministic: those that read a clock, draw random numbers or depend on the order of a `HashMap`.
    /// Recovery would have them give one answer now and another later. A difference fails the interval
    /// and names the operation. Whatever functions do besides, they do twice.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// static SEEN: AtomicU32 = AtomicU32::new(0);
    /// let ctx = Context::builder("test").threads(1).run_twice(true).build()?;
    /// let numbered = ctx.parallelize(['a', 'b']).map(|c| (SEEN.fetch_add(1, Relaxed), c));
    /// assert!(numbered.collect().unwrap_err().to_string().contains("not deterministic"));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn run_twice(mut self, twice: bool) -> Self {
        self.settings.run_twice = twice;
        self
    }

    /// Whether a task that runs 1.4 times as long as others of its stage, though it has no more to read, is
    /// copied to another worker with nothing to do (`paper.md` §7). The first to end counts, the other is
    /// stopped; a worker that is slow again and again gets less work for a while. Copies are made if nothing
    /// is said, in a program with more than one [worker](Self::workers). Whatever functions do besides computing
    /// they may then do twice, as they may when a worker is lost.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::builder("words").speculation(false).build()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn speculation(mut self, on: bool) -> Self {
        self.settings.speculation = on;
        self
    }

    /// Whether batch mode shows a progress bar on a terminal. It does if nothing is said.
    #[must_use]
    pub fn progress(mut self, show: bool) -> Self {
        self.settings.progress = show;
        self
    }

    /// Runs tasks in so many worker processes, which are started on this machine: this executable with
    /// the arguments of this process. Each has as many compute threads as [`threads`](Self::threads) says.
    /// The program itself runs in this process only; in the others, whatever makes the first context
    /// becomes a worker and never returns. So a context is to be made early in `main`.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.role = match (self.settings.role, workers) {
            (Role::Master { listen, .. }, _) => Role::Master { listen, workers },
            (role, 0) => role,
            _ => Role::Master { listen: (Ipv4Addr::LOCALHOST, 0).into(), workers },
        };
        self
    }

    /// Runs tasks in workers that join at `address`, on the loopback interface.
    #[must_use]
    pub fn master(mut self, address: impl ToSocketAddrs) -> Self {
        match address.to_socket_addrs().map(|mut all| all.next()) {
            Ok(Some(listen)) if listen.ip().is_loopback() => {
                let workers = match self.settings.role {
                    Role::Master { workers, .. } => workers,
                    _ => 0,
                };
                self.settings.role = Role::Master { listen, workers };
            }
            Ok(Some(listen)) => self.faults.push(format!(
                "master({listen}): tasks are code to run, so a master listens beyond loopback only with encryption and certificates, which there are none of yet; use 127.0.0.1:{}",
                listen.port()
            )),
            Ok(None) => self.faults.push("master: the address is of no machine".to_owned()),
            Err(error) => self.faults.push(format!("master: the address cannot be understood: {error}")),
        }
        self
    }

    /// The file with the token that workers and master of a run share. A master makes it if it is not
    /// there.
    #[must_use]
    pub fn token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.token_file = Some(file.into());
        self
    }

    /// Larger than that of any run before; taken from the clock if nothing is said.
    pub(crate) fn epoch(mut self, epoch: u64) -> Self {
        self.settings.epoch = Some(epoch);
        self
    }

    /// How worker processes are to be started, in place of the arguments of this process.
    pub(crate) fn start_workers_with(mut self, arguments: Vec<String>) -> Self {
        self.settings.start = Start { arguments: Some(arguments) };
        self
    }

    /// Settings from the command line of the program, over those made before. `--help` prints them
    /// and ends the process; what is not a flag is left to the program
    /// ([`Context::arguments`]).
    #[must_use]
    pub fn args(self, args: impl IntoIterator<Item = String>) -> Self {
        let mut builder = self;
        let mut args = args.into_iter().skip(1);
        let mut joins = None;
        while let Some(arg) = args.next() {
            let (flag, inline) = match arg.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let mut value = || inline.clone().or_else(|| args.next());
            builder = match flag.as_str() {
                "--backpressure" | "--batch" | "--continue" | "--no-speculation" | "--run-twice"
                | "--worker"
                    if inline.is_some() =>
                {
                    let value = inline.unwrap_or_default();
                    builder.faults.push(format!("{flag}={value}: {flag} takes no value"));
                    builder
                }
                "--threads" => builder.parsed(&flag, value(), Self::threads),
                "--parallelism" => builder.parsed(&flag, value(), Self::parallelism),
                "--interval-ms" => {
                    builder.parsed(&flag, value(), |b, ms| b.interval(Duration::from_millis(ms)))
                }
                "--intervals" => builder.parsed(&flag, value(), |mut b, n| {
                    b.settings.intervals_max = Some(n);
                    b
                }),
                "--slack-ms" => builder.parsed(&flag, value(), |b, ms| b.slack(Duration::from_millis(ms))),
                "--speed" => builder.parsed(&flag, value(), Self::speed),
                "--backpressure" => builder.backpressure(true),
                "--initial-rate" => builder.parsed(&flag, value(), Self::initial_rate),
                "--max-rate" => builder.parsed(&flag, value(), Self::max_rate),
                "--batch" => builder.batch(true),
                "--continue" => builder.on_failure(OnFailure::Continue),
                "--no-speculation" => builder.speculation(false),
                "--run-twice" => builder.run_twice(true),
                "--workers" => builder.parsed(&flag, value(), Self::workers),
                "--master" => builder.master(inline.as_deref().unwrap_or(MASTER)),
                "--worker" => {
                    joins.get_or_insert_with(|| MASTER.to_owned());
                    builder
                }
                "--join" => {
                    match value() {
                        Some(address) => joins = Some(address),
                        None => builder.faults.push("--join needs a value".to_owned()),
                    }
                    builder
                }
                "--token-file" => match value() {
                    Some(file) => builder.token_file(file),
                    None => {
                        builder.faults.push("--token-file needs a value".to_owned());
                        builder
                    }
                },
                "--help" | "-h" => {
                    println!("{}\n\n{USAGE}", builder.settings.name);
                    std::process::exit(0);
                }
                argument if !argument.starts_with('-') => {
                    builder.settings.arguments.push(argument.to_owned());
                    builder
                }
                unknown => {
                    builder.faults.push(format!("unknown argument {unknown}; try --help"));
                    builder
                }
            };
        }
        if let Some(join) = joins {
            builder.settings.role = Role::Worker { join };
        }
        builder
    }

    /// The context, with its threads started. Faults of the settings are listed when it is to
    /// [run](Context::run), together with those of the program.
    ///
    /// # Errors
    /// The operating system refuses to start the threads.
    pub fn build(self) -> Result<Context, Error> {
        Context::with(self.settings, self.faults)
    }

    fn parsed<T: FromStr>(
        mut self,
        flag: &str,
        value: Option<String>,
        set: impl FnOnce(Self, T) -> Self,
    ) -> Self {
        match value.as_deref().map(str::parse) {
            Some(Ok(value)) => return set(self, value),
            Some(Err(_)) => {
                self.faults.push(format!("{flag} {} is not a number it can be", value.unwrap_or_default()))
            }
            None => self.faults.push(format!("{flag} needs a value")),
        }
        self
    }
}
