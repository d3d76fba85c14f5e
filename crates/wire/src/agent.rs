//! What is said to an agent: the standing process of a machine that keeps executables and runs them.
//!
//! A connection begins with the [`handshake`](crate::handshake), in which the agent is told a [`Caller`]
//! and answers with a [`Hello`]. Then one [`Request`] follows the other, each with its answers:
//!
//! ```text
//! Have        Held | Missing
//! Upload      Held, or Missing, upon which pieces follow, then Held | Refused
//! Fetch       Held | Refused            the agent asks another agent for it, by Download
//! Download    Sending, and then pieces, or Refused
//! Start       Started | Refused
//! Follow      Output …, Quiet … , then End | Refused
//! Stop        Stopped
//! Jobs        Running
//! ```
//!
//! A piece is a message of at most [`CHUNK_BYTES`] of an executable and nothing else, so that nobody looks at
//! each byte of it.
//!
//! An executable is only ever named by the hash of its content, and is checked against it where it
//! arrives, so it does not matter from whom it comes.

use std::fmt;

pub use cutwater_core::limits::{AGENT_MESSAGE_BYTES_MAX, CHUNK_BYTES, EXECUTABLE_BYTES_MAX};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{WireError, frame, handshake::ExecutableHash};

/// How somebody introduces himself to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// Whoever starts, looks after and stops jobs.
    Person,
    /// Another agent, which wants an executable.
    Agent,
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The processor its machine has, as the number that ELF gives it.
    pub machine: u16,
    /// How many tasks the workers of a job may run at a time on it.
    pub slots: u32,
}

/// To an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Is this executable there?
    Have(ExecutableHash),
    /// Here comes an executable, of so many bytes.
    Upload {
        /// Its content.
        executable: ExecutableHash,
        /// How many bytes it has.
        bytes: u64,
    },
    /// Get an executable from the agent at that address.
    Fetch {
        /// Its content.
        executable: ExecutableHash,
        /// Another agent that has it, `HOST:PORT`.
        from: String,
    },
    /// Send me an executable.
    Download(ExecutableHash),
    /// Run a part of a job.
    Start(Start),
    /// What a process of a job has printed.
    Follow {
        /// Which job.
        job: String,
        /// Which of its processes here.
        process: ProcessId,
        /// Whether what it will print is wanted too, until it ends.
        wait: bool,
    },
    /// End all processes of a job, and say when they have ended.
    Stop(String),
    /// What runs here, and what ran lately?
    Jobs,
}

/// A part of a job that an agent is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The job's name, the same on all agents.
    pub job: String,
    /// What runs.
    pub executable: ExecutableHash,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// Variables of its environment besides the agent's own.
    pub environment: Vec<(String, String)>,
    /// The secret of the run.
    pub token: JobToken,
    /// The name by which the agent's machine was reached. The processes of the job reach each other by it.
    pub host: String,
    /// Which part.
    pub part: Part,
}

/// The part of a job that is started on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The program itself.
    Master {
        /// How many workers it waits for.
        workers: u32,
    },
    /// Workers.
    Workers {
        /// Where the master is.
        join: String,
        /// How many processes.
        count: u32,
        /// Compute threads in each.
        threads: u32,
    },
}

/// The secret of a run as text. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobToken(pub String);

impl fmt::Debug for JobToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobToken(…)")
    }
}

/// A process of a job on one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProcessId {
    /// The one in which `main` runs.
    Master,
    /// A worker.
    Worker(u32),
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Worker(number) => write!(f, "worker-{number}"),
        }
    }
}

/// From an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It cannot be done, for this reason.
    Refused(String),
    /// The executable is there, and whole.
    Held,
    /// The executable is not there.
    Missing,
    /// An executable of so many bytes follows.
    Sending {
        /// How many bytes it has.
        bytes: u64,
    },
    /// It runs.
    Started {
        /// Where workers reach it, if it is a master: the address that it listens on.
        master: Option<String>,
    },
    /// Something that a process has printed.
    Output {
        /// Whether on standard error.
        error: bool,
        /// Bytes before it that are no longer kept.
        lost: u64,
        /// What.
        text: Vec<u8>,
    },
    /// Nothing was printed for a while; the agent is alive.
    Quiet,
    /// That was all. If the process has ended, how.
    End(Option<Exit>),
    /// No process of the job runs here any longer; so many did.
    Stopped {
        /// How many processes were ended by it.
        processes: u32,
    },
    /// What runs.
    Running(Vec<Job>),
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it says that all went well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The status that a shell would give.
    ///
    /// ```
    /// use cutwater_wire::agent::Exit;
    ///
    /// assert_eq!(Exit::Code(3).status(), 3);
    /// assert_eq!(Exit::Signal(9).status(), 137);
    /// ```
    pub fn status(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A job on one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub executable: ExecutableHash,
    /// Its processes here.
    pub processes: Vec<Process>,
}

/// A process of a job, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Which.
    pub id: ProcessId,
    /// How it is.
    pub state: State,
    /// How often it was started again.
    pub restarts: u32,
    /// How long it has been in this state, in milliseconds.
    pub for_ms: u64,
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It runs, under this number of the operating system.
    Running {
        /// The number.
        pid: u32,
    },
    /// It has ended and will be started again.
    Waiting {
        /// How it ended.
        exit: Exit,
    },
    /// It has ended for good.
    Ended {
        /// How.
        exit: Exit,
        /// Whether that was given up on: it failed too often.
        given_up: bool,
    },
    /// It could not be started.
    NotStarted(String),
}

