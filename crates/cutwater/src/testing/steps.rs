//! Numbered places in a process at which it may be made to die or to stop for a while.

use std::{
    io::{Write, stdin, stdout},
    process,
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What begins the lines by which a process under test talks to the one that started it.
pub(super) const MARK: &str = "@@kit ";

/// What is to happen, in this process.
static ORDER: OnceLock<Order> = OnceLock::new();
static PASSED: AtomicUsize = AtomicUsize::new(0);

/// What is to happen at which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Not even what makes a sink's life hard.
    LeaveAlone,
    Nothing,
    Die(usize),
    /// Go on when a line is read.
    Pause(usize),
}

impl Order {
    pub fn to_text(self) -> String {
        match self {
            Self::LeaveAlone => "leave-alone 0".to_owned(),
            Self::Nothing => "nothing 0".to_owned(),
            Self::Die(at) => format!("die {at}"),
            Self::Pause(at) => format!("pause {at}"),
        }
    }
}

impl FromStr for Order {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (what, at) = text.split_once(' ').ok_or(())?;
        let at = at.parse().map_err(drop)?;
        match what {
            "leave-alone" => Ok(Self::LeaveAlone),
            "nothing" => Ok(Self::Nothing),
            "die" => Ok(Self::Die(at)),
            "pause" => Ok(Self::Pause(at)),
            _ => Err(()),
        }
    }
}

/// From now on steps count.
pub(super) fn obey(order: Order) {
    // One order for a process.
    let _ = ORDER.set(order);
}

/// Says something to the process that started this one.
pub(super) fn say(what: impl std::fmt::Display) {
    let mut out = stdout().lock();
    // If nobody listens any more, this process is of no use either.
    if writeln!(out, "\n{MARK}{what}").and_then(|()| out.flush()).is_err() {
        process::abort();
    }
}

/// A place between two steps of a [sink](crate::output::Sink) at which [`SinkKit`](super::SinkKit) may kill the process,
/// or let another master take over. In any other program nothing happens.
///
/// Put one wherever a sink has done a part of what must be there as a whole.
pub fn step(name: &str) {
    let Some(order) = ORDER.get() else { return };
    let number = PASSED.fetch_add(1, Ordering::Relaxed);
    say(format_args!("step {number} {name}"));
    match *order {
        Order::Die(at) if at == number => process::abort(),
        Order::Pause(at) if at == number => {
            say("paused");
            // An end of the input is as good as a line.
            let _ = stdin().read_line(&mut String::new());
        }
        _ => {}
    }
}
