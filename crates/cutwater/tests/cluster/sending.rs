//! Clients with certificates, each a process of its own, and a program that counts what they send.

use std::{net::TcpListener, process::Command, thread, time::Duration};

use cutwater::{Context, Error};
use cutwater_certs::{Request, Role, make};
use cutwater_client::{Client, TlsFiles};

use crate::{
    network::hosts,
    posting::{curl, output},
    processes::{CHILD, Certs, Process, say_everything, with},
};

const PROGRAM: &str = "sending::program";
const SENDER: &str = "sending::sender";

const TWO: (&str, &str) = ("CUTWATER_MIN_WORKERS", "2");

/// How many records a client sends.
const RECORDS: u64 = 5_000;

/// No test of its own: it says how many lines it holds, and how many different ones, until nothing more will be asked.
#[test]
fn program() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    say_everything();
    let ctx = Context::builder("sending").interval(Duration::from_millis(50)).build().unwrap();
    let lines = ctx.source("clicks").client_lines();
    lines.map(|line| (line, 1u64)).running_reduce(|a, b| a + b).for_each_rdd(|rdd, _| {
        let counts = rdd.collect()?;
        println!("\nholds {} lines, {} different", counts.iter().map(|c| c.1).sum::<u64>(), counts.len());
        Ok::<(), Error>(())
    });
    let stopped = ctx.clone();
    thread::spawn(move || {
        std::io::stdin().lines().for_each(drop);
        stopped.stop();
    });
    ctx.run().unwrap();
}

/// No test of its own: a client, which says what has become of its records.
#[test]
fn sender() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    let said = |name: &str| std::env::var(format!("CUTWATER_{name}")).ok();
    let name = said("SENDER").unwrap();
    let mut builder = Client::builder(&said("JOIN").unwrap(), "clicks");
    if let Some(authority) = said("TLS_AUTHORITY") {
        let [certificate, key] = ["TLS_CERTIFICATE", "TLS_KEY"].map(|file| said(file).unwrap().into());
        builder = builder.tls(&TlsFiles { authority: authority.into(), certificate, key });
    }
    if let Some(token) = said("TOKEN") {
        builder = builder.token(&token);
    }
    // Whoever is refused would otherwise try for a minute.
    let patience = said("PATIENCE_MS").map_or(60_000, |ms| ms.parse().unwrap());
    let client = builder.patience(Duration::from_millis(patience)).build().unwrap();
    (0..RECORDS).for_each(|n| client.send(format!("{name} {n}")).unwrap());
    match client.flush() {
        Ok(()) => println!("\nacknowledged {}", client.acknowledged()),
        Err(why) => println!("\nrefused: {why}"),
    }
}

/// A client with this environment; what became of its records.
fn send(name: &str, join: &str, within: &[&str], environment: &[(&str, &str)]) -> String {
    let own = [("CUTWATER_SENDER", name), ("CUTWATER_JOIN", join)];
    let (status, said) = Process::run(SENDER, within, &[&own, environment].concat()).end();
    assert!(status.success(), "{said}");
    said
}

/// A master and two workers on loopback.
pub struct Started {
    pub master: Process,
    pub workers: [Process; 2],
    /// Where the master is, and the first worker.
    pub doors: [String; 2],
}

impl Started {
    /// With certificates of one authority.
    pub fn with(certs: &Certs) -> Self {
        Self::new(|role| certs.environment(role))
    }

