use std::{collections::VecDeque, future::pending, io, time::Duration};

use cutwater_core::{ClientId, clients::Refused, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    client::{BATCH_MESSAGE_BYTES_MAX, BatchHead, BatchReport, ToClient, Welcome},
    frame,
    handshake::Accepting,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, split},
    net::TcpStream,
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        watch,
    },
    time::{sleep, timeout},
};

use super::{Inbox, inbox::Peers};

/// Takes the batches of a client that has introduced itself, until it is gone.
pub(crate) async fn serve_client(
    mut connection: Channel<TcpStream>,
    accepting: Accepting,
    (client, source): (ClientId, &str),
    inbox: &Inbox,
) -> Result<(), WireError> {
    let source = match inbox.source_named(source) {
        Ok(source) => source,
        Err(why) => return accepting.refuse(&mut connection, &why).await,
    };
    // Who comes while it is welcomed is told of too.
    let mut peers = inbox.peers();
    let receivers = addresses(&peers.borrow_and_update());
    accepting.welcome(&mut connection, &Welcome { takes: true, receivers }).await?;
    let (from, to) = split(connection);
    // Bounded by what the source may hold: each of them is a batch in a block.
    let (taken, told) = mpsc::unbounded_channel();
    tokio::select! {
        ended = take(BufReader::with_capacity(limits::GATHER_BYTES, from), client, source, inbox, &taken) => ended,
        ended = tell(to, inbox, peers, told) => ended,
    }
}

fn addresses(peers: &Peers) -> Vec<String> {
    peers.values().cloned().collect()
}

/// What the reading half of a connection has the writing half say.
enum Taken {
    /// The batch of this number may be acknowledged once that ticket is safe.
    Batch(u64, u64),
    /// No more is taken.
    Closed(String),
}

async fn take(
    mut from: impl AsyncRead + Unpin,
    client: ClientId,
    source: u32,
    inbox: &Inbox,
    taken: &UnboundedSender<Taken>,
) -> Result<(), WireError> {
    let silence = Duration::from_millis(limits::SILENCE_MS_MAX);
    let mut next = None;
    loop {
        if let Err(refused) = inbox.has_room(source).await {
            return close(taken, &refused).await;
        }
        // A batch stays where it was read to.
        let read = frame::read_with(&mut from, BATCH_MESSAGE_BYTES_MAX, |bytes| inbox.buffers.take(bytes));
        let read = timeout(silence, read).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let Some(message) = read? else { return Ok(()) };
        if message.is_empty() {
            continue;
        }
        let (BatchHead { sequence, records }, _) = BatchHead::split(&message)?;
        // Acknowledging one acknowledges all before it, so none may be left out.
        if records == 0 || next.is_some_and(|next| next != sequence) {
            return Err(WireError::NotCutwater);
        }
        next = Some(sequence + 1);
        let content = inbox.buffers.keep(message).split_off(BatchHead::BYTES);
        // No batch is longer than `BATCH_BYTES_MAX`, so nothing is cut off.
        let batch = BatchReport { client, sequence, records, bytes: content.len() as u32 };
        match inbox.put(source, batch, content) {
            Ok(ticket) => drop(taken.send(Taken::Batch(ticket, sequence))),
            Err(refused) => return close(taken, &refused).await,
        }
    }
}

/// Has the writing half say so and end.
async fn close(taken: &UnboundedSender<Taken>, refused: &Refused) -> Result<(), WireError> {
    let _ = taken.send(Taken::Closed(refused.to_string()));
    pending().await
}

async fn tell(
    mut to: impl AsyncWrite + Unpin,
    inbox: &Inbox,
    mut peers: watch::Receiver<Peers>,
    mut taken: UnboundedReceiver<Taken>,
) -> Result<(), WireError> {
    let mut safe = inbox.acknowledged();
    let mut waiting = VecDeque::new();
    let mut closed = None;
    loop {
        tokio::select! {
            batch = taken.recv(), if closed.is_none() => match batch {
                Some(Taken::Batch(ticket, sequence)) => waiting.push_back((ticket, sequence)),
                Some(Taken::Closed(why)) => closed = Some(why),
                None => return Ok(()),
            },
            _ = safe.changed() => {}
            _ = peers.changed() => {
                let receivers = addresses(&peers.borrow_and_update());
                frame::send(&mut to, &ToClient::Receivers(receivers)).await?;
            }
            () = sleep(Duration::from_millis(limits::PING_MS)) => {
                frame::send(&mut to, &ToClient::Ping).await?;
            }
        }
        let through = *safe.borrow_and_update();
        let mut acknowledged = None;
        while let Some((_, sequence)) = waiting.pop_front_if(|(ticket, _)| *ticket <= through) {
            acknowledged = Some(sequence);
        }
        if let Some(sequence) = acknowledged {
            frame::send(&mut to, &ToClient::Acknowledged(sequence)).await?;
        }
        // What was taken is still acknowledged.
        if waiting.is_empty()
            && let Some(why) = closed.take()
        {
            return frame::send(&mut to, &ToClient::Closed(why)).await;
        }
    }
}
