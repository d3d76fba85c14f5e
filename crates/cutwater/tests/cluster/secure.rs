//! Certificates at every end, and whoever has the wrong ones or none.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
};

use cutwater::Context;
use cutwater_certs::Role;
use cutwater_core::limits::HANDSHAKES_MAX;
use cutwater_wire::{
    credentials::Credentials,
    handshake::Secret,
    tls::{Tls, TlsFiles},
};

use crate::{
    garbage::{GARBAGE, send},
    processes::{Certs, Process, expected, with},
};

const TWO: (&str, &str) = ("CUTWATER_MIN_WORKERS", "2");

#[test]
fn encrypted_it_answers_what_one_process_answers_and_no_secret_is_said() {
    let certs = Certs::new("here.lan");
    let (master, worker) = (certs.environment(Role::Master), certs.environment(Role::Worker));
    let token = ("CUTWATER_TOKEN", "a-token-that-nobody-prints");
    let master = Process::master("127.0.0.1:0", &with(&[TWO, token], &master));
    let workers = [(); 2].map(|()| Process::worker(&master.address(), &with(&[token], &worker)));
    assert_eq!(master.wait_for("answers "), expected(2));
    // The certificates are right here, and the token is not.
    let guess = ("CUTWATER_TOKEN", "a-guess-at-it");
    let (status, refused) = Process::worker(&master.address(), &with(&[guess], &worker)).end();
    assert!(!status.success() && refused.contains("the secret token is not that of this run"), "{refused}");
    master.wait_for("the other end does not know the secret token of this run");
    assert!(!refused.contains(guess.1));

    let mut ended = vec![master.end()];
    assert!(ended[0].1.contains("INFO") && !ended[0].1.contains(guess.1));
    ended.extend(workers.map(Process::end));
    let mut secrets = vec![token.1.to_owned()];
    for role in [Role::Master, Role::Worker] {
        let key = std::fs::read_to_string(&certs.pair(role)[1]).unwrap();
        secrets.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    }
    assert!(secrets.len() > 4);
    for (status, said) in ended {
        assert!(status.success(), "{said}");
        assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    }
}

/// Each of them is told why, the log tells it too, and the program never notices.
#[test]
fn who_has_the_wrong_certificate_is_refused_and_the_rest_goes_on() {
    let certs = Certs::new("here.lan");
    let mut master = Process::master("127.0.0.1:0", &with(&[], &certs.environment(Role::Master)));
    let address = master.address();
    let _good = Process::worker(&address, &with(&[], &certs.environment(Role::Worker)));
    master.wait_for("answers ");

    let refused = |environment: &[(&str, String)]| {
        let (status, said) = Process::worker(&address, &with(&[], environment)).end();
        assert!(!status.success(), "{said}");
        said
    };
    // Of another authority, and trusting ours: only the master can tell.
    let (others, expired) = (Certs::new("here.lan"), Certs::expired("here.lan"));
    let mut foreign = others.environment(Role::Worker);
    foreign[0].1 = certs.authority();
    let said = refused(&foreign);
    assert!(said.contains("it is not of the authority that is trusted there"), "{said}");
    master.wait_for("is not of the authority that is trusted here");
    // Of another authority, and trusting that: it does not trust the master.
    let said = refused(&others.environment(Role::Worker));
    assert!(said.contains("is not of the authority that is trusted here"), "{said}");
    let mut old = expired.environment(Role::Worker);
    old[0].1 = certs.authority();
    assert!(refused(&old).contains("does not accept the certificate of this one"));
    // A client's certificate: the process itself sees that it is none for a worker.
    let said = refused(&certs.environment(Role::Client));
    assert!(said.contains("not for a worker") && said.contains("cutwater certs"), "{said}");
    // None at all.
    let said = refused(&[("CUTWATER_TOKEN", "any".to_owned())]);
    assert!(said.contains("speaks TLS and this end has no certificates"), "{said}");
    master.wait_for("the other end does not speak TLS");

    garbage(&address);
    assert_eq!(master.ask(), "10");
    assert!(master.end().0.success());
}

