//! Who is at the other end, and whether it may be.
//!
//! A task is code to run, so nobody gets as far as a message without proof. Both ends prove that they
//! know the secret of the run without ever sending it: each has the other's fresh nonce hashed with the
//! secret as key, so a recording of one handshake is of no use for the next. On loopback the secret is a
//! token made for each run; beyond it the connection is TLS with certificates at both ends, and the
//! secret is what the configuration says, or empty.
//!
//! ```text
//! both       "cutwater", version, nonce                       fixed length
//! connector  Introduction, proof over both nonces and it      a frame
//! acceptor   Answer: welcome with proof, or refused and why   a frame
//! ```

use std::fmt;

use cutwater_core::limits::UNPROVEN_BYTES_MAX;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{PROTOCOL_VERSION, WireError, frame};

const MAGIC: &[u8; 8] = b"cutwater";

/// What both ends of a run know and nobody else. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A new one, from the operating system's random numbers.
    ///
    /// # Errors
    /// The operating system has none.
    pub fn new() -> Result<Self, WireError> {
        Ok(Self(random()?))
    }

    /// The secret behind any text, such as a token from a file.
    pub fn of(text: &str) -> Self {
        Self(blake3::derive_key("cutwater 2026 secret of a run", text.trim().as_bytes()))
    }

    /// A text of which [`of`](Self::of) makes a secret again; not this one, but as good.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn proof(&self, role: &str, nonces: [&Nonce; 2], said: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(role.as_bytes()).update(nonces[0]).update(nonces[1]).update(said);
        hasher.finalize().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

type Nonce = [u8; 32];

pub(crate) fn random() -> Result<[u8; 32], WireError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| WireError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}

/// The content of an executable as a number: processes that work together run the same one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExecutableHash(pub [u8; 32]);

impl fmt::Display for ExecutableHash {
    /// The first digits are enough to tell two apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ExecutableHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Serialize, Deserialize)]
struct Introduction {
    said: Vec<u8>,
    proof: [u8; 32],
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Welcome { said: Vec<u8>, proof: [u8; 32] },
    Refused(String),
}

/// Introduces this process to who accepts connections there, and answers with what that said.
///
/// # Errors
/// The connection fails, the other end is no cutwater of this version, refuses, or cannot prove that it
/// knows the secret.
pub async fn connect<M: Serialize, A: DeserializeOwned>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    secret: &Secret,
    introduction: &M,
) -> Result<A, WireError> {
    let (mine, theirs) = greet(stream).await?;
    let said = postcard::to_allocvec(introduction)?;
    let proof = secret.proof("connect", [&mine, &theirs], &said);
    frame::send(stream, &Introduction { said, proof }).await?;
    match frame::receive(stream, UNPROVEN_BYTES_MAX).await?.ok_or(WireError::NotCutwater)? {
        Answer::Refused(why) => Err(WireError::Refused(why)),
        Answer::Welcome { said, proof } if same(&proof, &secret.proof("accept", [&mine, &theirs], &said)) => {
            Ok(postcard::from_bytes(&said)?)
        }
        Answer::Welcome { .. } => Err(WireError::NotProven),
    }
}

/// The first half of accepting a connection: who it says it is, and proves it may be.
///
/// # Errors
/// The connection fails, or the other end is no cutwater of this version, or cannot prove that it knows
/// the secret; it has been told why then.
pub async fn accept<S, M>(stream: &mut S, secret: &Secret) -> Result<(M, Accepting), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: DeserializeOwned,
{
    let (mine, theirs) = greet(stream).await?;
    let introduction: Introduction =
        frame::receive(stream, UNPROVEN_BYTES_MAX).await?.ok_or(WireError::NotCutwater)?;
    if !same(&introduction.proof, &secret.proof("connect", [&theirs, &mine], &introduction.said)) {
        refuse(stream, "the secret token is not that of this run").await?;
        return Err(WireError::NotProven);
    }
    let said = match postcard::from_bytes(&introduction.said) {
        Ok(said) => said,
        Err(error) => {
            refuse(stream, "the introduction cannot be understood").await?;
            return Err(error.into());
        }
    };
    Ok((said, Accepting { secret: secret.clone(), nonces: [theirs, mine] }))
}

/// The second half: the answer.
#[derive(Debug)]
pub struct Accepting {
    secret: Secret,
    nonces: [Nonce; 2],
}

