//! The agent: a standing process, one on each machine, that keeps executables and runs parts of jobs.
//!
//! ```text
//! door        who is let in
//! session     what somebody asks for, one request after the other
//!   │
//! jobs        decides what is to run: pure
//!   │ orders
//! process     starts, watches, ends        store    executables by their hash
//! output      what processes print         log      as much of it as is kept
//! ```
//!
//! Everything runs on one thread, which never waits but for the next event; only hashing and writing
//! through to the disk have threads of their own.

mod door;
mod jobs;
mod log;
mod output;
mod process;
mod session;
mod store;

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File},
    future::pending,
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{self, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use cutwater_core::limits;
use cutwater_wire::{
    agent::{self, Hello, Part, ProcessId, Start, State},
    credentials::Credentials,
};
use rustix::process::Signal;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    access::Access,
    executable,
    variables::{self, Listening},
};
use jobs::{Jobs, Order};
use output::Output;
use store::Store;

/// How an agent is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it keeps executables and what processes print.
    pub folder: PathBuf,
    /// How many tasks the workers of a job may run at a time.
    pub slots: u32,
    /// What it and its callers prove themselves by.
    pub access: Access,
}

impl Options {
    /// The same with paths from the root, since programs run in folders of their own.
    fn absolute(mut self) -> io::Result<Self> {
        self.folder = path::absolute(&self.folder)?;
        let Access { tls_authority, tls_certificate, tls_key, .. } = &mut self.access;
        for file in [tls_authority, tls_certificate, tls_key].into_iter().flatten() {
            *file = path::absolute(&file)?;
        }
        Ok(self)
    }
}

/// A process of a job.
type Key = (String, ProcessId);

/// What an agent is made of.
///
/// If it dies, however that may be, the kernel ends its processes (`launch`); executables stay.
pub struct Agent {
    options: Options,
    credentials: Credentials,
    store: Arc<Store>,
    began: Instant,
    work: Mutex<Work>,
    /// Told whenever a job changes.
    changed: watch::Sender<()>,
    // Held as long as the agent lives: there is one for a folder.
    _lock: File,
}

#[derive(Default)]
struct Work {
    jobs: Jobs,
    /// Signals for processes that run. A few fit: more than asking and killing there is not.
    signals: HashMap<Key, mpsc::Sender<Signal>>,
    outputs: HashMap<Key, Arc<Output>>,
}

/// Runs an agent until it is told to end, and then ends what it runs.
///
/// # Errors
/// It cannot begin: the folder or the address cannot be used.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let options = options.absolute()?;
    let listen = options.listen;
    ensure!(
        listen.ip().is_loopback() || options.access.tls_files()?.is_some(),
        "an agent runs what it is given, so beyond loopback ({listen}) it listens only with certificates: give it --tls-authority, --tls-certificate and --tls-key, which `cutwater certs` makes"
    );
    let agent = Arc::new(Agent::open(options)?);
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; `--listen` chooses another address"))?;
    let listening = listener.local_addr()?;
    println!("agent listens on {listening} and keeps its files in {}", agent.options.folder.display());
    let mut stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    tokio::spawn(agent.clone().keep_time());
    tokio::spawn(door::accept_all(listener, agent.clone()));
    let [terminate, interrupt] = &mut stop;
    let mut asked = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    asked().await;
    tracing::info!("ending what runs; once more to end at once");
    agent.stop_all();
    tokio::select! {
        () = agent.until(|jobs| jobs.list(0).iter().all(|job| jobs.is_over(&job.name))) => {}
        // The kernel ends what is left.
        () = asked() => {}
    }
    Ok(())
}

