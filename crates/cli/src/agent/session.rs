use std::{
    fs::File,
    io::Read,
    sync::{Arc, PoisonError},
    time::Duration,
};

use cutwater_core::limits;
use cutwater_wire::{
    WireError,
    agent::{
        AGENT_MESSAGE_BYTES_MAX, Answer, CHUNK_BYTES, Caller, ProcessId, Request, State, receive_piece,
        send_piece,
    },
    frame,
    handshake::ExecutableHash,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, split},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    Agent,
    output::{Channel, Output},
    store::Incoming,
};
use crate::caller::Connection;

/// What a caller asks for, one request after the other, until he hangs up.
///
/// # Errors
/// The connection fails, or what arrives is no request.
pub async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    caller: Caller,
    agent: &Arc<Agent>,
) -> Result<(), WireError> {
    let (from, to) = split(stream);
    let mut session = Session { from: BufReader::new(Box::pin(from)), to: Box::pin(to), agent };
    while let Some(request) = frame::receive(&mut session.from, AGENT_MESSAGE_BYTES_MAX).await? {
        match (&caller, &request) {
            (Caller::Person, _) | (Caller::Agent, Request::Download(_)) => session.answer(request).await?,
            (Caller::Agent, _) => {
                let why = "agents may only ask each other for executables".to_owned();
                session.say(&Answer::Refused(why)).await?;
            }
        }
    }
    Ok(())
}

struct Session<'a, R, W> {
    from: BufReader<R>,
    to: W,
    agent: &'a Arc<Agent>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'_, R, W> {
    async fn answer(&mut self, request: Request) -> Result<(), WireError> {
        let store = &self.agent.store;
        let answer = match request {
            Request::Have(executable) if store.holds(executable) => Answer::Held,
            Request::Have(_) => Answer::Missing,
            Request::Upload { executable, bytes } => {
                if store.holds(executable) {
                    Answer::Held
                } else {
                    self.say(&Answer::Missing).await?;
                    let taken = take(&mut self.from, self.agent, executable, bytes).await?;
                    or_refused(taken.map(|()| Answer::Held))
                }
            }
            Request::Fetch { executable, from } => {
                or_refused(fetch(self.agent, executable, &from).await.map(|()| Answer::Held))
            }
            Request::Download(executable) => return self.send(executable).await,
            Request::Start(start) => {
                or_refused(self.agent.start(start).await.map(|master| Answer::Started { master }))
            }
            Request::Follow { job, process, wait } => return self.follow(job, process, wait).await,
            Request::Stop(job) => {
                let processes = self.agent.work().jobs.running(&job);
                self.agent.stop(&job);
                self.agent.until(|jobs| jobs.is_over(&job)).await;
                Answer::Stopped { processes: u32::try_from(processes).unwrap_or(u32::MAX) }
            }
            Request::Jobs => Answer::Running(self.agent.list()),
        };
        self.say(&answer).await
    }

    async fn say(&mut self, answer: &Answer) -> Result<(), WireError> {
        frame::send(&mut self.to, answer).await
    }

    /// Sends an executable to another agent.
    async fn send(&mut self, executable: ExecutableHash) -> Result<(), WireError> {
        let opened = File::open(self.agent.store.path(executable));
        let (mut file, bytes) = match opened.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((bytes, file)) => (file, bytes),
            Err(error) => {
                let why = format!("executable {executable} cannot be read here: {error}");
                return self.say(&Answer::Refused(why)).await;
            }
        };
        self.say(&Answer::Sending { bytes }).await?;
        let (mut left, mut piece) = (bytes, vec![0; CHUNK_BYTES]);
        while left > 0 {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut piece)?;
            left -= piece.len() as u64;
            send_piece(&mut self.to, &piece).await?;
        }
        Ok(())
    }

    /// Sends what a process has printed and, if that is wanted, what it prints until it ends.
    async fn follow(&mut self, job: String, process: ProcessId, wait: bool) -> Result<(), WireError> {
        let key = (job, process);
        let output = self.agent.work().outputs.get(&key).cloned();
        let Some(output) = output else {
            let why = format!("there is no {process} of a job {} here", key.0);
            return self.say(&Answer::Refused(why)).await;
        };
        let mut changes = output.changes();
        let mut at = [0, 0];
        loop {
            changes.borrow_and_update();
            // Looked at before the output is: what it printed before it ended is there then.
            let state = self.agent.work().jobs.state(&key.0, process).cloned();
            for (channel, at) in [Channel::Out, Channel::Err].into_iter().zip(&mut at) {
                while let Some(answer) = printed(&output, channel, at)? {
                    self.say(&answer).await?;
                }
            }
            match state {
                Some(State::Ended { exit, .. }) => return self.say(&Answer::End(Some(exit))).await,
                Some(State::NotStarted(_)) | None => return self.say(&Answer::End(None)).await,
                _ if !wait => return self.say(&Answer::End(None)).await,
                _ => {}
            }
            let quiet = Duration::from_millis(limits::PING_MS);
            tokio::select! {
                changed = timeout(quiet, changes.changed()) => {
                    if changed.is_err() {
                        self.say(&Answer::Quiet).await?;
                    }
                }
                // A caller who says anything, or nothing any more, has heard enough.
                _ = self.from.fill_buf() => return Ok(()),
            }
        }
    }
}

