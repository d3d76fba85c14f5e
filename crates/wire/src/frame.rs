//! Messages as checked pieces of a stream of bytes.
//!
//! A frame is a length, a checksum and as many bytes. A message that is longer than a frame may be
//! continues in the next, so that one large message neither needs its size in memory before any of it
//! has arrived nor keeps the other end from being heard in between.
//!
//! ```text
//! u32 LE  length of the payload; bit 31: the message continues in the next frame
//! u32 LE  CRC-32 of the payload
//! …       payload
//! ```

use bytes::BufMut;
pub use cutwater_core::limits::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::WireError;

const CONTINUES: u32 = 1 << 31;
/// What stands before the payload of a frame.
pub const HEAD_BYTES: usize = 8;

/// Appends the frames of a message to `into`.
pub fn encode(message: &[u8], into: &mut Vec<u8>) {
    into.reserve(message.len() + (message.len() / FRAME_BYTES_MAX + 1) * HEAD_BYTES);
    let mut rest = message;
    loop {
        let (payload, after) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
        into.extend(head(&[payload], !after.is_empty()));
        into.extend(payload);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// The head of the frame that holds all `parts` of a payload, one after the other; `None` if one frame cannot.
pub fn head_of(parts: &[&[u8]]) -> Option<[u8; HEAD_BYTES]> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    (length <= FRAME_BYTES_MAX).then(|| head(parts, false))
}

/// Sends a message that lies in two places, which need not be brought together if a frame is enough.
///
/// # Errors
/// The connection fails.
pub async fn send_parts(
    to: &mut (impl AsyncWrite + Unpin),
    first: &[u8],
    second: &[u8],
) -> Result<(), WireError> {
    match head_of(&[first, second]) {
        Some(head) => {
            to.write_all(&[&head, first].concat()).await?;
            to.write_all(second).await?;
        }
        None => {
            let mut bytes = Vec::new();
            encode(&[first, second].concat(), &mut bytes);
            to.write_all(&bytes).await?;
        }
    }
    Ok(())
}

fn head(payload: &[&[u8]], continues: bool) -> [u8; HEAD_BYTES] {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    let mut hasher = crc32fast::Hasher::new();
    payload.iter().for_each(|part| hasher.update(part));
    let more = if continues { CONTINUES } else { 0 };
    // No payload is longer than `FRAME_BYTES_MAX`, so nothing is cut off.
    let [l0, l1, l2, l3] = (length as u32 | more).to_le_bytes();
    let [c0, c1, c2, c3] = hasher.finalize().to_le_bytes();
    [l0, l1, l2, l3, c0, c1, c2, c3]
}

/// Reads the next message, of at most `max` bytes, into `into`, whose contents it replaces. Says
/// whether there was one: at the end of the stream there is none.
///
/// # Errors
/// The stream ends within a message, or what arrives is damaged or too long.
pub async fn read(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
    into: &mut Vec<u8>,
) -> Result<bool, WireError> {
    into.clear();
    loop {
        match read_frame(from, max, into).await? {
            Read::Nothing => return Ok(false),
            Read::Some => {}
            Read::All => return Ok(true),
        }
    }
}

/// What [`read_frame`] has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing: the stream has ended.
    Nothing,
    /// A part of a message, which goes on.
    Some,
    /// All of a message, or the last part of it.
    All,
}

/// Reads the next message, of at most `max` bytes, into memory that `memory` has for as many bytes as its first
/// frame announces. `None` at the end of the stream.
///
/// # Errors
/// Those of [`read`].
pub async fn read_with(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
    memory: impl FnOnce(usize) -> Vec<u8>,
) -> Result<Option<Vec<u8>>, WireError> {
    let Some(head) = Head::read(from, true).await? else { return Ok(None) };
    head.check(0, max)?;
    let mut message = memory(head.length);
    message.clear();
    let mut read = head.payload(from, &mut message).await?;
    while read == Read::Some {
        read = read_frame(from, max, &mut message).await?;
    }
    Ok(Some(message))
}

/// Reads one frame, and appends it to the part of its message in `into`, of which all is to be at most `max`
/// bytes. Who reads a long message by its frames can tell one that is slow from one that has stopped.
///
/// # Errors
/// Those of [`read`].
pub async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
    into: &mut Vec<u8>,
) -> Result<Read, WireError> {
    let Some(head) = Head::read(from, into.is_empty()).await? else { return Ok(Read::Nothing) };
    head.check(into.len(), max)?;
    head.payload(from, into).await
}

/// What comes before the payload of a frame.
struct Head {
    length: usize,
    continues: bool,
    checksum: u32,
}

