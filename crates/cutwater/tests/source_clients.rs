//! Records that clients send, received by the worker in the program's own process.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use cutwater::{ClientAccess, Context, ErrorPolicy, source::Standing};
use cutwater_client::{Builder, Client, ClientError};
use cutwater_wire::{
    client::{Batch, ToClient, Welcome, new_client},
    frame,
    handshake::{self, Secret},
    message::Introduction,
};
use serde::{Deserialize, Serialize};
use support::{PATIENCE, Watch, letters, program, reports, run};
use tokio::{io::AsyncWriteExt, net::TcpStream};

fn client(ctx: &Context, source: &str) -> Builder {
    let ClientAccess { address, token_file } = ctx.client_access().unwrap();
    Client::builder(&address.to_string(), source).token_file(token_file.unwrap()).patience(PATIENCE)
}

#[test]
fn what_is_acknowledged_is_in_the_program_once() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("lines").client_lines());
    let reports = reports(&ctx);
    let running = run(&ctx);
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let client = client(&ctx, "lines").batch_bytes(1000).build().unwrap();
            std::thread::spawn(move || {
                for n in 0..5_000 {
                    client.send(format!("{sender} {n}")).unwrap();
                }
                client.flush().unwrap();
                client.acknowledged()
            })
        })
        .collect();
    let acknowledged: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
    assert_eq!(acknowledged, 15_000);
    running.stop().unwrap();
    let seen = seen.all();
    for sender in 0..3 {
        let prefix = format!("{sender} ");
        let of_sender: Vec<u64> =
            seen.iter().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect();
        assert_eq!(of_sender, (0..5_000).collect::<Vec<_>>(), "of one client, in its order");
    }
    let taken = reports.taken();
    assert_eq!(taken.iter().map(|taken| taken.records).sum::<u64>(), 15_000);
    assert!(taken.iter().map(|taken| taken.bytes).sum::<u64>() > 15_000 * 7);
}

#[test]
fn what_was_sent_before_the_program_runs_waits_for_it() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("lines").client_lines());
    let client = client(&ctx, "lines").build().unwrap();
    client.send("early").unwrap();
    let running = run(&ctx);
    client.flush().unwrap();
    running.stop().unwrap();
    assert_eq!(seen.all(), ["early"]);
}

#[test]
fn beyond_what_an_interval_takes_clients_wait() {
    let ctx = program();
    let source = ctx.source("lines").interval_records_max(100);
    let seen = Watch::of(&source.client_lines());
    let reports = reports(&ctx);
    let running = run(&ctx);
    // A record a batch, so that the bound is met exactly.
    let client = client(&ctx, "lines").batch_bytes(1).build().unwrap();
    (0..2_000).for_each(|n| client.send(n.to_string()).unwrap());
    client.flush().unwrap();
    running.stop().unwrap();
    assert_eq!(seen.all(), (0..2_000).map(|n| n.to_string()).collect::<Vec<_>>());
    let taken = reports.taken();
    assert!(taken.iter().all(|taken| taken.records <= 100), "{taken:?}");
    assert!(taken.iter().map(|taken| taken.deferred).sum::<u64>() > 0);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Click {
    page: u32,
}

#[test]
fn what_cannot_be_understood_goes_where_the_policy_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("letters");
    let ctx = program();
    let source = ctx.source("clicks").on_error(ErrorPolicy::dead_letter_file(&file));
    let seen = Watch::of(&source.client_json::<Click>());
    let reports = reports(&ctx);
    let running = run(&ctx);
    let client = client(&ctx, "clicks").build().unwrap();
    for record in [&br#"{"page":1}"#[..], b"{", &[0xff], br#"{"page":2}"#] {
        client.send(record).unwrap();
    }
    client.flush().unwrap();
    let id = client.id().to_string();
    running.stop().unwrap();
    assert_eq!(seen.all(), [Click { page: 1 }, Click { page: 2 }]);
    let letters = letters(&file);
    assert_eq!(letters.len(), 2);
    assert_eq!((&letters[0]["text"], &letters[1]["hex"]), (&"{".into(), &"ff".into()));
    assert_eq!(letters[0]["place"], format!("batch 0 of {id}"));
    let taken = reports.taken();
    assert_eq!(taken.iter().map(|taken| (taken.records, taken.malformed.len())).max(), Some((2, 2)));
}

