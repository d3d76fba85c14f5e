//! The scheduler, tested by scripts: each event, and the commands it must be answered with.

mod ahead;
mod expected;
mod failure;
mod flow;
mod loss;
mod nine;
mod placement;
mod retention;
mod script;
mod simulation;
mod stragglers;
mod workers;
mod world;
