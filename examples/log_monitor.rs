//! Errors of each service in the last ten seconds, minute and five minutes, from logs that grow and rotate.
//!
//! Start `cargo run --release --example log_writer`, and beside it `cargo run --release --example log_monitor`;
//! or give it the paths of logs of your own, in which lines with ` ERROR ` are errors.

use std::{path::PathBuf, time::Duration};

use cutwater::{Context, Error, ErrorPolicy};
use cutwater_examples::{Board, highest, made_up};

const SPANS: [(&str, u64); 3] = [("in 10 s", 10), ("in 1 min", 60), ("in 5 min", 300)];

fn main() -> Result<(), Error> {
    let ctx = Context::builder("log_monitor").args(std::env::args()).build()?;
    let logs: Vec<PathBuf> = match ctx.arguments() {
        [] => ["auth", "orders", "search"].map(|name| made_up::temporary(&format!("{name}.log"))).to_vec(),
        given => given.iter().map(PathBuf::from).collect(),
    };
    // A service is called like its log. What is in a log already was written before anyone looked.
    let errors = ctx.union(logs.iter().map(|log| {
        let service = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let lines = ctx.source(&service).on_error(ErrorPolicy::Skip).tail(log);
        lines.filter(|line| line.contains(" ERROR ")).with(service).map(|service, _| (service.clone(), 1u64))
    }));

    let board = Board::new(&ctx);
    for (span, seconds) in SPANS {
        errors
            .reduce_by_key_and_window_filtered(
                |a, b| a + b,
                |a, b| a - b,
                |_, errors| *errors > 0,
                Duration::from_secs(seconds),
                ctx.interval(),
            )
            .for_each_rdd(board.column("service", span, highest(10)));
    }
    ctx.run()
}
