//! What the tests submit: readings of a few sensors, replayed from a file, and their sums over a window.
//!
//! It has no state, so it survives the loss of a worker.

use std::time::Duration;

use cutwater::{Context, Error, Time};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Reading {
    time: Time,
    sensor: String,
    value: u64,
}

fn parse(line: &str) -> Result<Reading, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [second, sensor, value] = fields[..] else { return Err(format!("{} fields, not 3", fields.len())) };
    let second: u64 = second.parse().map_err(|error| format!("second: {error}"))?;
    let value = value.parse().map_err(|error| format!("value: {error}"))?;
    Ok(Reading { time: Time::from_ms(0) + Duration::from_secs(second), sensor: sensor.to_owned(), value })
}

fn main() -> Result<(), Error> {
    let second = Duration::from_secs(1);
    let ctx = Context::builder("readings").interval(second).args(std::env::args()).build()?;
    let source = ctx.source("readings").header_lines(1);
    let readings = source.replay(ctx.arguments(), parse, |reading| reading.time);
    let values = readings.map(|reading| (reading.sensor, reading.value));
    values.reduce_by_key_and_window(|a, b| a + b, 3 * second, second).for_each_rdd(|rdd, time| {
        let mut sums = rdd.collect()?;
        sums.sort();
        println!("{time} {sums:?}");
        Ok::<(), Error>(())
    });
    ctx.run()?;
    eprintln!("all readings are summed");
    Ok(())
}
