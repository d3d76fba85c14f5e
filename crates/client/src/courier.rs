use std::{
    io,
    time::{Duration, Instant},
};

use cutwater_core::{ClientId, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    client::{ToClient, Welcome},
    credentials::Credentials,
    frame,
    message::Introduction,
    tls::Role,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, split},
    net::TcpStream,
    time::timeout,
};

use crate::{
    Builder,
    pending::{Next, Pending},
};

/// Carries batches to a receiver until the client is closed: to one that answers, and to another when that
/// one does not any more.
pub(crate) async fn carry(builder: &Builder, id: ClientId, pending: &Pending) {
    let mut places = Places::new(builder.addresses.clone());
    let mut wait = Duration::from_millis(limits::RECONNECT_MS_MIN);
    while !pending.is_closed() {
        let address = places.current().to_owned();
        let served = match connect(builder, id, &address).await {
            Ok((stream, welcome)) => {
                if !welcome.takes && !welcome.receivers.is_empty() {
                    places.follow(welcome.receivers);
                    continue;
                }
                if welcome.takes {
                    places.learn(welcome.receivers);
                    pending.trouble(None);
                    wait = Duration::from_millis(limits::RECONNECT_MS_MIN);
                    serve(stream, pending, &mut places).await
                } else {
                    Err("the program has no worker yet".to_owned())
                }
            }
            Err(why) => Err(why),
        };
        let Err(why) = served else { return };
        pending.trouble(Some(format!("{address}: {why}")));
        if places.another() {
            let until = Instant::now() + wait;
            // Who sends wakes us at every record; that is no reason to knock again.
            while Instant::now() < until && !pending.is_closed() {
                pending.woken(until).await;
            }
            wait = (2 * wait).min(Duration::from_millis(limits::RECONNECT_MS_MAX));
        }
    }
}

/// Where receivers are looked for, each in turn.
struct Places {
    contacts: Vec<String>,
    /// In the order in which a master said that this client is to try them: so all workers have as many clients.
    learnt: Vec<String>,
    at: usize,
}

impl Places {
    fn new(contacts: Vec<String>) -> Self {
        Self { contacts, learnt: Vec::new(), at: 0 }
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.contacts.iter().chain(&self.learnt)
    }

    fn current(&self) -> &str {
        self.all().nth(self.at).map_or("", String::as_str)
    }

    /// These are the receivers now, says one of them. Those we know stay in their order.
    fn learn(&mut self, receivers: Vec<String>) {
        let current = self.current().to_owned();
        self.learnt.retain(|known| receivers.contains(known));
        let new: Vec<_> = receivers.into_iter().filter(|place| !self.learnt.contains(place)).collect();
        self.learnt.extend(new);
        // The place we are at stays one, whether or not the others name it.
        let at = self.all().position(|place| *place == current);
        self.at = at.unwrap_or_else(|| {
            self.learnt.push(current);
            self.contacts.len() + self.learnt.len() - 1
        });
    }

    /// Goes from who only knows receivers to the first of them. Those that were known before come after them: a master that
    /// was stopped, and has lost its workers to another one meanwhile, may name some that are not there any more, and no others.
    fn follow(&mut self, receivers: Vec<String>) {
        let known = std::mem::replace(&mut self.learnt, receivers);
        let others: Vec<_> = known.into_iter().filter(|place| !self.learnt.contains(place)).collect();
        self.learnt.extend(others);
        self.at = self.contacts.len();
    }

    /// Goes on to the next; says whether all have been tried.
    fn another(&mut self) -> bool {
        self.at += 1;
        let tried = self.at >= self.contacts.len() + self.learnt.len();
        if tried {
            self.at = 0;
        }
        tried
    }
}

type Connection = Channel<TcpStream>;

async fn connect(
    builder: &Builder,
    client: ClientId,
    address: &str,
) -> Result<(Connection, Welcome), String> {
    let dialled = timeout(Duration::from_millis(limits::CONNECT_MS_MAX), TcpStream::connect(address)).await;
    let stream = dialled.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let beyond = stream.peer_addr().is_ok_and(|peer| !peer.ip().is_loopback());
    if beyond && builder.tls.is_none() {
        return Err("it is on another machine, and beyond loopback there are only encrypted connections: make a client's certificate with `cutwater certs` and name it by `Builder::tls`".to_owned());
    }
    let credentials = Credentials::new(builder.token.secret(address)?, builder.tls.clone());
    let introduction = Introduction::Client { client, source: builder.source.clone() };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // A master is one of those who know where receivers are, and a master's certificate does for a worker's.
    let shaken = credentials.connect(stream, host, Role::Worker, &introduction);
    let shaken = timeout(Duration::from_millis(limits::HANDSHAKE_MS_MAX), shaken).await;
    shaken.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())
}

