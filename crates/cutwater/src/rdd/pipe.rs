use std::{
    fmt::Display,
    io::{self, BufRead, BufReader, Write},
    marker::PhantomData,
    process::{ChildStdin, Command, Stdio},
    thread,
};

use super::refused::refused;
use crate::{
    Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// What a command says when it is given the records of a partition, line by line.
struct Pipe<T>(String, Vec<String>, PhantomData<fn(T)>);

impl<T: Record + Display> Operator for Pipe<T> {
    type Env = (String, Vec<String>);
    type Out = String;

    fn rebuild((program, arguments): Self::Env) -> Self {
        Self(program, arguments, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, String>) -> Flow {
        let Self(program, arguments, _) = self;
        let mut input = String::new();
        node.each::<T>(0, partition, &mut |record| {
            node.call(|| input.push_str(&record.to_string()));
            input.push('\n');
            Flow::Continue(())
        })?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return node.external(format_args!("cannot start {program}: {error}")),
        };
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        // Written by a thread of its own: a command that answers while it reads would otherwise wait
        // for us to read, and we for it.
        let (written, read) = thread::scope(|scope| {
            let writer = scope.spawn(|| stdin.map_or(Ok(()), |stdin| write_all(stdin, &input)));
            let read = stdout.map_or(Ok(Flow::Continue(())), |stdout| lines(BufReader::new(stdout), emit));
            if !matches!(read, Ok(Flow::Continue(()))) {
                // Nobody wants the rest. It may have ended by itself, so whether this works is all one.
                let _ = child.kill();
            }
            let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
            (written, read)
        });
        let status = child.wait();
        match (read, written, status) {
            (Ok(Flow::Break(stop)), ..) => Flow::Break(stop),
            (Err(error), ..) => node.external(format_args!("cannot read what {program} says: {error}")),
            (_, Err(error), _) => node.external(format_args!("cannot write to {program}: {error}")),
            (.., Err(error)) => node.external(format_args!("cannot wait for {program}: {error}")),
            (.., Ok(status)) if !status.success() => {
                node.external(format_args!("{program} ended with {status}"))
            }
            _ => Flow::Continue(()),
        }
    }
}

/// A command need not read to the end (`head`), so a pipe that it has closed is no fault.
fn write_all(mut stdin: ChildStdin, input: &str) -> io::Result<()> {
    match stdin.write_all(input.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn lines(output: impl BufRead, emit: &mut Emit<'_, String>) -> io::Result<Flow> {
    for line in output.lines() {
        let flow = emit(line?);
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(Flow::Continue(()))
}

impl<T: Record + Display> Rdd<T> {
    /// The lines that an external command says, started anew for each partition and given its records,
    /// a line each (`api.md` §12). `command` is the program and its arguments; there is no shell in
    /// between. What it writes to its standard error appears on ours. The records of the partition, as
    /// text, are held in memory.
    ///
    /// # Errors
    /// The action that uses it fails if the command cannot be started, ends with another status than
    /// 0, or says what is not UTF-8.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let loud = ctx.parallelize(["to", "be"].map(String::from)).pipe(["tr", "a-z", "A-Z"]);
    /// assert_eq!(loud.collect()?, ["TO", "BE"]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn pipe<S: Into<String>>(&self, command: impl IntoIterator<Item = S>) -> Rdd<String> {
        let mut words = command.into_iter().map(S::into);
        let Some(program) = words.next() else {
            return refused(self.engine(), "pipe", "there is no command");
        };
        self.narrow(&OperatorSpec::new::<Pipe<T>>("pipe", &(program, words.collect())))
    }
}

#[cfg(test)]
mod tests {
    use crate::Context;

    #[test]
    fn what_goes_wrong_is_said() {
        let numbers = Context::local(1).parallelize(0..3);
        let error =
            |command: &[&str]| numbers.pipe(command.iter().copied()).collect().unwrap_err().to_string();
        assert!(error(&["false"]).contains("false ended with exit status: 1"), "{}", error(&["false"]));
        assert!(error(&["no-such-command"]).contains("cannot start no-such-command"));
        assert!(error(&[]).contains("there is no command"));
    }

    /// More than fits into a pipe goes in and comes out, and a command may stop reading.
    #[test]
    fn neither_side_waits_for_the_other() {
        let numbers = Context::local(1).parallelize(0..100_000);
        assert_eq!(numbers.pipe(["cat"]).count().unwrap(), 100_000);
        assert_eq!(numbers.pipe(["head", "-n", "1"]).collect().unwrap(), ["0"]);
        assert_eq!(numbers.pipe(["cat"]).take(2).unwrap(), ["0", "1"]);
    }
}
