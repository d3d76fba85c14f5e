use std::io;

/// Why two processes cannot talk, or cannot go on talking.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection itself failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// What arrived is no cutwater.
    #[error("the other end does not speak cutwater's protocol")]
    NotCutwater,
    /// What arrived is TLS, and this end has no certificates.
    #[error(
        "the other end speaks TLS and this end has no certificates: name them here too (`[tls]` in the configuration file, or --tls-authority, --tls-certificate and --tls-key)"
    )]
    SpeaksTls,
    /// What arrived is not TLS.
    #[error(
        "the other end does not speak TLS: name certificates there too (`[tls]` in the configuration file, or --tls-authority, --tls-certificate and --tls-key)"
    )]
    NoTls,
    /// One end does not accept the certificate of the other.
    #[error("{0}")]
    Certificate(String),
    /// The other end is of another release.
    #[error(
        "the other end speaks version {theirs} of the protocol and this one version {ours}; start the same executable on both"
    )]
    Version {
        /// What was heard.
        theirs: u16,
        /// What is spoken here.
        ours: u16,
    },
    /// A frame claims to be longer than any may be.
    #[error("a message of more than {max} bytes was announced")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// A frame arrived damaged.
    #[error("a frame arrived damaged: its checksum is wrong")]
    Damaged,
    /// A message that is not one.
    #[error("a message cannot be understood: {0}")]
    Malformed(#[from] postcard::Error),
    /// The other end could not prove that it may be here.
    #[error("the other end does not know the secret token of this run")]
    NotProven,
    /// The other end said no.
    #[error("refused by the other end: {0}")]
    Refused(String),
    /// The system gave no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    NoRandomness(String),
}
