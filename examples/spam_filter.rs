//! Messages joined with what is known of their senders; the list is read again while the program runs.
//!
//! `cargo run --release --example spam_filter` (`--batch` for all at once). It says where the list is: change
//! a score, and ten intervals later at most it counts. Other files: the messages, then the list.

use std::{path::PathBuf, time::Duration};

use cutwater::{Context, Error, Time};
use cutwater_examples::{Board, highest, made_up};

/// From this score on, in per cent, it is spam. Who is not on the list is not suspected.
const SPAM: u32 = 90;

type Message = (Time, String, String);

fn parse(line: &str) -> Result<Message, String> {
    let (time, rest) = line.split_once(',').ok_or("no comma")?;
    let (sender, subject) = rest.split_once(',').ok_or("no subject")?;
    let time = time.parse().map_err(|error| format!("time: {error}"))?;
    Ok((time, sender.to_owned(), subject.to_owned()))
}

fn main() -> Result<(), Error> {
    let minute = Duration::from_secs(60);
    let ctx =
        Context::builder("spam_filter").interval(10 * minute).speed(6000.0).args(std::env::args()).build()?;
    let (messages, list) = match ctx.arguments() {
        [messages, list] => (PathBuf::from(messages), PathBuf::from(list)),
        _ => (
            made_up::file("messages.csv", &made_up::messages())?,
            made_up::file("senders.csv", &made_up::senders())?,
        ),
    };
    println!("scores of senders are in {}", list.display());

    let scores = ctx.refreshed(10, move |ctx, _| {
        let lines = ctx.text_files([&list])?;
        Ok(lines.filter_map(|line| {
            let (sender, score) = line.split_once(',')?;
            Some((sender.to_owned(), score.parse::<u32>().ok()?))
        }))
    });
    let messages = ctx.source("messages").header_lines(1).replay([messages], parse, |message| message.0);
    let judged = messages
        .map(|(_, sender, subject)| (sender, subject))
        .left_outer_join(&scores)
        .map_values(|(subject, score)| (subject, score.is_some_and(|score| score >= SPAM)));

    let board = Board::new(&ctx);
    let verdicts =
        judged.map(|(_, (_, is_spam))| (String::from(if is_spam { "spam" } else { "inbox" }), 1u64));
    verdicts.running_reduce(|a, b| a + b).for_each_rdd(
        board.column("folder", "messages", |rdd| {
            rdd.sort_by(|count: &(String, u64)| count.0.clone())?.collect()
        }),
    );
    let spam = judged.filter(|(_, (_, is_spam))| *is_spam).map(|(sender, _)| (sender, 1u64));
    spam.running_reduce(|a, b| a + b).for_each_rdd(board.column("sender of spam", "messages", highest(10)));
    let inbox = judged.filter(|(_, (_, is_spam))| !is_spam).map_values(|(subject, _)| subject);
    inbox.for_each_rdd(board.column("newest in the inbox", "about", |rdd| rdd.take(10)));
    ctx.run()?;
    board.print();
    Ok(())
}
