use std::io::{self, Write};

use crate::{Record, output::frames};

/// How records become the bytes of a file.
pub trait Format<T>: Send + Sync + 'static + sealed::Sealed {
    /// What the names of files end with.
    const EXTENSION: &'static str;

    /// What a file begins with.
    #[doc(hidden)]
    fn header() -> Vec<u8>;

    /// Writes one record. `buffer` may be used again for each.
    #[doc(hidden)]
    fn write(out: &mut dyn Write, record: &T, buffer: &mut Vec<u8>) -> io::Result<()>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Lines {}
    impl Sealed for super::Frames {}
}

/// Text, a line for each record. A record that holds line breaks makes several lines.
#[derive(Debug)]
pub enum Lines {}

impl<T: AsRef<str>> Format<T> for Lines {
    const EXTENSION: &'static str = ".txt";

    fn header() -> Vec<u8> {
        Vec::new()
    }

    fn write(out: &mut dyn Write, record: &T, _: &mut Vec<u8>) -> io::Result<()> {
        out.write_all(record.as_ref().as_bytes())?;
        out.write_all(b"\n")
    }
}

/// Records as they are: each with its length and checksum.
#[derive(Debug)]
pub enum Frames {}

impl<T: Record> Format<T> for Frames {
    const EXTENSION: &'static str = "";

    fn header() -> Vec<u8> {
        frames::header().to_vec()
    }

    fn write(out: &mut dyn Write, record: &T, buffer: &mut Vec<u8>) -> io::Result<()> {
        frames::write(out, record, buffer)
    }
}
