use indicatif::{ProgressBar, ProgressStyle};

use crate::{context::IntervalReport, source::Input};

/// How far a run over past data is, on a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    records: u64,
}

/// The bar is a thousand steps long: fine enough for any width of a terminal.
const STEPS: u64 = 1000;

impl Progress {
    pub fn new(show: bool) -> Self {
        // indicatif draws nothing where standard error is not a terminal.
        let bar = if show { ProgressBar::new(STEPS) } else { ProgressBar::hidden() };
        let style = "{bar:40} {percent:>3} %  {msg}  {elapsed} elapsed, {eta} to go";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, records: 0 }
    }

    pub fn interval(&mut self, report: &IntervalReport, inputs: &[Box<dyn Input>]) {
        self.records += report.records();
        // The run is as far as the source that is least far.
        let least = inputs.iter().filter_map(|input| input.progress()).reduce(f64::min).unwrap_or(0.0);
        self.bar.set_position((least * STEPS as f64) as u64);
        self.bar.set_message(format!("{} records to {}", self.records, report.time));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
