//! Programs built of streams.

use cutwater::DStream;

use super::program::{Both, One, Program, Span};

type Stream = DStream<(u8, i64)>;

pub fn stream(program: &Program, sources: &[Stream; 2]) -> Stream {
    match program {
        Program::Source(at) => sources[*at].clone(),
        Program::One(operation, of) => one(*operation, &stream(of, sources)),
        Program::Both(operation, a, b) => both(*operation, &stream(a, sources), &stream(b, sources)),
    }
}

/// The stream with a dataset at every time, at a slide of its own or a longer one.
fn whole(of: &Stream, slide: std::time::Duration) -> Stream {
    of.window(slide, slide)
}

fn one(operation: One, of: &Stream) -> Stream {
    let spans = |span: Span| (of.slide() * span.window as u32, of.slide() * span.slide as u32);
    match operation {
        One::Map => of.map(|(key, value)| ((key + 1) % 4, value * 3 % 100)),
        One::Filter => of.filter(|(key, value)| (i64::from(*key) + value) % 3 != 0),
        One::FlatMap => of.flat_map(|(key, value)| (0..value.rem_euclid(3)).map(move |n| (key, value + n))),
        One::ReduceByKey => of.reduce_by_key(|a, b| a + b),
        One::GroupByKey => of.group_by_key().map(|(key, mut values)| {
            values.sort_unstable();
            (key, values.into_iter().fold(7, |digest, value| (digest * 31 + value) % 1009))
        }),
        One::CountByValue => of.count_by_value().map(|((key, value), n)| (key, value * 10 + n as i64)),
        One::Transform => whole(of, of.slide()).transform(|rdd, t| {
            Ok(rdd.with(t.as_ms() / 1000).map(|second, (key, value)| (key, value + second)))
        }),
        One::Window(span) => {
            let (window, slide) = spans(span);
            of.window(window, slide)
        }
        One::ReduceByKeyAndWindow(span) => {
            let (window, slide) = spans(span);
            of.reduce_by_key_and_window(i64::max, window, slide)
        }
        One::ReduceByKeyAndWindowInverse(span) => {
            let (window, slide) = spans(span);
            of.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, window, slide)
        }
        One::RunningReduce => of.running_reduce(i64::min),
        One::UpdateStateByKey => of.update_state_by_key(|values, state: Option<i64>| {
            let sum = state.unwrap_or(0) / 2 + values.iter().sum::<i64>();
            (sum != 0).then_some(sum)
        }),
    }
}

fn both(operation: Both, a: &Stream, b: &Stream) -> Stream {
    let slide = a.slide().max(b.slide());
    let (a, b) = (whole(a, slide), whole(b, slide));
    // One value for each key on the right, so that joins of joins do not grow without bounds.
    let highest = || b.reduce_by_key(i64::max);
    match operation {
        Both::Union => a.union(&b),
        Both::Join => a.join(&highest()).map(|(key, (left, right))| (key, left * 2 - right)),
        Both::LeftOuterJoin => {
            a.left_outer_join(&highest()).map(|(key, (left, right))| (key, left - right.unwrap_or(50)))
        }
    }
}
