//! How many watch a broadcast while viewers come and go, and how many of them in high definition.
//!
//! `cargo run --release --example sessions` (`--batch` for all at once, a path for another file).

use std::{path::PathBuf, time::Duration};

use cutwater::{Context, Error, Time};
use cutwater_examples::made_up;
use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);
const HIGH_KBIT_PER_S: u32 = 4000;

/// What a viewer's player says of itself, every minute at least.
#[derive(Clone, Serialize, Deserialize)]
struct Event {
    time: Time,
    viewer: u64,
    /// None: the viewer leaves.
    kbit_per_s: Option<u32>,
}

fn parse(line: &str) -> Result<Event, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [time, viewer, what] = fields[..] else {
        return Err(format!("{} fields, not 3", fields.len()));
    };
    Ok(Event {
        time: time.parse().map_err(|error| format!("time: {error}"))?,
        viewer: viewer.parse().map_err(|error| format!("viewer: {error}"))?,
        kbit_per_s: match what {
            "left" => None,
            rate => Some(rate.parse().map_err(|error| format!("kbit_per_s: {error}"))?),
        },
    })
}

fn main() -> Result<(), Error> {
    let ctx = Context::builder("sessions")
        .interval(Duration::from_secs(20))
        .speed(300.0)
        .args(std::env::args())
        .build()?;
    let file = match ctx.arguments().first() {
        Some(file) => PathBuf::from(file),
        None => made_up::file("viewers.csv", &made_up::viewers())?,
    };
    let events = ctx.source("viewers").header_lines(1).replay([file], parse, |event| event.time);

    // A session is a viewer's bitrate. It ends when the viewer says so, or nothing for two minutes.
    let sessions = events.map(|event| (event.viewer, event.kbit_per_s)).track(
        |_, kbit_per_s| kbit_per_s.unwrap_or(0),
        |_, _, kbit_per_s| kbit_per_s,
        2 * MINUTE,
    );
    sessions.for_each_rdd(|rdd, t| {
        let all = rdd.count()? as usize;
        let high = rdd.filter(|(_, kbit_per_s)| *kbit_per_s >= HIGH_KBIT_PER_S).count()? as usize;
        let bar = "█".repeat(high / 10) + &"░".repeat((all - high) / 10);
        println!("{t}  {all:>4} watch, {high:>4} in high definition  {bar}");
        Ok::<(), Error>(())
    });
    ctx.run()
}