    pub fn new(environment: impl Fn(Role) -> Vec<(&'static str, String)>) -> Self {
        let master = environment(Role::Master);
        let own = [("CUTWATER_ROLE", "master"), ("CUTWATER_MASTER", "127.0.0.1:0"), TWO];
        let master = Process::run(PROGRAM, &[], &with(&own, &master));
        let join = master.address();
        // Free a moment ago, and nobody else asks for one by number.
        let door = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let environment = environment(Role::Worker);
        let workers = [&*door, "127.0.0.1:0"].map(|bind| {
            let own = [("CUTWATER_ROLE", "worker"), ("CUTWATER_JOIN", &join), ("CUTWATER_BIND", bind)];
            Process::run(PROGRAM, &[], &with(&own, &environment))
        });
        master.wait_for("holds 0 lines");
        Self { master, workers, doors: [join, door] }
    }

    /// Ends the program, which processes what it has received; what it holds then.
    pub fn end(self) -> String {
        ended([self.master].into_iter().chain(self.workers))
    }
}

/// Ends a program, its master first, and answers with what it held at the end.
pub fn ended(processes: impl IntoIterator<Item = Process>) -> String {
    let mut held = None;
    for (status, said) in processes.into_iter().map(Process::end) {
        assert!(status.success(), "{said}");
        let last = said.lines().filter_map(|line| line.strip_prefix("holds ")).next_back().map(str::to_owned);
        held = held.or(last);
    }
    held.unwrap()
}

/// How many lines there are when so many clients have sent all of theirs, each once.
fn all_of(clients: u64) -> String {
    format!("{0} lines, {0} different", clients * RECORDS)
}

#[test]
fn clients_with_certificates_are_acknowledged_and_each_record_counts_once() {
    let certs = Certs::new("here.lan");
    let started = Started::with(&certs);
    let environment = certs.environment(Role::Client);
    // They begin at the master, at a worker, and at whichever of them is there.
    let [master, worker] = &started.doors;
    let any = format!("127.0.0.1:1,{master}");
    let said = thread::scope(|threads| {
        let clients = [("one", master), ("two", worker), ("three", &any)].map(|(name, join)| {
            let environment = &environment;
            threads.spawn(move || send(name, join, &[], &with(&[], environment)))
        });
        clients.map(|client| client.join().unwrap())
    });
    for said in said {
        assert!(said.contains(&format!("acknowledged {RECORDS}\n")), "{said}");
    }
    assert_eq!(started.end(), all_of(3));
}

/// Each is told why, by the master and by a worker, and none of what it sends is anywhere.
#[test]
fn clients_with_the_wrong_certificate_are_refused_and_told_why() {
    let certs = Certs::new("here.lan");
    let started = Started::with(&certs);
    let others = Certs::new("here.lan");
    let mut foreign = others.environment(Role::Client);
    foreign[0].1 = certs.authority();
    let wrong = [
        (vec![("CUTWATER_TOKEN", "any".to_owned())], "speaks TLS and this end has no certificates"),
        (vec![], "a program with certificates takes no client without (`Builder::tls`)"),
        (others.environment(Role::Client), "is not of the authority that is trusted here"),
        (foreign, "it is not of the authority that is trusted there"),
        (certs.environment(Role::Worker), "cutwater-worker, and cutwater-client is needed here"),
    ];
    for join in &started.doors {
        for (environment, why) in &wrong {
            let said = send("wrong", join, &[], &with(&[("CUTWATER_PATIENCE_MS", "1")], environment));
            assert!(said.contains("refused: ") && said.contains(why), "{why:?} is not in {said}");
        }
    }
    // Who refuses says so too.
    for process in [&started.master, &started.workers[0]] {
        process.wait_for("cutwater-worker, and cutwater-client is needed here");
        process.wait_for("the other end does not speak TLS");
    }

    // One that is right is still served, and the only one that is.
    let environment = certs.environment(Role::Client);
    assert!(send("right", &started.doors[0], &[], &with(&[], &environment)).contains("acknowledged"));
    assert_eq!(started.end(), all_of(1));
}

/// Four machines: of the master, of two workers, and the client's, which does not know the workers.
#[test]
fn clients_on_another_machine_need_certificates_and_are_acknowledged() {
    let Some(hosts) = hosts(4) else { return };
    let dir = tempfile::tempdir().unwrap();
    let host = |number: usize| vec![format!("10.77.0.{number}").parse().unwrap()];
    let request = Request {
        masters: host(1),
        workers: [host(2), host(3)].concat(),
        clients: vec!["shop".parse().unwrap()],
        ..Request::new(dir.path())
    };
    let made = make(&request).unwrap();
    let join = "10.77.0.1:7077";
    let files = |host: usize| {
        let issued = &made.issued[host - 1];
        [
            ("CUTWATER_TLS_AUTHORITY", made.authority.to_str().unwrap()),
            ("CUTWATER_TLS_CERTIFICATE", issued.certificate.to_str().unwrap()),
            ("CUTWATER_TLS_KEY", issued.key.to_str().unwrap()),
        ]
    };
    let start = |host: usize, own: &[(&str, &str)]| {
        Process::run(PROGRAM, &hosts.on(host), &[own, &files(host)].concat())
    };
    let master = start(1, &[("CUTWATER_ROLE", "master"), ("CUTWATER_MASTER", "0.0.0.0:7077"), TWO]);
    let worker = |host| start(host, &[("CUTWATER_ROLE", "worker"), ("CUTWATER_JOIN", join)]);
    let workers = [worker(2), worker(3)];
    master.wait_for("holds 0 lines");

    // Without certificates it says nothing at all to a machine that it cannot know.
    let without = [("CUTWATER_TOKEN", "any"), ("CUTWATER_PATIENCE_MS", "1")];
    let said = send("wrong", join, &hosts.on(4), &without);
    assert!(said.contains("it is on another machine") && said.contains("`cutwater certs`"), "{said}");

    let said = send("right", join, &hosts.on(4), &files(4));
    assert!(said.contains(&format!("acknowledged {RECORDS}\n")), "{said}");
    master.wait_for(&format!("holds {}", all_of(1)));

    // And by HTTP: the master sends it on to a worker on a third machine.
    if let Some(curl) = curl() {
        let [authority, certificate, key] = files(4).map(|(_, file)| file);
        let mut post = Command::new("ip");
        post.args(&hosts.on(4)[1..]).args([
            &*curl,
            "--silent",
            "--show-error",
            "--location",
            "--data-binary",
            "a\nb",
        ]);
        post.args(["--cacert", authority, "--cert", certificate, "--key", key]);
        let (status, said) = output(post.arg(format!("https://{join}/clicks")));
        assert!(status.success() && said == "2 records\n", "{said}");
        master.wait_for(&format!("holds {0} lines, {0} different", RECORDS + 2));
    }
    ended([master].into_iter().chain(workers));
}
