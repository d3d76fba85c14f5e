//! Records for examples: made up, the same in every run, or cut out of the sample of flights.

use std::{
    env,
    fmt::Write,
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    path::PathBuf,
    process,
};

use cutwater::{Error, Time};
use flate2::read::MultiGzDecoder;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flights-2013-01.csv.gz");

/// Half past five on an evening in June 2026, in milliseconds.
const EVENING_MS: i64 = 1_781_371_800_000;

/// A file with `text` in it, in the folder for temporary files.
pub fn file(name: &str, text: &str) -> Result<PathBuf, Error> {
    let (path, beside) = (temporary(name), temporary(&format!("{}-{name}", process::id())));
    // Two programs that start together see either whole.
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
    written.map(|()| path).map_err(|error| Error::user(format_args!("cannot write {name}: {error}")))
}

/// A path in the folder for temporary files.
pub fn temporary(name: &str) -> PathBuf {
    env::temp_dir().join(format!("cutwater-{name}"))
}

/// The flights of some days of January 2013, as a file.
pub fn flights(days: Range<u32>) -> Result<PathBuf, Error> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        MultiGzDecoder::new(File::open(SAMPLE)?).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| Error::user(format_args!("cannot read {SAMPLE}: {error}")))?;
    let is_wanted = |line: &&str| {
        let day = line.split(',').nth(2).and_then(|day| day.parse().ok());
        // The first line says what the columns are.
        day.is_none_or(|day| days.contains(&day))
    };
    let lines: String = text.lines().filter(is_wanted).flat_map(|line| [line, "\n"]).collect();
    file(&format!("flights-{}-{}.csv", days.start, days.end), &lines)
}

/// Two hours of a broadcast: when a viewer received how many kbit/s, or left. An eighth of the viewers vanish
/// without a word.
pub fn viewers() -> String {
    let mut events = Vec::new();
    for viewer in 0..1500 {
        let mut second = random(viewer) % 2700 + random(viewer + 5000) % 2700;
        for report in 0..10 + random(viewer + 10_000) % 90 {
            let chance = random(1000 * viewer + report);
            events.push((second, viewer, ["400", "1200", "2500", "4500", "8000"][(chance % 5) as usize]));
            second += 20 + chance % 40;
        }
        if viewer % 8 > 0 {
            events.push((second, viewer, "left"));
        }
    }
    events.sort();
    table("time,viewer,kbit_per_s", events.into_iter().take_while(|event| event.0 < 7200))
}

/// Nearly a day's messages: when, from whom, about what.
pub fn messages() -> String {
    const SUBJECTS: [&str; 6] =
        ["Lunch?", "Minutes of Tuesday", "You have won", "Re: Re: the roof", "Last warning", "Photographs"];
    let message = |n: u64| {
        let chance = random(n);
        // Some write much more than others.
        let sender = (300.0f64.powf((chance % 1000) as f64 / 1000.0)) as u64;
        (4 * n, format!("s{sender:03}@example.org"), SUBJECTS[(chance / 1000 % 6) as usize])
    };
    table("time,sender,subject", (0..20_000).map(message))
}

/// What is known of senders: how sure it is that they send spam, in per cent.
pub fn senders() -> String {
    let score = |n: u64| format!("s{n:03}@example.org,{}\n", random(n + 77) % 101);
    (1..300).filter(|n| n % 3 > 0).map(score).collect()
}

fn table(head: &str, rows: impl Iterator<Item = (u64, impl ToString, &'static str)>) -> String {
    let mut text = format!("{head}\n");
    for (second, who, what) in rows {
        let time = Time::from_ms(EVENING_MS + 1000 * second as i64);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{time},{},{what}", who.to_string());
    }
    text
}

/// What looks like chance and is a function of `n` (a step of SplitMix64).
pub fn random(n: u64) -> u64 {
    let n = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
