use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};

use super::{driver::StopFlag, worker};
use crate::error::Error;

/// Stops the program gracefully at the first Ctrl-C or SIGTERM, and at once at the second. Dropping it
/// gives the signals back their usual meaning for this program.
pub(super) struct StopOnSignal(Handle);

impl StopOnSignal {
    pub fn install(stop: &StopFlag) -> Result<Self, Error> {
        let mut signals = Signals::new([SIGINT, SIGTERM])
            .map_err(|error| Error::external(format_args!("cannot listen for signals: {error}")))?;
        let handle = signals.handle();
        let stop = stop.clone();
        worker::spawn("cutwater-signals", move || {
            for signal in &mut signals {
                if stop.is_raised() {
                    eprintln!("stopping at once");
                    // What a shell expects of a process that a signal ended.
                    std::process::exit(128 + signal);
                }
                eprintln!("stopping when what was received is processed; once more to stop at once");
                stop.raise();
            }
        })?;
        Ok(Self(handle))
    }
}

impl Drop for StopOnSignal {
    fn drop(&mut self) {
        self.0.close();
    }
}
