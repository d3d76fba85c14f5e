//! History first, as fast as it goes, and then today, from where history ended: one program for both.
//!
//! `cargo run --release --example backfill -- --batch` saves what each day of the past adds up to;
//! `cargo run --release --example backfill` goes on from there, a day a second. Other places: the folder in which
//! history is saved, then the file.

use std::{path::PathBuf, time::Duration};

use cutwater::{Context, Error, StateSpec, Time};
use cutwater_examples::{Board, highest, made_up};
use serde::{Deserialize, Serialize};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Serialize, Deserialize)]
struct Flight {
    time: Time,
    carrier: String,
    miles: u64,
}

fn parse(line: &str) -> Result<Flight, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [_, _, _, _, _, _, _, _, _, carrier, _, _, _, _, _, miles, _, minute, hour] = fields[..] else {
        return Err(format!("{} fields, not 19", fields.len()));
    };
    let hour: Time = hour.parse().map_err(|error| format!("time_hour: {error}"))?;
    let minute: u64 = minute.parse().map_err(|error| format!("minute: {error}"))?;
    Ok(Flight {
        time: hour + Duration::from_secs(60 * minute),
        carrier: carrier.to_owned(),
        miles: miles.parse().map_err(|error| format!("distance: {error}"))?,
    })
}

/// Flights and miles of two times together.
fn plus(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}

fn main() -> Result<(), Error> {
    let ctx = Context::builder("backfill").interval(DAY).speed(86_400.0).args(std::env::args()).build()?;
    let folder = ctx.arguments().first().map_or_else(|| made_up::temporary("history"), PathBuf::from);
    let file = match ctx.arguments().get(1) {
        Some(file) => PathBuf::from(file),
        None => made_up::flights(if ctx.is_batch() { 1..22 } else { 22..32 })?,
    };
    let flights = ctx.source("flights").header_lines(1).replay([file], parse, |flight| flight.time);
    let daily = flights.map(|flight| (flight.carrier, (1, flight.miles))).reduce_by_key(plus);

    if ctx.is_batch() {
        // A day that is there already is left as it is, so it can be run again.
        daily.save_records(&folder);
        ctx.run()?;
        println!("history is in {}", folder.display());
        return Ok(());
    }
    let history = ctx.saved_records::<(String, (u64, u64))>(&folder)?.reduce_by_key(plus);
    let total = daily.update_state_by_key_spec(
        |_, _, today, total| today.into_iter().chain(total).reduce(plus),
        StateSpec::new().initial_state(history),
    );
    let board = Board::new(&ctx);
    daily.map_values(|(flights, _)| flights).for_each_rdd(board.column("today", "flights", highest(16)));
    total.map_values(|(flights, _)| flights).for_each_rdd(board.column("ever", "flights", highest(16)));
    total.map_values(|(_, miles)| miles).for_each_rdd(board.column("ever", "miles", highest(16)));
    ctx.run()
}
