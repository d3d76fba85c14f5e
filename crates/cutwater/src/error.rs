use std::{fmt, io, sync::Arc};

use cutwater_core::TaskError;

/// What went wrong, and whose move it is.
///
/// ```
/// use cutwater::{Error, ErrorKind};
///
/// let error = Error::user("the discount is above 100 %");
/// assert_eq!(error.kind(), ErrorKind::User);
/// assert_eq!(error.to_string(), "the discount is above 100 %");
/// ```
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    tells_of_loss: bool,
}

/// Who must act for an [`Error`] to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The program is wrongly put together or configured; the message lists every fault.
    Config,
    /// A function of the program panicked or refused what it was given.
    User,
    /// A record could not be understood and its source says that this is fatal.
    Input,
    /// Something outside failed: a file, a disk, a socket. The message names it.
    External,
    /// The engine was stopped while this was going on.
    Stopped,
    /// Another master has taken over; this one can do nothing any more and stops.
    Fenced,
    /// The engine broke its own rules: a defect of cutwater.
    Internal,
}

impl Error {
    /// An error of the program itself, for functions that return one from
    /// [`for_each_rdd`](crate::DStream::for_each_rdd).
    pub fn user(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::User, message)
    }

    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string().into(), tells_of_loss: false }
    }

    /// All faults of a configuration at once, so that they can be mended at once.
    pub(crate) fn config(faults: &[String]) -> Self {
        let message = match faults {
            [one] => one.clone(),
            many => {
                let list: String = many.iter().map(|fault| format!("\n  - {fault}")).collect();
                format!("the program cannot start, for {} reasons:{list}", many.len())
            }
        };
        Self::new(ErrorKind::Config, message)
    }

    /// An error of something outside, which may go away by itself: for [sinks](crate::output::Sink), of which the
    /// task or commit is then tried again.
    pub fn external(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::External, message)
    }

    /// The refusal of a [sink](crate::output::Sink) to serve a master after another one has taken over. The program
    /// stops with it, also one that goes on after other failures.
    pub fn fenced(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Fenced, format_args!("another master has taken over: {message}"))
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, format_args!("defect in cutwater: {message}"))
    }

    pub(crate) fn stopped() -> Self {
        Self::new(ErrorKind::Stopped, "the engine has stopped")
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error with the place it happened in front.
    #[must_use]
    pub fn at(&self, place: impl fmt::Display) -> Self {
        Self {
            tells_of_loss: self.tells_of_loss,
            ..Self::new(self.kind, format_args!("{place}: {}", self.message))
        }
    }

    /// Whether it is that received records are held by nobody any more.
    pub(crate) fn tells_of_loss(&self) -> bool {
        self.tells_of_loss
    }
}

/// What is wrong with a file, and what to do where that is plain.
pub(crate) fn advised(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!("{error}; make room there"),
        _ => error.to_string(),
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        let kind = match &error {
            TaskError::User { .. } => ErrorKind::User,
            TaskError::External { .. } | TaskError::FetchFailed { .. } | TaskError::InputLost { .. } => {
                ErrorKind::External
            }
            // No job ends for an attempt that was cancelled.
            TaskError::Cancelled | TaskError::Internal(_) => ErrorKind::Internal,
        };
        match &error {
            TaskError::InputLost { .. } => {
                let message = format_args!(
                    "{error}: all who held them are gone, and with them records that were acknowledged; \
                     only `allow_lost` (--allow-lost) goes on without them"
                );
                Self { tells_of_loss: true, ..Self::new(kind, message) }
            }
            _ => Self::new(kind, error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    /// `main` prints errors by `Debug`; a person reads them there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.message, self.kind)
    }
}

impl std::error::Error for Error {}
