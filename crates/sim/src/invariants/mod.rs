//! What must always hold, one thing a file. Each says in words what did not.

mod each_acknowledged_record_once;
mod held;
pub(crate) mod memory;
mod needed;
mod no_interval_without_its_input;
mod no_two_masters_commit;
mod outputs;
mod progress;
mod slots;
mod two_hold_it;

/// All of them, with what they have seen so far.
#[derive(Default)]
pub(crate) struct Invariants {
    pub outputs: outputs::Outputs,
    pub inputs: no_interval_without_its_input::Inputs,
    pub no_two_masters_commit: no_two_masters_commit::NoTwoMastersCommit,
    pub held: held::Held,
    pub needed: needed::Needed,
    pub memory: memory::Memory,
    pub progress: progress::Progress,
    pub slots: slots::Slots,
    pub records: each_acknowledged_record_once::Records,
    pub two_hold_it: two_hold_it::TwoHoldIt,
}
