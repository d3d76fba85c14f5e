use std::{cell::RefCell, collections::HashMap, time::Duration};

use cutwater::{Builder, DStream, testing::Harness};
use serde_json::Value as Json;

use super::{
    Trouble, body::Body, each::each_dataset, number, operands, partitions, state::State, windows, word,
};
use crate::{Case, Options, Value};

/// The program of a case: its sources, and the stream that its expression stands for.
pub(super) struct Program<'a> {
    case: &'a Case,
    pub harness: Harness,
    sources: RefCell<HashMap<String, DStream<Value>>>,
    /// The streams of the expression with what they are called, the outer ones after the inner ones.
    parts: RefCell<Vec<(String, DStream<Value>)>>,
    /// The states of the stateful operation of the expression, if it shows them.
    snapshots: RefCell<Option<DStream<Value>>>,
    root: Option<DStream<Value>>,
}

/// In how many partitions inputs are, where a case does not care.
const INPUT_PARTITIONS: u32 = 2;

impl<'a> Program<'a> {
    pub fn build(case: &'a Case, builder: Builder, options: &Options) -> Result<Self, Trouble> {
        let ms = |name| case.field(name).as_u64().map(Duration::from_millis);
        let interval = ms("batch_interval_ms").ok_or_else(|| Trouble::malformed("no batch_interval_ms"))?;
        let inputs = case.field("input_partitions").as_u64().and_then(|n| u32::try_from(n).ok());
        let builder = builder.interval(interval).remember(ms("remember_ms").unwrap_or_default());
        let mut program = Self {
            case,
            harness: Harness::with(builder, inputs.or(options.parallelism).unwrap_or(INPUT_PARTITIONS)),
            sources: RefCell::default(),
            parts: RefCell::default(),
            snapshots: RefCell::default(),
            root: None,
        };
        program.harness.overlap(options.overlap);
        let operation = case.operation.as_ref().ok_or_else(|| Trouble::malformed("no operation"))?;
        program.root = Some(program.stream(operation)?);
        Ok(program)
    }

    /// What the whole expression stands for.
    pub fn root(&self) -> &DStream<Value> {
        self.root.as_ref().expect("a program is not given away before it is built")
    }

    pub fn snapshots(&self) -> Option<DStream<Value>> {
        self.snapshots.borrow().clone()
    }

    pub fn slide_ms(&self) -> u64 {
        u64::try_from(self.root().slide().as_millis()).unwrap_or(u64::MAX)
    }

    /// A part of the expression by what tables call it: the name of its operation, which is the
    /// outermost of that name, or that of a window with `outer_` or `inner_` before it.
    pub fn part(&self, name: &str) -> Option<DStream<Value>> {
        let (op, nth) = match name.split_once('_') {
            Some(("outer", op)) => (op, 0),
            Some(("inner", op)) => (op, 1),
            _ => (name, 0),
        };
        let parts = self.parts.borrow();
        let mut found = parts.iter().rev().filter(|(part, _)| part == op);
        found.nth(nth).map(|(_, stream)| stream.clone())
    }

    fn stream(&self, operation: &Json) -> Result<DStream<Value>, Trouble> {
        let stream = self.operation(operation)?;
        self.parts.borrow_mut().push((word(operation, "op").to_owned(), stream.clone()));
        Ok(stream)
    }

    fn operation(&self, operation: &Json) -> Result<DStream<Value>, Trouble> {
        if word(operation, "op") == "source" {
            return self.source(word(operation, "id"));
        }
        let of = operands(operation).iter().map(|of| self.stream(of)).collect::<Result<Vec<_>, _>>()?;
        let first = of.first().ok_or_else(|| Trouble::malformed("an operation on nothing"))?;
        if let Some(stream) = each_dataset!(first, operation)? {
            return Ok(stream);
        }
        if let Some(stream) = windows::stream(first, operation)? {
            return Ok(stream);
        }
        let state = State { harness: &self.harness, of: first, operation };
        if let Some((stream, snapshots)) = state.stream()? {
            *self.snapshots.borrow_mut() = snapshots;
            return Ok(stream);
        }
        if of.len() > 1 { self.many(of, operation) } else { one(first, operation) }
    }

