//! What no door understands, for the tests of each of them.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    time::Duration,
};

/// Another protocol, bytes that announce much or nothing, and a greeting that goes no further.
pub const GARBAGE: [&[u8]; 4] =
    [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &[0; 4096], &[0xff; 4096], b"cutwater"];

/// Sends it over a connection of its own; answers with what was heard before that ended.
pub fn send(address: impl ToSocketAddrs, garbage: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The other end may have closed before all of it is written.
    let _ = stream.write_all(garbage);
    let _ = stream.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    // It ends by a reset if not everything was read there.
    let _ = stream.read_to_end(&mut heard);
    heard
}