impl Head {
    /// The next one; `None` if the stream has ended where it `may_end`.
    async fn read(from: &mut (impl AsyncRead + Unpin), may_end: bool) -> Result<Option<Self>, WireError> {
        let mut head = [0; HEAD_BYTES];
        if may_end && from.read(&mut head[..1]).await? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut head[usize::from(may_end)..]).await?;
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let announced = u32::from_le_bytes([l0, l1, l2, l3]);
        Ok(Some(Self {
            length: (announced & !CONTINUES) as usize,
            continues: announced & CONTINUES != 0,
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
        }))
    }

    /// That a message of which there are `before` bytes already does not become longer than `max`.
    fn check(&self, before: usize, max: usize) -> Result<(), WireError> {
        // An empty frame that continues would let a message have no end.
        let is_endless = self.continues && self.length == 0;
        if self.length > FRAME_BYTES_MAX || before + self.length > max || is_endless {
            return Err(WireError::TooLong { max });
        }
        Ok(())
    }

    async fn payload(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        into: &mut Vec<u8>,
    ) -> Result<Read, WireError> {
        let begin = into.len();
        into.reserve(self.length);
        // Read into memory that nobody has filled with zeros before.
        let mut payload = (&mut *into).limit(self.length);
        while payload.has_remaining_mut() {
            if from.read_buf(&mut payload).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
        if crc32fast::hash(&into[begin..]) != self.checksum {
            return Err(WireError::Damaged);
        }
        Ok(if self.continues { Read::Some } else { Read::All })
    }
}

/// Sends a message of these `parts`, one after the other, without a copy of it. `to` had better have a buffer for the heads
/// of its frames, and is not flushed.
///
/// # Errors
/// The connection fails.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), parts: &[impl AsRef<[u8]>]) -> Result<(), WireError> {
    let mut left: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let mut parts = parts.iter().map(AsRef::as_ref);
    let mut rest: &[u8] = &[];
    loop {
        let length = left.min(FRAME_BYTES_MAX);
        left -= length;
        let mut payload = Vec::new();
        let mut missing = length;
        while missing > 0 {
            if rest.is_empty() {
                rest = parts.next().unwrap_or_default();
            }
            let (taken, after) = rest.split_at(rest.len().min(missing));
            missing -= taken.len();
            payload.push(taken);
            rest = after;
        }
        to.write_all(&head(&payload, left > 0)).await?;
        for part in payload {
            to.write_all(part).await?;
        }
        if left == 0 {
            return Ok(());
        }
    }
}

/// Sends one message.
///
/// # Errors
/// It cannot be encoded, or the connection fails.
pub async fn send<M: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &M) -> Result<(), WireError> {
    let mut bytes = Vec::new();
    encode(&postcard::to_allocvec(message)?, &mut bytes);
    to.write_all(&bytes).await?;
    to.flush().await?;
    Ok(())
}

/// Receives one message of at most `max` bytes; `None` at the end of the stream.
///
/// # Errors
/// Those of [`read`], and what arrives is no such message.
pub async fn receive<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<Option<M>, WireError> {
    let mut bytes = Vec::new();
    if !read(from, max, &mut bytes).await? {
        return Ok(None);
    }
    Ok(Some(postcard::from_bytes(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(mut bytes: &[u8], max: usize) -> Result<Vec<Vec<u8>>, WireError> {
        let (mut messages, mut message) = (Vec::new(), Vec::new());
        while read(&mut bytes, max, &mut message).await? {
            messages.push(message.clone());
        }
        Ok(messages)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn messages_come_back_in_order() {
        let messages: Vec<Vec<u8>> = [0, 1, 7, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 3 * FRAME_BYTES_MAX]
            .map(|n| (0..n).map(|i| (i % 251) as u8).collect())
            .into();
        let (mut bytes, mut written) = (Vec::new(), Vec::new());
        for message in &messages {
            encode(message, &mut bytes);
            let parts: Vec<&[u8]> = message.chunks(FRAME_BYTES_MAX / 3 * 2).collect();
            write(&mut written, &parts).await.unwrap();
        }
        assert!(bytes == written, "both ways to send it are the same bytes");
        assert_eq!(read_all(&bytes, MESSAGE_BYTES_MAX).await.unwrap(), messages);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn whatever_is_changed_is_noticed() {
        let mut bytes = Vec::new();
        encode(b"what is sent", &mut bytes);
        for at in 4..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(matches!(read_all(&damaged, 100).await, Err(WireError::Damaged)), "byte {at}");
        }
        for end in 1..bytes.len() {
            assert!(matches!(read_all(&bytes[..end], 100).await, Err(WireError::Io(_))), "cut at {end}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_too_long_is_refused_before_it_arrives() {
        let announced = |length: u32| [length.to_le_bytes(), [0; 4]].concat();
        for length in [101, FRAME_BYTES_MAX as u32 + 1, u32::MAX, CONTINUES] {
            let refused = read_all(&announced(length), 100).await;
            assert!(matches!(refused, Err(WireError::TooLong { max: 100 })), "{length}");
        }
        let mut bytes = Vec::new();
        encode(&vec![0; FRAME_BYTES_MAX + 1], &mut bytes);
        assert!(matches!(read_all(&bytes, FRAME_BYTES_MAX).await, Err(WireError::TooLong { .. })));
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = runtime.block_on(read_all(&bytes, 1000));
        });
    }
}
