//! Everything by which a process is let in by others, and lets others in.

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    WireError,
    channel::Channel,
    handshake::{self, Accepting, Secret},
    tls::{Role, Tls},
};

/// The secret of a run and, where connections go beyond loopback, certificates.
///
/// Properties:
/// - with certificates, TLS comes first and everything else is inside it;
/// - it is never printed.
///
/// Every connection of a process uses the same one. Cloning it is free.
#[derive(Clone, Debug)]
pub struct Credentials {
    secret: Secret,
    tls: Option<Tls>,
}

impl Credentials {
    /// Without certificates if `tls` is `None`: for loopback only.
    pub fn new(secret: Secret, tls: Option<Tls>) -> Self {
        Self { secret, tls }
    }

    /// Whether connections are encrypted.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether this text is the token that the secret was made of.
    pub fn is_token(&self, token: &str) -> bool {
        Secret::of(token) == self.secret
    }

    /// What is wrong with the certificate at the other end, if only those roles are let in: for who decides after
    /// having heard what the other end wants to be. Without certificates nothing is.
    pub fn wrong_role<S>(&self, channel: &Channel<S>, roles: &[Role]) -> Option<String> {
        self.tls.as_ref()?.wrong_role(channel, roles)
    }

    /// Introduces this process over a new connection to `host`, where a process of that role is to be;
    /// answers with the connection and with what was said there.
    ///
    /// # Errors
    /// Those of [`Tls::connect`] and [`handshake::connect`].
    pub async fn connect<S, M, A>(
        &self,
        stream: S,
        host: &str,
        role: Role,
        introduction: &M,
    ) -> Result<(Channel<S>, A), WireError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        M: Serialize,
        A: DeserializeOwned,
    {
        let mut channel = match &self.tls {
            Some(tls) => tls.connect(stream, host, role).await?,
            None => Channel::Open(stream),
        };
        match handshake::connect(&mut channel, &self.secret, introduction).await {
            Ok(answer) => Ok((channel, answer)),
            // With TLS 1.3 it is the first thing heard that tells whether our certificate was accepted.
            Err(error) => Err(error.unwrapped()),
        }
    }

    /// Lets whoever is at the other end say who it is, and prove it. One with the certificate of another
    /// role than those is told so.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and [`hear`](Self::hear).
    pub async fn accept<S, M>(
        &self,
        stream: S,
        roles: &[Role],
    ) -> Result<(Channel<S>, M, Accepting), WireError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        M: DeserializeOwned,
    {
        self.hear(self.open(stream).await?, roles).await
    }

    /// The first half of [`accept`](Self::accept): encrypts a connection, if there are certificates. What is said on it
    /// need not be our own protocol.
    ///
    /// # Errors
    /// Those of [`Tls::accept`].
    pub async fn open<S>(&self, stream: S) -> Result<Channel<S>, WireError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match &self.tls {
            Some(tls) => tls.accept(stream).await,
            None => Ok(Channel::Open(stream)),
        }
    }

    /// The second half of [`accept`](Self::accept): hears an introduction in our own protocol.
    ///
    /// # Errors
    /// Those of [`handshake::accept`], or the role is wrong.
    pub async fn hear<S, M>(
        &self,
        mut channel: Channel<S>,
        roles: &[Role],
    ) -> Result<(Channel<S>, M, Accepting), WireError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        M: DeserializeOwned,
    {
        let wrong = self.wrong_role(&channel, roles);
        let (said, accepting) = handshake::accept(&mut channel, &self.secret).await?;
        if let Some(why) = wrong {
            accepting.refuse(&mut channel, &why).await?;
            return Err(WireError::Certificate(why));
        }
        Ok((channel, said, accepting))
    }
}
