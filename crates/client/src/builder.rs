use std::{path::PathBuf, time::Duration};

use cutwater_core::limits;
use cutwater_wire::{client::new_client, handshake::Secret, tls::Tls};

use crate::{Client, ClientError, TlsFiles, token::Token};

/// Who a client sends to, and how.
///
/// ```
/// use std::time::Duration;
/// use cutwater_client::Client;
///
/// let client = Client::builder("127.0.0.1:7077", "events")
///     .token_file("/run/user/1000/token")
///     .linger(Duration::from_millis(1))
///     .build()?;
/// assert_eq!(client.acknowledged(), 0);
/// # Ok::<(), cutwater_client::ClientError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `build`"]
pub struct Builder {
    pub(crate) addresses: Vec<String>,
    pub(crate) source: String,
    pub(crate) token: Token,
    pub(crate) tls: Option<Tls>,
    pub(crate) faults: Vec<String>,
    pub(crate) batch_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) held_bytes_max: usize,
    pub(crate) patience: Duration,
}

impl Client {
    /// Begins to describe a client that sends to the source `source` of the program whose master, or any of
    /// whose workers, is at `address`, HOST:PORT. More addresses may follow behind commas.
    pub fn builder(address: &str, source: &str) -> Builder {
        Builder {
            addresses: address.split(',').map(|address| address.trim().to_owned()).collect(),
            source: source.to_owned(),
            token: Token::Usual,
            tls: None,
            faults: Vec::new(),
            batch_bytes: limits::BATCH_BYTES,
            linger: Duration::from_millis(limits::LINGER_MS),
            held_bytes_max: limits::CLIENT_BYTES_MAX,
            patience: Duration::from_millis(limits::CLIENT_PATIENCE_MS),
        }
    }
}

impl Builder {
    /// The file with the token of the program. If none is given, it is where a master on this machine puts it.
    pub fn token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.token = Token::File(file.into());
        self
    }

    /// The token itself.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Token::Known(Secret::of(token));
        self
    }

    /// The certificates for connections beyond loopback, which are encrypted: that of the program's authority,
    /// and one with the role of a client with its key. The secret is empty then unless a token is given.
    pub fn tls(mut self, files: &TlsFiles) -> Self {
        match Tls::read(files) {
            Ok(tls) => self.tls = Some(tls),
            Err(faults) => self.faults.extend(faults),
        }
        if matches!(self.token, Token::Usual) {
            self.token = Token::Known(Secret::of(""));
        }
        self
    }

    /// Bytes of records that are sent together; 128 KiB if nothing is said.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes.clamp(1, limits::BATCH_BYTES_MAX);
        self
    }

    /// How long a batch that is not full waits for more records; 5 ms if nothing is said.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Bytes of records that may be on their way; then [`send`](Client::send) waits. 32 MiB if nothing is said.
    pub fn held_bytes_max(mut self, bytes: usize) -> Self {
        self.held_bytes_max = bytes.max(1);
        self
    }

    /// How long receivers are looked for before calls that wait for them fail; a minute if nothing is said.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The client. It connects in the background.
    ///
    /// # Errors
    /// Certificates cannot be used, or the machine has no thread or no random numbers to give.
    pub fn build(self) -> Result<Client, ClientError> {
        if !self.faults.is_empty() {
            return Err(ClientError::Machine(self.faults.join("; ")));
        }
        let id = new_client().map_err(|error| ClientError::Machine(error.to_string()))?;
        Client::start(self, id)
    }
}
