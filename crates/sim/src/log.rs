use std::{
    fmt::{self, Write},
    hash::{DefaultHasher, Hash, Hasher},
};

/// What happened, line by line. Two runs of one seed write the same, which is compared by a digest, since the
/// lines of thousands of seeds are kept by nobody.
pub struct Log {
    digest: u64,
    print: bool,
    line: String,
}

impl Log {
    /// An empty log, whose lines are printed if somebody wants to read them.
    pub fn new(print: bool) -> Self {
        Self { digest: 0, print, line: String::new() }
    }

    /// Writes one line.
    pub fn say(&mut self, now_ms: u64, what: fmt::Arguments<'_>) {
        self.line.clear();
        // A string takes whatever is written.
        let _ = write!(self.line, "{now_ms:>7} {what}");
        let mut hasher = DefaultHasher::new();
        (self.digest, &self.line).hash(&mut hasher);
        self.digest = hasher.finish();
        if self.print {
            println!("{}", self.line);
        }
    }

    /// A number that differs if any line does.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}
