//! The Postgres sink against a real server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use cutwater::{
    Context, Error, ErrorKind, Time,
    output::{Commit, Part, Records, Sink},
    testing::{Harness, SinkKit},
};
use cutwater_postgres::PostgresSink;
use serde::{Deserialize, Serialize};
use support::Server;

const SECOND: Duration = Duration::from_secs(1);

type Pair = (String, u64);

fn pair(word: &str, n: u64) -> Pair {
    (word.to_owned(), n)
}

fn sink(connection: &str, table: &str) -> PostgresSink<Pair> {
    PostgresSink::new(connection, table, ["word", "n"])
}

/// Killed at every step, and taken over at every step.
#[test]
fn rows_are_committed_exactly_once() {
    let intervals = [vec![pair("a", 1), pair("b", 2), pair("c", 3)], vec![pair("d", 4)]];
    let kit = SinkKit::new(intervals, |place| {
        let (connection, table) = place.split_once('|').unwrap();
        sink(connection, table)
    });
    let Some(server) = Server::start() else { return };
    let place = |run: &str| format!("{}|{run}", server.connection());
    let read = |place: &str| {
        let (_, table) = place.split_once('|').unwrap();
        Ok(server.ask(&format!("SELECT word || ' ' || n FROM {table} ORDER BY 1")).join(", "))
    };
    let checked = kit.check(place, read).unwrap();
    assert!(checked.steps > 30, "{checked:?}");
}

/// Workers in other processes stage, the master commits; nothing stays in the staging table.
#[test]
fn a_table_is_made_and_filled() {
    let builder = Context::builder("rows").interval(SECOND).threads(1).workers(2);
    let harness = Harness::with(builder, 3);
    let Some(server) = Server::start() else { return };
    let input = harness.input([vec![pair("a", 1), pair("b", 2)], vec![], vec![pair("c", 3)]]);
    input.sink(sink(&server.connection(), "public.counts"));
    harness.advance(3).unwrap();
    assert_eq!(server.ask("SELECT word || n FROM counts ORDER BY 1"), ["a1", "b2", "c3"]);
    assert_eq!(server.ask("SELECT count(*)::text FROM counts_staged"), ["0"]);
    assert_eq!(server.ask("SELECT name || ' ' || committed_ms FROM cutwater_sinks"), ["public.counts 3000"]);
    let columns = "SELECT column_name || ' ' || data_type || ' ' || is_nullable FROM information_schema.columns WHERE table_name = 'counts' ORDER BY 1";
    assert_eq!(server.ask(columns), ["n bigint NO", "word text NO"]);
}

/// Every type of column, with the values at its ends.
#[test]
fn values_are_what_they_were() {
    type All = (bool, i16, i32, i64, f64, String, Vec<u8>, Time, Option<String>, Option<u32>);
    let Some(server) = Server::start() else { return };
    let harness = Harness::new(SECOND);
    let text = "ü\t'\\\n".to_owned();
    let rows: Vec<All> = vec![
        (
            true,
            i16::MIN,
            i32::MAX,
            i64::MIN,
            0.1,
            text.clone(),
            vec![0, 255],
            Time::from_ms(1_500),
            None,
            Some(7),
        ),
        (false, 0, 0, i64::MAX, f64::INFINITY, String::new(), vec![], Time::from_ms(-1), Some(text), None),
    ];
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    harness.input([rows]).sink(PostgresSink::<All>::new(&server.connection(), "every type", names));
    harness.advance(1).unwrap();
    let sql = r#"SELECT concat_ws('|', a, b, c, d, e, f, encode(g, 'hex'), extract(epoch FROM h) * 1000, coalesce(i, 'null'), coalesce(j, -1))
        FROM "every type" ORDER BY a DESC"#;
    let expected = [
        "t|-32768|2147483647|-9223372036854775808|0.1|ü\t'\\\n|00ff|1500.000000|null|7",
        "f|0|0|9223372036854775807|Infinity|||-1.000000|ü\t'\\\n|-1",
    ];
    assert_eq!(server.ask(sql), expected);
}

#[test]
fn a_key_has_one_row() {
    let Some(server) = Server::start() else { return };
    let harness = Harness::new(SECOND);
    let counts = harness.input([vec![pair("a", 1), pair("b", 1)], vec![pair("a", 5)]]);
    counts.sink(sink(&server.connection(), "counts").keyed_by(["word"]));
    counts
        .map(|(word, _)| (word,))
        .sink(PostgresSink::<(String,)>::new(&server.connection(), "words", ["word"]).keyed_by(["word"]));
    harness.advance(2).unwrap();
    assert_eq!(server.ask("SELECT word || n FROM counts ORDER BY 1"), ["a5", "b1"]);
    assert_eq!(server.ask("SELECT word FROM words ORDER BY 1"), ["a", "b"]);
}

/// A program for another table does not start, and says all that is wrong.
#[test]
fn a_table_of_other_columns_is_refused() {
    let Some(server) = Server::start() else { return };
    server.client().batch_execute("CREATE TABLE counts (word text, m int)").unwrap();
    let start = |sink: PostgresSink<Pair>| {
        let harness = Harness::new(SECOND);
        harness.input([vec![pair("a", 1)]]).sink(sink);
        harness.step().unwrap_err().to_string()
    };
    let error = start(sink(&server.connection(), "counts"));
    assert!(error.contains("it has no column n of type int8"), "{error}");
    let error = start(PostgresSink::new(&server.connection(), "counts", ["m", "word"]));
    assert!(error.contains("its column m is of type int4, and rows have text"), "{error}");
    assert!(error.contains("its column word is of type text, and rows have int8"), "{error}");
    let error = start(PostgresSink::new(&server.connection(), "counts", ["word"]));
    assert!(error.contains("2 columns, and 1 names"), "{error}");
}

