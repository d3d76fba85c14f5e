//! Records that are sent by HTTP, for languages that have no client of their own.

#![allow(clippy::unwrap_used)]

#[path = "support/garbage.rs"]
mod garbage;
mod support;

use cutwater::Context;
use garbage::{GARBAGE, send};
use support::{PATIENCE, Watch, program, run};

/// A door, and the token that opens it.
struct Door {
    address: String,
    token: String,
}

struct Answer {
    status: u16,
    retry_after: bool,
    text: String,
}

impl Door {
    fn of(ctx: &Context) -> Self {
        let access = ctx.client_access().unwrap();
        let token = std::fs::read_to_string(access.token_file.unwrap()).unwrap();
        Self { address: access.address.to_string(), token }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let url = format!("http://{}/{path}", self.address);
        let mut request = ureq::post(url).config().http_status_as_error(false).build();
        if headers.iter().all(|(name, _)| *name != "authorization") {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.send(body).unwrap();
        Answer {
            status: answer.status().as_u16(),
            retry_after: answer.headers().contains_key("retry-after"),
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }

    /// The same, again while it is told to come back: before the program runs, or when it is full.
    fn insist(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let began = std::time::Instant::now();
        loop {
            let answer = self.post(path, headers, body);
            if !matches!(answer.status, 404 | 429) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "{}", answer.text);
        }
    }
}

#[test]
fn each_line_is_a_record() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("lines").client_lines());
    let door = Door::of(&ctx);
    let running = run(&ctx);
    let answer = door.insist("lines", &[], b"one\ntwo\r\n\nfour");
    assert_eq!((answer.status, &*answer.text), (200, "4 records\n"));
    assert_eq!(door.post("lines", &[], b"five\n").status, 200);
    assert_eq!(door.post("lines", &[], b"").text, "0 records\n");
    running.stop().unwrap();
    assert_eq!(seen.all(), ["one", "two", "", "four", "five"]);
}

#[test]
fn a_request_that_is_numbered_counts_once() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("lines").client_lines());
    let door = Door::of(&ctx);
    let running = run(&ctx);
    for sequence in ["0", "1", "1", "0", "2"] {
        let headers = [("cutwater-client", "me"), ("cutwater-sequence", sequence)];
        assert_eq!(door.insist("lines", &headers, sequence.as_bytes()).status, 200);
    }
    let headers = [("cutwater-client", "another"), ("cutwater-sequence", "0")];
    assert_eq!(door.post("lines", &headers, b"mine").status, 200);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["0", "1", "2", "mine"]);
}

#[test]
fn what_is_refused_is_told_why() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("lines").client_lines());
    let door = Door::of(&ctx);
    let running = run(&ctx);
    assert_eq!(door.insist("lines", &[], b"first").status, 200);
    for wrong in ["Bearer a guess", "Basic YTpi", ""] {
        let answer = door.post("lines", &[("authorization", wrong)], b"x");
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert!(!answer.text.contains(&door.token));
    }
    let answer = door.post("others", &[], b"x");
    assert_eq!(answer.status, 404);
    assert!(answer.text.contains("others") && answer.text.contains("lines"), "{}", answer.text);
    let half = [("cutwater-client", "me")];
    assert_eq!(door.post("lines", &half, b"x").status, 400);
    let no_number = [("cutwater-client", "me"), ("cutwater-sequence", "first")];
    assert_eq!(door.post("lines", &no_number, b"x").status, 400);
    assert_eq!(door.post("lines", &[], &vec![b'x'; 5 << 20]).status, 413);
    // Each of so many empty lines takes room for its length.
    assert_eq!(door.post("lines", &[], &vec![b'\n'; 2 << 20]).status, 413);
    let url = format!("http://{}/lines", door.address);
    let get = ureq::get(url).config().http_status_as_error(false).build();
    let get = get.header("authorization", format!("Bearer {}", door.token)).call().unwrap();
    assert_eq!(get.status().as_u16(), 405);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["first"]);
}

#[test]
fn who_comes_when_the_interval_is_full_is_told_to_come_back() {
    let ctx = Context::builder("test")
        .interval(std::time::Duration::from_secs(3600))
        .threads(1)
        .handle_signals(false)
        .build()
        .unwrap();
    let seen = Watch::of(&ctx.source("lines").interval_records_max(2).client_lines());
    let door = Door::of(&ctx);
    let running = run(&ctx);
    assert_eq!(door.insist("lines", &[], b"1\n2").status, 200);
    let full = door.post("lines", &[], b"3");
    assert!(full.status == 429 && full.retry_after, "{} {}", full.status, full.text);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["1", "2"]);
}

#[test]
fn garbage_costs_a_receiver_nothing() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("lines").client_lines());
    let door = Door::of(&ctx);
    let running = run(&ctx);
    let requests = [&b"POST"[..], b"POST /lines HTTP/1.1\r\n\r\n", b"A\0\0\0", &[b'Z'; 100_000]];
    for garbage in GARBAGE.into_iter().chain(requests) {
        send(&*door.address, garbage);
    }
    assert_eq!(door.insist("lines", &[], b"still here").status, 200);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["still here"]);
}
