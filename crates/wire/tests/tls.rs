//! Certificates of a real authority, and what both ends make of those that are wrong.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use cutwater_certs::{Issued, Request, make};
use cutwater_wire::{
    WireError,
    channel::Channel,
    credentials::Credentials,
    handshake::Secret,
    tls::{Role, Tls, TlsFiles},
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// An authority with a certificate of each role for `host.lan`.
struct Authority {
    folder: TempDir,
    issued: Vec<Issued>,
}

impl Authority {
    fn new() -> Self {
        Self::valid_from(SystemTime::now() - Duration::from_secs(60))
    }

    /// Certificates of one day.
    fn valid_from(from: SystemTime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = || vec!["host.lan,10.1.2.3".parse().unwrap()];
        let request = Request {
            masters: host(),
            workers: host(),
            clients: host(),
            days: 1,
            from: Some(from),
            ..Request::new(folder.path())
        };
        let issued = make(&request).unwrap().issued;
        Self { folder, issued }
    }

    fn files(&self, role: Role) -> TlsFiles {
        let issued = self.issued.iter().find(|issued| issued.role == role).unwrap();
        TlsFiles {
            authority: self.folder.path().join("authority.pem"),
            certificate: issued.certificate.clone(),
            key: issued.key.clone(),
        }
    }

    fn tls(&self, role: Role) -> Tls {
        Tls::read(&self.files(role)).unwrap()
    }
}

fn credentials(tls: Tls) -> Credentials {
    Credentials::new(Secret::of("token"), Some(tls))
}

type Ends = (Result<(Channel<DuplexStream>, String), WireError>, Result<Channel<DuplexStream>, WireError>);

/// A process dials another at `host`, which is to be a master and lets workers in.
async fn meet(dials: Credentials, host: &str, accepts: Credentials) -> Ends {
    let (one, other) = tokio::io::duplex(1 << 16);
    let accepting = async {
        let (mut channel, said, accepting) = accepts.accept::<_, String>(other, &[Role::Worker]).await?;
        assert_eq!(said, "a worker");
        accepting.welcome(&mut channel, &"come in").await?;
        Ok(channel)
    };
    tokio::join!(dials.connect(one, host, Role::Master, &"a worker"), accepting)
}

/// What the two ends say of a meeting that comes to nothing.
async fn refused(dials: Credentials, host: &str, accepts: Credentials) -> [String; 2] {
    let (dialled, accepted) = meet(dials, host, accepts).await;
    [dialled.map(|_| ()).unwrap_err().to_string(), accepted.map(|_| ()).unwrap_err().to_string()]
}

#[tokio::test(flavor = "current_thread")]
async fn the_right_certificates_talk_encrypted() {
    let authority = Authority::new();
    for host in ["host.lan", "10.1.2.3", "localhost", "127.0.0.1", "::1"] {
        let (worker, master) = (authority.tls(Role::Worker), authority.tls(Role::Master));
        let (dialled, accepted) = meet(credentials(worker), host, credentials(master)).await;
        let ((mut one, said), mut other) = (dialled.unwrap(), accepted.unwrap());
        assert_eq!(said, "come in");
        assert!(one.is_encrypted() && other.is_encrypted());
        one.write_all(b"records").await.unwrap();
        one.shutdown().await.unwrap();
        let mut heard = Vec::new();
        other.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"records");
    }
}