/// The next bytes of an output, if there are any.
fn printed(output: &Output, channel: Channel, at: &mut u64) -> Result<Option<Answer>, WireError> {
    let (lost, text) = output.read(channel, *at)?;
    *at += lost + text.len() as u64;
    let answer = Answer::Output { error: channel == Channel::Err, lost, text };
    Ok((!matches!(&answer, Answer::Output { text, .. } if text.is_empty())).then_some(answer))
}

fn or_refused(answer: anyhow::Result<Answer>) -> Answer {
    answer.unwrap_or_else(|error| Answer::Refused(format!("{error:#}")))
}

/// Takes an executable whose pieces follow. Where it fails, the rest is still read, so that whoever sends it
/// hears why.
async fn take(
    from: &mut (impl AsyncRead + Unpin),
    agent: &Arc<Agent>,
    executable: ExecutableHash,
    bytes: u64,
) -> Result<anyhow::Result<()>, WireError> {
    if bytes > limits::EXECUTABLE_BYTES_MAX {
        // Too much to be read for politeness.
        return Err(WireError::TooLong {
            max: usize::try_from(limits::EXECUTABLE_BYTES_MAX).unwrap_or(usize::MAX),
        });
    }
    let mut incoming = agent.store.receive(executable, bytes);
    let (mut left, mut piece) = (bytes, Vec::new());
    while left > 0 {
        receive_piece(from, left, &mut piece).await?;
        left -= piece.len() as u64;
        if let Ok(taking) = &mut incoming
            && let Err(error) = taking.write(&piece)
        {
            incoming = Err(error);
        }
    }
    Ok(match incoming {
        Ok(incoming) => keep(agent, incoming).await,
        Err(error) => Err(error),
    })
}

async fn keep(agent: &Arc<Agent>, incoming: Incoming) -> anyhow::Result<()> {
    spawn_blocking(move || incoming.keep()).await??;
    let in_use = agent.work.lock().unwrap_or_else(PoisonError::into_inner).jobs.in_use();
    let store = agent.store.clone();
    spawn_blocking(move || store.prune(&in_use)).await?;
    Ok(())
}

/// Gets an executable from another agent.
async fn fetch(agent: &Arc<Agent>, executable: ExecutableHash, from: &str) -> anyhow::Result<()> {
    if agent.store.holds(executable) {
        return Ok(());
    }
    let mut other = Connection::open(from, &agent.credentials, Caller::Agent).await?;
    let bytes = match other.ask(&Request::Download(executable)).await? {
        Answer::Sending { bytes } => bytes,
        answer => anyhow::bail!("the agent at {from} does not send the executable: {answer:?}"),
    };
    take(&mut other.from, agent, executable, bytes).await?
}