/// A certificate that is right but old. Only a clock can tell, so both ends have the same.
#[test]
fn an_expired_certificate_is_said_to_have_and_may_be_renewed() {
    let expired = Certs::expired("here.lan");
    let master = Process::master("127.0.0.1:0", &with(&[], &expired.environment(Role::Master)));
    let (status, said) =
        Process::worker(&master.address(), &with(&[], &expired.environment(Role::Worker))).end();
    assert!(!status.success() && said.contains("the certificate of the other end has expired"), "{said}");
    master.wait_for("it has expired, or the clock there is wrong");

    // The master need not be started again for new ones.
    expired.renew("here.lan");
    let _worker = Process::worker(&master.address(), &with(&[], &expired.environment(Role::Worker)));
    assert_eq!(master.wait_for("answers "), expected(1));
    master.wait_for("the certificates were renewed");
}

#[test]
fn a_master_without_certificates_tells_a_worker_that_has_some() {
    let master = Process::master("127.0.0.1:0", &[("CUTWATER_TOKEN", "known to both")]);
    let worker = Certs::new("here.lan").environment(Role::Worker);
    let (status, said) =
        Process::worker(&master.address(), &with(&[("CUTWATER_TOKEN", "known to both")], &worker)).end();
    // The folder of the certificates is gone, which is said of each of the files.
    assert!(!status.success() && said.contains("authority.pem: cannot be read"), "{said}");

    let certs = Certs::new("here.lan");
    let environment = certs.environment(Role::Worker);
    let token = [("CUTWATER_TOKEN", "known to both")];
    let (status, said) = Process::worker(&master.address(), &with(&token, &environment)).end();
    assert!(!status.success() && said.contains("the other end does not speak TLS"), "{said}");
    master.wait_for("the other end speaks TLS and this end has no certificates");
}

/// Somebody with a worker's certificate who accepts connections in the master's place: no worker obeys.
#[test]
fn a_worker_cannot_pose_as_the_master() {
    let certs = Certs::new("here.lan");
    let [certificate, key] = certs.pair(Role::Worker);
    let files =
        TlsFiles { authority: certs.authority().into(), certificate: certificate.into(), key: key.into() };
    let impostor = Credentials::new(Secret::of(""), Some(Tls::read(&files).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let posing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let heard = impostor.accept::<_, cutwater_wire::message::Introduction>(stream, &[Role::Worker]);
            heard.await.map(|_| ()).unwrap_err().to_string()
        })
    });
    let (status, said) = Process::worker(&address, &with(&[], &certs.environment(Role::Worker))).end();
    assert!(!status.success(), "{said}");
    assert!(said.contains("cutwater-worker, and cutwater-master is needed here"), "{said}");
    assert!(!posing.join().unwrap().is_empty(), "it has heard nothing from the worker");

    // And a program that is to be a master sees for itself that it could not be.
    let environment = certs.environment(Role::Worker);
    let (status, said) = Process::master("127.0.0.1:0", &with(&[], &environment)).end();
    assert!(!status.success() && said.contains("not for a master"), "{said}");
}

/// The port at which a worker serves its blocks refuses as the master's does.
#[test]
fn the_data_plane_refuses_too() {
    let certs = Certs::new("here.lan");
    let mut master = Process::master("127.0.0.1:0", &with(&[TWO], &certs.environment(Role::Master)));
    let environment = certs.environment(Role::Worker);
    // Free a moment ago, and nobody else asks for one by number.
    let data = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let worker = Process::worker(&master.address(), &with(&[("CUTWATER_BIND", &data)], &environment));
    let _other = Process::worker(&master.address(), &with(&[], &environment));
    assert_eq!(master.wait_for("answers "), expected(2));
    garbage(&data);
    worker.wait_for("the other end does not speak TLS");
    // A client of the same authority may send records, and not read blocks.
    let [certificate, key] = certs.pair(Role::Client);
    let files =
        TlsFiles { authority: certs.authority().into(), certificate: certificate.into(), key: key.into() };
    let client = Credentials::new(Secret::of(""), Some(Tls::read(&files).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let said = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(&data).await.unwrap();
        let executable = cutwater_wire::handshake::ExecutableHash([0; 32]);
        let introduction = cutwater_wire::message::Introduction::Reader { executable };
        client.connect::<_, _, ()>(stream, "localhost", Role::Worker, &introduction).await.map(|_| ())
    });
    let said = said.unwrap_err().to_string();
    assert!(said.contains("cutwater-client, and cutwater-worker is needed here"), "{said}");
    assert_eq!(master.ask(), "10");
}