/// What goes over the line is not what was said.
#[tokio::test(flavor = "current_thread")]
async fn nothing_is_readable_on_the_way() {
    let authority = Authority::new();
    let (one, mut listener) = tokio::io::duplex(1 << 16);
    let (mut relay, other) = tokio::io::duplex(1 << 16);
    let (worker, master) =
        (credentials(authority.tls(Role::Worker)), credentials(authority.tls(Role::Master)));
    let overheard = tokio::spawn(async move {
        let mut heard = Vec::<u8>::new();
        let (mut there, mut back) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                read = listener.read(&mut there) => match read.unwrap() {
                    0 => return heard,
                    n => { heard.extend(&there[..n]); let _ = relay.write_all(&there[..n]).await; }
                },
                read = relay.read(&mut back) => match read.unwrap() {
                    0 => return heard,
                    n => { heard.extend(&back[..n]); let _ = listener.write_all(&back[..n]).await; }
                },
            }
        }
    });
    let accepting = async {
        let (mut channel, said, accepting) =
            master.accept::<_, String>(other, &[Role::Worker]).await.unwrap();
        accepting.welcome(&mut channel, &"and so is this").await.unwrap();
        said
    };
    let said = "this is nobody's business".to_owned();
    let dialling = async {
        let (_, answer) = worker.connect::<_, _, String>(one, "host.lan", Role::Master, &said).await.unwrap();
        answer
    };
    let (answer, heard) = tokio::join!(dialling, accepting);
    assert_eq!((answer.as_str(), &heard), ("and so is this", &said));
    let overheard = overheard.await.unwrap();
    assert!(overheard.len() > 1000);
    for word in ["nobody's business", "and so is this", "token"] {
        assert!(!overheard.windows(word.len()).any(|window| window == word.as_bytes()));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn another_authority_is_refused_at_both_ends() {
    let (ours, others) = (Authority::new(), Authority::new());
    let worker = credentials(others.tls(Role::Worker));
    let [dials, accepts] = refused(worker, "host.lan", credentials(ours.tls(Role::Master))).await;
    assert!(dials.contains("not of the authority that is trusted here"), "{dials}");
    assert!(accepts.contains("does not accept the certificate of this one"), "{accepts}");

    // One that trusts ours, but is of another.
    let mixed = TlsFiles { authority: ours.files(Role::Worker).authority, ..others.files(Role::Worker) };
    let worker = credentials(Tls::read(&mixed).unwrap());
    let [dials, accepts] = refused(worker, "host.lan", credentials(ours.tls(Role::Master))).await;
    assert!(accepts.contains("not of the authority that is trusted here"), "{accepts}");
    assert!(dials.contains("not of the authority that is trusted there"), "{dials}");
}

#[tokio::test(flavor = "current_thread")]
async fn what_has_expired_is_said_to_have() {
    let long_ago = SystemTime::now() - Duration::from_secs(3 * 86_400);
    let authority = Authority::valid_from(long_ago);
    let worker = credentials(authority.tls(Role::Worker));
    let [dials, accepts] = refused(worker, "host.lan", credentials(authority.tls(Role::Master))).await;
    assert!(dials.contains("has expired") && dials.contains("cutwater certs"), "{dials}");
    assert!(accepts.contains("it has expired"), "{accepts}");
    let authority = Authority::valid_from(SystemTime::now() + Duration::from_secs(86_400));
    let worker = credentials(authority.tls(Role::Worker));
    let [dials, _] = refused(worker, "host.lan", credentials(authority.tls(Role::Master))).await;
    assert!(dials.contains("not valid yet") && dials.contains("clocks"), "{dials}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_worker_cannot_pose_as_the_master() {
    let authority = Authority::new();
    let impostor = credentials(authority.tls(Role::Worker));
    let [dials, _] = refused(credentials(authority.tls(Role::Worker)), "host.lan", impostor).await;
    assert!(dials.contains("cutwater-worker, and cutwater-master is needed"), "{dials}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_client_cannot_pose_as_a_worker_and_is_told_so() {
    let authority = Authority::new();
    let (client, master) = (authority.tls(Role::Client), authority.tls(Role::Master));
    for said in refused(credentials(client), "host.lan", credentials(master)).await {
        assert!(said.contains("cutwater-client, and cutwater-worker is needed"), "{said}");
    }
}

/// Who hands out code may as well run it: workers beside a master need no certificates of their own.
#[tokio::test(flavor = "current_thread")]
async fn a_master_may_be_a_worker() {
    let authority = Authority::new();
    let master = || credentials(authority.tls(Role::Master));
    let (dialled, accepted) = meet(master(), "host.lan", master()).await;
    assert!(dialled.is_ok() && accepted.is_ok());
}

#[tokio::test(flavor = "current_thread")]
async fn another_host_is_refused_and_both_are_named() {
    let authority = Authority::new();
    for host in ["other.lan", "10.9.9.9"] {
        let (worker, master) = (authority.tls(Role::Worker), authority.tls(Role::Master));
        let [dials, accepts] = refused(credentials(worker), host, credentials(master)).await;
        assert!(dials.contains("host.lan") && dials.contains(&format!("not for {host}")), "{dials}");
        assert!(accepts.contains("not for the host that was dialled"), "{accepts}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn one_end_with_tls_and_the_other_without_say_so() {
    let authority = Authority::new();
    let plain = || Credentials::new(Secret::of("token"), None);
    let [dials, accepts] = refused(plain(), "host.lan", credentials(authority.tls(Role::Master))).await;
    assert!(dials.contains("speaks TLS and this end has no certificates"), "{dials}");
    assert!(accepts.contains("does not speak TLS"), "{accepts}");
    let [dials, accepts] = refused(credentials(authority.tls(Role::Worker)), "host.lan", plain()).await;
    assert!(dials.contains("does not speak TLS"), "{dials}");
    assert!(accepts.contains("speaks TLS and this end has no certificates"), "{accepts}");
}

/// TLS does not make the proof needless: certificates are for all programs of a cluster, a token for one run.
#[tokio::test(flavor = "current_thread")]
async fn the_secret_is_needed_inside_tls_too() {
    let authority = Authority::new();
    let worker = Credentials::new(Secret::of("a guess"), Some(authority.tls(Role::Worker)));
    let [dials, accepts] = refused(worker, "host.lan", credentials(authority.tls(Role::Master))).await;
    assert!(dials.contains("the secret token is not that of this run"), "{dials}");
    assert!(accepts.contains("does not know the secret token"), "{accepts}");
}

#[tokio::test(flavor = "current_thread")]
async fn garbage_is_an_error_and_no_panic() {
    let authority = Authority::new();
    let master = credentials(authority.tls(Role::Master));
    // A head of TLS that announces more than it sends, the beginning of one, and what is none at all.
    let announced = [&[0x16, 3, 1, 0x40, 0][..], &[7; 300]].concat();
    let http = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    for garbage in [http, vec![0; 4096], vec![0xff; 4096], vec![0x16], announced, vec![]] {
        let (mut one, other) = tokio::io::duplex(1 << 16);
        one.write_all(&garbage).await.unwrap();
        one.shutdown().await.unwrap();
        let heard = master.accept::<_, String>(other, &[Role::Worker]).await;
        assert!(heard.is_err(), "{garbage:?}");
    }
}

/// Certificates are replaced while processes run, one file after the other.
#[tokio::test(flavor = "current_thread")]
async fn what_is_renewed_is_taken_up_and_what_cannot_be_used_is_not() {
    let authority = Authority::new();
    let (worker, master) = (authority.tls(Role::Worker), authority.tls(Role::Master));
    let ends = || (credentials(worker.clone()), credentials(master.clone()));
    let works = async || {
        let (dials, accepts) = ends();
        let (dialled, accepted) = meet(dials, "host.lan", accepts).await;
        dialled.is_ok() && accepted.is_ok()
    };
    assert!(works().await);

    // Another of the same authority, which has expired.
    let old = Request {
        masters: vec!["host.lan,old".parse().unwrap()],
        days: 1,
        from: Some(SystemTime::now() - Duration::from_secs(3 * 86_400)),
        ..Request::new(authority.folder.path())
    };
    let files = authority.files(Role::Master);
    let [certificate, key] = [&files.certificate, &files.key].map(|file| std::fs::read(file).unwrap());
    for file in [&files.certificate, &files.key] {
        std::fs::remove_file(file).unwrap();
    }
    assert!(works().await, "files that are gone for a moment are missed by nobody");
    make(&old).unwrap();
    let (dials, accepts) = ends();
    let [said, _] = refused(dials, "host.lan", accepts).await;
    assert!(said.contains("has expired"), "{said}");

    // Back again: with a new certificate and an old key there is nothing new yet.
    std::fs::write(&files.certificate, certificate).unwrap();
    let (dials, accepts) = ends();
    let [said, _] = refused(dials, "host.lan", accepts).await;
    assert!(said.contains("has expired"), "{said}");
    // Where times of files are coarse, a key of the same length may need to be written again to be noticed.
    let mut tries = 0..1000;
    while tries.next().is_some() {
        std::fs::write(&files.key, &key).unwrap();
        if works().await {
            break;
        }
    }
    assert!(tries.next().is_some());
    std::fs::write(&files.certificate, "no certificate").unwrap();
    assert!(works().await);
}

#[test]
fn all_that_is_wrong_with_files_is_listed() {
    let authority = Authority::new();
    let files = authority.files(Role::Worker);
    let missing = TlsFiles {
        authority: "/no/authority.pem".into(),
        certificate: files.key.clone(),
        key: files.certificate.clone(),
    };
    let faults = Tls::read(&missing).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for (fault, file) in faults.iter().zip([Path::new("/no/authority.pem"), &files.key, &files.certificate]) {
        assert!(fault.contains(file.to_str().unwrap()), "{fault}");
    }
    // A key that is not that of the certificate.
    let mixed = TlsFiles { key: authority.files(Role::Master).key, ..files.clone() };
    let faults = Tls::read(&mixed).unwrap_err();
    assert!(faults[0].contains("the key has to be that of the certificate"), "{faults:?}");
    let key = std::fs::read_to_string(&mixed.key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    assert!(faults.iter().all(|fault| !fault.contains(secret)));
    assert_eq!(format!("{:?}", Tls::read(&files).unwrap()), "Tls(…)");
}
