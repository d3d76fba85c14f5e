//! Workers that are lost to a master which is there, and masters that go on elsewhere when it is not any more.

use std::{
    fs::{self, File},
    io,
    net::{Shutdown, TcpListener, TcpStream},
    process::Child,
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    ByHand, INTERVAL, SAYS, builder,
    clients::{self, Trial},
    named,
    process::{self, exit_code, signal, wait_until},
};

/// The program of clients, none of whose states is written.
fn is_program() -> bool {
    process::is_program(|folder| {
        let builder = builder(folder).checkpoint_intervals(1_000).checkpoint_every(1_000 * INTERVAL);
        clients::run(builder, folder)
    })
}

/// A program and the two workers that hold whatever clients have sent. All but one of them say in files what they see.
struct Two {
    trial: Trial,
    master: Child,
    worker: Child,
    other: Child,
}

impl Two {
    /// The worker joins the master `by` another address.
    fn start(by: impl FnOnce(&str) -> String) -> Self {
        let (mut trial, _, (master, worker, other)) = Trial::start_by_hand(|by_hand| {
            let mut worker = by_hand.worker(&by(&by_hand.address));
            worker.env(SAYS, "").stderr(File::create(by_hand.folder.join("worker")).unwrap());
            let other = by_hand.worker(&by_hand.address).spawn().unwrap();
            (by_hand.master_that_says(&by_hand.folder.join("master")), worker.spawn().unwrap(), other)
        });
        wait_until("they do not come", || named(trial.folder()) == 2);
        trial.send_all();
        // Both have closed the blocks by then.
        wait_until("they are not counted", || trial.has_counted_all());
        Self { trial, master, worker, other }
    }

    fn wait_for(&self, who: &str, what: &str, times: usize) {
        let file = self.trial.folder().join(who);
        let said = || fs::read_to_string(&file).unwrap().matches(what).count();
        wait_until(&format!("{who}: {what:?} is not said {times} times"), || said() >= times);
    }

    /// The worker is lost to the master. Now all else goes that held what it holds, and so does the master.
    fn only_the_worker_stays(&mut self) {
        self.wait_for("master", "a worker is gone", 1);
        signal(self.other.id(), "-KILL");
        self.wait_for("master", "a worker is gone", 2);
        signal(self.master.id(), "-KILL");
        assert_eq!(exit_code(&mut self.other), None);
        assert_eq!(exit_code(&mut self.master), None);
    }

    fn starts_elsewhere(&mut self) {
        let folder = self.trial.folder();
        fs::remove_file(folder.join("address")).unwrap();
        self.master = ByHand::new(folder).master_that_says(&folder.join("next"));
    }

    fn ends(mut self) {
        wait_until("it does not go on", || clients::address(self.trial.folder()).is_some());
        self.trial.connect();
        self.trial.send_all();
        self.trial.ends(self.master);
        assert_eq!(exit_code(&mut self.worker), Some(0));
    }
}

#[test]
fn acknowledged_records_survive_with_a_worker_that_was_stopped_until_its_master_had_lost_it_and_was_gone() {
    if is_program() {
        return;
    }
    let mut two = Two::start(str::to_owned);
    signal(two.worker.id(), "-STOP");
    two.only_the_worker_stays();
    two.starts_elsewhere();
    two.wait_for("next", "a worker of the master before is not there", 2);
    signal(two.worker.id(), "-CONT");
    two.ends();
}

/// The way to a master, which can be closed.
#[derive(Clone, Default)]
struct Way(Arc<Mutex<Passing>>);

#[derive(Default)]
struct Passing {
    /// How many more may pass; as many as come, if that is not said.
    more: Option<usize>,
    passed: Vec<TcpStream>,
}

impl Way {
    /// Answers with the address by which it is gone.
    fn open(&self, master: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (way, master) = (self.clone(), master.to_owned());
        thread::spawn(move || listener.incoming().for_each(|from| drop(way.pass(from.unwrap(), &master))));
        address
    }

    fn pass(&self, from: TcpStream, master: &str) -> io::Result<()> {
        let mut passing = self.0.lock().unwrap();
        if passing.more == Some(0) {
            return Ok(());
        }
        let mut to = None;
        wait_until("it does not listen", || {
            to = TcpStream::connect(master).ok();
            to.is_some()
        });
        let Some(to) = to else { return Ok(()) };
        passing.more = passing.more.map(|more| more - 1);
        for (mut from, mut to) in [(from.try_clone()?, to.try_clone()?), (to, from)] {
            passing.passed.push(from.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                to.shutdown(Shutdown::Both)
            });
        }
        Ok(())
    }

    /// Only so many more pass.
    fn close_after(&self, more: usize) {
        let mut passing = self.0.lock().unwrap();
        passing.more = Some(more);
        passing.passed.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }
}

/// It has heard that it is nobody's any more, and has not come to join anybody: longer than a worker waits that holds nothing.
#[test]
fn acknowledged_records_survive_with_a_worker_whose_master_is_gone_while_it_is_nobodys() {
    if is_program() {
        return;
    }
    let way = Way::default();
    let mut two = Two::start(|master| way.open(master));
    way.close_after(1);
    two.wait_for("master", "is there again, and begins anew", 1);
    two.only_the_worker_stays();
    two.wait_for("worker", "this worker holds records that were acknowledged", 1);
    two.starts_elsewhere();
    two.ends();
}
