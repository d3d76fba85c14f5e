//! Who may hand code over, and what becomes of what is not what it says.

use std::{fs, os::unix::fs::PermissionsExt};

use cutwater_wire::{
    agent::{AGENT_MESSAGE_BYTES_MAX, Answer, Caller, Hello, Request, send_piece},
    channel::Channel,
    credentials::Credentials,
    frame,
    handshake::{ExecutableHash, Secret},
    tls::Role,
};

use crate::{
    garbage::{GARBAGE, send},
    set::{Set, command, readings, said},
};

#[test]
fn a_wrong_token_is_refused_and_said_to_be() {
    let set = Set::start(1);
    let wrong = set.dir.path().join("wrong");
    fs::write(&wrong, "a guess").unwrap();
    let run = |mode| {
        fs::set_permissions(&wrong, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = command(&["submit", "--agents", &set.addresses(), "--token-file"]);
        said(&command.arg(&wrong).arg(readings()).output().unwrap())
    };
    let told = run(0o600);
    assert!(told.contains("the secret token is not that") && told.contains("--token-file"), "{told}");
    assert!(!told.contains("a guess"));
    assert!(run(0o644).contains("chmod 600"));
    assert!(set.log(0).contains("refused a connection"), "{}", set.log(0));
    assert!(set.jobs().is_empty());
}

#[test]
fn garbage_costs_an_agent_nothing() {
    let set = Set::start(1);
    for garbage in GARBAGE {
        let heard = send(&*set.agents[0].address, garbage);
        assert!(heard.is_empty() || heard.starts_with(b"cutwater"));
    }
    assert!(set.jobs().is_empty(), "it still answers");
}

type Stream = Channel<tokio::net::TcpStream>;

async fn hear(stream: &mut Stream) -> Answer {
    frame::receive(stream, AGENT_MESSAGE_BYTES_MAX).await.unwrap().unwrap()
}

async fn ask(stream: &mut Stream, request: &Request) -> Answer {
    frame::send(stream, request).await.unwrap();
    hear(stream).await
}

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_upload_is_refused_and_leaves_nothing() {
    let set = Set::start(1);
    let secret = Secret::of(&fs::read_to_string(set.token()).unwrap());
    let credentials = Credentials::new(secret, None);
    let open = async |caller| {
        let stream = tokio::net::TcpStream::connect(&set.agents[0].address).await.unwrap();
        let opened = credentials.connect(stream, "127.0.0.1", Role::Worker, &caller).await;
        let (stream, _): (Stream, Hello) = opened.unwrap();
        stream
    };
    let bytes = b"whole".to_vec();
    let executable = ExecutableHash(blake3::hash(&bytes).into());
    let mut stream = open(Caller::Person).await;
    for (sent, is_whole) in [(&b"whore"[..], false), (b"whole", true)] {
        let answer = ask(&mut stream, &Request::Upload { executable, bytes: 5 }).await;
        assert_eq!(answer, Answer::Missing);
        send_piece(&mut stream, &sent[..3]).await.unwrap();
        send_piece(&mut stream, &sent[3..]).await.unwrap();
        match hear(&mut stream).await {
            Answer::Held => assert!(is_whole),
            Answer::Refused(why) => assert!(!is_whole && why.contains("arrived damaged"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(ask(&mut stream, &Request::Have(executable)).await == Answer::Held, is_whole);
    }
    assert_eq!(fs::read_dir(set.folder(0).join("incoming")).unwrap().count(), 0);

    // Nothing but an executable is given to another agent.
    let mut stream = open(Caller::Agent).await;
    for (request, is_given) in [(Request::Jobs, false), (Request::Download(executable), true)] {
        let answer = ask(&mut stream, &request).await;
        assert_eq!(matches!(answer, Answer::Sending { bytes: 5 }), is_given, "{answer:?}");
    }
}

#[test]
fn beyond_loopback_there_have_to_be_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(&["agent", "--listen", "0.0.0.0:0", "--dir"]);
    let output =
        command.arg(dir.path().join("a")).arg("--token-file").arg(dir.path().join("t")).output().unwrap();
    assert!(!output.status.success());
    assert!(
        said(&output).contains("only with certificates") && said(&output).contains("cutwater certs"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_folder_is_for_one_agent_and_one_user() {
    let set = Set::start(1);
    let run = || {
        let mut command = command(&["agent", "--listen", "127.0.0.1:0", "--dir"]);
        said(&command.arg(set.folder(0)).arg("--token-file").arg(set.token()).output().unwrap())
    };
    assert!(run().contains("another agent uses the folder"));
    fs::set_permissions(set.folder(0), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(run().contains("writable by nobody else"));
}

#[test]
fn an_address_in_use_is_named() {
    let set = Set::start(1);
    let address = &set.agents[0].address;
    let mut command = command(&["agent", "--listen", address, "--dir"]);
    let output = command.arg(set.folder(1)).arg("--token-file").arg(set.token()).output().unwrap();
    assert!(said(&output).contains(address) && said(&output).contains("--listen"), "{}", said(&output));
}
