//! HTTP streams as sources, from a server written here: lines and events, ends and resumptions,
//! refusals and what is done about them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use cutwater::{Context, ErrorKind, ErrorPolicy};
use support::{Watch, program};

/// A server that gives its answers one after the other, one connection each, and hands over the
/// head of each request.
struct Server {
    addr: SocketAddr,
    requests: mpsc::Receiver<String>,
}

impl Server {
    fn answering(answers: impl IntoIterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self::with(
            answers
                .into_iter()
                .map(|answer| -> Serve {
                    Box::new(move |mut stream| {
                        // The other side may have seen enough.
                        let _ = stream.write_all(&answer);
                    })
                })
                .collect(),
        )
    }

    fn with(answers: Vec<Serve>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let _ = sender.send(head.join("\n").to_lowercase());
                answer(stream);
            }
        });
        Self { addr, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/views?key=secret", self.addr)
    }
}

type Serve = Box<dyn FnOnce(TcpStream) + Send>;

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}\r\n{body}").into_bytes()
}

/// A stream of lines that ends when the connection does.
fn lines(body: &str) -> Vec<u8> {
    answer("200 OK", "Content-Type: application/x-ndjson\r\nConnection: close\r\n", body)
}

fn events(body: &str) -> Vec<u8> {
    answer("200 OK", "Content-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n", body)
}

fn no_more() -> Vec<u8> {
    answer("204 No Content", "", "")
}

/// An answer in chunks, of which the last may be missing.
fn chunked(chunks: &[&str], ends: bool) -> Vec<u8> {
    let mut body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    if ends {
        body += "0\r\n\r\n";
    }
    answer("200 OK", "Transfer-Encoding: chunked\r\n", &body)
}

#[test]
fn lines_are_read_across_outages_until_the_server_says_that_there_are_no_more() {
    let server = Server::answering([
        answer("503 Service Unavailable", "Content-Length: 0\r\nRetry-After: 0\r\n", ""),
        lines("[1,\"a\"]\n\n[2,\"b\"]"),
        Vec::new(),
        chunked(&["[3,\"", "c\"]\n[4,\"d\"]\n[5"], false),
        answer("429 Too Many Requests", "Content-Length: 0\r\n", ""),
        chunked(&["[6,\"f\"]"], true),
        no_more(),
    ]);
    let ctx = program();
    let views = ctx.http_json::<(u32, String)>(server.url());
    let (seen, reports) = (Watch::of(&views), support::reports(&ctx));
    ctx.run().unwrap();
    let expected = [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (6, "f")];
    assert_eq!(seen.all(), expected.map(|(n, text)| (n, text.to_owned())));
    // [5 broke off with its connection.
    assert_eq!(reports.sum(|taken| taken.dropped), 1);
    let request = server.requests.recv().unwrap();
    assert!(request.starts_with("get /views?key=secret http/1.1"), "{request}");
    let accept = request.lines().find(|line| line.starts_with("accept:")).unwrap();
    assert!(accept.contains("text/event-stream") && accept.contains("application/x-ndjson"), "{accept}");
}

#[test]
fn events_are_resumed_after_the_last_that_was_taken() {
    let server = Server::answering([
        events(
            ": hello\n\nretry: 120\nid: 1\ndata: [1,\ndata: \"a\"]\n\nid: 2\ndata: [2,\"b\"]\n\nid: 3\ndata: [3",
        ),
        events("id: 3\ndata: [3,\"c\"]\n\n"),
        no_more(),
    ]);
    let ctx = program();
    let seen = Watch::of(&ctx.http_json::<(u32, String)>(server.url()));
    ctx.run().unwrap();
    assert_eq!(seen.all(), [(1, "a"), (2, "b"), (3, "c")].map(|(n, text)| (n, text.to_owned())));
    let ids: Vec<_> = server
        .requests
        .iter()
        .map(|head| head.lines().find_map(|line| line.strip_prefix("last-event-id: ").map(str::to_owned)))
        .collect();
    assert_eq!(ids, [None, Some("2".to_owned()), Some("3".to_owned())]);
}

#[test]
fn an_answer_of_known_length_is_taken_once() {
    let body = "1\n2\n3\n";
    let server = Server::answering([answer("200 OK", "Content-Length: 6\r\n", body)]);
    let ctx = program();
    let seen = Watch::of(&ctx.source("numbers").http_json::<u32>(server.url()));
    ctx.run().unwrap();
    assert_eq!(seen.all(), [1, 2, 3]);
}

