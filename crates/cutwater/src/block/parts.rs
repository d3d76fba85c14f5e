use bytes::Bytes;

/// Bytes on their way out of this process, of which the long ones lie where they lay before: after a loss all that a worker
/// has received is copied, and in memory of its own each copy would first have to be found and cleared by the system.
///
/// Properties:
/// - what is short is brought together, so that there are few parts;
/// - all parts one after the other are the bytes that were appended.
///
/// A thread that reads blocks for others makes it. If the process dies, so does whoever waited for it.
#[derive(Default)]
pub(crate) struct Parts {
    closed: Vec<Bytes>,
    closed_bytes: usize,
    /// The last part, to which bytes may be appended.
    pub open: Vec<u8>,
}

impl Parts {
    /// Bytes of so few are copied.
    const SHORT: usize = 4 << 10;

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.closed_bytes + self.open.len()
    }

    /// Appends bytes that need not be copied.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.len() <= Self::SHORT {
            return self.open.extend_from_slice(&bytes);
        }
        self.close();
        self.closed_bytes += bytes.len();
        self.closed.push(bytes);
    }

    /// Leaves the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.open.truncate(length.saturating_sub(self.closed_bytes));
        while self.closed_bytes > length
            && let Some(mut last) = self.closed.pop()
        {
            self.closed_bytes -= last.len();
            last.truncate(length.saturating_sub(self.closed_bytes));
            if !last.is_empty() {
                self.closed_bytes += last.len();
                self.closed.push(last);
            }
        }
    }

    /// All of them.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.closed
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed_bytes += self.open.len();
            self.closed.push(std::mem::take(&mut self.open).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bytes_are_not_copied_and_short_ones_come_together() {
        let long = Bytes::from(vec![7; Parts::SHORT + 1]);
        let mut parts = Parts::default();
        parts.open.push(1);
        parts.share(Bytes::from_static(b"ab"));
        parts.share(long.clone());
        parts.open.push(2);
        assert_eq!(parts.len(), 3 + long.len() + 1);
        let parts = parts.finish();
        assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [3, long.len(), 1]);
        assert_eq!(parts[1].as_ptr(), long.as_ptr());
    }

    #[test]
    fn what_is_cut_off_is_gone_wherever_it_lies() {
        let long = Bytes::from((0..Parts::SHORT + 9).map(|i| i as u8).collect::<Vec<_>>());
        let made = || {
            let mut parts = Parts::default();
            parts.open.extend(b"abc");
            parts.share(long.clone());
            parts.share(long.clone());
            parts.open.extend(b"de");
            parts
        };
        let all = made().finish().concat();
        for length in (0..10).chain(all.len() / 2..all.len() / 2 + 9).chain(all.len() - 4..=all.len() + 1) {
            let mut parts = made();
            parts.truncate(length);
            assert_eq!(parts.len(), length.min(all.len()));
            parts.open.push(b'!');
            let expected = [&all[..length.min(all.len())], b"!"].concat();
            assert!(parts.finish().concat() == expected, "{length}");
        }
    }
}