    /// Operations on several streams.
    fn many(&self, of: Vec<DStream<Value>>, operation: &Json) -> Result<DStream<Value>, Trouble> {
        let pairs = |i: usize| of[i].map(Value::into_pair);
        let ctx = self.harness.ctx();
        Ok(match (word(operation, "op"), word(operation, "kind"), of.len()) {
            ("union", _, 2) => of[0].union(&of[1]),
            ("union", ..) => ctx.union(of),
            ("cogroup", _, 2) => pairs(0).cogroup(&pairs(1)).map(Value::from),
            ("join", "inner", 2) => pairs(0).join(&pairs(1)).map(Value::from),
            ("join", "left", 2) => pairs(0).left_outer_join(&pairs(1)).map(Value::from),
            ("join", "right", 2) => pairs(0).right_outer_join(&pairs(1)).map(Value::from),
            ("join", "full", 2) => pairs(0).full_outer_join(&pairs(1)).map(Value::from),
            ("transform_with", _, 2) => {
                let body = Body::of(operation)?;
                of[0].transform_with(&of[1], move |a, b, _| body.of_datasets(&[a, b]))
            }
            ("transform_many" | "transform", ..) => {
                let body = Body::of(operation)?;
                ctx.transform(of, move |rdds, _| body.of_datasets(&rdds))
            }
            (op, kind, n) => {
                return Err(Trouble::Inexpressible(format!("no {kind} {op} of {n} streams")));
            }
        })
    }

    fn source(&self, id: &str) -> Result<DStream<Value>, Trouble> {
        if let Some(source) = self.sources.borrow().get(id) {
            return Ok(source.clone());
        }
        let input = match self.case.field("inputs") {
            Json::Null => self.case.field("input"),
            inputs => &inputs[id],
        };
        let intervals = input.as_array().ok_or_else(|| Trouble::malformed(format!("no input {id:?}")))?;
        let interval = |json: &Json| match json {
            Json::Null => Ok(None),
            json => records(json).map(Some),
        };
        let intervals = intervals.iter().map(interval).collect::<Result<Vec<_>, _>>()?;
        let source = self.harness.input_or_none(intervals);
        self.sources.borrow_mut().insert(id.to_owned(), source.clone());
        Ok(source)
    }
}

/// Operations on one stream that are not the same for each of its datasets.
fn one(of: &DStream<Value>, operation: &Json) -> Result<DStream<Value>, Trouble> {
    let keys = || of.map(Value::into_pair);
    Ok(match word(operation, "op") {
        "count" => of.count().map(Value::from),
        "count_by_value" => of.count_by_value().map(Value::from),
        "reduce" => crate::named!(word(operation, "fn"), [add sub max append_str], |f| of.reduce(f))
            .ok_or_else(|| Trouble::unknown(operation, "fn"))?,
        "group_by_key" => keys().group_by_key().map(Value::from),
        "repartition" => of.repartition(partitions(operation).unwrap_or(1)),
        "transform" | "transform_many" => {
            let body = Body::of(operation)?;
            of.transform(move |rdd, _| body.of_datasets(&[rdd]))
        }
        "remember" => of.clone().remember(Duration::from_millis(number(operation, "ms").unwrap_or(0))),
        "cache" | "persist" => of.cache(),
        op => return Err(Trouble::Inexpressible(format!("no operation of streams is called {op:?}"))),
    })
}

/// A list of records as tables write it.
pub(super) fn records(json: &Json) -> Result<Vec<Value>, Trouble> {
    let list = json.as_array().ok_or_else(|| Trouble::malformed(format!("{json} is no list")))?;
    list.iter().map(|value| Value::from_json(value).map_err(Trouble::Malformed)).collect()
}