#[test]
fn a_refusal_is_an_error_with_the_status_and_the_address() {
    let server = Server::answering([answer("404 Not Found", "Content-Length: 0\r\n", "")]);
    let ctx = program();
    ctx.source("views").http_json::<u32>(server.url()).print();
    let error = ctx.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    let text = error.to_string();
    assert!(
        text.contains(&format!("views: http://{}/views: the server answered 404", server.addr)),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_malformed_record_fails_the_interval_unless_something_else_is_said() {
    let server = Server::answering([lines("1\ntwo\n3\n")]);
    let ctx = program();
    ctx.source("numbers").http_json::<u32>(server.url()).print();
    let error = ctx.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("numbers: malformed record at byte 2 of http://127.0.0.1"), "{error}");
}

#[test]
fn malformed_records_are_left_out_and_counted() {
    let server = Server::answering([lines("1\ntwo\n3\n"), no_more()]);
    let ctx = program();
    let numbers = ctx.source("numbers").on_error(ErrorPolicy::Skip).http_json::<u32>(server.url());
    let (seen, reports) = (Watch::of(&numbers), support::reports(&ctx));
    ctx.run().unwrap();
    assert_eq!(seen.all(), [1, 3]);
    assert_eq!(reports.sum(|taken| taken.malformed.len() as u64), 1);
}

#[test]
fn malformed_events_are_kept_with_all_that_is_known_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rejected.jsonl");
    let server = Server::answering([events("data: 1\n\ndata: t\ndata: wo\n\ndata: 3\n\n"), no_more()]);
    let ctx = program();
    let policy = ErrorPolicy::dead_letter_file(&path);
    let seen = Watch::of(&ctx.source("numbers").on_error(policy).http_json::<u32>(server.url()));
    ctx.run().unwrap();
    assert_eq!(seen.all(), [1, 3]);
    let letters = support::letters(&path);
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(
        (&letter["source"], &letter["text"], &letter["offset"]),
        (&"numbers".into(), &"t\nwo".into(), &9.into())
    );
    assert_eq!(letter["place"], format!("http://{}/views", server.addr));
    assert!(letter["error"].is_string() && letter["interval"].is_string());
}

#[test]
fn a_full_interval_holds_the_server_up_and_nothing_is_lost() {
    let body: String = (0..1_000).map(|n| format!("{n}\n")).collect();
    let server = Server::answering([lines(&body), no_more()]);
    let ctx = program();
    let numbers = ctx.source("numbers").interval_records_max(70).http_json::<u32>(server.url());
    let (seen, reports) = (Watch::of(&numbers), support::reports(&ctx));
    ctx.run().unwrap();
    let mut all = seen.all();
    all.sort_unstable();
    assert_eq!(all, (0..1_000).collect::<Vec<_>>());
    assert!(reports.taken().iter().all(|taken| taken.records <= 70));
    assert_eq!(reports.sum(|taken| taken.dropped), 0);
}

#[test]
fn a_program_stops_while_its_server_is_silent() {
    let (ended, wait) = mpsc::channel::<()>();
    let server = Server::with(vec![Box::new(move |mut stream: TcpStream| {
        stream.write_all(&lines("1\n")).unwrap();
        let _ = wait.recv();
    })]);
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let ctx = program();
    let seen = Watch::of(&ctx.http_json::<u32>(server.url()));
    // One that never says more than that it is there, and one that does not even answer.
    ctx.http_json::<u32>(format!("http://{}/", mute.local_addr().unwrap())).print();
    let running = support::run(&ctx);
    seen.wait_for(1);
    drop(mute.accept().unwrap());
    running.stop().unwrap();
    drop(ended);
}

#[test]
fn every_url_that_will_not_do_is_listed_before_the_start() {
    let ctx = Context::local(1);
    ctx.source("odd").http_json::<u32>("localhost/views").print();
    ctx.source("other").http_json::<u32>("ftp://localhost/views").print();
    ctx.source("safe").http_json::<u32>("https://me:secret@localhost/views").print();
    let error = ctx.run();
    // With TLS the third is as good as any.
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("odd: \"localhost/views\" is no URL"), "{text}");
    assert!(text.contains("other: \"ftp://localhost/views\" is no URL to read from"), "{text}");
    let of_tls = "safe: https://localhost/views needs TLS; enable the feature `tls` of the crate cutwater";
    assert_eq!(text.contains(of_tls), !cfg!(feature = "tls"), "{text}");
}
