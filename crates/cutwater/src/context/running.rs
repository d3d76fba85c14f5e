use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use crate::{Context, error::Error, runtime::driver};

/// A program that runs on a thread of its own, [started](Context::start) by the program.
///
/// Cloning it is free, any thread may wait, and dropping it leaves the program running. If the process dies,
/// so does the run.
#[derive(Clone)]
pub struct Running {
    ctx: Context,
    ended: Arc<(Mutex<Option<Result<(), Error>>>, Condvar)>,
    thread: ThreadId,
}

impl Context {
    /// Begins to [run](Self::run) the program and returns.
    ///
    /// # Errors
    /// The program is wrongly put together (every fault is listed), ran before, or was stopped.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Context, Error};
    /// let ctx = Context::builder("ticks").interval(Duration::from_millis(10)).threads(1).build()?;
    /// ctx.source("ticks").rate(1_000, |n| n).print();
    /// let running = ctx.start()?;
    /// assert!(!running.wait_for(Duration::from_millis(1))?); // it goes on
    /// running.stop();
    /// running.wait()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn start(&self) -> Result<Running, Error> {
        let prepared = driver::prepare(self, None)?;
        let ended: Arc<(Mutex<Option<Result<(), Error>>>, Condvar)> = Arc::default();
        let to = ended.clone();
        let run = move || {
            let mut result = EndsAnyhow { to, result: Err(Error::internal("the driver's thread panicked")) };
            result.result = prepared.run();
        };
        let thread = thread::Builder::new().name("cutwater-driver".to_owned()).spawn(run);
        let thread =
            thread.map_err(|error| Error::external(format_args!("cannot start a thread: {error}")))?;
        Ok(Running { ctx: self.clone(), ended, thread: thread.thread().id() })
    }
}

/// Tells those who wait, also if a listener of the program panics.
struct EndsAnyhow {
    to: Arc<(Mutex<Option<Result<(), Error>>>, Condvar)>,
    result: Result<(), Error>,
}

impl Drop for EndsAnyhow {
    fn drop(&mut self) {
        *self.to.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.result.clone());
        self.to.1.notify_all();
    }
}

impl Running {
    /// Asks the program to stop, as [`Context::stop`] does: what was received is still processed. It does
    /// not wait.
    pub fn stop(&self) {
        self.ctx.stop();
    }

    /// Waits until the program has ended; at once, if it has.
    ///
    /// # Errors
    /// Why it ended, if it was not stopped and its sources did not end: the error of an interval. Or it is
    /// called by an output or a listener of the program itself, which would wait for itself.
    pub fn wait(&self) -> Result<(), Error> {
        self.unless_own()?;
        let ended = self.ended.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.ended.1.wait_while(ended, |ended| ended.is_none());
        ended.unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(Ok(()))
    }

    /// Waits for at most `span`, and says whether the program has ended.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_for(&self, span: Duration) -> Result<bool, Error> {
        self.unless_own()?;
        let ended = self.ended.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _) = self
            .ended
            .1
            .wait_timeout_while(ended, span, |ended| ended.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        ended.clone().map_or(Ok(false), |result| result.map(|()| true))
    }

    fn unless_own(&self) -> Result<(), Error> {
        if thread::current().id() == self.thread {
            return Err(Error::user(
                "an output or listener cannot wait for the end of its own program; call `stop`, which does not wait",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({:?})", self.ctx)
    }
}
