use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cutwater_core::limits;
use tokio::{sync::oneshot, time::sleep};

/// The connections to a port that have not proven anything yet.
///
/// Properties:
/// - there are few at a time, each for a short time;
/// - when there is one more, the one that has had the longest gives way: whoever speaks is done in
///   milliseconds, so those who say nothing keep nobody out.
///
/// The tasks of a port's connections share it. If the process dies, so do the connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Handshakes(Arc<Mutex<VecDeque<oneshot::Sender<()>>>>);

/// Why a handshake came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// Its time was over.
    Late,
    /// Others came.
    GaveWay,
}

impl Handshakes {
    /// Lets it go on until it ends, or has to.
    pub async fn run<T>(&self, handshake: impl Future<Output = T>) -> Result<T, Unproven> {
        let gives_way = self.register();
        tokio::select! {
            done = handshake => Ok(done),
            _ = gives_way => Err(Unproven::GaveWay),
            () = sleep(Duration::from_millis(limits::HANDSHAKE_MS_MAX)) => Err(Unproven::Late),
        }
    }

    fn register(&self) -> oneshot::Receiver<()> {
        let (stays, gives_way) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| !other.is_closed());
        waiting.push_back(stays);
        if waiting.len() > limits::HANDSHAKES_MAX {
            waiting.pop_front();
        }
        gives_way
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "refused a connection that said nothing",
            Self::GaveWay => "closed a connection that had said nothing yet, since others came",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_silent_give_way_to_those_who_speak() {
        let handshakes = Handshakes::default();
        let mut silent = JoinSet::new();
        for number in 0..limits::HANDSHAKES_MAX + 2 {
            let handshakes = handshakes.clone();
            silent.spawn(async move { (number, handshakes.run(pending::<()>()).await) });
        }
        // The two that came first, and nobody waits for the time of any to be over.
        let mut gone =
            [silent.join_next().await.unwrap().unwrap(), silent.join_next().await.unwrap().unwrap()];
        gone.sort_by_key(|(number, _)| *number);
        assert_eq!(gone, [(0, Err(Unproven::GaveWay)), (1, Err(Unproven::GaveWay))]);
        assert_eq!(handshakes.run(ready("hello")).await, Ok("hello"));
        let (number, why) = silent.join_next().await.unwrap().unwrap();
        assert_eq!((number, why), (2, Err(Unproven::GaveWay)));
        // Those that are done make room: nobody gives way to many, one after the other.
        for _ in 0..2 * limits::HANDSHAKES_MAX {
            handshakes.run(ready(())).await.unwrap();
        }
        assert!(silent.try_join_next().is_none());
        silent.abort_all();
    }
}
