use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use cutwater_core::limits;
use serde::de::DeserializeOwned;

use super::{
    Dating, Intake, Receiver, SourceBuilder,
    decode::{self, Decode},
    lines::LineFeed,
    received::Origin,
    socket::read_lines,
};
use crate::{DStream, Error, Record, task::panic_message};

/// Lines from whoever connects to an address of this machine.
///
/// Each connection has a thread of its own, which a full interval stops from reading. They are few by
/// [`limits::LISTEN_CONNECTIONS_MAX`].
struct Listen<T> {
    addr: String,
    decode: Decode<T>,
    line_bytes_max: usize,
    listener: Option<TcpListener>,
}

impl<T> Listen<T> {
    /// Binds the address before the program starts, so that a port in use is found out at once.
    fn bind(&self) -> Result<TcpListener, String> {
        let addr = &self.addr;
        let addresses: Vec<SocketAddr> = addr
            .to_socket_addrs()
            .map_err(|error| {
                format!("{addr:?} is no address to listen on ({error}); write it as 127.0.0.1:9999")
            })?
            .collect();
        if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(format!(
                "listening on {open} would take records from anyone who reaches this machine, without \
                 authentication or encryption; listen on 127.0.0.1:{} and have those in front who check",
                open.port()
            ));
        }
        TcpListener::bind(&*addresses).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("cannot listen on {addr}: the port is in use; end the program that has it, or choose another")
            }
            _ => format!("cannot listen on {addr}: {error}"),
        })
    }
}

impl<T: Record> Receiver<T> for Listen<T> {
    fn prepare(&mut self) -> Vec<String> {
        match self.bind() {
            Ok(listener) => {
                self.listener = Some(listener);
                Vec::new()
            }
            Err(fault) => vec![fault],
        }
    }

    fn receive(&mut self, intake: &Intake<T>) -> Result<(), Error> {
        let Some(listener) = self.listener.take() else { return Ok(()) };
        let over = Arc::new(AtomicBool::new(false));
        let result = self.accept(&listener, intake, &over);
        over.store(true, Ordering::Relaxed);
        result
    }
}

impl<T: Record> Listen<T> {
    /// Takes connections until the program is over.
    fn accept(
        &self,
        listener: &TcpListener,
        intake: &Intake<T>,
        over: &Arc<AtomicBool>,
    ) -> Result<(), Error> {
        listener.set_nonblocking(true).map_err(Error::external)?;
        let mut open: Vec<JoinHandle<()>> = Vec::new();
        let mut accepts = true;
        loop {
            for ended in open.extract_if(.., |thread| thread.is_finished()) {
                ended.join().map_err(|payload| {
                    Error::user(format_args!("a record could not be made: {}", panic_message(&*payload)))
                })?;
            }
            if open.len() < limits::LISTEN_CONNECTIONS_MAX {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        accepts = true;
                        open.push(self.read(stream, peer, intake, over)?);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // It may be mended by those that end: files can run out. Said once.
                    Err(error) if std::mem::take(&mut accepts) => {
                        tracing::warn!(address = %self.addr, %error, "cannot accept a connection; trying again");
                    }
                    Err(_) => {}
                }
            }
            if intake.sleep(Duration::from_millis(limits::ACCEPT_POLL_MS)).is_err() {
                break;
            }
        }
        for thread in open {
            // They see as soon that the program is over; a panic was printed.
            let _ = thread.join();
        }
        Ok(())
    }

    /// Reads one connection on a thread of its own.
    fn read(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        intake: &Intake<T>,
        over: &Arc<AtomicBool>,
    ) -> Result<JoinHandle<()>, Error> {
        let (intake, over) = (intake.clone(), over.clone());
        let mut feed = LineFeed::new(peer.to_string(), self.decode, self.line_bytes_max);
        let thread = thread::Builder::new().name(format!("cutwater-read-{peer}"));
        thread
            .spawn(move || {
                // Some systems hand the listener's mode on to what it accepts.
                let ready = stream.set_nonblocking(false);
                let is_over = || intake.is_stopped() || over.load(Ordering::Relaxed);
                let ended = match ready {
                    Ok(()) => read_lines(&mut stream, &mut feed, &intake, &is_over, &mut || {}),
                    Err(error) => Ok(Err(error)),
                };
                if let Ok(Err(error)) = ended {
                    tracing::info!(%peer, %error, "a connection broke");
                }
            })
            .map_err(Error::external)
    }
}

impl<D> SourceBuilder<'_, D> {
    /// The lines that others send to `addr` (host:port) of this machine, as many at a time as wish to.
    /// Only addresses that cannot be reached from outside are listened on, since nobody is asked who
    /// he is. Lines of one connection stay in order; offsets of malformed ones count from the
    /// beginning of their connection.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::local(1);
    /// let lines = ctx.source("log").listen_lines("127.0.0.1:9999"); // echo hello | nc localhost 9999
    /// # drop(lines);
    /// ```
    #[track_caller]
    pub fn listen_lines(self, addr: impl ToString) -> DStream<String>
    where
        D: Dating<String>,
    {
        self.listening(addr, decode::text)
    }

    /// The same where every line is a JSON value. Blank lines are passed over.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::local(1);
    /// let pairs = ctx.source("pairs").listen_json::<(String, u64)>("127.0.0.1:9999");
    /// # drop(pairs);
    /// ```
    #[track_caller]
    pub fn listen_json<T: Record + DeserializeOwned>(self, addr: impl ToString) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.listening(addr, decode::json)
    }

    #[track_caller]
    fn listening<T: Record>(self, addr: impl ToString, decode: Decode<T>) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.only("a socket", &["line_bytes_max"]);
        let line_bytes_max = self.line_bytes_max;
        let receiver = Listen { addr: addr.to_string(), decode, line_bytes_max, listener: None };
        self.received(Origin::Receiver(Box::new(receiver))).1
    }
}
