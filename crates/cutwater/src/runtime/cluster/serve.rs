use std::{net::SocketAddr, sync::Arc, time::Duration};

use cutwater_core::{BlockId, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    credentials::Credentials,
    frame,
    message::{Fetch, Fetched, Introduction},
    names::Blocks,
    tls::Role,
};
use tokio::{
    io::{BufReader, split},
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
    time::sleep,
};

use super::{handshakes::Handshakes, identity};
use crate::block::BlockStore;

/// Lets other workers of the run read this worker's blocks.
pub(super) async fn serve(listener: TcpListener, credentials: Credentials, blocks: Arc<BlockStore>) {
    let handshakes = Handshakes::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (credentials, blocks, handshakes) =
                    (credentials.clone(), blocks.clone(), handshakes.clone());
                tokio::spawn(async move {
                    let served = match handshakes.run(enter(stream, &credentials)).await {
                        Ok(Ok(stream)) => answer_all(stream, &blocks).await,
                        Ok(Err(error)) => Err(error),
                        Err(why) => return tracing::warn!(%peer, "{why}"),
                    };
                    if let Err(error) = served {
                        log_end(peer, &error);
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

fn log_end(peer: SocketAddr, error: &WireError) {
    match error {
        // A reader that is gone is the master's business.
        WireError::Io(error) => tracing::debug!(%peer, %error, "a reader is gone"),
        other => tracing::warn!(%peer, error = %other, "refused a reader"),
    }
}

async fn enter(stream: TcpStream, credentials: &Credentials) -> Result<Channel<TcpStream>, WireError> {
    stream.set_nodelay(true)?;
    let (mut stream, introduction, accepting) = credentials.accept(stream, &[Role::Worker]).await?;
    let own = identity::executable().ok();
    match introduction {
        Introduction::Reader { executable } if Some(executable) == own => {
            accepting.welcome(&mut stream, &()).await?;
            Ok(stream)
        }
        _ => {
            let why = "blocks are for workers of the same run";
            accepting.refuse(&mut stream, why).await?;
            Err(WireError::Refused(why.to_owned()))
        }
    }
}

/// Answers each request with its blocks in order, in as many messages as it takes: small blocks
/// together, so that they share a frame, large ones alone, so that only one is in memory as bytes.
pub(super) async fn answer_all(
    stream: Channel<TcpStream>,
    blocks: &Arc<BlockStore>,
) -> Result<(), WireError> {
    let (from, mut to) = split(stream);
    let mut from = BufReader::new(from);
    while let Some(Fetch(names)) = frame::receive::<Fetch>(&mut from, frame::MESSAGE_BYTES_MAX).await? {
        let mut rest = Blocks::long(&names)?;
        while !rest.is_empty() {
            let blocks = blocks.clone();
            // Turning records into bytes is work, and must not hold up other connections.
            let gathered = spawn_blocking(move || gather(rest, &blocks)).await;
            let (fetched, left) = gathered.map_err(std::io::Error::other)?;
            frame::send(&mut to, &fetched).await?;
            rest = left;
        }
    }
    Ok(())
}

fn gather(mut wanted: Vec<BlockId>, blocks: &BlockStore) -> (Fetched, Vec<BlockId>) {
    let (mut fetched, mut bytes) = (Vec::new(), 0);
    for id in &wanted {
        // A block that cannot be turned into bytes is as good as none; whoever wants it makes it anew
        // and meets the error in its own name.
        let block = blocks.get(*id).and_then(|block| {
            block.to_bytes().inspect_err(|error| tracing::error!(block = %id, %error, "cannot be sent")).ok()
        });
        bytes += block.as_ref().map_or(0, Vec::len);
        fetched.push(block);
        if bytes >= limits::GATHER_BYTES {
            break;
        }
    }
    let left = wanted.split_off(fetched.len());
    (Fetched(fetched), left)
}