/// What the table refuses fails the interval at once; the ones after it are committed.
#[test]
fn rows_that_are_refused_fail_their_interval() {
    let Some(server) = Server::start() else { return };
    server
        .client()
        .batch_execute("CREATE TABLE counts (word text PRIMARY KEY, n bigint CHECK (n < 10))")
        .unwrap();
    let harness = Harness::new(SECOND);
    let rows = [
        vec![pair("a", 1)],
        vec![pair("b", 2), pair("a", 3)],
        vec![pair("c", 10)],
        vec![pair("d", u64::MAX)],
        vec![pair("e", 5)],
    ];
    harness.input(rows).sink(sink(&server.connection(), "counts"));
    let failed: Vec<_> = (0..5)
        .map(|_| harness.step().unwrap().failure.map(|error| (error.kind(), error.to_string())))
        .collect();
    assert_eq!(
        failed.iter().map(|failed| failed.is_some()).collect::<Vec<_>>(),
        [false, true, true, true, false]
    );
    for (failed, says) in failed[1..4].iter().flatten().zip([
        "duplicate key",
        "violates check constraint",
        "too large for a bigint",
    ]) {
        assert_eq!(failed.0, ErrorKind::User, "{}", failed.1);
        assert!(failed.1.contains(says), "{}", failed.1);
    }
    assert_eq!(server.ask("SELECT word || n FROM counts ORDER BY 1"), ["a1", "e5"]);
    assert_eq!(server.ask("SELECT count(*)::text FROM counts_staged"), ["0"]);
}

/// A program that was changed finds a staging table of other columns, which it makes anew.
#[test]
fn a_changed_program_stages_other_columns() {
    let Some(server) = Server::start() else { return };
    let run = |columns: &[&str], from: i64| {
        let harness = Harness::new(SECOND);
        let rows: Vec<_> = (0..from).map(|_| vec![]).chain([vec![pair("a", 1)]]).collect();
        harness.input(rows).sink(PostgresSink::<Pair>::new(
            &server.connection(),
            "counts",
            columns.iter().copied(),
        ));
        harness.advance(from as u64 + 1).unwrap();
    };
    run(&["word", "n"], 0);
    server.client().batch_execute("ALTER TABLE counts RENAME COLUMN n TO m").unwrap();
    run(&["word", "m"], 1);
    assert_eq!(server.ask("SELECT word || m FROM counts"), ["a1", "a1"]);
}

/// A sink during whose first commit the server crashes, with all that was staged.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Crashing(PostgresSink<Pair>);

/// The server of the test below.
static SERVER: std::sync::Mutex<Option<Server>> = std::sync::Mutex::new(None);

impl Sink<Pair> for Crashing {
    type Token = cutwater_postgres::PostgresToken;

    fn open(&self, epoch: u64) -> Result<Option<Time>, Error> {
        self.0.open(epoch)
    }

    fn write(&self, part: &Part, records: Records<'_, Pair>) -> Result<Self::Token, Error> {
        self.0.write(part, records)
    }

    fn commit(&self, commit: &Commit<'_, Self::Token>) -> Result<(), Error> {
        if commit.interval.as_ms() == 2000 {
            SERVER.lock().unwrap().as_mut().unwrap().crash();
        }
        self.0.commit(commit)
    }

    fn discard(&self, interval: Time, committed: &[Self::Token]) -> Result<(), Error> {
        self.0.discard(interval, committed)
    }
}

/// The staging table does not survive a crash of the server. That is noticed, the interval fails as a whole, and a
/// program that starts again sends it again.
#[test]
fn a_server_that_crashes_loses_nothing() {
    let Some(server) = Server::start() else { return };
    let connection = server.connection();
    *SERVER.lock().unwrap() = Some(server);
    let ask = |sql: &str| SERVER.lock().unwrap().as_ref().unwrap().ask(sql);
    let rows = || [vec![pair("a", 1)], vec![pair("b", 2)], vec![pair("c", 3)]];

    let harness = Harness::new(SECOND);
    harness.input(rows()).sink(Crashing(sink(&connection, "counts")));
    harness.advance(1).unwrap();
    let error = harness.advance(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    assert!(error.to_string().contains("0 of 1 rows of the interval are still staged"), "{error}");
    assert_eq!(ask("SELECT word FROM counts"), ["a"]);
    drop(harness);

    let harness = Harness::new(SECOND);
    harness.input(rows()).sink(sink(&connection, "counts"));
    harness.advance(3).unwrap();
    assert_eq!(ask("SELECT word FROM counts ORDER BY 1"), ["a", "b", "c"]);
    SERVER.lock().unwrap().take();
}

#[test]
fn a_server_that_is_away_is_named_without_the_password() {
    let harness = Harness::new(SECOND);
    harness.input([vec![pair("a", 1)]]).sink(sink("host=/nowhere user=me password=hunter2", "counts"));
    let error = harness.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.to_string().contains("Postgres at /nowhere:5432, as me"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
