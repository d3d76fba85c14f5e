//! Functions of the program that fail.

use std::{cell::Cell, collections::BTreeMap};

use cutwater_core::TaskError;

use crate::{
    dice::Dice,
    program::{Made, Program},
};

/// In which intervals a function of the program fails.
///
/// It fails whenever it is run, since the records are what they are; or some times, since what it asks for is away, until it can
/// be had. Once it has not failed it does not again: what was made can be made again.
#[derive(Debug, Default)]
pub struct Failing(BTreeMap<u64, Function>);

#[derive(Debug)]
struct Function {
    stream: usize,
    partition: u32,
    times: Cell<u32>,
}

impl Failing {
    pub fn draw(dice: &mut Dice, program: &Program, intervals: u64) -> Self {
        let mut failing = BTreeMap::new();
        for interval in 0..intervals {
            if dice.one_in(4) {
                let stream = dice.below(program.streams.len() as u64) as usize;
                let partition = dice.below(2) as u32;
                let times = if dice.one_in(2) { u32::MAX } else { dice.between(1..4) as u32 };
                failing.insert(interval, Function { stream, partition, times: Cell::new(times) });
            }
        }
        Self(failing)
    }

    /// A task is about to make that partition.
    pub fn make(&self, what: Made, partition: u32) -> Result<(), TaskError> {
        let function = self.0.get(&what.interval()).filter(|function| {
            Made::of(what.interval(), function.stream) == what && function.partition == partition
        });
        let Some(function) = function.filter(|function| function.times.get() > 0) else { return Ok(()) };
        if function.times.get() < u32::MAX {
            function.times.set(function.times.get() - 1);
        }
        let operator = format!("stream {}", function.stream).into();
        Err(TaskError::User { operator, message: "what is to be done cannot be".into() })
    }

    /// Whether something of the interval was to fail.
    pub fn fails(&self, interval: u64) -> bool {
        self.0.contains_key(&interval)
    }
}
