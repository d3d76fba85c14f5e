//! Flights that left New York in January 2013, replayed: a second of ours is six hours of theirs.
//!
//! `cargo run --release --example flights` (`--batch` for all at once, a path for another file).

use std::time::Duration;

use cutwater::{Context, Error, ErrorPolicy, Time};
use cutwater_examples::Board;
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flights-2013-01.csv.gz");
const HOURS: Duration = Duration::from_secs(3600);

#[derive(Clone, Serialize, Deserialize)]
struct Flight {
    time: Time,
    carrier: String,
    origin: String,
    dest: String,
    delay_min: i64,
}

fn parse(line: &str) -> Result<Flight, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [_, _, _, _, _, delay, _, _, _, carrier, _, _, origin, dest, _, _, _, minute, hour] = fields[..]
    else {
        return Err(format!("{} fields, not 19", fields.len()));
    };
    let hour: Time = hour.parse().map_err(|error| format!("time_hour: {error}"))?;
    let minute: u64 = minute.parse().map_err(|error| format!("minute: {error}"))?;
    let delay: f64 = delay.parse().map_err(|_| "no departure delay: the flight was cancelled")?;
    Ok(Flight {
        time: hour + Duration::from_secs(60 * minute),
        carrier: carrier.to_owned(),
        origin: origin.to_owned(),
        dest: dest.to_owned(),
        delay_min: delay as i64,
    })
}

fn main() -> Result<(), Error> {
    let interval = 6 * HOURS;
    let ctx =
        Context::builder("flights").interval(interval).speed(21_600.0).args(std::env::args()).build()?;
    let file = ctx.arguments().first().map_or(SAMPLE, String::as_str);
    let source = ctx.source("flights").header_lines(1).on_error(ErrorPolicy::Skip);
    let flights = source.replay([file], parse, |flight| flight.time);

    let board = Board::new(&ctx);
    flights.map(|flight| (flight.carrier, 1u64)).running_reduce(|a, b| a + b).for_each_rdd(board.column(
        "carrier",
        "flights",
        |rdd| rdd.top_by(16, |c| c.1),
    ));
    flights
        .map(|flight| (flight.origin, (flight.delay_min, 1)))
        .reduce_by_key_and_window_filtered(
            |a, b| (a.0 + b.0, a.1 + b.1),
            |a, b| (a.0 - b.0, a.1 - b.1),
            |_, (_, flights)| *flights > 0,
            30 * interval,
            interval,
        )
        .map_values(|(delay_min, flights)| format!("{:.1} min", delay_min as f64 / flights as f64))
        .for_each_rdd(board.column("origin", "mean delay", |rdd| {
            rdd.sort_by(|c: &(String, String)| c.0.clone())?.collect()
        }));
    flights.map(|flight| (flight.dest, 1u64)).running_reduce(|a, b| a + b).for_each_rdd(board.column(
        "destination",
        "flights",
        |rdd| rdd.top_by(10, |c| c.1),
    ));
    ctx.run()?;
    board.print();
    Ok(())
}
