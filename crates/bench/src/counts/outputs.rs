//! What a program of counts gave out, and when.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::Tally;
use crate::error::BenchError;

/// How often the file of outputs is looked at, in milliseconds.
const POLL_MS: u64 = 5;

/// The output of an interval, as it was given first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// The end of the time that the interval covers: when it is due.
    pub due_ms: f64,
    /// When its output was begun.
    pub began_ms: f64,
    /// When its output was done.
    pub done_ms: f64,
    /// All that was counted up to then.
    pub total: Tally,
}

impl Output {
    /// From when it was due to when it was done.
    pub fn delay_ms(&self) -> f64 {
        self.done_ms - self.due_ms
    }
}

/// The delays of some outputs for a report, in milliseconds: to a tenth of one.
pub fn delays_ms(outputs: &[Output]) -> Vec<f64> {
    outputs.iter().map(|output| (output.delay_ms() * 10.0).round() / 10.0).collect()
}

/// Follows the file to which masters append.
pub struct Outputs {
    path: PathBuf,
    read: u64,
    by_due: BTreeMap<u64, Output>,
}

impl Outputs {
    /// Of a file that may not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: 0, by_due: BTreeMap::new() }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The file cannot be read, or an interval was given out again and differs.
    pub fn poll(&mut self) -> Result<(), BenchError> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_string(&mut text)
        });
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            read => read.map_err(BenchError::file("read", &self.path))?,
        };
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            self.read += line.len() as u64;
            self.note(line.trim_end())?;
        }
        Ok(())
    }

    fn note(&mut self, line: &str) -> Result<(), BenchError> {
        let mut fields = line.split(' ').map(|field| field.parse::<u64>().ok());
        let mut next = || {
            fields
                .next()
                .flatten()
                .ok_or_else(|| BenchError::Wrong(format!("{line:?} is no line of an output")))
        };
        let (due_ms, began_us, done_us) = (next()?, next()?, next()?);
        let total = Tally { records: next()?, digest: next()? };
        let ms = |us| us as f64 / 1e3;
        let output = Output { due_ms: due_ms as f64, began_ms: ms(began_us), done_ms: ms(done_us), total };
        let first = *self.by_due.entry(due_ms).or_insert(output);
        if first.total == total {
            return Ok(());
        }
        Err(BenchError::Wrong(format!(
            "interval {due_ms} was given out twice, and differs: {:?} and then {total:?}",
            first.total
        )))
    }

    /// All so far, in the order of their intervals.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Output> {
        self.by_due.values()
    }

    /// The newest.
    pub fn last(&self) -> Option<Output> {
        self.by_due.values().next_back().copied()
    }

    /// Waits until the newest output is as wished, while `check` finds nothing wrong.
    ///
    /// # Errors
    /// It took longer than `patience`, or what `check` says.
    pub fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        mut wished: impl FnMut(&Output) -> bool,
        mut check: impl FnMut() -> Result<(), BenchError>,
    ) -> Result<Output, BenchError> {
        let until = Instant::now() + patience;
        loop {
            self.poll()?;
            if let Some(last) = self.last().filter(|last| wished(last)) {
                return Ok(last);
            }
            check()?;
            if Instant::now() > until {
                return Err(BenchError::Wrong(format!(
                    "{what} did not come in {patience:?}; the last output is {:?}",
                    self.last()
                )));
            }
            thread::sleep(Duration::from_millis(POLL_MS));
        }
    }

    /// That no interval between the first and the last is without an output, and that none takes back what was
    /// counted before.
    ///
    /// # Errors
    /// The first that is missing or counts less.
    pub fn complete(&self, interval_ms: u64) -> Result<(), BenchError> {
        for ((due, output), (next, after)) in self.by_due.iter().zip(self.by_due.iter().skip(1)) {
            if *next != due + interval_ms {
                return Err(BenchError::Wrong(format!("after interval {due} came {next}, not the next")));
            }
            if after.total.records < output.total.records {
                return Err(BenchError::Wrong(format!("interval {next} counts less than {due}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn outputs(text: &str) -> Result<Outputs, BenchError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outputs");
        fs::write(&path, text).unwrap();
        let mut outputs = Outputs::new(path);
        outputs.poll()?;
        Ok(outputs)
    }

    #[test]
    fn the_first_of_two_equal_outputs_counts_and_half_a_line_is_none() {
        let outputs = outputs("1000 1001000 1002500 5 7\n1000 1009000 1009000 5 7\n2000 2").unwrap();
        let all: Vec<_> = outputs.all().collect();
        assert_eq!((all.len(), all[0].delay_ms(), outputs.read), (1, 2.5, 50));
    }

    #[test]
    fn outputs_that_differ_are_wrong() {
        let error = outputs("1000 1 1 5 7\n1000 1 1 5 8\n").err().unwrap().to_string();
        assert!(error.contains("1000 was given out twice"), "{error}");
    }

    #[test]
    fn an_interval_without_an_output_is_noticed() {
        let text = "1000 1 1 5 7\n2000 1 1 5 7\n4000 1 1 9 7\n";
        assert!(outputs(text).unwrap().complete(1000).unwrap_err().to_string().contains("came 4000"));
        assert!(outputs(&text[..26]).unwrap().complete(1000).is_ok());
        assert!(outputs("1000 1 1 5 7\n2000 1 1 4 7\n").unwrap().complete(1000).is_err());
    }
}
