use std::{net::SocketAddr, time::Duration};

use cutwater_core::{WorkerId, limits};
use cutwater_wire::{
    channel::Channel,
    credentials::Credentials,
    message::{Introduction, Joined},
    tls::Role,
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{host_of, serve::Takeover};
use crate::{error::Error, runtime::receive::Keeps};

/// A worker that has no master: it has lost the one that it had, or is lost to it and is to join as a new one.
///
/// There is one way to wait, whichever it is. A program of which nothing is written down ends with its master. Who keeps what
/// clients were told is safe waits without end, and says so; the others do not wait for long.
pub(super) struct Seeker<'a> {
    /// Where the last one was.
    pub last: &'a str,
    /// Those of an earlier epoch are over, and do not know it yet.
    pub epoch: u64,
    /// What became of it.
    pub lost: &'a str,
    /// What the worker is called, as long as nobody else has its part.
    pub me: Option<WorkerId>,
    pub credentials: &'a Credentials,
}

/// Whom a worker finds that seeks a master, and where that is.
pub(super) enum Found {
    /// One that it has joined.
    Joined(Channel<TcpStream>, Joined, String),
    /// One to which it is lost, and of which epoch that is: mostly the one that it had.
    Stranger(String, u64),
}

impl Seeker<'_> {
    /// Joins a master: one that calls, or one that is where the last one was. The introduction tells the time, each time.
    pub async fn seek(
        &self,
        introduction: impl Fn() -> Introduction,
        takeover: &mut watch::Receiver<Option<Takeover>>,
        keeps: impl Fn() -> Keeps,
    ) -> Result<Found, Error> {
        let patience = Duration::from_millis(limits::REJOIN_MS_MAX);
        let (mut until, mut refused) = (Instant::now() + patience, None);
        loop {
            if Instant::now() >= until {
                let keeps = keeps();
                if !keeps.is_any() {
                    break;
                }
                self.say_that_it_waits(keeps, refused.as_ref());
                until = Instant::now() + patience;
            }
            let caller = takeover.borrow_and_update().clone().filter(|takeover| takeover.epoch > self.epoch);
            let (master, known) = caller.map_or_else(
                || (self.last.to_owned(), self.epoch),
                |takeover| (takeover.master, takeover.epoch),
            );
            let says = introduction();
            // A machine that is gone does not answer, and must not keep us from one that calls.
            let answer = tokio::select! {
                answer = knock(&master, &says, self.credentials) => answer,
                () = called(takeover, known) => continue,
            };
            match answer {
                Ok((_, joined)) if joined.epoch < self.epoch => {}
                Ok((stream, joined)) if self.me.is_none_or(|me| joined.worker == me) => {
                    return Ok(Found::Joined(stream, joined, master));
                }
                Ok((_, joined)) => return Ok(Found::Stranger(master, joined.epoch)),
                Err(Unheard::Refused(_) | Unheard::Nobody) if self.epoch == 0 => {
                    return Err(Error::external(format_args!(
                        "lost the master at {}: {}",
                        self.last, self.lost
                    )));
                }
                Err(Unheard::Refused(error)) => refused = Some(error),
                Err(Unheard::Nobody | Unheard::Silent) => {}
            }
            let wait = sleep(Duration::from_millis(limits::RECONNECT_MS_MIN));
            tokio::select! {
                () = wait => {}
                () = called(takeover, known) => {}
            }
        }
        Err(refused.unwrap_or_else(|| {
            Error::external(format_args!(
                "lost the master at {}, and no other has come within {} s",
                self.last,
                limits::REJOIN_MS_MAX / 1000
            ))
        }))
    }

    fn say_that_it_waits(&self, Keeps { blocks, batches }: Keeps, refused: Option<&Error>) {
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        tracing::warn!(
            blocks,
            batches,
            master = self.last,
            refused,
            "no master has come, and this worker holds records that were acknowledged: start the same executable as the program's master again, with the same checkpoints; a second SIGTERM ends this worker, and what it holds is lost"
        );
    }
}

/// Waits until a master of a later epoch calls.
pub(super) async fn called(takeover: &mut watch::Receiver<Option<Takeover>>, epoch: u64) {
    let is_later = |takeover: &Option<Takeover>| takeover.as_ref().is_some_and(|it| it.epoch > epoch);
    if takeover.wait_for(is_later).await.is_err() {
        // Nobody can call any more.
        std::future::pending().await
    }
}

/// Why no master has answered.
enum Unheard {
    /// Nobody listens there.
    Nobody,
    /// Somebody may, and has said nothing in time.
    Silent,
    Refused(Error),
}

async fn knock(
    master: &str,
    introduction: &Introduction,
    credentials: &Credentials,
) -> Result<(Channel<TcpStream>, Joined), Unheard> {
    let joining = async {
        let stream = TcpStream::connect(master).await.map_err(|_| Unheard::Nobody)?;
        stream.set_nodelay(true).map_err(|_| Unheard::Nobody)?;
        introduce(stream, master, introduction, credentials).await.map_err(Unheard::Refused)
    };
    // Before whoever introduces itself gives up by itself.
    let joining = timeout(Duration::from_millis(limits::HANDSHAKE_MS_MAX / 2), joining);
    joining.await.unwrap_or(Err(Unheard::Silent))
}

/// Connects to the master, which may be about to start; answers with our own address too.
pub(super) async fn reach(master: &str, wait: Duration) -> Result<(TcpStream, SocketAddr), Error> {
    let until = Instant::now() + wait;
    loop {
        let failed = match TcpStream::connect(master).await {
            Ok(stream) => match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
                Ok(local) => return Ok((stream, local)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() >= until {
            return Err(Error::external(format_args!(
                "no master at {master} after {wait:?}: {failed}; is it running, and is `--join` its address?"
            )));
        }
        sleep(Duration::from_millis(limits::RECONNECT_MS_MIN)).await;
    }
}

/// Says who this is to the master at the other end.
pub(super) async fn introduce(
    stream: TcpStream,
    master: &str,
    introduction: &Introduction,
    credentials: &Credentials,
) -> Result<(Channel<TcpStream>, Joined), Error> {
    let beyond = stream.peer_addr().is_ok_and(|peer| !peer.ip().is_loopback());
    if beyond && !credentials.has_tls() {
        return Err(Error::config(&[format!(
            "the master at {master} is on another machine; a worker runs whatever its master hands over, so beyond loopback there are only encrypted connections: make certificates with `cutwater certs` and name them in [tls], on both machines"
        )]));
    }
    let joining = timeout(
        Duration::from_millis(limits::HANDSHAKE_MS_MAX),
        credentials.connect(stream, host_of(master), Role::Master, introduction),
    );
    match joining.await {
        Ok(joined) => joined.map_err(|error| Error::external(format_args!("cannot join {master}: {error}"))),
        Err(_) => Err(Error::external(format_args!("cannot join {master}: no answer"))),
    }
}
