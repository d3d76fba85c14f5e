use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use cutwater_core::limits;
use cutwater_wire::agent::Exit;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use super::output::{Channel, Output};

/// Variables with which this begins are the agent's to give.
pub const VARIABLES: &str = "CUTWATER_";

/// Starts `program` as a process that ends with this one, in a process group of its own. What the agent
/// itself was told by `CUTWATER_…` variables is not meant for it.
///
/// To be called on the agent's first thread only: a process is tied to the thread that started it.
///
/// # Errors
/// The operating system refuses.
pub fn spawn(
    program: &Path,
    arguments: &[String],
    environment: &[(String, String)],
    folder: &Path,
) -> io::Result<Child> {
    // The kernel's link leads to what this process runs, also if its file was replaced since.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("cutwater").args(["launch", "--agent", &std::process::id().to_string()]);
    command.arg("--").arg(program).args(arguments);
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(VARIABLES.as_bytes()))
    {
        command.env_remove(name);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(folder).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn()
}

/// Keeps what the process prints, passes signals on to its group, and answers with how it ended, once all
/// that it printed is kept.
pub async fn watch(mut child: Child, output: Arc<Output>, mut signals: mpsc::Receiver<Signal>) -> Exit {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let send = |signal| {
        // Whoever is gone needs no signal.
        let _ = pid.map(|pid| kill_process_group(pid, signal));
    };
    let out = child.stdout.take().map(|from| tokio::spawn(keep(from, output.clone(), Channel::Out)));
    let err = child.stderr.take().map(|from| tokio::spawn(keep(from, output.clone(), Channel::Err)));
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = signals.recv() => send(signal),
        }
    };
    // Processes that it has started itself must not stay behind.
    send(Signal::KILL);
    let rest = Duration::from_millis(limits::LOG_REST_MS);
    for kept in [out, err].into_iter().flatten() {
        let abort = kept.abort_handle();
        if timeout(rest, kept).await.is_err() {
            abort.abort();
        }
    }
    match status {
        Ok(status) => exit(status),
        Err(error) => {
            tracing::error!(%error, "cannot wait for a process");
            Exit::Code(-1)
        }
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

async fn keep(mut from: impl AsyncRead + Unpin, output: Arc<Output>, channel: Channel) {
    let mut bytes = vec![0; limits::CHUNK_BYTES];
    // An error of a pipe is its end.
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        output.append(channel, &bytes[..read]);
    }
}
