//! Sockets as sources: a server that comes and goes, clients that come and go, and what is done with
//! what cannot be understood.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{io::Write, net::TcpListener, time::Duration};

use cutwater::{Context, ErrorKind, ErrorPolicy, source::Standing};
use support::{PATIENCE, Watch, free_addr, program};

#[test]
fn a_server_that_goes_away_and_comes_back_is_read_again() {
    let addr = free_addr();
    let ctx = program();
    let lines = ctx.source("log").socket_lines(addr);
    let seen = Watch::of(&lines);
    let running = support::run(&ctx);

    // It is not there at first, then closes after a line without an end, then is there again.
    for text in ["one\ntwo\nlast of the first", "three\r\nfour\n"] {
        let listener = support::listen(addr);
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(text.as_bytes()).unwrap();
    }
    seen.wait_for(5);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["one", "two", "last of the first", "three", "four"]);
}

#[test]
fn a_program_stops_while_its_server_is_silent_or_away() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let ctx = program();
    ctx.source("silent").socket_lines(silent.local_addr().unwrap()).count().print();
    ctx.source("away").socket_lines(free_addr()).count().print();
    // An address of which nothing ever comes back, for documentation only (RFC 5737).
    ctx.source("unreachable").socket_lines("192.0.2.1:9").count().print();
    ctx.source("listening").listen_lines(free_addr()).count().print();
    let running = support::run(&ctx);
    drop(silent.accept().unwrap());
    running.stop().unwrap();
}