/// Sends a piece of an executable.
///
/// # Errors
/// The connection fails.
pub async fn send_piece(to: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> Result<(), WireError> {
    let mut frames = Vec::new();
    frame::encode(piece, &mut frames);
    to.write_all(&frames).await?;
    to.flush().await?;
    Ok(())
}

/// Receives the next piece of an executable into `piece`, of which there are to be `left` bytes at most.
///
/// # Errors
/// The connection fails or ends, or what arrives is no such piece.
pub async fn receive_piece(
    from: &mut (impl AsyncRead + Unpin),
    left: u64,
    piece: &mut Vec<u8>,
) -> Result<(), WireError> {
    let max = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
    // An empty piece would let an executable have no end.
    if !frame::read(from, max, piece).await? || piece.is_empty() {
        return Err(WireError::NotCutwater);
    }
    Ok(())
}

/// The longest name of a job: it is a folder, and is typed.
pub const JOB_NAME_BYTES_MAX: usize = 64;

/// Why `name` cannot be the name of a job, if it cannot. It becomes the name of a folder, so nothing that
/// means more than itself in a path is in it.
///
/// ```
/// use cutwater_wire::agent::fault_of_name;
///
/// assert!(fault_of_name("flights-7f3a").is_none());
/// assert!(fault_of_name("../flights").is_some());
/// ```
pub fn fault_of_name(name: &str) -> Option<String> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=JOB_NAME_BYTES_MAX).contains(&name.len());
    if fits && name.bytes().all(is_fine) && !name.starts_with(['.', '-']) {
        return None;
    }
    Some(format!(
        "a job cannot be called {name:?}: at most {JOB_NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, the first a letter or digit"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> Request {
        Request::Start(Start {
            job: "flights-1".to_owned(),
            executable: ExecutableHash([7; 32]),
            arguments: vec!["--batch".to_owned(), "a file".to_owned()],
            environment: vec![("RUST_LOG".to_owned(), "info".to_owned())],
            token: JobToken("a secret".to_owned()),
            host: "10.0.0.2".to_owned(),
            part: Part::Workers { join: "10.0.0.1:7077".to_owned(), count: 2, threads: 4 },
        })
    }

    #[test]
    fn messages_survive_the_journey() {
        let requests = [start(), Request::Jobs, Request::Stop("flights-1".to_owned())];
        let bytes = postcard::to_allocvec(&requests.to_vec()).unwrap();
        assert_eq!(postcard::from_bytes::<Vec<Request>>(&bytes).unwrap(), requests);
        let process = |state| Process { id: ProcessId::Worker(3), state, restarts: 1, for_ms: 5 };
        let answers = [
            Answer::Output { error: true, lost: 3, text: b"so".to_vec() },
            Answer::End(Some(Exit::Signal(9))),
            Answer::Running(vec![Job {
                name: "flights-1".to_owned(),
                executable: ExecutableHash([7; 32]),
                processes: vec![
                    process(State::Running { pid: 17 }),
                    process(State::Ended { exit: Exit::Code(1), given_up: true }),
                ],
            }]),
        ];
        let bytes = postcard::to_allocvec(&answers.to_vec()).unwrap();
        assert_eq!(postcard::from_bytes::<Vec<Answer>>(&bytes).unwrap(), answers);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn pieces_have_bounds() {
        for (sent, left, arrives) in
            [(3, 3, true), (3, 2, false), (0, 3, false), (CHUNK_BYTES + 1, 1 << 30, false)]
        {
            let (mut one, mut other) = tokio::io::duplex(1 << 20);
            send_piece(&mut one, &vec![7; sent]).await.unwrap();
            let mut piece = Vec::new();
            let received = receive_piece(&mut other, left, &mut piece).await;
            assert_eq!(received.is_ok(), arrives, "{sent} of {left}: {received:?}");
            assert!(!arrives || piece == vec![7; sent]);
        }
        let (one, mut other) = tokio::io::duplex(16);
        drop(one);
        assert!(receive_piece(&mut other, 1, &mut Vec::new()).await.is_err(), "an end is no piece");
    }

    #[test]
    fn a_token_is_not_printed() {
        assert!(!format!("{:?}", start()).contains("a secret"));
    }

    #[test]
    fn names_that_mean_more_than_themselves_are_refused() {
        for name in ["", ".", "..", "a/b", "-rf", ".hidden", "a b", "a\0", "ü", &"x".repeat(65)] {
            assert!(fault_of_name(name).is_some(), "{name:?}");
        }
        for name in ["a", "A-1_b.c", &"x".repeat(64)] {
            assert!(fault_of_name(name).is_none(), "{name:?}");
        }
    }

    proptest! {
        /// Whatever arrives is a message or an error: no panic, and no memory for what is only announced.
        #[test]
        fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = postcard::from_bytes::<Caller>(&bytes);
            let _ = postcard::from_bytes::<Hello>(&bytes);
            let _ = postcard::from_bytes::<Request>(&bytes);
            let _ = postcard::from_bytes::<Answer>(&bytes);
        }

        /// The same for a message of which a little is changed, which gets further.
        #[test]
        fn damage_is_an_error(at in 0..300_usize, to: u8) {
            let mut bytes = postcard::to_allocvec(&start()).unwrap();
            let place = at % bytes.len();
            bytes[place] = to;
            let _ = postcard::from_bytes::<Request>(&bytes);
        }
    }
}