#[test]
fn text_that_is_none_fails_the_interval_if_nothing_else_is_said() {
    let ctx = program();
    let _seen = Watch::of(&ctx.source("lines").client_lines());
    let running = run(&ctx);
    let client = client(&ctx, "lines").build().unwrap();
    client.send([0xff, 0xfe]).unwrap();
    client.flush().unwrap();
    let error = running.wait().unwrap_err().to_string();
    assert!(error.contains("not UTF-8") && error.contains("batch 0 of client"), "{error}");
}

#[test]
fn who_has_no_business_here_is_told_why() {
    let ctx = program();
    let _seen = Watch::of(&ctx.source("lines").client_lines());
    let running = run(&ctx);
    let refused = |builder: Builder| {
        let client = builder.patience(Duration::from_millis(300)).build().unwrap();
        client.send("x").unwrap();
        match client.flush().unwrap_err() {
            ClientError::Unreachable { why, .. } => why,
            other => panic!("{other}"),
        }
    };
    let why = refused(client(&ctx, "lines").token("a guess"));
    assert!(why.contains("the secret token is not that of this run"), "{why}");
    let why = refused(client(&ctx, "others"));
    assert!(why.contains("no source is called \"others\"") && why.contains("lines"), "{why}");
    let why = refused(client(&ctx, "lines").token_file("/nowhere"));
    assert!(why.contains("/nowhere"), "{why}");
    running.stop().unwrap();
}

#[test]
fn a_record_that_no_batch_holds_is_refused_at_once() {
    let ctx = program();
    let _lines = ctx.source("lines").client_lines();
    let client = client(&ctx, "lines").build().unwrap();
    let error = client.send(vec![b'x'; 5 << 20]).unwrap_err();
    assert!(matches!(error, ClientError::TooLong { bytes, .. } if bytes == 5 << 20), "{error}");
}

/// A client that sends again what it was never told of, on another connection.
#[test]
fn what_is_sent_again_counts_once() {
    let ctx = program();
    let seen = Watch::of(&ctx.source("lines").client_lines());
    let running = run(&ctx);
    let ClientAccess { address, token_file } = ctx.client_access().unwrap();
    let secret = Secret::of(&std::fs::read_to_string(token_file.unwrap()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let id = new_client().unwrap();
    // Whoever knocks before the program takes records is refused; a client that does not try again waits.
    let first = client(&ctx, "lines").build().unwrap();
    first.send("first").unwrap();
    first.flush().unwrap();
    for last in [2, 3, 1, 4] {
        runtime.block_on(async {
            let introduction = Introduction::Client { client: id, source: "lines".to_owned() };
            let mut stream = TcpStream::connect(address).await.unwrap();
            let welcome: Welcome = handshake::connect(&mut stream, &secret, &introduction).await.unwrap();
            assert_eq!(welcome, Welcome { takes: true, receivers: vec![] });
            for n in 0..=last {
                let mut batch = Batch::new();
                batch.push(format!("{n}").as_bytes());
                stream.write_all(&batch.seal(n)).await.unwrap();
            }
            let mut acknowledged = None;
            while acknowledged != Some(last) {
                match frame::receive(&mut stream, 1000).await.unwrap().unwrap() {
                    ToClient::Acknowledged(through) => acknowledged = Some(through),
                    ToClient::Ping => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    running.stop().unwrap();
    assert_eq!(seen.all(), ["first", "0", "1", "2", "3", "4"]);
}

#[test]
fn a_source_that_clients_wait_for_is_no_idle_one() {
    let ctx = program();
    let _seen = Watch::of(&ctx.source("lines").interval_records_max(1).client_lines());
    let standings = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = standings.clone();
    ctx.on_interval(move |report| noted.lock().unwrap().push(report.sources[0].standing));
    let running = run(&ctx);
    let client = client(&ctx, "lines").batch_bytes(1).build().unwrap();
    (0..5).for_each(|n| client.send(n.to_string()).unwrap());
    client.flush().unwrap();
    running.stop().unwrap();
    assert!(standings.lock().unwrap().contains(&Standing::Stalled));
}
