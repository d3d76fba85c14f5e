//! What must always hold, one thing a file. Each says in words what did not.

mod inputs;
mod memory;
mod needed;
mod outputs;
mod progress;
mod slots;

/// All of them, with what they have seen so far.
#[derive(Default)]
pub(crate) struct Invariants {
    pub outputs: outputs::Outputs,
    pub inputs: inputs::Inputs,
    pub needed: needed::Needed,
    pub memory: memory::Memory,
    pub progress: progress::Progress,
    pub slots: slots::Slots,
}