impl Agent {
    fn open(options: Options) -> anyhow::Result<Self> {
        let folder = &options.folder;
        let unusable = || format!("cannot use the folder {}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(unusable)?;
        let metadata = fs::metadata(folder).with_context(unusable)?;
        // What lies there is run.
        ensure!(
            metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0,
            "the folder {} must belong to this user and be writable by nobody else (chmod 700)",
            folder.display()
        );
        let lock = File::create(folder.join("lock")).with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                bail!("another agent uses the folder {}; `--dir` gives this one its own", folder.display())
            }
            Err(fs::TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        let store = Arc::new(Store::open(folder)?);
        let agent = Self {
            credentials: options.access.of_agent()?,
            store,
            began: Instant::now(),
            work: Mutex::default(),
            changed: watch::Sender::new(()),
            _lock: lock,
            options,
        };
        agent.tidy().with_context(|| format!("cannot tidy the folder {}", agent.options.folder.display()))?;
        Ok(agent)
    }

    /// Removes what jobs of earlier agents printed, except that of the last ones.
    fn tidy(&self) -> io::Result<()> {
        let folder = self.options.folder.join("jobs");
        fs::create_dir_all(&folder)?;
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            jobs.push((entry.metadata()?.modified()?, entry.path()));
        }
        jobs.sort();
        let surplus = jobs.len().saturating_sub(limits::JOBS_REMEMBERED);
        jobs.iter().take(surplus).try_for_each(|(_, path)| fs::remove_dir_all(path))
    }

