//! The other end of an agent's door: a connection on which requests are made.

use std::{fs::File, io::Read, path::Path, time::Duration};

use anyhow::{Context, anyhow, bail};
use cutwater_core::limits;
use cutwater_wire::{
    WireError,
    agent::{AGENT_MESSAGE_BYTES_MAX, Answer, CHUNK_BYTES, Caller, Hello, Request, send_piece},
    channel::Channel,
    credentials::Credentials,
    frame,
    tls::Role,
};
use tokio::{
    io::{BufReader, ReadHalf, WriteHalf, split},
    net::TcpStream,
    time::timeout,
};

use crate::{access::host_of, executable::Executable};

/// A connection to an agent, used by one request after the other.
pub struct Connection {
    /// Where the agent is, as it was named.
    pub address: String,
    /// What it said of itself.
    pub hello: Hello,
    /// What it says, for whoever reads more than answers.
    pub from: BufReader<ReadHalf<Channel<TcpStream>>>,
    to: WriteHalf<Channel<TcpStream>>,
}

impl Connection {
    /// Connects to the agent at `address`.
    ///
    /// # Errors
    /// There is none, or it does not let us in.
    pub async fn open(address: &str, credentials: &Credentials, caller: Caller) -> anyhow::Result<Self> {
        let wait = Duration::from_millis(limits::HANDSHAKE_MS_MAX);
        let connected = timeout(wait, TcpStream::connect(address)).await;
        let unreachable = |why: &dyn std::fmt::Display| {
            anyhow!("cannot reach an agent at {address}: {why}; is `cutwater agent` running there?")
        };
        let stream =
            connected.map_err(|_| unreachable(&"no answer"))?.map_err(|error| unreachable(&error))?;
        stream.set_nodelay(true)?;
        // Who hands it code has to know that it is a machine of ours. A worker's certificate says so.
        let shaking = credentials.connect(stream, host_of(address), Role::Worker, &caller);
        let shaken = timeout(wait, shaking).await;
        let (stream, hello) = match shaken.map_err(|_| unreachable(&"it does not answer"))? {
            Ok(entered) => entered,
            Err(WireError::Refused(why)) => {
                bail!("the agent at {address} refuses: {why}; `--token-file` must name a copy of its file")
            }
            Err(error) => return Err(error).with_context(|| format!("no agent at {address}")),
        };
        let (from, to) = split(stream);
        Ok(Self { address: address.to_owned(), hello, from: BufReader::new(from), to })
    }

    /// Makes a request, and waits for the first answer. An agent that does not answer at all takes its time,
    /// such as a job that is to end.
    ///
    /// # Errors
    /// The connection fails, or the agent refuses.
    pub async fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        frame::send(&mut self.to, request).await.with_context(|| self.lost())?;
        self.hear().await
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// The connection fails, or the agent refuses.
    pub async fn hear(&mut self) -> anyhow::Result<Answer> {
        let answer = frame::receive(&mut self.from, AGENT_MESSAGE_BYTES_MAX).await;
        match answer.with_context(|| self.lost())? {
            Some(Answer::Refused(why)) => bail!("agent {}: {why}", self.address),
            Some(answer) => Ok(answer),
            None => bail!("{}: it closed the connection", self.lost()),
        }
    }

    /// Hands an executable over, unless the agent has it; says whether it had to be sent. `progress` is told
    /// how many bytes were sent.
    ///
    /// # Errors
    /// The file cannot be read, the connection fails, or the agent refuses.
    pub async fn upload(
        &mut self,
        path: &Path,
        executable: &Executable,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<bool> {
        let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let request = Request::Upload { executable: executable.hash, bytes: executable.bytes };
        match self.ask(&request).await? {
            Answer::Held => return Ok(false),
            Answer::Missing => {}
            answer => bail!("agent {} answers {answer:?}", self.address),
        }
        let (mut left, mut piece) = (executable.bytes, vec![0; CHUNK_BYTES]);
        while left > 0 {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut piece).with_context(|| format!("{} became shorter", path.display()))?;
            left -= piece.len() as u64;
            send_piece(&mut self.to, &piece).await.with_context(|| self.lost())?;
            progress(piece.len() as u64);
        }
        match self.hear().await? {
            Answer::Held => Ok(true),
            answer => bail!("agent {} answers {answer:?}", self.address),
        }
    }

    fn lost(&self) -> String {
        format!("lost the agent at {}", self.address)
    }
}
