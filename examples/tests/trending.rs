//! `trending` against counts of the last day and the last two weeks of the sample.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::HashMap, fs, time::Duration};

use cutwater::Time;
use cutwater_examples::made_up;
use support::{column, highest, last_board};

#[test]
fn a_destination_trends_by_its_last_day_against_two_weeks() {
    let end: Time = "2013-02-01T06:00:00Z".parse().unwrap();
    let days = |n: u64| Duration::from_secs(n * 24 * 3600);
    let text = fs::read_to_string(made_up::flights(1..32).unwrap()).unwrap();
    let mut counts: HashMap<String, (u64, u64)> = HashMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let hour: Time = fields[18].parse().unwrap();
        let time = hour + Duration::from_secs(60 * fields[17].parse::<u64>().unwrap());
        let (today, usual) = counts.entry(fields[13].to_owned()).or_default();
        *today += u64::from(time > end - days(1));
        *usual += u64::from(time > end - days(14));
    }
    let today = counts.iter().map(|(dest, count)| (dest.clone(), count.0));
    let trends: Vec<_> = counts
        .iter()
        .filter(|(_, (today, usual))| *today > 0 && *usual >= 28)
        .map(|(dest, (today, usual))| (dest.clone(), 100 * 14 * today / usual))
        .collect();
    let mut quieter = highest(trends.clone(), usize::MAX);
    quieter.reverse();
    quieter.truncate(10);

    let printed = support::run("trending", &["--batch"]);
    let board = last_board(&printed);
    assert_eq!(column(&board, 0), highest(trends, 10), "{printed}");
    assert_eq!(column(&board, 1), quieter, "{printed}");
    assert_eq!(column(&board, 2), highest(today, 10), "{printed}");
}
