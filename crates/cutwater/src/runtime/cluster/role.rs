use std::net::SocketAddr;

/// What a process is. The same executable is all of them.
#[derive(Clone, Debug, Default)]
pub(crate) enum Role {
    /// Master and worker in one.
    #[default]
    Embedded,
    /// Runs the program, on workers in other processes.
    Master {
        /// Where workers join.
        listen: SocketAddr,
        /// How many workers it starts itself, on this machine.
        workers: usize,
    },
    /// Runs tasks for a master, and nothing of the program besides.
    Worker {
        /// Where the master is.
        join: String,
    },
}
