use std::time::Duration;

use cutwater_core::limits;
use cutwater_wire::{WireError, frame};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until, timeout},
};

/// Sends what comes out of `messages` until the queue ends: whatever is ready at the same time in one
/// frame, and `ping` when nothing was for a while.
pub(super) async fn send_all<M: Serialize>(
    mut to: impl AsyncWrite + Unpin,
    mut messages: UnboundedReceiver<M>,
    ping: fn() -> M,
) -> Result<(), WireError> {
    const TOGETHER: usize = 256;
    let mut ready = Vec::with_capacity(TOGETHER);
    let mut bytes = Vec::new();
    loop {
        let quiet = Instant::now() + Duration::from_millis(limits::PING_MS);
        tokio::select! {
            received = messages.recv_many(&mut ready, TOGETHER) => if received == 0 {
                // The other end learns by the end of the stream that nothing will follow.
                to.shutdown().await?;
                return Ok(());
            },
            () = sleep_until(quiet) => ready.push(ping()),
        }
        frame::encode(&postcard::to_allocvec(&ready)?, &mut bytes);
        ready.clear();
        to.write_all(&bytes).await?;
        to.flush().await?;
        bytes.clear();
        // A large message was an exception.
        bytes.shrink_to(limits::GATHER_BYTES);
    }
}

/// The next messages of the other end; `None` when it has nothing more to say. One that is silent for
/// too long is lost.
pub(super) async fn receive_some<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<Option<Vec<M>>, WireError> {
    let silence = Duration::from_millis(limits::SILENCE_MS_MAX);
    let read = timeout(silence, frame::read(from, frame::MESSAGE_BYTES_MAX, bytes)).await;
    let read = read.unwrap_or_else(|_| {
        let why = format!("nothing was heard for {} ms", limits::SILENCE_MS_MAX);
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, why).into())
    })?;
    let messages = if read { Some(postcard::from_bytes(bytes)?) } else { None };
    bytes.shrink_to(limits::GATHER_BYTES);
    Ok(messages)
}