impl Accepting {
    /// Lets the other end in.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn welcome<M: Serialize>(
        self,
        stream: &mut (impl AsyncWrite + Unpin),
        answer: &M,
    ) -> Result<(), WireError> {
        let said = postcard::to_allocvec(answer)?;
        let proof = self.secret.proof("accept", [&self.nonces[0], &self.nonces[1]], &said);
        frame::send(stream, &Answer::Welcome { said, proof }).await
    }

    /// Sends it away, and says why.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn refuse(self, stream: &mut (impl AsyncWrite + Unpin), why: &str) -> Result<(), WireError> {
        refuse(stream, why).await
    }
}

async fn refuse(stream: &mut (impl AsyncWrite + Unpin), why: &str) -> Result<(), WireError> {
    frame::send(stream, &Answer::Refused(why.to_owned())).await
}

/// Exchanges names, versions and nonces; answers with ours and theirs.
async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(Nonce, Nonce), WireError> {
    let mine = random()?;
    let mut greeting = MAGIC.to_vec();
    greeting.extend(PROTOCOL_VERSION.to_le_bytes());
    greeting.extend(mine);
    stream.write_all(&greeting).await?;
    stream.flush().await?;

    // The name first, since whoever speaks something else may send less than a greeting.
    let mut magic = [0; 8];
    stream.read_exact(&mut magic[..2]).await?;
    // A record of TLS: a handshake, or an alert about our own greeting. It is shorter than our name.
    if matches!(magic, [0x15 | 0x16, 0x03, ..]) {
        return Err(WireError::SpeaksTls);
    }
    stream.read_exact(&mut magic[2..]).await?;
    if magic != *MAGIC {
        return Err(WireError::NotCutwater);
    }
    let theirs = stream.read_u16_le().await?;
    if theirs != PROTOCOL_VERSION {
        return Err(WireError::Version { theirs, ours: PROTOCOL_VERSION });
    }
    let mut nonce = [0; 32];
    stream.read_exact(&mut nonce).await?;
    // An acceptor that sends our own nonce back would have us prove ourselves to ourselves.
    if nonce == mine {
        return Err(WireError::NotProven);
    }
    Ok((mine, nonce))
}

/// Compares in a time that does not tell how much of it is right.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(*b)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answered = (Result<String, WireError>, Result<String, WireError>);

    /// What both ends of a handshake make of it.
    async fn shake(connector: Secret, acceptor: Secret) -> Answered {
        let (mut one, mut other) = tokio::io::duplex(1 << 16);
        let accepting = async {
            let (said, accepting) = accept::<_, String>(&mut other, &acceptor).await?;
            accepting.welcome(&mut other, &"come in").await?;
            Ok(said)
        };
        tokio::join!(connect(&mut one, &connector, &"worker"), accepting)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_knows_the_secret_is_let_in() {
        let (connector, acceptor) = shake(Secret::of("token\n"), Secret::of("token")).await;
        assert_eq!((connector.unwrap().as_str(), acceptor.unwrap().as_str()), ("come in", "worker"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_does_not_is_told_so() {
        let (connector, acceptor) = shake(Secret::of("another"), Secret::of("token")).await;
        assert!(matches!(acceptor, Err(WireError::NotProven)));
        let why = connector.unwrap_err().to_string();
        assert!(why.contains("token is not that of this run"), "{why}");
    }

    /// Somebody who accepts connections in the master's place learns nothing and is not believed.
    #[tokio::test(flavor = "current_thread")]
    async fn an_acceptor_has_to_prove_itself_too() {
        let (mut one, mut other) = tokio::io::duplex(1 << 16);
        let impostor = async {
            greet(&mut other).await?;
            let _: Option<Introduction> = frame::receive(&mut other, UNPROVEN_BYTES_MAX).await?;
            frame::send(&mut other, &Answer::Welcome { said: vec![], proof: [0; 32] }).await
        };
        let secret = Secret::of("token");
        let (connector, _) = tokio::join!(connect::<_, ()>(&mut one, &secret, &"worker"), impostor);
        assert!(matches!(connector, Err(WireError::NotProven)));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn other_protocols_and_versions_are_named() {
        let hear = async |said: &[u8]| {
            let (mut one, mut other) = tokio::io::duplex(1 << 16);
            one.write_all(said).await.unwrap();
            one.shutdown().await.unwrap();
            accept::<_, String>(&mut other, &Secret::of("token")).await.map(|(said, _)| said)
        };
        assert!(matches!(hear(b"GET / HTTP/1.1\r\n\r\n").await, Err(WireError::NotCutwater)));
        assert!(matches!(hear(b"").await, Err(WireError::Io(_))));
        let newer = [&MAGIC[..], &(PROTOCOL_VERSION + 1).to_le_bytes(), &[0; 32]].concat();
        assert!(
            matches!(hear(&newer).await, Err(WireError::Version { theirs, .. }) if theirs == PROTOCOL_VERSION + 1)
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::of("token")), "Secret(…)");
    }
}
