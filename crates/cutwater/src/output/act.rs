use cutwater_core::Time;

use crate::Error;

/// What an output does with an interval.
///
/// The driver calls it, on its thread: `open` once before the first interval, then for each interval `run`, and
/// `commit` if the whole interval was done or `abandon` if it failed.
pub(crate) trait Act: Send {
    /// The master of `epoch` begins.
    fn open(&mut self, _epoch: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Does it for one time; says whether there was anything to do.
    fn run(&mut self, t: Time) -> Result<bool, Error>;

    /// Everything that belongs to the interval was done: what `run` held back may be seen.
    fn commit(&mut self, _t: Time) -> Result<(), Error> {
        Ok(())
    }

    /// The interval failed.
    fn abandon(&mut self, _t: Time) {}
}

/// An output that holds nothing back.
impl<F: FnMut(Time) -> Result<bool, Error> + Send> Act for F {
    fn run(&mut self, t: Time) -> Result<bool, Error> {
        self(t)
    }
}