#[test]
fn what_cannot_be_understood_fails_the_interval_unless_something_else_is_said() {
    let (error, _) = support::fed("log", b"fine\n\xff\xfe\n", |source, addr| source.socket_lines(addr));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let text = error.to_string();
    assert!(
        text.contains("log: malformed record at byte 5 of 127.0.0.1") && text.contains("not UTF-8"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_understood_is_left_out_and_counted() {
    let sent = b"[1,\"a\"]\nnonsense\n\n[2]\n[2,\"b\"]\n";
    let (result, (seen, reports)) = support::fed("pairs", sent, |source, addr| {
        source.on_error(ErrorPolicy::Skip).socket_json::<(u32, String)>(addr)
    });
    result.unwrap();
    assert_eq!(seen.all(), [(1, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(reports.sum(|taken| taken.malformed.len() as u64), 2);
}

#[test]
fn what_cannot_be_understood_is_kept_with_all_that_is_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rejected.jsonl");
    let policy = ErrorPolicy::dead_letter_file(&path);
    let (result, (seen, _)) = support::fed("lines", b"ok\nmuch too long\n\xff\xfe\nend\n", |source, addr| {
        source.on_error(policy).line_bytes_max(8).socket_lines(addr)
    });
    result.unwrap();
    assert_eq!(seen.all(), ["ok", "end"]);
    let letters = support::letters(&path);
    assert_eq!(letters.len(), 2);
    assert_eq!(
        (&letters[0]["source"], &letters[0]["text"], &letters[0]["offset"]),
        (&"lines".into(), &"much too".into(), &3.into())
    );
    assert!(letters[0]["error"].as_str().unwrap().contains("longer than a line may be"));
    assert_eq!((&letters[1]["hex"], &letters[1]["offset"]), (&"fffe".into(), &17.into()));
    assert!(letters[1]["interval"].as_str().unwrap().starts_with("20") && letters[1]["place"].is_string());
}

#[test]
fn two_clients_send_to_one_source_and_neither_waits_for_the_other() {
    let addr = free_addr();
    let ctx = program();
    let seen = Watch::of(&ctx.source("log").listen_lines(addr));
    let running = support::run(&ctx);
    let (mut one, mut other) = (support::connect(addr), support::connect(addr));
    one.write_all(b"one 1\none ").unwrap();
    other.write_all(b"other 1\n").unwrap();
    seen.wait_for(2);
    one.write_all(b"2\n").unwrap();
    drop(one);
    seen.wait_for(3);
    other.write_all(b"other 2").unwrap();
    drop(other);
    seen.wait_for(4);
    running.stop().unwrap();
    let all = seen.all();
    let of = |name: &str| all.iter().filter(|line| line.starts_with(name)).cloned().collect::<Vec<_>>();
    assert_eq!(of("one"), ["one 1", "one 2"]);
    assert_eq!(of("other"), ["other 1", "other 2"]);
}

#[test]
fn json_is_listened_for_as_well() {
    let addr = free_addr();
    let ctx = program();
    let seen = Watch::of(&ctx.source("pairs").listen_json::<(String, u64)>(addr));
    let running = support::run(&ctx);
    support::connect(addr).write_all(b"[\"a\",1]\n\n[\"b\",2]").unwrap();
    seen.wait_for(2);
    running.stop().unwrap();
    assert_eq!(seen.all(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
}

#[test]
fn every_address_that_will_not_do_is_listed_before_the_start() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let ctx = Context::local(1);
    ctx.source("taken").listen_lines(taken).print();
    ctx.source("open").listen_lines("0.0.0.0:9999").print();
    ctx.source("odd").listen_lines("9999").print();
    ctx.source("portless").socket_lines("localhost").print();
    ctx.source("headed").header_lines(1).socket_lines("localhost:1").print();
    let error = ctx.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    for part in [
        "for 5 reasons",
        &format!(
            "taken: cannot listen on {taken}: the port is in use; end the program that has it, or choose another"
        ),
        "open: listening on 0.0.0.0:9999 would take records from anyone",
        "odd: \"9999\" is no address to listen on",
        "portless: \"localhost\" is no address to connect to",
        "`header_lines` has no meaning for a socket",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn an_interval_holds_no_more_than_its_bound_and_a_fast_sender_loses_nothing() {
    let addr = free_addr();
    let ctx = program();
    let lines = ctx.source("fast").interval_records_max(100).listen_lines(addr);
    let (seen, reports) = (Watch::of(&lines), support::reports(&ctx));
    let mut expected: Vec<_> = (0..1_000).map(|n| format!("line {n}")).collect();
    let text = expected.join("\n") + "\n";
    let running = support::run(&ctx);
    support::connect(addr).write_all(text.as_bytes()).unwrap();
    seen.wait_for(1_000);
    running.stop().unwrap();
    let mut all = seen.all();
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
    let taken = reports.taken();
    assert!(taken.iter().all(|taken| taken.records <= 100));
    assert_eq!(reports.sum(|taken| taken.dropped), 0);
}

#[test]
fn a_graceful_stop_processes_what_was_received() {
    let addr = free_addr();
    // No interval ends by itself during the test.
    let ctx = Context::builder("slow").interval(Duration::from_secs(3600)).threads(2).handle_signals(false);
    let ctx = ctx.build().unwrap();
    let seen = Watch::of(&ctx.source("log").interval_records_max(3).listen_lines(addr));
    let reports = support::reports(&ctx);
    let running = support::run(&ctx);
    let mut client = support::connect(addr);
    client.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
    // What is sent after the source has begun to wait for room stays on the way: the socket takes
    // no more once its buffers are full.
    client.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let chunk = [b'x'; 1 << 16];
    while client.write(&chunk).is_ok() {}
    running.stop().unwrap();
    assert_eq!(seen.all(), ["one", "two", "three"]);
    assert_eq!(reports.sum(|taken| taken.dropped), 1, "the one that waited had been taken from its sender");
    // It listens no more: somebody else can.
    drop(support::listen(addr));
}

/// While its server is away a source is stalled: what its silence means is not known. A server that is
/// there and says nothing is silent by itself.
#[test]
fn a_source_is_stalled_while_its_server_is_away() {
    let addr = free_addr();
    let ctx = program();
    let seen = Watch::of(&ctx.source("log").socket_lines(addr));
    let (tell, standings) = std::sync::mpsc::channel();
    // Whoever listens has gone when the test is over.
    ctx.on_interval(move |report| {
        let _ = tell.send(report.sources[0].standing);
    });
    let running = support::run(&ctx);
    let wait_for = |standing| while standings.recv_timeout(PATIENCE).unwrap() != standing {};
    wait_for(Standing::Stalled);
    let listener = support::listen(addr);
    let (mut client, _) = listener.accept().unwrap();
    wait_for(Standing::Flowing);
    client.write_all(b"one\n").unwrap();
    seen.wait_for(1);
    drop((client, listener));
    wait_for(Standing::Stalled);
    running.stop().unwrap();
}
