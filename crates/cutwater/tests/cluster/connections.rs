//! What the processes of a cluster have open between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{SocketAddr, TcpStream},
};

use cutwater::testing::Harness;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::builder;

/// An end of a TCP connection: whose it is, where it is, and where the other is.
type End = (u32, SocketAddr, SocketAddr);

/// What some processes have open.
#[derive(Default)]
struct Open {
    /// Ends of connections, each with whether what is written there is sent at once (`TCP_NODELAY`).
    ends: BTreeMap<End, bool>,
    /// Where they accept others.
    doors: BTreeSet<u16>,
}

impl Open {
    /// By the workers, and by the master to them: this process may have others.
    fn by(harness: &Harness) -> io::Result<Self> {
        let mut all = Self::default();
        for worker in harness.workers() {
            all.look(worker)?;
        }
        let mut own = Self::default();
        own.look(std::process::id())?;
        let places: BTreeSet<_> = all.ends.keys().map(|(_, own, other)| (*own, *other)).collect();
        all.ends.extend(own.ends.into_iter().filter(|((_, own, other), _)| places.contains(&(*other, *own))));
        all.doors.extend(harness.master().map(|master| master.port()));
        Ok(all)
    }

    /// Adds what a process has open.
    fn look(&mut self, process: u32) -> io::Result<()> {
        let pid = Pid::from_raw(process.try_into().unwrap()).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
            let path = entry?.path();
            // It may have been closed meanwhile.
            if !fs::read_link(&path).is_ok_and(|what| what.to_string_lossy().starts_with("socket:")) {
                continue;
            }
            let number = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let socket = match pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()) {
                Ok(socket) => TcpStream::from(socket),
                Err(Errno::BADF) => continue,
                Err(error) => return Err(error.into()),
            };
            match (socket.local_addr(), socket.peer_addr()) {
                (Ok(own), Ok(other)) => {
                    self.ends.insert((process, own, other), socket.nodelay()?);
                }
                (Ok(own), Err(_)) => {
                    self.doors.insert(own.port());
                }
                // Another kind of socket.
                (Err(_), _) => {}
            }
        }
        Ok(())
    }

    /// Connections to the doors that have ended in the last minute: the system remembers them for so long.
    fn ended(&self) -> BTreeSet<String> {
        const TIME_WAIT: &str = "06";
        let is_door = |place: &str| {
            let port = place.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
            port.is_some_and(|port| self.doors.contains(&port))
        };
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ended =
            fields.filter(|fields| fields[3] == TIME_WAIT && (is_door(fields[1]) || is_door(fields[2])));
        ended.map(|fields| format!("{} {}", fields[1], fields[2])).collect()
    }
}

/// Each interval has jobs, with shuffles between all workers: they use the connections that there are, and nothing waits in
/// one for more to send. Where a process may not look at what another has open the test says so and is over.
#[test]
fn failure_8_connections_are_kept_and_send_at_once() {
    const WORKERS: usize = 3;
    let harness = Harness::with(builder(WORKERS).parallelism(6), 6);
    let keyed = harness.input((0..40).map(|t| (0..60u64).map(|n| (n % 17, t + n)).collect::<Vec<_>>()));
    let counts = keyed.running_reduce(|a, b| a + b).map(|(key, sum)| (key % 5, sum));
    let seen = harness.watch(&counts.reduce_by_key(u64::max));
    harness.advance(5).unwrap();
    let before = match Open::by(&harness) {
        Ok(open) => open,
        Err(error) => return eprintln!("passed over: sockets of other processes cannot be seen: {error}"),
    };
    let ended_before = before.ended();
    harness.advance(25).unwrap();
    let after = Open::by(&harness).unwrap();
    assert_eq!(seen.all().len(), 30);

    let delayed: Vec<_> = after.ends.iter().filter(|(_, at_once)| !**at_once).collect();
    assert!(delayed.is_empty(), "not sent at once: {delayed:?}");
    let gone: Vec<_> = before.ends.keys().filter(|end| !after.ends.contains_key(end)).collect();
    assert!(gone.is_empty(), "not kept: {gone:?}");
    let ended: Vec<_> = after.ended().into_iter().filter(|ended| !ended_before.contains(ended)).collect();
    assert!(ended.is_empty(), "made and not kept: {ended:?}");
    let new = after.ends.len() - before.ends.len();
    assert!(new < 25, "{new} more than after 5 intervals, and none has ended");
}