/// Workers that a master starts beside itself use its certificate.
#[test]
fn workers_that_are_started_here_are_encrypted_too() {
    let certs = Certs::new("here.lan");
    let environment = certs.environment(Role::Master);
    let master = Process::master("127.0.0.1:0", &with(&[("CUTWATER_WORKERS", "2")], &environment));
    assert_eq!(master.wait_for("answers "), expected(2));
    let (status, said) = master.end();
    assert!(status.success() && said.matches("a worker joins").count() == 2, "{said}");
}

/// The end of an encrypted connection is noticed like that of any other.
#[test]
fn a_worker_that_is_killed_is_missed_at_once() {
    let certs = Certs::new("here.lan");
    let mut master = Process::master("127.0.0.1:0", &with(&[TWO], &certs.environment(Role::Master)));
    let environment = certs.environment(Role::Worker);
    // By a name, which its certificate is for.
    let advertised = [("CUTWATER_ADVERTISE", "localhost")];
    let [one, _other] =
        [(); 2].map(|()| Process::worker(&master.address(), &with(&advertised, &environment)));
    assert_eq!(master.wait_for("answers "), expected(2));
    drop(one);
    master.wait_for("a worker is gone");
    assert_eq!(master.ask(), "10");
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    let certs = Certs::new("here.lan");
    let environment = certs.environment(Role::Worker);
    let wait = [("CUTWATER_JOIN_WAIT_MS", "1")];
    let worker = || Process::worker("127.0.0.1:1", &with(&wait, &environment)).end().1;
    assert!(!worker().contains("everybody on this machine"));
    let public = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&certs.pair(Role::Worker)[1], public).unwrap();
    assert!(worker().contains("everybody on this machine can use this private key (chmod 600)"));
}

#[test]
fn a_worker_cannot_be_called_what_its_certificate_is_not_for() {
    let certs = Certs::new("here.lan");
    let environment = certs.environment(Role::Worker);
    let advertised = [("CUTWATER_ADVERTISE", "elsewhere.lan")];
    let (status, said) = Process::worker("127.0.0.1:1", &with(&advertised, &environment)).end();
    assert!(!status.success() && said.contains("not for elsewhere.lan, so others would refuse it"), "{said}");
}

/// As no master listens there: neither a worker, with its blocks and what it takes from clients, nor a program in one
/// process that takes records.
#[test]
fn records_are_taken_beyond_loopback_with_certificates_only() {
    let bind = [("CUTWATER_BIND", "0.0.0.0"), ("CUTWATER_TOKEN", "any")];
    let (status, said) = Process::worker("127.0.0.1:1", &bind).end();
    assert!(!status.success() && said.contains("a worker at 0.0.0.0:0"), "{said}");
    assert!(said.contains("only encrypted connections"), "{said}");
    let ctx = Context::builder("one process").clients("0.0.0.0:0").build().unwrap();
    let said = ctx.run().unwrap_err().to_string();
    assert!(said.contains("clients(0.0.0.0:0)") && said.contains("on loopback only"), "{said}");
}

/// Whoever connects and says nothing is not waited for.
#[test]
fn silence_costs_nothing() {
    let certs = Certs::new("here.lan");
    let mut master = Process::master("127.0.0.1:0", &with(&[], &certs.environment(Role::Master)));
    let silent = TcpStream::connect(master.address()).unwrap();
    let _worker = Process::worker(&master.address(), &with(&[], &certs.environment(Role::Worker)));
    assert_eq!(master.wait_for("answers "), expected(1));
    master.wait_for("refused a connection that said nothing");
    assert_eq!(master.ask(), "10");
    drop(silent);
}

/// Far more of those who say nothing than there may be: whoever speaks still gets in.
#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let certs = Certs::new("here.lan");
    let mut master = Process::master("127.0.0.1:0", &with(&[], &certs.environment(Role::Master)));
    let address = master.address();
    let crowd: Vec<TcpStream> =
        (0..4 * HANDSHAKES_MAX).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let _worker = Process::worker(&address, &with(&[], &certs.environment(Role::Worker)));
    assert_eq!(master.wait_for("answers "), expected(1));
    master.wait_for("closed a connection that had said nothing yet, since others came");
    assert_eq!(master.ask(), "10");
    drop(crowd);
}

/// Sends what is no TLS, and hears an alert at most.
fn garbage(address: &str) {
    let hello_of_nothing = [&[0x16, 3, 1, 0x3f, 0xff][..], &[0; 512]].concat();
    for garbage in GARBAGE.into_iter().chain([&*hello_of_nothing]) {
        let heard = send(address, garbage);
        assert!(heard.len() <= 7, "{heard:?}");
    }
}