/// Sends and hears until the client is closed, which is no error, or the receiver is of no use any more.
async fn serve(stream: Connection, pending: &Pending, places: &mut Places) -> Result<(), String> {
    let (from, to) = split(stream);
    let ended = tokio::select! {
        ended = send(to, pending) => ended,
        ended = hear(BufReader::new(from), pending, places) => ended,
    };
    ended.map_err(|error| error.to_string())
}

async fn send(mut to: impl AsyncWrite + Unpin, pending: &Pending) -> Result<(), WireError> {
    // What was sent on other connections and not acknowledged is sent again.
    let mut sent = 0;
    loop {
        match pending.next(sent) {
            Next::Send(sequence, frame) => {
                to.write_all(&frame).await?;
                to.flush().await?;
                sent = sequence + 1;
            }
            Next::Wait(until) => {
                let quiet = Instant::now() + Duration::from_millis(limits::PING_MS);
                pending.woken(until.map_or(quiet, |until| until.min(quiet))).await;
                if Instant::now() >= quiet {
                    let mut ping = Vec::new();
                    frame::encode(&[], &mut ping);
                    to.write_all(&ping).await?;
                    to.flush().await?;
                }
            }
            Next::End => return Ok(()),
        }
    }
}

async fn hear(
    mut from: impl AsyncRead + Unpin,
    pending: &Pending,
    places: &mut Places,
) -> Result<(), WireError> {
    let silence = Duration::from_millis(limits::SILENCE_MS_MAX);
    loop {
        let heard = timeout(silence, frame::receive(&mut from, frame::FRAME_BYTES_MAX)).await;
        let heard = heard.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing was heard"))??;
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "the receiver closed the connection");
        match heard.ok_or_else(closed)? {
            ToClient::Acknowledged(through) => pending.acknowledge(through),
            ToClient::Receivers(receivers) => places.learn(receivers),
            ToClient::Closed(why) => return Err(WireError::Refused(why)),
            ToClient::Ping => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(places: &[&str]) -> Vec<String> {
        places.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn receivers_are_tried_in_the_order_that_the_master_said() {
        let mut places = Places::new(names(&["master"]));
        assert_eq!(places.current(), "master");
        places.follow(names(&["c", "d", "a", "b"]));
        assert_eq!(places.current(), "c");
        // Receivers say it in their own order: one is gone, and one is new.
        places.learn(names(&["a", "b", "c", "e"]));
        assert_eq!(places.current(), "c");
        let others: Vec<_> = (0..3).map(|_| (places.another(), places.current().to_owned())).collect();
        assert_eq!(others, ["a", "b", "e"].map(|place| (false, place.to_owned())));
        assert!(places.another(), "all have been tried");
        assert_eq!(places.current(), "master");
    }

    #[test]
    fn who_was_known_before_is_tried_after_those_that_a_master_names() {
        let mut places = Places::new(names(&["master"]));
        places.learn(names(&["a", "b"]));
        places.follow(names(&["c", "b"]));
        let tried: Vec<_> = std::iter::once(places.current().to_owned())
            .chain(std::iter::from_fn(|| (!places.another()).then(|| places.current().to_owned())))
            .collect();
        assert_eq!(tried, names(&["c", "b", "a"]));
        // A receiver knows better.
        places.follow(names(&["c", "b"]));
        places.learn(names(&["b"]));
        assert_eq!(places.learnt, names(&["b", "c"]), "and the one we are at");
    }

    #[test]
    fn a_receiver_that_others_do_not_name_stays_the_current_one() {
        let mut places = Places::new(names(&["a"]));
        places.learn(names(&["b"]));
        assert_eq!(places.current(), "a");
        places.another();
        assert_eq!(places.current(), "b");
        places.learn(names(&["c"]));
        assert_eq!(places.current(), "b");
    }
}
