use std::{
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
    num::NonZero,
    path::PathBuf,
    thread,
    time::Duration,
};

use cutwater_core::{limits, rate::Pid};
use cutwater_wire::compression::Compression;

use super::{
    Checkpoints,
    cluster::{NamedFiles, Network},
    place::Place,
};
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
///
/// # Where settings come from
/// From the program, by the methods here; from a file, by [`config_file`](Self::config_file), `CUTWATER_CONFIG` or
/// `--config`; from the environment; and from the command line, by [`args`](Self::args). Each holds over those
/// named before it, in whatever order the methods are called. `--help` lists all that is not code, and each
/// has one name:
///
/// | command line | environment | file |
/// |---|---|---|
/// | `--interval-ms 500` | `CUTWATER_INTERVAL_MS=500` | `interval_ms = 500` |
/// | `--batch`, `--no-batch` | `CUTWATER_BATCH=true` | `batch = true` |
/// | `--master 0.0.0.0:7077` | `CUTWATER_MASTER=…` | `master = "0.0.0.0:7077"` in `[cluster]` |
/// | `--tls-key FILE` | `CUTWATER_TLS_KEY=FILE` | `key = "FILE"` in `[tls]` |
///
/// Besides there are two variables of the environment for whoever starts a process. `CUTWATER_ROLE` says what
/// it is (`embedded`, `master`, `worker`), whatever its command line says, and then `CUTWATER_MASTER`, `CUTWATER_JOIN` and
/// `CUTWATER_WORKERS` hold over it too. `CUTWATER_TOKEN` is the secret of the run, which is for no file and no command
/// line.
///
/// Everything that is wrong is listed at once, each with where it was said. A relative name of a file in the
/// configuration file is relative to that.
///
/// ```toml
/// interval_ms = 500
/// backpressure = true
///
/// [cluster]                       # one file for all machines
/// master = "0.0.0.0:7077"         # where the master listens …
/// join = "master.lan:7077"        # … and workers find it; CUTWATER_ROLE says which this is
/// min_workers = 3
///
/// [tls]                           # made by `cutwater certs`
/// authority = "certs/authority.pem"
/// certificate = "certs/this.pem"
/// key = "certs/this-key.pem"
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) settings: Settings,
    pub(super) faults: Vec<String>,
    pub(super) place: Place,
    pub(super) tls: NamedFiles,
    pub(super) config_file: Option<PathBuf>,
    /// Without the name of the program.
    pub(super) command_line: Vec<String>,
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
    pub overlap: bool,
    pub compression: Compression,
    pub progress: bool,
    pub arguments: Vec<String>,
    pub role: Role,
    pub network: Network,
    pub token: Option<Token>,
    pub token_file: Option<PathBuf>,
    pub clients_address: SocketAddr,
    pub start: Start,
    pub checkpoints: Checkpoints,
}

