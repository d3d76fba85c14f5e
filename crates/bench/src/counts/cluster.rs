//! The processes of a program of counts.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    Tallies,
    drag::SLOW,
    program::{Folder, Program},
};
use crate::error::BenchError;

/// Far more than anything that is waited for here takes.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How often a process is asked whether it has ended, in milliseconds.
const POLL_MS: u64 = 5;
/// The end of a log that is shown when its process failed.
const LOG_BYTES_SHOWN: usize = 1_500;
/// What a master says when another runs the program.
const OVERTAKEN: &str = "another master has taken";

/// What a worker says when another begins to hold what it receives, before it says who it is and who the other is.
const HELD_BY: &str = "another worker holds replicas me=";

/// A master with its workers, perhaps a standby, each a process that this one has started.
///
/// - They share a folder: settings, token, checkpoints, outputs, and a log of each.
/// - Dropping it kills whatever is left; if this process dies, the system does.
/// - If something went wrong the folder stays, for whoever wants to know why ([`keep`](Self::keep)).
///
/// To be used on one thread that lives as long as the processes, since they end with the thread that started them.
pub struct Cluster {
    folder: Option<TempDir>,
    files: Folder,
    /// The one that runs the program first, then its standby.
    pub masters: Vec<Process>,
    /// In the order in which they were started.
    pub workers: Vec<Process>,
    /// How many workers there are to be.
    pub wanted: usize,
    /// How many masters found that another had taken over.
    pub overtaken: u64,
    started: u32,
}

/// A process of the program.
pub struct Process {
    /// What it is and its number.
    pub name: String,
    child: Child,
    log: PathBuf,
    /// Where it writes the address at which it listens, if it is a master.
    address_file: PathBuf,
}

/// Two workers by the names that their master calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// One that receives records.
    pub worker: String,
    /// The other that holds them too.
    pub holder: String,
}

impl HeldBy {
    /// As a worker has said last.
    fn last(log: &str) -> Option<Self> {
        let mut said = log.rsplit_once(HELD_BY)?.1.split_whitespace();
        let (worker, holder) = (said.next()?, said.next()?.strip_prefix("worker=")?);
        Some(Self { worker: worker.to_owned(), holder: holder.to_owned() })
    }
}

impl Process {
    /// Sends a signal to it.
    ///
    /// # Errors
    /// It is not there.
    pub fn signal(&self, signal: Signal) -> Result<(), BenchError> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        id.map_or(Ok(()), |id| kill_process(id, signal)).map_err(|error| BenchError::Process {
            name: self.name.clone(),
            why: format!("cannot be sent {signal:?}: {error}"),
        })
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn kill(&mut self) -> Result<(), BenchError> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(|_| ()).map_err(|error| self.failed(&format!("cannot be killed: {error}")))
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, BenchError> {
        self.child.try_wait().map_err(|error| self.failed(&error.to_string()))
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// It does not.
    pub fn wait(&mut self) -> Result<ExitStatus, BenchError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(self.failed("does not end"));
            }
            thread::sleep(Duration::from_millis(POLL_MS));
        }
    }

    /// The address at which it listens, if it does already.
    pub fn address(&self) -> Option<String> {
        fs::read_to_string(&self.address_file)
            .ok()
            .map(|text| text.lines().next().unwrap_or_default().to_owned())
    }

    /// Whether it has said that.
    fn says(&self, what: &str) -> bool {
        fs::read(&self.log).is_ok_and(|log| String::from_utf8_lossy(&log).contains(what))
    }

    /// Who it is, if it is a worker, and who holds what it receives, as it has said last.
    pub fn held_by(&self) -> Option<HeldBy> {
        let log = fs::read(&self.log).ok()?;
        HeldBy::last(&String::from_utf8_lossy(&log))
    }

    /// What went wrong with it, with the end of its log.
    pub fn failed(&self, why: &str) -> BenchError {
        let log = fs::read(&self.log).unwrap_or_default();
        let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES_SHOWN)..]).into_owned();
        BenchError::Process { name: self.name.clone(), why: format!("{why}; its log ends with:\n{end}") }
    }
}

