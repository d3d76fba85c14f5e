use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::ControlFlow,
};

use flate2::read::MultiGzDecoder;

use super::{LineSplit, is_gzip};
use crate::{
    source::{Malformed, OnMalformed},
    task::{Emit, Finding, Flow, Node, Operator, Stop},
};

/// Records of a fixed number of bytes out of ranges of files. A record belongs to the range in which it
/// begins.
pub(crate) struct FixedRecords {
    record_bytes: usize,
    policy: OnMalformed,
}

impl Operator for FixedRecords {
    type Env = (usize, OnMalformed);
    type Out = Vec<u8>;

    fn rebuild((record_bytes, policy): Self::Env) -> Self {
        Self { record_bytes: record_bytes.max(1), policy }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Vec<u8>>) -> Flow {
        let split: LineSplit = match postcard::from_bytes(&node.split(partition)?.place) {
            Ok(split) => split,
            Err(error) => return node.refuse(format_args!("a range of a file cannot be read back: {error}")),
        };
        let mut records = 0;
        let read = records_of(&split, self.record_bytes, |record, offset| {
            if record.len() == self.record_bytes {
                node.go_on(0)?;
                records += 1;
                return emit(record);
            }
            let error =
                format!("the file ends {} bytes into a record of {}", record.len(), self.record_bytes);
            let malformed =
                Malformed { bytes: record, place: split.path.display().to_string(), offset, error };
            match self.policy {
                OnMalformed::Fail => node.refuse(malformed),
                OnMalformed::Report => {
                    node.report(partition, Finding::Malformed(malformed));
                    Flow::Continue(())
                }
            }
        });
        node.report(partition, Finding::Read { records, bytes: records * self.record_bytes as u64 });
        match read {
            Ok(flow) => flow,
            Err(error) => node.external(format_args!("cannot read {}: {error}", split.path.display())),
        }
    }
}

/// Calls `each` with every record of the split and where it begins; the last of a file may be short.
fn records_of(
    split: &LineSplit,
    record_bytes: usize,
    mut each: impl FnMut(Vec<u8>, u64) -> Flow,
) -> io::Result<ControlFlow<Stop>> {
    let step = record_bytes as u64;
    let mut file = File::open(&split.path)?;
    let mut offset = split.start.div_ceil(step) * step;
    let mut input: Box<dyn Read> = if is_gzip(&split.path) {
        Box::new(MultiGzDecoder::new(file))
    } else {
        file.seek(SeekFrom::Start(offset))?;
        Box::new(BufReader::new(file))
    };
    while offset < split.end {
        let mut record = Vec::with_capacity(record_bytes);
        input.by_ref().take(step).read_to_end(&mut record)?;
        if record.is_empty() {
            break;
        }
        if let ControlFlow::Break(stop) = each(record, offset) {
            return Ok(ControlFlow::Break(stop));
        }
        offset += step;
    }
    Ok(Flow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a file is cut, every record is read once, whole and in order.
    #[test]
    fn ranges_share_out_the_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        for bytes in 0..=23u8 {
            let all: Vec<u8> = (0..bytes).collect();
            std::fs::write(&path, &all).unwrap();
            for (parts, record_bytes) in [(1, 1), (1, 4), (2, 4), (3, 1), (3, 5), (7, 4), (30, 3)] {
                let mut records = Vec::new();
                for split in LineSplit::of_file(&path, parts).unwrap() {
                    let flow = records_of(&split, record_bytes, |record, offset| {
                        assert_eq!(offset as usize, records.len() * record_bytes);
                        records.push(record);
                        Flow::Continue(())
                    });
                    assert!(matches!(flow, Ok(Flow::Continue(()))));
                }
                let expected: Vec<_> = all.chunks(record_bytes).map(<[u8]>::to_vec).collect();
                assert_eq!(records, expected, "{bytes} bytes in {parts} parts");
            }
        }
    }
}
