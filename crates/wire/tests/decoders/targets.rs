//! What is done with bytes that may be anything: each decoder that hears the network, as a function.
//!
//! The tests beside this file call them with random and damaged bytes, and so do the targets of `fuzz/`, which
//! include it, for as long as one likes. None may panic, whatever the bytes, or take memory for what is only
//! announced.

use cutwater_core::Whereabouts;
use cutwater_wire::{
    agent::{Answer, Caller, Hello, Part, Request},
    client::{self, BatchHead, BlocksReport, Receive, ReplicaHead, ToClient, ToOwner, Welcome},
    compression,
    credentials::Credentials,
    fetched::Fetched,
    frame,
    handshake::Secret,
    message::{Fetch, Introduction, Joined, ToMaster, ToWorker},
    names::Blocks,
    plan::{OperatorDef, StageDef, Template},
    tls::Role,
};
use serde::{Serialize, de::DeserializeOwned};

/// A decoder, and what people call it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("frames", frames),
    ("messages", messages),
    ("handshakes", handshakes),
    ("names", names),
    ("blocks", blocks),
    ("clients", clients),
];

/// Runs what only waits for bytes that are there.
fn run<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without sockets or clocks needs nothing").block_on(future)
}

/// The stream of bytes as frames: what is read as messages is, sent again, the same messages.
pub fn frames(mut bytes: &[u8]) {
    run(async {
        let mut message = Vec::new();
        while let Ok(true) = frame::read(&mut bytes, 1 << 16, &mut message).await {
            let mut again = Vec::new();
            frame::encode(&message, &mut again);
            let mut back = Vec::new();
            let read = frame::read(&mut &again[..], 1 << 16, &mut back).await;
            assert!(read.is_ok_and(|read| read) && back == message);
        }
    });
}

/// What decodes is, encoded and decoded once more, encoded the same.
fn decoded<M: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<M> {
    let message: M = postcard::from_bytes(bytes).ok()?;
    let encoded = postcard::to_allocvec(&message).expect("what was decoded can be encoded");
    let again: M = postcard::from_bytes(&encoded).expect("what was encoded can be decoded");
    assert_eq!(postcard::to_allocvec(&again).ok(), Some(encoded));
    Some(message)
}

/// All that master, workers and agents tell each other.
pub fn messages(bytes: &[u8]) {
    for message in decoded::<Vec<ToWorker>>(bytes).unwrap_or_default() {
        if let ToWorker::Locate(_, located) = message
            && located.len() == 1
            && located[0].count < 1 << 16
        {
            let _ = Whereabouts::default().note(&located);
        }
    }
    decoded::<Vec<ToMaster>>(bytes);
    decoded::<Introduction>(bytes);
    decoded::<Joined>(bytes);
    decoded::<OperatorDef>(bytes);
    decoded::<Template>(bytes);
    decoded::<StageDef>(bytes);
    let _ = postcard::from_bytes::<Hello>(bytes);
    let _ = postcard::from_bytes::<Caller>(bytes);
    let _ = postcard::from_bytes::<Request>(bytes);
    let _ = postcard::from_bytes::<Part>(bytes);
    let _ = postcard::from_bytes::<Answer>(bytes);
}

/// The first bytes of a connection, greeting and introduction, at both ends: nobody gets in by them.
pub fn handshakes(bytes: &[u8]) {
    run(async {
        let credentials = Credentials::new(Secret::of("of the test"), None);
        let accepted = credentials.accept::<_, Introduction>(Said(bytes), &[Role::Worker]).await;
        assert!(accepted.is_err(), "nobody knows the secret");
        let introduction =
            Introduction::Reader { executable: cutwater_wire::handshake::ExecutableHash([0; 32]) };
        let connected =
            credentials.connect::<_, _, ()>(Said(bytes), "localhost", Role::Worker, &introduction).await;
        assert!(connected.is_err(), "nobody knows the secret");
    });
}

/// Many blocks in few bytes, of which only a bounded number is written out.
pub fn names(bytes: &[u8]) {
    let Some(Fetch(names)) = decoded::<Fetch>(bytes) else { return };
    let many: u64 = names
        .iter()
        .map(|names| match names {
            Blocks::One(_) => 1,
            Blocks::Pieces { count, .. } => u64::from(*count),
        })
        .sum();
    if many < 1 << 16
        && let Ok(blocks) = Blocks::long(&names)
    {
        assert_eq!(Blocks::long(&Blocks::short(&blocks)).ok(), Some(blocks));
    }
}

/// The answer of a holder of blocks, compressed or not: its announcement and what follows.
pub fn blocks(bytes: &[u8]) {
    let Some((head, payload)) =
        bytes.split_first().map(|(head, rest)| rest.split_at(rest.len().min(*head as usize)))
    else {
        return;
    };
    if let Some(fetched) = decoded::<Fetched>(head)
        && let Ok(blocks) = fetched.blocks(payload.to_vec())
    {
        assert_eq!(blocks.len(), fetched.count());
        assert_eq!(
            blocks.iter().flatten().map(|block| block.len()).sum::<usize>(),
            fetched.bytes().unwrap_or(0)
        );
    }
    for length in [0, payload.len(), payload.len() * 3, payload.len() * 255, usize::MAX] {
        if let Ok(less) = compression::decompress(payload, length) {
            assert_eq!(less.len(), length);
        }
    }
}

/// What clients and receivers tell each other, and batches of records.
pub fn clients(bytes: &[u8]) {
    decoded::<Welcome>(bytes);
    decoded::<ToClient>(bytes);
    decoded::<ToOwner>(bytes);
    decoded::<BlocksReport>(bytes);
    decoded::<Receive>(bytes);
    let _ = ReplicaHead::split(bytes);
    if let Ok((_, content)) = BatchHead::split(bytes) {
        client::records(content).for_each(drop);
    }
    client::records(bytes).for_each(drop);
}

/// A connection whose other end says these bytes, and hears whatever is said.
struct Said<'a>(&'a [u8]);

impl tokio::io::AsyncRead for Said<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Said<'_> {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
