use std::{
    io::{self, Read},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use cutwater_core::limits;
use serde::de::DeserializeOwned;

use super::{
    Dating, Intake, Receiver, SourceBuilder, Stopped,
    decode::{self, Decode},
    lines::LineFeed,
    outage::{Outage, STOP_POLL, unless_stopped},
    received::Origin,
};
use crate::{DStream, Error, Record};

/// Lines from a server to which this side connects, again and again.
struct Connect<T> {
    addr: String,
    decode: Decode<T>,
    line_bytes_max: usize,
}

impl<T: Record> Receiver<T> for Connect<T> {
    fn prepare(&mut self) -> Vec<String> {
        // Whether the name is known and the server there is a matter of the moment, and tried again.
        let port =
            self.addr.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match port {
            Some((host, port)) if !host.is_empty() && port != 0 => Vec::new(),
            _ => vec![format!(
                "{:?} is no address to connect to; write it as host:port, such as localhost:9999",
                self.addr
            )],
        }
    }

    fn receive(&mut self, intake: &Intake<T>) -> Result<(), Error> {
        // Being told to stop is how it ends.
        let _ = self.connect(intake);
        Ok(())
    }
}

impl<T> Connect<T> {
    fn connect(&self, intake: &Intake<T>) -> Result<(), Stopped> {
        let mut outage = Outage::new(&self.addr, intake);
        loop {
            let addr = self.addr.clone();
            let dialled = unless_stopped(intake, move || dial(&addr))?;
            match dialled.and_then(|stream| stream) {
                Ok(mut stream) => {
                    intake.set_away(false);
                    let mut feed = LineFeed::new(self.addr.clone(), self.decode, self.line_bytes_max);
                    let ended =
                        read_lines(&mut stream, &mut feed, intake, &|| intake.is_stopped(), &mut || {
                            outage.over()
                        })?;
                    match ended {
                        Ok(()) => outage.wait(intake, "the server closed the connection")?,
                        Err(error) => outage.wait(intake, error)?,
                    }
                }
                Err(error) => outage.wait(intake, error)?,
            }
        }
    }
}

/// Connects to the first address of the name that answers. The name is looked up every time, since
/// a server may come back elsewhere.
fn dial(addr: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addr.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_millis(limits::CONNECT_MS_MAX)) {
            Ok(stream) if is_connected_to_itself(&stream) => last = io::ErrorKind::ConnectionRefused.into(),
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A port of this machine at which nobody listens is now and then given to the very socket that looks for
/// it. The two ends then are one, and the server, when it comes back, finds its port in use.
fn is_connected_to_itself(stream: &TcpStream) -> bool {
    stream.peer_addr().is_ok_and(|peer| stream.local_addr().is_ok_and(|own| own == peer))
}

/// Bytes read from a connection at a time.
const READ_BYTES: usize = 64 << 10;

/// Reads lines until the other side closes the connection, it breaks, or the program is over. A full
/// interval stops the reading, so that the sender is held up in its turn. `stands` is called whenever
/// the connection is known to work.
pub(super) fn read_lines<T>(
    stream: &mut TcpStream,
    feed: &mut LineFeed<T>,
    intake: &Intake<T>,
    is_over: &dyn Fn() -> bool,
    stands: &mut dyn FnMut(),
) -> Result<io::Result<()>, Stopped> {
    // A read that takes longer gives the thread a chance to see that the program is over.
    if let Err(error) = stream.set_read_timeout(Some(STOP_POLL)) {
        return Ok(Err(error));
    }
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return feed.end(intake).map(Ok),
            Ok(read) => {
                stands();
                feed.take(&buffer[..read], intake)?;
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => stands(),
                _ => {
                    feed.broken(intake);
                    return Ok(Err(error));
                }
            },
        }
        if is_over() {
            return Err(Stopped);
        }
    }
}

impl<D> SourceBuilder<'_, D> {
    /// The lines that the server at `addr` (host:port) sends. If it is away or goes away, the source
    /// connects again until the program ends, at first after 100 ms and at last every 5 s. Offsets of
    /// malformed lines count from the beginning of their connection.
    ///
    /// If the server closes the connection, what came after the last line end is a line too; if the
    /// connection breaks, it is counted as dropped; and so are lines that wait for room in a full
    /// interval when the program is told to stop. What a server sends while nobody is connected is the
    /// server's affair.
    ///
    /// ```
    /// # use cutwater::Context;
    /// let ctx = Context::local(1);
    /// let lines = ctx.source("log").socket_lines("localhost:9999");
    /// # drop(lines);
    /// ```
    #[track_caller]
    pub fn socket_lines(self, addr: impl ToString) -> DStream<String>
    where
        D: Dating<String>,
    {
        self.connected(addr, decode::text)
    }

    /// The same where every line is a JSON value. Blank lines are passed over.
    ///
    /// ```
    /// # use cutwater::Context;
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct PageView { url: String }
    ///
    /// let ctx = Context::local(1);
    /// let views = ctx.source("views").socket_json::<PageView>("localhost:9999");
    /// # drop(views);
    /// ```
    #[track_caller]
    pub fn socket_json<T: Record + DeserializeOwned>(self, addr: impl ToString) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.connected(addr, decode::json)
    }

    #[track_caller]
    fn connected<T: Record>(self, addr: impl ToString, decode: Decode<T>) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.only("a socket", &["line_bytes_max"]);
        let receiver = Connect { addr: addr.to_string(), decode, line_bytes_max: self.line_bytes_max };
        self.received(Origin::Receiver(Box::new(receiver))).1
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_that_is_connected_to_itself_is_known() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let own = socket.local_addr().unwrap();
            socket.connect(own).await.unwrap().into_std().unwrap()
        });
        assert!(is_connected_to_itself(&stream));
    }

    #[test]
    fn a_socket_that_is_connected_to_a_server_is_dialled() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = server.local_addr().unwrap().to_string();
        assert!(!is_connected_to_itself(&dial(&addr).unwrap()));
    }
}
