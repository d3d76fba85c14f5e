//! Programs on several machines.

use std::process::Command;

use cutwater_certs::{Request, Role, make};

use crate::{
    network::{Hosts, hosts},
    processes::{Process, expected},
};

/// Starts the program on one of the hosts.
fn program_on(hosts: &Hosts, number: usize, environment: &[(&str, &str)]) -> Process {
    Process::start(&hosts.on(number), environment)
}

/// One file for all machines, an authority with a certificate for each, and an environment that only says
/// which is which.
#[test]
fn three_machines_answer_what_one_process_answers() {
    let Some(hosts) = hosts(3) else { return };
    let dir = tempfile::tempdir().unwrap();
    let request = Request {
        masters: vec!["10.77.0.1".parse().unwrap()],
        workers: vec!["10.77.0.2".parse().unwrap(), "worker3.lan,10.77.0.3".parse().unwrap()],
        ..Request::new(dir.path().join("certs"))
    };
    let made = make(&request).unwrap();
    let file = dir.path().join("cluster.toml");
    let text = "[cluster]\n\
        master = \"0.0.0.0:7077\"\n\
        join = \"10.77.0.1:7077\"\n\
        min_workers = 2\n\
        [tls]\n\
        authority = \"certs/authority.pem\"\n";
    std::fs::write(&file, text).unwrap();
    let start = |host: usize, role: Role, bind: Option<&str>| {
        let issued = &made.issued[host - 1];
        assert_eq!(issued.role, role);
        let role = role.to_string();
        let mut environment = vec![
            ("CUTWATER_CONFIG", file.to_str().unwrap()),
            ("CUTWATER_ROLE", &*role),
            ("CUTWATER_TLS_CERTIFICATE", issued.certificate.to_str().unwrap()),
            ("CUTWATER_TLS_KEY", issued.key.to_str().unwrap()),
        ];
        environment.extend(bind.map(|bind| ("CUTWATER_BIND", bind)));
        program_on(&hosts, host, &environment)
    };
    let mut master = start(1, Role::Master, None);
    // One is bound to an address and a port, the other to what reaches the master.
    let workers = [start(2, Role::Worker, Some("10.77.0.2:7100")), start(3, Role::Worker, None)];
    assert_eq!(master.wait_for("answers "), expected(2));
    assert_eq!(master.ask(), "10");
    let (status, said) = master.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("peer=10.77.0.2:") && said.contains("peer=10.77.0.3:"), "{said}");
    for (status, said) in workers.map(Process::end) {
        assert!(status.success(), "{said}");
    }
}

/// A master that listens at all its addresses, with a worker beside it and one elsewhere: they find each other by
/// what it is told to be called.
#[test]
fn workers_beside_a_master_are_reached_from_elsewhere() {
    let Some(hosts) = hosts(2) else { return };
    let dir = tempfile::tempdir().unwrap();
    let request = Request {
        masters: vec!["10.77.0.1".parse().unwrap()],
        workers: vec!["10.77.0.2".parse().unwrap()],
        ..Request::new(dir.path())
    };
    let made = make(&request).unwrap();
    let start = |host: usize, more: &[(&str, &str)]| {
        let issued = &made.issued[host - 1];
        let files = [
            ("CUTWATER_TLS_AUTHORITY", made.authority.to_str().unwrap()),
            ("CUTWATER_TLS_CERTIFICATE", issued.certificate.to_str().unwrap()),
            ("CUTWATER_TLS_KEY", issued.key.to_str().unwrap()),
        ];
        program_on(&hosts, host, &[&files[..], more].concat())
    };
    let own = [("CUTWATER_MASTER", "0.0.0.0:7077"), ("CUTWATER_WORKERS", "1"), ("CUTWATER_MIN_WORKERS", "2")];
    let (status, said) = start(1, &own).end();
    assert!(
        !status.success() && said.contains("say by `advertise` what other machines call this one"),
        "{said}"
    );
    let master = start(1, &[&own[..], &[("CUTWATER_ADVERTISE", "10.77.0.1")]].concat());
    let worker = start(2, &[("CUTWATER_JOIN", "10.77.0.1:7077")]);
    assert_eq!(master.wait_for("answers "), expected(2));
    for (status, said) in [master.end(), worker.end()] {
        assert!(status.success(), "{said}");
    }
}

/// Over a network nothing goes without certificates, at whichever end they are missing, and a certificate is
/// for one host.
#[test]
fn over_a_network_there_are_only_encrypted_connections() {
    let Some(hosts) = hosts(2) else { return };
    let dir = tempfile::tempdir().unwrap();
    let master = |address| ("CUTWATER_MASTER", address);
    let role = |role| ("CUTWATER_ROLE", role);
    let join = ("CUTWATER_JOIN", "10.77.0.1:7077");
    let token = ("CUTWATER_TOKEN", "both");
    let (status, said) = program_on(&hosts, 1, &[role("master"), master("10.77.0.1:7077"), token]).end();
    assert!(!status.success() && said.contains("beyond loopback there are only encrypted"), "{said}");

    let request = Request {
        masters: vec!["10.77.0.1".parse().unwrap()],
        workers: vec!["10.77.0.99".parse().unwrap()],
        ..Request::new(dir.path())
    };
    let made = make(&request).unwrap();
    let authority = made.authority.to_str().unwrap();
    let files = |issued: usize| {
        let issued = &made.issued[issued];
        [
            ("CUTWATER_TLS_AUTHORITY", authority),
            ("CUTWATER_TLS_CERTIFICATE", issued.certificate.to_str().unwrap()),
            ("CUTWATER_TLS_KEY", issued.key.to_str().unwrap()),
        ]
    };
    let own = [role("master"), master("10.77.0.1:7077"), token];
    let listening = program_on(&hosts, 1, &[&own[..], &files(0)].concat());
    assert_eq!(listening.address(), "10.77.0.1:7077");
    // A worker without certificates does not obey a machine that it cannot know.
    let (status, said) = program_on(&hosts, 2, &[role("worker"), join, token]).end();
    assert!(
        !status.success() && said.contains("the master at 10.77.0.1:7077 is on another machine"),
        "{said}"
    );
    // One with the certificate of another host sees for itself that nobody would read blocks there.
    let own = [role("worker"), join, token];
    let (status, said) = program_on(&hosts, 2, &[&own[..], &files(1)].concat()).end();
    assert!(!status.success(), "{said}");
    assert!(
        said.contains("others reach this worker at 10.77.0.2, and its certificate is not for that"),
        "{said}"
    );
}

#[test]
fn hosts_go_with_their_test_even_if_it_fails() {
    let Some(hosts) = hosts(2) else { return };
    let names = hosts.names().to_vec();
    let list = || {
        let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    assert!(names.iter().all(|name| list().contains(name)));
    let failed = std::panic::catch_unwind(move || {
        let _hosts = hosts;
        panic!("a test that fails");
    });
    assert!(failed.is_err() && !names.iter().any(|name| list().contains(name)));
}
