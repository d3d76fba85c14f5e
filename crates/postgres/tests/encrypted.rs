//! The Postgres sink beyond loopback, and a real server with a certificate.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use cutwater::{Context, Error, ErrorKind, testing::Harness};
use cutwater_certs::{Issued, Request, make};
use cutwater_postgres::PostgresSink;
use support::{PASSWORD, Server};
use tempfile::TempDir;

const SECOND: Duration = Duration::from_secs(1);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

type Words = PostgresSink<(String,)>;

/// An authority, and the files of a server's certificate.
struct Certificates {
    folder: TempDir,
    server: Issued,
}

impl Certificates {
    fn new(days_old: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = SystemTime::now() - days_old * 24 * 3600 * SECOND;
        let workers = vec!["db.test".parse().unwrap()];
        let request =
            Request { workers, from: Some(from), days: 7, ..Request::new(folder.path().join("certs")) };
        let server = make(&request).unwrap().issued.remove(0);
        Self { folder, server }
    }

    fn authority(&self) -> String {
        fs::read_to_string(self.folder.path().join("certs/authority.pem")).unwrap()
    }

    fn start(&self, address: IpAddr) -> Option<(Server, u16)> {
        let Issued { certificate, key, .. } = &self.server;
        Server::at(address, Some((certificate, key)))
    }
}

fn to(place: &str, port: u16) -> Words {
    let server = format!("{place} port={port} user=cutwater password={PASSWORD} dbname=postgres");
    PostgresSink::new(&server, "words", ["word"])
}

/// Sends a word there, from a worker that is another process.
fn send(sink: Words) -> Result<(), Error> {
    let harness = Harness::with(Context::builder("words").interval(SECOND).threads(1).workers(1), 1);
    harness.input([vec![("a".to_owned(),)]]).sink(sink);
    harness.advance(1).map(drop)
}

/// What is said when it cannot be sent.
fn refused(sink: Words) -> String {
    let error = send(sink).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.kind(), ErrorKind::User, "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    said
}

/// An address of this machine at which others could reach it. Nothing is sent.
fn address_beyond_loopback() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    let found = socket.connect("198.51.100.1:9").and_then(|()| socket.local_addr()).ok()?.ip();
    if found.is_loopback() || found.is_unspecified() {
        return None;
    }
    Some(found)
}

#[test]
fn a_server_that_proves_itself_is_sent_rows() {
    let certificates = Certificates::new(0);
    let Some((server, port)) = certificates.start(LOOPBACK) else { return };
    let authority = certificates.authority();
    send(to("host=db.test hostaddr=127.0.0.1 sslmode=require", port).root_certificates(&*authority)).unwrap();
    assert_eq!(server.ask("SELECT word FROM words"), ["a"]);
    // Where it is said whom to believe, it is meant.
    server.client().batch_execute("DROP TABLE words, cutwater_sinks").unwrap();
    send(to("host=localhost", port).root_certificates(&*authority)).unwrap();
    assert_eq!(server.ask("SELECT word FROM words"), ["a"]);
    let sessions = "SELECT DISTINCT ssl::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE application_name = 'cutwater'";
    assert_eq!(server.ask(sessions), ["true"]);
}

#[test]
fn a_server_that_does_not_is_sent_nothing() {
    let certificates = Certificates::new(0);
    let Some((server, port)) = certificates.start(LOOPBACK) else { return };
    let said = refused(to("host=localhost sslmode=require", port));
    assert!(said.contains("no authority that is trusted") && said.contains("`root_certificates`"), "{said}");
    let other = Certificates::new(0).authority();
    let said = refused(to("host=localhost", port).root_certificates(other));
    assert!(said.contains("no authority that is trusted"), "{said}");
    let elsewhere =
        to("host=other.test hostaddr=127.0.0.1", port).root_certificates(certificates.authority());
    let said = refused(elsewhere);
    assert!(said.contains("db.test") && said.contains("not for other.test"), "{said}");
    assert_eq!(server.ask("SELECT relname::text FROM pg_class WHERE relname = 'words'"), [""; 0]);

    let expired = Certificates::new(30);
    let Some((_server, port)) = expired.start(LOOPBACK) else { return };
    let said = refused(to("host=localhost", port).root_certificates(expired.authority()));
    assert!(said.contains("certificate has expired"), "{said}");
}

#[test]
fn nothing_goes_beyond_loopback_unencrypted_unless_it_is_allowed() {
    let Some(address) = address_beyond_loopback() else {
        eprintln!("SKIPPED: this machine has no address but loopback's");
        return;
    };
    let Some((server, port)) = Server::at(address, None) else { return };
    let place = format!("host={address}");
    let said = refused(to(&place, port));
    assert!(said.contains("speaks no TLS; set `ssl = on`") && said.contains("`plain_beyond"), "{said}");
    let said = refused(to(&format!("{place} sslmode=disable"), port));
    assert!(said.contains("readable over a network"), "{said}");
    send(to(&place, port).plain_beyond_loopback()).unwrap();
    assert_eq!(server.ask("SELECT word FROM words"), ["a"]);
}

#[test]
fn a_file_of_certificates_is_not_its_path() {
    let path = PathBuf::from("/etc/results/authority.pem").display().to_string();
    let said = refused(to("host=localhost", 5432).root_certificates(path));
    assert!(said.contains("the text of a PEM file"), "{said}");
}
