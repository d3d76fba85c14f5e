//! The first program of the model: a running count of page views for each URL.
//!
//! Start `cargo run --release --example page_view_server`, and beside it
//! `cargo run --release --example page_views`.

use cutwater::{Context, Error};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct PageView {
    url: String,
}

fn main() -> Result<(), Error> {
    let ctx = Context::builder("page_views").args(std::env::args()).build()?;
    let server = ctx.arguments().first().map_or("http://127.0.0.1:8377/views", String::as_str);
    let page_views = ctx.http_json::<PageView>(server);
    let ones = page_views.pairs(|view, emit| emit(&view.url, 1u64));
    let counts = ones.running_reduce(|a, b| a + b);
    counts.for_each_rdd(|rdd, t| {
        println!("{t}");
        for (url, views) in rdd.top_by(10, |c| c.1)? {
            println!("{views:>9}  {url}");
        }
        Ok::<(), Error>(())
    });
    ctx.run()
}