impl Settings {
    /// The token by which a worker joins the master at `address`. With certificates there need not be any.
    pub fn token_for(&self, address: &str) -> Result<Option<Token>, Error> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(file)) => Token::read(file).map(Some),
            (None, None) if self.network.tls.is_some() => Ok(None),
            (None, None) => {
                let resolved = address.to_socket_addrs().ok().and_then(|mut all| all.next());
                let master = resolved.ok_or_else(|| {
                    Error::config(&[format!(
                        "--join {address}: it is not the address of a machine, HOST:PORT"
                    )])
                })?;
                Token::read(&Token::usual_file(master)).map(Some)
            }
        }
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
            overlap: true,
            compression: Compression::Auto,
            progress: true,
            arguments: Vec::new(),
            role: Role::Embedded,
            network: Network::default(),
            token: None,
            token_file: None,
            clients_address: (Ipv4Addr::LOCALHOST, 0).into(),
            start: Start::default(),
            checkpoints: Checkpoints::default(),
        };
        Self {
            settings,
            faults: Vec::new(),
            place: Place::default(),
            tls: NamedFiles::default(),
            config_file: None,
            command_line: Vec::new(),
        }
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
    /// A program that was started before from its [checkpoints](Self::checkpoint) goes on with the number that it had, or
    /// with another one if that is given: the keys of its states are spread anew then, by the key groups that they are in.
    /// The same holds for a number that is given for one operation only. Where none is, states are in no more partitions
    /// than there are key groups, 256.
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

    /// Whether an interval that is due is begun while the one before it is still being run: its input is taken, and what
    /// is computed before its first shuffle is computed where outputs of the other leave slots idle. It is if nothing is
    /// said, and if the program is behind. Nothing but the time that it takes depends on it.
    ///
    /// Intervals with a [queue](crate::source::SourceBuilder::queue) of datasets are not begun before it is their turn.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::builder("words").overlap(false).build()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn overlap(mut self, on: bool) -> Self {
        self.settings.overlap = on;
        self
    }

    /// Whether blocks are compressed (LZ4) on their way from worker to worker. If nothing is said, they are on
    /// their way to another machine. Few bytes, and those that do not become much fewer, never are.
    ///
    /// ```
    /// use cutwater::{Compression, Context};
    ///
    /// let ctx = Context::builder("clicks").compression(Compression::On).build()?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.settings.compression = compression;
        self
    }

    /// Whether batch mode shows a progress bar on a terminal. It does if nothing is said.
    #[must_use]
    pub fn progress(mut self, show: bool) -> Self {
        self.settings.progress = show;
        self
    }

    /// Larger than that of any run before; taken from the clock if nothing is said.
    pub(crate) fn epoch(mut self, epoch: u64) -> Self {
        self.settings.epoch = Some(epoch);
        self
    }

    /// Where clients reach a program that runs in one process, on the loopback interface: at any free port if
    /// nothing is said. With workers in other processes, clients begin at the master's address.
    ///
    /// ```
    /// use cutwater::Context;
    ///
    /// let ctx = Context::builder("clicks").clients("127.0.0.1:0").threads(1).build()?;
    /// let clicks = ctx.source("clicks").client_lines();
    /// println!("clients send to {}", ctx.client_access()?.address);
    /// # drop(clicks);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn clients(mut self, address: impl ToSocketAddrs) -> Self {
        match address.to_socket_addrs().map(|mut all| all.next()) {
            Ok(Some(listen)) if listen.ip().is_loopback() => self.settings.clients_address = listen,
            Ok(Some(listen)) => self.faults.push(format!(
                "clients({listen}): a program in one process takes records on loopback only; use 127.0.0.1:{}, or run workers with certificates",
                listen.port()
            )),
            Ok(None) => self.faults.push("clients: the address is of no machine".to_owned()),
            Err(error) => self.faults.push(format!("clients: the address cannot be understood: {error}")),
        }
        self
    }

    /// How worker processes are to be started, in place of the arguments of this process.
    pub(crate) fn start_workers_with(mut self, arguments: Vec<String>) -> Self {
        self.settings.start = Start { arguments: Some(arguments) };
        self
    }

    /// Settings from the command line of the program. `--help` prints them and ends the process; what is not a
    /// flag is left to the program ([`Context::arguments`]).
    ///
    /// They hold over all others, whenever this is called; see [`Builder`].
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.command_line.extend(args.into_iter().skip(1));
        self
    }

    /// Settings from a file, unless `--config` or `CUTWATER_CONFIG` names another. They hold over those of
    /// the program and below those of the environment and the command line; see [`Builder`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// use cutwater::Context;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let file = dir.path().join("clicks.toml");
    /// std::fs::write(&file, "interval_ms = 500\n[cluster]\nmin_workers = 3\n")?;
    /// let ctx = Context::builder("clicks").interval(Duration::from_secs(1)).config_file(&file).build()?;
    /// assert_eq!(ctx.interval(), Duration::from_millis(500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config_file = Some(file.into());
        self
    }

    /// The context, with its threads started. Faults of the settings are listed when it is to
    /// [run](Context::run), together with those of the program.
    ///
    /// # Errors
    /// The operating system refuses to start the threads. Of a program on [workers](Self::workers) in other
    /// processes: any fault of the settings, all listed, and whatever keeps workers from joining. A process
    /// that is a worker does not return from here.
    pub fn build(self) -> Result<Context, Error> {
        let mut builder = self.layered();
        builder.decide_role();
        builder.decide_network();
        let Self { settings, faults, .. } = builder;
        if !faults.is_empty() && !matches!(settings.role, Role::Embedded) {
            return Err(Error::config(&faults));
        }
        Context::with(settings, faults)
    }
}
