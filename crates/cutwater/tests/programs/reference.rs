//! What programs answer, computed from all of the past in the plainest way.

use std::collections::BTreeMap;

use super::{
    Datasets, Pairs,
    program::{Both, One, Program, Span},
};

/// What a stream has: the dataset with number `i` is that of the interval `(i + 1) * slide`.
pub struct Answers {
    pub slide: usize,
    pub datasets: Datasets,
}

pub fn answers(program: &Program, inputs: &[Datasets; 2]) -> Answers {
    match program {
        Program::Source(at) => Answers { slide: 1, datasets: inputs[*at].clone() },
        Program::One(operation, of) => answers(of, inputs).one(*operation),
        Program::Both(operation, a, b) => both(*operation, answers(a, inputs), answers(b, inputs)),
    }
}

type Groups = BTreeMap<u8, Vec<i64>>;

/// The values of each key, sorted.
fn groups<'a>(records: impl IntoIterator<Item = &'a (u8, i64)>) -> Groups {
    let mut groups = Groups::new();
    for (key, value) in records {
        groups.entry(*key).or_default().push(*value);
    }
    groups.values_mut().for_each(|values| values.sort_unstable());
    groups
}

fn reduced(records: &Pairs, f: fn(Vec<i64>) -> i64) -> Pairs {
    groups(records).into_iter().map(|(key, values)| (key, f(values))).collect()
}

fn sum(values: Vec<i64>) -> i64 {
    values.into_iter().sum()
}

fn highest(values: Vec<i64>) -> i64 {
    *values.last().unwrap()
}

impl Answers {
    fn one(self, operation: One) -> Self {
        match operation {
            One::Map => {
                self.each(|records| records.iter().map(|(k, v)| ((k + 1) % 4, v * 3 % 100)).collect())
            }
            One::Filter => self.each(|records| {
                records.iter().copied().filter(|(k, v)| (i64::from(*k) + v) % 3 != 0).collect()
            }),
            One::FlatMap => self.each(|records| {
                records.iter().flat_map(|(k, v)| (0..v.rem_euclid(3)).map(move |n| (*k, v + n))).collect()
            }),
            One::ReduceByKey => self.each(|records| reduced(records, sum)),
            One::GroupByKey => self.each(|records| {
                reduced(records, |values| values.into_iter().fold(7, |digest, v| (digest * 31 + v) % 1009))
            }),
            One::CountByValue => self.each(|records| {
                let mut counts = BTreeMap::new();
                for record in records {
                    *counts.entry(*record).or_insert(0) += 1;
                }
                counts.into_iter().map(|((k, v), n)| (k, v * 10 + n)).collect()
            }),
            One::Transform => {
                let mut whole = self.window(Span { window: 1, slide: 1 });
                for (i, records) in whole.datasets.iter_mut().enumerate() {
                    let second = ((i + 1) * whole.slide) as i64;
                    records.iter_mut().flatten().for_each(|(_, v)| *v += second);
                }
                whole
            }
            One::Window(span) => self.window(span),
            One::ReduceByKeyAndWindow(span) => self.window(span).each(|records| reduced(records, highest)),
            One::ReduceByKeyAndWindowInverse(span) => {
                // A key that was in a window stays, at zero.
                let mut seen = Groups::new();
                self.window(span).each(|records| {
                    let groups = groups(records);
                    seen.extend(groups.keys().map(|key| (*key, Vec::new())));
                    seen.keys().map(|key| (*key, groups.get(key).into_iter().flatten().sum())).collect()
                })
            }
            One::RunningReduce => {
                self.state(|lowest, values| lowest.into_iter().chain(values.iter().copied()).min())
            }
            One::UpdateStateByKey => self.state(|state, values| {
                Some(state.unwrap_or(0) / 2 + values.iter().sum::<i64>()).filter(|sum| *sum != 0)
            }),
        }
    }

    /// The datasets that there are, each changed by `f`.
    fn each(self, mut f: impl FnMut(&Pairs) -> Pairs) -> Self {
        let datasets = self.datasets.iter().map(|records| records.as_ref().map(&mut f)).collect();
        Self { datasets, ..self }
    }

    /// A window is empty where there was nothing.
    fn window(self, span: Span) -> Self {
        let ends = (span.slide..=self.datasets.len()).step_by(span.slide);
        let at = |end: usize| &self.datasets[end.saturating_sub(span.window)..end];
        let datasets = ends.map(|end| Some(at(end).iter().flatten().flatten().copied().collect())).collect();
        Self { slide: self.slide * span.slide, datasets }
    }

    /// The states of all keys, from the first dataset on: `f` is asked for each key that has a state or values.
    fn state(self, f: fn(Option<i64>, &[i64]) -> Option<i64>) -> Self {
        let mut states = None;
        let datasets = self.datasets.iter().map(|records| {
            if records.is_some() {
                states.get_or_insert_with(BTreeMap::new);
            }
            let states = states.as_mut()?;
            let mut groups = groups(records.iter().flatten());
            for key in states.keys() {
                groups.entry(*key).or_default();
            }
            for (key, values) in groups {
                match f(states.get(&key).copied(), &values) {
                    Some(state) => states.insert(key, state),
                    None => states.remove(&key),
                };
            }
            Some(states.iter().map(|(key, state)| (*key, *state)).collect())
        });
        Self { datasets: datasets.collect(), slide: self.slide }
    }
}

fn both(operation: Both, a: Answers, b: Answers) -> Answers {
    let slide = a.slide.max(b.slide);
    let whole = |of: Answers| {
        let slides = slide / of.slide;
        of.window(Span { window: slides, slide: slides }).datasets.into_iter().flatten()
    };
    let datasets = whole(a).zip(whole(b)).map(|(mut a, b)| {
        let right: BTreeMap<u8, i64> = reduced(&b, highest).into_iter().collect();
        Some(match operation {
            Both::Union => {
                a.extend(b);
                a
            }
            Both::Join => a.iter().filter_map(|(k, v)| Some((*k, v * 2 - right.get(k)?))).collect(),
            Both::LeftOuterJoin => a.iter().map(|(k, v)| (*k, v - right.get(k).unwrap_or(&50))).collect(),
        })
    });
    Answers { slide, datasets: datasets.collect() }
}
