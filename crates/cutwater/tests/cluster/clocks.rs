//! Clocks that are far apart. There is one clock here, so the test itself is the worker whose clock is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use cutwater_core::limits::CLOCK_SKEW_MS_MAX;
use cutwater_wire::{
    WireError,
    channel::Channel,
    credentials::Credentials,
    frame,
    handshake::{ExecutableHash, Secret},
    message::{Introduction, Joined, ToMaster},
    tls::Role,
};
use tokio::{net::TcpStream, runtime::Runtime};

use crate::processes::Process;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Joins as a worker whose clock is off by so much.
fn join(runtime: &Runtime, address: &str, off_ms: i64) -> Result<Channel<TcpStream>, WireError> {
    let own = std::fs::read("/proc/self/exe").unwrap();
    let introduction = Introduction::Worker {
        executable: ExecutableHash(blake3::hash(&own).into()),
        slots: 1,
        memory_bytes: 0,
        data_address: ":1".to_owned(),
        clock_ms: now_ms() + off_ms,
        was: None,
    };
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await?;
        let credentials = Credentials::new(Secret::of("both"), None);
        let joined = credentials.connect(stream, "127.0.0.1", Role::Master, &introduction).await;
        let (mut channel, Joined { .. }) = joined?;
        frame::send(&mut channel, &vec![ToMaster::Holds(Vec::new())]).await?;
        Ok(channel)
    })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_worker_whose_clock_is_wrong_is_refused_and_both_are_named() {
    let master = Process::master("127.0.0.1:0", &[("CUTWATER_TOKEN", "both"), ("CUTWATER_MIN_WORKERS", "2")]);
    let (runtime, address) = (runtime(), master.address());
    for (off_ms, wanted) in [(3_600_000, "ms ahead"), (-3_600_000, "ms behind")] {
        let said = join(&runtime, &address, off_ms).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains("its clock says ") && said.contains("and the master's "), "{said}");
        assert!(said.contains(wanted) && said.contains("synchronise the clocks"), "{said}");
        master.wait_for(wanted);
    }
    // One that is a little off is let in.
    join(&runtime, &address, CLOCK_SKEW_MS_MAX / 2).unwrap();
    master.wait_for("a worker joins");
}

/// It was right when it joined, and is set while it works.
#[test]
fn a_clock_that_goes_wrong_later_is_noticed() {
    let master = Process::master("127.0.0.1:0", &[("CUTWATER_TOKEN", "both"), ("CUTWATER_MIN_WORKERS", "2")]);
    let (runtime, address) = (runtime(), master.address());
    let mut channel = join(&runtime, &address, 0).unwrap();
    let mut tell = |off_ms: i64| {
        let said = vec![ToMaster::Clock(now_ms() + off_ms)];
        runtime.block_on(frame::send(&mut channel, &said)).unwrap();
    };
    tell(-3_600_000);
    master.wait_for("the clocks are too far apart");
    tell(0);
    master.wait_for("the clocks agree again");
}

/// A worker says what its clock says without being asked.
#[test]
fn workers_tell_what_their_clocks_say() {
    let master = Process::master("127.0.0.1:0", &[("CUTWATER_TOKEN", "both")]);
    let _worker = Process::worker(&master.address(), &[("CUTWATER_TOKEN", "both")]);
    master.wait_for("a worker joins");
    // The first after `CLOCK_CHECK_MS`.
    let heard = master.wait_for("clocks compared");
    let skew: i64 = heard.split("skew_ms=").nth(1).unwrap().trim().parse().unwrap();
    assert!(skew.abs() <= CLOCK_SKEW_MS_MAX, "{heard}");
}