    fn hello(&self) -> Hello {
        Hello { machine: executable::own_machine(), slots: self.options.slots }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn folder_of(&self, job: &str) -> PathBuf {
        self.options.folder.join("jobs").join(job)
    }

    fn list(&self) -> Vec<agent::Job> {
        let now_ms = self.now_ms();
        self.work().jobs.list(now_ms)
    }

    /// Starts a part of a job; answers with where its master listens.
    async fn start(self: &Arc<Self>, start: Start) -> anyhow::Result<Option<String>> {
        if let Some((name, _)) =
            start.environment.iter().find(|(name, _)| name.starts_with(process::VARIABLES))
        {
            bail!("{name} is for the agent to set");
        }
        let (store, executable) = (self.store.clone(), start.executable);
        spawn_blocking(move || store.check(executable)).await??;
        let (job, is_master) = (start.job.clone(), matches!(start.part, Part::Master { .. }));
        let orders = {
            let mut work = self.work();
            let orders = work.jobs.add(start, self.now_ms()).map_err(anyhow::Error::msg)?;
            // A job of that name which is over has printed for itself.
            for order in &orders {
                if let Order::Start(job, id, _) = order {
                    work.outputs.remove(&(job.clone(), *id));
                }
            }
            orders
        };
        if is_master {
            let address = self.folder_of(&job).join(variables::ADDRESS_FILE_NAME);
            match fs::remove_file(&address) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        self.carry_out(orders);
        if is_master { self.master_listens(&job).await.map(Some) } else { Ok(None) }
    }

    /// Waits until the master of a job says where it listens.
    async fn master_listens(self: &Arc<Self>, job: &str) -> anyhow::Result<String> {
        let until = Instant::now() + Duration::from_millis(limits::MASTER_START_MS_MAX);
        let key = (job.to_owned(), ProcessId::Master);
        loop {
            let (state, output) = {
                let work = self.work();
                (work.jobs.state(job, key.1).cloned(), work.outputs.get(&key).cloned())
            };
            let said = output.map(|output| output.last_words()).unwrap_or_default();
            match state {
                Some(State::Running { .. }) => {}
                Some(State::NotStarted(why)) => bail!("the program cannot be started: {why}"),
                Some(State::Ended { exit, .. }) => bail!(
                    "the program has ended ({exit}) before it waited for workers; is it a program of cutwater that takes its settings from the environment? It said: {said}"
                ),
                Some(State::Waiting { .. }) | None => bail!("job {job} was stopped"),
            }
            if let Some(listening) = Listening::read(&self.folder_of(job))? {
                if listening.goes_on {
                    self.work().jobs.goes_on(job);
                }
                return Ok(listening.address);
            }
            if Instant::now() > until {
                self.stop(job);
                bail!(
                    "the program makes no context within {} s; make it early in `main`. It said: {said}",
                    limits::MASTER_START_MS_MAX / 1000
                );
            }
            sleep(Duration::from_millis(limits::MASTER_POLL_MS)).await;
        }
    }

    fn stop(self: &Arc<Self>, job: &str) {
        let orders = self.work().jobs.stop(job, self.now_ms());
        self.carry_out(orders);
    }

    fn stop_all(self: &Arc<Self>) {
        let orders = self.work().jobs.stop_all(self.now_ms());
        self.carry_out(orders);
    }

    /// Waits until it is so.
    async fn until(&self, is_it: impl Fn(&Jobs) -> bool) {
        let mut changed = self.changed.subscribe();
        while !is_it(&self.work().jobs) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells jobs the time when they want to know it.
    async fn keep_time(self: Arc<Self>) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let next_ms = self.work().jobs.next_ms();
            let due = async {
                match next_ms {
                    Some(ms) => sleep_until(self.began + Duration::from_millis(ms)).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    let orders = self.work().jobs.tick(self.now_ms());
                    self.carry_out(orders);
                }
                changed = changed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn carry_out(self: &Arc<Self>, orders: Vec<Order>) {
        let mut orders = orders;
        // An order that fails may be followed by others.
        while !orders.is_empty() {
            orders = orders.into_iter().flat_map(|order| self.carry_out_one(order)).collect();
        }
        self.changed.send_replace(());
    }

    fn carry_out_one(self: &Arc<Self>, order: Order) -> Vec<Order> {
        match order {
            Order::Start(job, id, start) => {
                let Err(error) = self.launch(&(job.clone(), id), &start) else { return Vec::new() };
                tracing::error!(job, process = %id, %error, "cannot start a process");
                return self.work().jobs.not_started(&job, id, format!("{error:#}"), self.now_ms());
            }
            Order::Ask(job, id) => self.signal(&(job, id), Signal::TERM),
            Order::Kill(job, id) => self.signal(&(job, id), Signal::KILL),
            Order::Forget(job) => {
                self.work().outputs.retain(|(name, _), _| *name != job);
                if let Err(error) = fs::remove_dir_all(self.folder_of(&job)) {
                    tracing::warn!(job, %error, "cannot remove what a job printed");
                }
            }
        }
        Vec::new()
    }

    fn signal(&self, key: &Key, signal: Signal) {
        if let Some(signals) = self.work().signals.get(key) {
            // A queue that is full holds the same signal already.
            let _ = signals.try_send(signal);
        }
    }

    fn launch(self: &Arc<Self>, key: &Key, start: &Start) -> anyhow::Result<()> {
        let (job, id) = key;
        let folder = self.folder_of(job);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let output = self.output(key, &folder)?;
        let before = if *id == ProcessId::Master { Listening::read(&folder)? } else { None };
        let environment = variables::of(start, &self.options, &folder, before.as_ref());
        let program = self.store.path(start.executable);
        let child = process::spawn(&program, &start.arguments, &environment, &folder)?;
        let pid = child.id().unwrap_or_default();
        let (signals, receiver) = mpsc::channel(4);
        let mut work = self.work();
        work.signals.insert(key.clone(), signals);
        work.jobs.started(job, *id, pid);
        drop(work);
        tracing::info!(job, process = %id, pid, executable = %start.executable, "started");
        let (agent, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            let exit = process::watch(child, output.clone(), receiver).await;
            tracing::info!(job = key.0, process = %key.1, pid, %exit, "a process has ended");
            let orders = {
                let mut work = agent.work();
                work.signals.remove(&key);
                work.jobs.ended(&key.0, key.1, exit, agent.now_ms())
            };
            agent.carry_out(orders);
            output.touch();
        });
        Ok(())
    }

    /// The outputs of a process. One that is started again has them already.
    fn output(&self, key: &Key, folder: &Path) -> anyhow::Result<Arc<Output>> {
        let mut work = self.work();
        if let Some(output) = work.outputs.get(key) {
            return Ok(output.clone());
        }
        let created = Output::create(folder, &key.1.to_string());
        let output = Arc::new(created.with_context(|| format!("cannot write to {}", folder.display()))?);
        work.outputs.insert(key.clone(), output.clone());
        Ok(output)
    }
}
