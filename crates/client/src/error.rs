/// Why records could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A record that no receiver would take.
    #[error("a record of {bytes} bytes is longer than the {max} that a receiver takes; split it")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// No receiver took anything for too long. What was sent is still held, and tried for.
    #[error("no receiver for {source_name:?} at {addresses}: {why}")]
    Unreachable {
        /// The source of the program.
        source_name: String,
        /// Where receivers were looked for.
        addresses: String,
        /// What the last attempt came to.
        why: String,
    },
    /// Something that this machine does not have.
    #[error("cannot start a client: {0}")]
    Machine(String),
}
