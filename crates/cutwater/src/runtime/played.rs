//! Workers that a test plays: their connections are real, and what they say by them is up to the test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;

use cutwater_core::WorkerId;
use cutwater_wire::{
    WireError,
    channel::Channel,
    credentials::Credentials,
    frame,
    message::{Introduction, Joined, ToMaster, ToWorker},
    tls,
};
use tokio::net::TcpStream;

use super::{clock, cluster::identity};

pub(super) async fn say(master: &mut Channel<TcpStream>, message: ToMaster) {
    frame::send(master, &vec![message]).await.unwrap();
}

/// What the worker at this end is told next.
pub(super) async fn told(master: &mut Channel<TcpStream>) -> Vec<ToWorker> {
    let mut bytes = Vec::new();
    assert!(frame::read(master, frame::MESSAGE_BYTES_MAX, &mut bytes).await.unwrap());
    postcard::from_bytes(&bytes).unwrap()
}

/// Joins the master at `address` as a worker that was called so by one of epoch 1, or as a new one, and holds nothing.
pub(super) async fn join(
    address: SocketAddr,
    credentials: &Credentials,
    was: Option<WorkerId>,
) -> (Channel<TcpStream>, Joined) {
    let (mut stream, joined) = enter(address, credentials, was).await;
    say(&mut stream, ToMaster::Holds(Vec::new())).await;
    (stream, joined)
}

/// The same, and does not say yet what it holds.
pub(super) async fn enter(
    address: SocketAddr,
    credentials: &Credentials,
    was: Option<WorkerId>,
) -> (Channel<TcpStream>, Joined) {
    let was = was.map(|was| (was, 1));
    loop {
        // It may not listen yet.
        match introduced(address, credentials, was).await {
            Err(WireError::Io(_)) => tokio::task::yield_now().await,
            joined => return joined.unwrap(),
        }
    }
}

pub(super) async fn introduced(
    address: SocketAddr,
    credentials: &Credentials,
    was: Option<(WorkerId, u64)>,
) -> Result<(Channel<TcpStream>, Joined), WireError> {
    let introduction = Introduction::Worker {
        executable: identity::executable().unwrap(),
        slots: 1,
        memory_bytes: 0,
        data_address: ":1".to_owned(),
        clock_ms: clock::wall().as_ms(),
        was,
    };
    let stream = TcpStream::connect(address).await?;
    credentials.connect(stream, "127.0.0.1", tls::Role::Master, &introduction).await
}
