use std::{net::SocketAddr, sync::Arc, time::Duration};

use cutwater_core::limits;
use cutwater_wire::{WireError, agent::Caller, channel::Channel, tls::Role};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{Agent, session};

/// Lets callers in who prove that they may be here. Whoever cannot is told why, if he speaks our protocol,
/// and costs one short handshake.
pub async fn accept_all(listener: TcpListener, agent: Arc<Agent>) {
    let connections = Arc::new(Semaphore::new(limits::AGENT_CONNECTIONS_MAX));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let agent = agent.clone();
                tokio::spawn(async move {
                    receive(stream, peer, &agent).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

async fn receive(stream: TcpStream, peer: SocketAddr, agent: &Arc<Agent>) {
    let wait = Duration::from_millis(limits::HANDSHAKE_MS_MAX);
    match timeout(wait, enter(stream, agent)).await {
        Ok(Ok((stream, caller))) => {
            match session::serve(stream, caller, agent).await {
                Ok(()) => {}
                // Callers hang up when they like.
                Err(WireError::Io(error)) => tracing::debug!(%peer, %error, "a caller is gone"),
                Err(error) => tracing::warn!(%peer, %error, "a connection has ended"),
            }
        }
        Ok(Err(error)) => tracing::warn!(%peer, %error, "refused a connection"),
        Err(_) => tracing::warn!(%peer, "refused a connection that said nothing"),
    }
}

async fn enter(stream: TcpStream, agent: &Agent) -> Result<(Channel<TcpStream>, Caller), WireError> {
    stream.set_nodelay(true)?;
    let roles = [Role::Master, Role::Worker];
    let (mut stream, caller, accepting) = agent.credentials.accept(stream, &roles).await?;
    // Whoever starts jobs hands out code, as a master does. An agent on a machine for workers may ask another
    // agent for an executable, and is given nothing else (`session`).
    let wrong = match caller {
        Caller::Person => agent.credentials.wrong_role(&stream, &[Role::Master]),
        Caller::Agent => None,
    };
    if let Some(why) = wrong {
        accepting.refuse(&mut stream, &why).await?;
        return Err(WireError::Certificate(why));
    }
    accepting.welcome(&mut stream, &agent.hello()).await?;
    Ok((stream, caller))
}