impl Cluster {
    /// Starts a master and so many workers, each once the one before has joined, so that they join in this order and each has
    /// the next hold what it receives. The first worker is so many times slower than the others.
    ///
    /// # Errors
    /// A process cannot be started, the master does not listen, or a worker does not join.
    pub fn start(program: &Program, workers: usize, slow: f64) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new().prefix("cutwater-bench-").tempdir();
        let folder = folder.map_err(BenchError::file("create a folder in", &env::temp_dir()))?;
        let files = Folder(folder.path().to_owned());
        let settings = serde_json::to_vec(program).map_err(|error| BenchError::Refused(error.to_string()))?;
        fs::write(files.program(), settings).map_err(BenchError::file("write", &files.program()))?;
        write_token(&files.token()).map_err(BenchError::file("write", &files.token()))?;
        let (masters, none) = (Vec::new(), Vec::new());
        let (folder, wanted) = (Some(folder), workers);
        let mut cluster = Self { folder, files, masters, workers: none, wanted, overtaken: 0, started: 0 };
        cluster.start_master(&[("CUTWATER_MIN_WORKERS", &workers.to_string())])?;
        let factor = slow.to_string();
        for number in 0..workers {
            let environment = [(SLOW, factor.as_str())];
            cluster.start_worker(if number == 0 { &environment } else { &[] })?;
            let joined = number + 1;
            if joined < workers {
                cluster.wait_until_master_says(&format!("{joined} of {workers} workers have joined"))?;
            }
        }
        Ok(cluster)
    }

    fn wait_until_master_says(&mut self, what: &str) -> Result<(), BenchError> {
        let until = Instant::now() + PATIENCE;
        while !self.masters.iter().any(|master| master.says(what)) {
            self.check()?;
            if Instant::now() > until {
                return Err(self.masters[0].failed(&format!("does not say {what:?}")));
            }
            thread::sleep(Duration::from_millis(POLL_MS));
        }
        Ok(())
    }

    /// Where the processes meet.
    pub fn files(&self) -> &Folder {
        &self.files
    }

    /// Starts a master that waits until the one before is gone.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start_standby(&mut self) -> Result<(), BenchError> {
        self.start_master(&[("CUTWATER_STANDBY", "true")])
    }

    fn start_master(&mut self, environment: &[(&str, &str)]) -> Result<(), BenchError> {
        let listen = [("CUTWATER_ROLE", "master"), ("CUTWATER_MASTER", "127.0.0.1:0")];
        let master = self.spawn("master", &[environment, &listen].concat())?;
        self.masters.push(master);
        Ok(())
    }

    /// Starts a worker, which joins the master that runs the program.
    ///
    /// # Errors
    /// The process cannot be started, or there is no master.
    pub fn start_worker(&mut self, environment: &[(&str, &str)]) -> Result<(), BenchError> {
        let address = self.address()?;
        let join = [("CUTWATER_ROLE", "worker"), ("CUTWATER_JOIN", address.as_str())];
        let worker = self.spawn("worker", &[environment, &join].concat())?;
        self.workers.push(worker);
        Ok(())
    }

    /// Where the master that runs the program listens; waits until it does.
    ///
    /// # Errors
    /// It does not, or has ended.
    pub fn address(&mut self) -> Result<String, BenchError> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.dismiss_overtaken()?;
            let master = self.masters.first_mut().expect("a cluster has a master, or one that takes over");
            if let Some(address) = master.address() {
                return Ok(address);
            }
            if let Some(status) = master.ended()? {
                return Err(master.failed(&format!("has ended ({status})")));
            }
            if Instant::now() > until {
                return Err(master.failed("does not listen"));
            }
            thread::sleep(Duration::from_millis(POLL_MS));
        }
    }

    fn spawn(&mut self, what: &str, environment: &[(&str, &str)]) -> Result<Process, BenchError> {
        self.started += 1;
        let name = format!("{what}-{}", self.started);
        let (log, address_file) =
            (self.files.0.join(format!("{name}.log")), self.files.0.join(format!("{name}.address")));
        let failed = |error: std::io::Error| BenchError::Process {
            name: name.clone(),
            why: format!("cannot be started: {error}"),
        };
        let stderr = File::create(&log).map_err(failed)?;
        let mut command = Command::new(env::current_exe().map_err(failed)?);
        command.arg("program").arg("--folder").arg(&self.files.0);
        command.envs(environment.iter().copied()).env("CUTWATER_ADDRESS_FILE", &address_file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().map_err(failed)?;
        Ok(Process { name, child, log, address_file })
    }

    /// That the master has not ended by itself, unless another has taken over.
    ///
    /// # Errors
    /// It has.
    pub fn check(&mut self) -> Result<(), BenchError> {
        self.dismiss_overtaken()?;
        if let Some(master) = self.masters.first_mut()
            && let Some(status) = master.ended()?
        {
            return Err(master.failed(&format!("has ended by itself ({status})")));
        }
        Ok(())
    }

    /// A master that was stopped for long finds out that the next has taken over, or is about to, and ends.
    fn dismiss_overtaken(&mut self) -> Result<(), BenchError> {
        let [first, next, ..] = &mut self.masters[..] else { return Ok(()) };
        let is_overtaken = next.address().is_some() || (first.ended()?.is_some() && first.says(OVERTAKEN));
        if !is_overtaken {
            return Ok(());
        }
        let mut old = self.masters.remove(0);
        self.overtaken += 1;
        match old.wait()?.success() {
            true => Err(old.failed("was overtaken and ended as if the program were over")),
            false => Ok(()),
        }
    }

    /// Tells the program to stop: what was received is still processed. Answers with what was counted.
    ///
    /// # Errors
    /// It does not stop, or fails.
    pub fn finish(&mut self) -> Result<Tallies, BenchError> {
        let master = self.masters.first_mut().expect("a cluster has a master");
        master.signal(Signal::TERM)?;
        let status = master.wait()?;
        if !status.success() {
            return Err(master.failed(&format!("has failed ({status})")));
        }
        let file = self.files.counts();
        let text = fs::read(&file).map_err(BenchError::file("read", &file))?;
        serde_json::from_slice(&text).map_err(|error| BenchError::Wrong(error.to_string()))
    }

    /// Leaves the folder where it is, and says where.
    pub fn keep(&mut self) {
        if let Some(folder) = self.folder.take() {
            eprintln!("the logs of all processes are in {}", folder.keep().display());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.masters.iter_mut().chain(&mut self.workers) {
            // One that has ended cannot be killed, and need not be.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// Somebody has to have made the token before masters and workers come, in whatever order they do.
fn write_token(file: &std::path::Path) -> std::io::Result<()> {
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_says_who_holds_what_it_receives() {
        let says = |holder| format!("INFO replicate: {HELD_BY}w1 worker={holder} address=\"127.0.0.1:1\"\n");
        assert_eq!(HeldBy::last("nothing yet"), None);
        let last = HeldBy::last(&format!("{}{}something else\n", says("w2"), says("w4096")));
        assert_eq!(last, Some(HeldBy { worker: "w1".to_owned(), holder: "w4096".to_owned() }));
    }
}
