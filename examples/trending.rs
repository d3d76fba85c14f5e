//! Where more fly today than they usually do: destinations of the last day against those of two weeks.
//!
//! `cargo run --release --example trending` (`--batch` for all at once, a path for another file).

use std::{cmp::Reverse, path::PathBuf, time::Duration};

use cutwater::{Context, DStream, Error, ErrorPolicy, Time};
use cutwater_examples::{Board, highest, made_up};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Days of what is usual, today among them.
const USUAL_DAYS: u32 = 14;
/// Of a destination of fewer flights in these, nobody can say what is usual.
const FLIGHTS_MIN: u64 = 28;

/// When a flight was to leave, and where to.
fn parse(line: &str) -> Result<(Time, String), String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [_, _, _, _, _, _, _, _, _, _, _, _, _, dest, _, _, _, minute, hour] = fields[..] else {
        return Err(format!("{} fields, not 19", fields.len()));
    };
    let hour: Time = hour.parse().map_err(|error| format!("time_hour: {error}"))?;
    let minute: u64 = minute.parse().map_err(|error| format!("minute: {error}"))?;
    Ok((hour + Duration::from_secs(60 * minute), dest.to_owned()))
}

/// How often each was there in the window that ends with the interval. A slide costs by what enters and leaves.
fn counts(places: &DStream<(String, u64)>, window: Duration) -> DStream<(String, u64)> {
    let slide = places.slide();
    places.reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, |_, n| *n > 0, window, slide)
}

fn main() -> Result<(), Error> {
    let ctx =
        Context::builder("trending").interval(DAY / 4).speed(43_200.0).args(std::env::args()).build()?;
    let file = match ctx.arguments().first() {
        Some(file) => PathBuf::from(file),
        None => made_up::flights(1..32)?,
    };
    let source = ctx.source("flights").header_lines(1).on_error(ErrorPolicy::Skip);
    let flights = source.replay([file], parse, |flight| flight.0);

    let ones = flights.map(|(_, dest)| (dest, 1u64));
    let today = counts(&ones, DAY);
    let usual = counts(&ones, USUAL_DAYS * DAY);
    // In per cent of a usual day.
    let trends = today
        .join(&usual)
        .filter(|(_, (_, usual))| *usual >= FLIGHTS_MIN)
        .map_values(|(today, usual)| 100 * u64::from(USUAL_DAYS) * today / usual);

    let board = Board::new(&ctx);
    trends.for_each_rdd(board.column("busier", "% of usual", highest(10)));
    trends.for_each_rdd(board.column("quieter", "% of usual", |rdd| {
        rdd.top_by(10, |trend: &(String, u64)| Reverse((trend.1, trend.0.clone())))
    }));
    today.for_each_rdd(board.column("today", "flights", highest(10)));
    ctx.run()?;
    board.print();
    Ok(())
}
