//! A small HTTP server that tells every client of page views as they happen, a JSON object a line.
//!
//! `cargo run --release --example page_view_server [address]`

use std::{
    io::{self, BufRead, BufReader, BufWriter, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Views a second, in ten portions.
const VIEWS_PER_S: u64 = 5000;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8377".to_owned());
    let listener = TcpListener::bind(&address)?;
    println!("page views at http://{}/views", listener.local_addr()?);
    for client in listener.incoming() {
        let client = client?;
        // A client that goes away ends its thread with an error that interests nobody.
        thread::spawn(move || serve(client));
    }
    Ok(())
}

fn serve(client: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    // The request and its headers end with an empty line.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut out = BufWriter::new(client);
    out.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for portion in 0.. {
        let views: String = (0..VIEWS_PER_S / 10).map(|n| view(portion * (VIEWS_PER_S / 10) + n)).collect();
        write!(out, "{:x}\r\n{views}\r\n", views.len())?;
        out.flush()?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// View number `n`: some pages are seen far more often than others.
fn view(n: u64) -> String {
    // A step of a linear congruential generator (Knuth's MMIX constants) from each number.
    let random = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
    let page = (1000.0f64.powf(random as f64 / (1u64 << 31) as f64)) as u64;
    format!("{{\"url\":\"/articles/{page}\",\"visitor\":{}}}\n", random % 10_000)
}
