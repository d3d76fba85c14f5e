//! Records by HTTP, sent with `curl` to a master and two workers. Without `curl` the tests say so and are over.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, ExitStatus},
};

use cutwater_certs::Role;
use tempfile::TempDir;

use crate::{
    processes::Certs,
    sending::{Started, ended},
};

/// The name of the command, or a word about why it is not there. On a machine that says it is to have it (as `./test`
/// does where it can) its absence is a failure.
pub fn curl() -> Option<String> {
    if Command::new("curl").arg("--version").output().is_ok_and(|done| done.status.success()) {
        return Some("curl".to_owned());
    }
    assert!(std::env::var("CUTWATER_TEST_CURL").is_err(), "there is no `curl`");
    // What is printed by macros is shown of tests that fail only.
    let _ = writeln!(std::io::stderr(), "skipped, since there is no `curl`");
    None
}

/// How a command ended, and all that it said.
pub fn output(command: &mut Command) -> (ExitStatus, String) {
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status, String::from_utf8(said).unwrap())
}

/// A folder with what the page's commands name: `clicks.txt` of three lines, a token and certificates.
fn folder(certs: &Certs) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = certs.pair(Role::Client);
    for (file, name) in [
        (&*certs.authority(), "authority.pem"),
        (&*certificate, "client-shop.pem"),
        (&*key, "client-shop-key.pem"),
    ] {
        fs::copy(file, folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("clicks.token"), "of the test").unwrap();
    fs::write(folder.path().join("clicks.txt"), "one\ntwo\nthree\n").unwrap();
    folder
}

/// Words for a shell, in that folder.
fn shell(words: &str, folder: &Path) -> (ExitStatus, String) {
    output(Command::new("sh").args(["-c", words]).current_dir(folder).env("CURL_HOME", folder))
}

fn with_token() -> Started {
    Started::new(|_| vec![("CUTWATER_TOKEN", "of the test".to_owned())])
}

/// What a command may ask for is what the page says.
#[test]
fn the_commands_of_the_page_do_what_it_says() {
    if curl().is_none() {
        return;
    }
    let page = include_str!("../../../../book/sending.md");
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<&str> = blocks.collect();
    let [_, beyond, ..] = &*blocks else { panic!("{blocks:?}") };
    assert!(include_str!("../../../../README.md").contains(beyond), "the README has the same command");
    let quiet = |command: &&str| command.replacen("curl", "curl --silent --show-error", 1);
    let commands: Vec<String> = blocks.iter().map(quiet).collect();
    let [on_loopback, beyond, numbered, list] = &*commands else { panic!("{commands:?}") };
    let certs = Certs::new("here.lan");
    let folder = folder(&certs);
    let run = |command: &str, started: &Started| {
        let here = command.replace("127.0.0.1:7077", "a.lan:7077").replace("a.lan:7077", &started.doors[0]);
        let (status, said) = shell(&here, folder.path());
        assert!(status.success(), "{here}: {said}");
        said
    };

    let started = with_token();
    assert_eq!(run(on_loopback, &started), "3 records\n");
    assert_eq!(started.end(), "3 lines, 3 different");

    let started = Started::with(&certs);
    assert_eq!(run(beyond, &started), "3 records\n");
    for _ in 0..3 {
        assert_eq!(run(numbered, &started), "3 records\n", "it is told the same again");
    }
    let listed = run(list, &started);
    let urls: Vec<&str> = listed.lines().collect();
    assert!(urls.len() == 2 && urls.contains(&&*format!("https://{}/clicks", started.doors[1])), "{listed}");
    let again = run(list, &started);
    assert!(again.lines().next() == urls.last().copied(), "each begins with another one: {listed} {again}");
    for url in urls {
        let direct = beyond.replace("https://a.lan:7077/clicks", url).replace("--location ", "");
        assert_eq!(run(&direct, &started), "3 records\n");
    }
    assert_eq!(started.end(), "12 lines, 3 different");
}

/// A body that is sent before it is asked for arrives, and so does one that waits to be asked for.
#[test]
fn large_requests_are_sent_on_too() {
    if curl().is_none() {
        return;
    }
    let certs = Certs::new("here.lan");
    let folder = folder(&certs);
    let lines: String = (0..20_000).map(|n| format!("{n:0>150}\n")).collect();
    fs::write(folder.path().join("large.txt"), lines).unwrap();
    let started = with_token();
    let post = |more: &str| {
        let words = format!(
            "curl --silent --show-error --location-trusted --header 'Authorization: Bearer of the test' \
             {more} --data-binary @large.txt http://{}/clicks",
            started.doors[0]
        );
        shell(&words, folder.path()).1
    };
    assert_eq!(post("--header 'Expect: 100-continue'"), "20000 records\n");
    assert_eq!(post("--header 'Expect:'"), "20000 records\n");

    // Nor need whoever sends look for an answer before it is done.
    let mut stream = unbuffered(&started.doors[0]);
    let head = "POST /clicks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer of the test\r\nContent-Length: 3000000\r\n\r\n";
    stream.write_all(&[head.as_bytes(), &vec![b'x'; 3_000_000]].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 307 ") && answer.contains("/clicks"), "{answer}");
    assert_eq!(started.end(), "40000 lines, 20000 different");
}

/// A connection that only takes what is read at the other end, or nearly.
fn unbuffered(address: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(4_096).unwrap();
        socket.connect(address.parse().unwrap()).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Each is told why, by the master and by a worker.
#[test]
fn who_may_not_post_is_refused_and_told_why() {
    if curl().is_none() {
        return;
    }
    let certs = Certs::new("here.lan");
    let folder = folder(&certs);
    let started = Started::with(&certs);
    let others = Certs::new("here.lan");
    let files = |certs: &Certs, role| {
        let [certificate, key] = certs.pair(role);
        format!("--cert {certificate} --key {key}")
    };
    let wrong = [
        // With TLS 1.3 a client without a certificate hears of it only after it has sent its request.
        ("https", String::new(), "certificate required"),
        ("https", files(&others, Role::Client), "unknown ca"),
        ("https", files(&certs, Role::Worker), "cutwater-worker, and cutwater-client is needed here"),
        ("http", files(&certs, Role::Client), "curl: "),
    ];
    for door in &started.doors {
        for (scheme, certificate, why) in &wrong {
            let words = format!(
                "curl --silent --show-error --location {certificate} --cacert {} --data-binary @clicks.txt {scheme}://{door}/clicks",
                certs.authority()
            );
            let (_, said) = shell(&words, folder.path());
            assert!(said.contains(why) && !said.contains("records"), "{words}: {said}");
        }
    }
    started.workers[0].wait_for("the certificate of the other end is missing");
    assert_eq!(started.end(), "0 lines, 0 different");

    // Certificates and a token.
    let started = Started::new(|role| {
        certs.environment(role).into_iter().chain([("CUTWATER_TOKEN", "of the test".to_owned())]).collect()
    });
    for door in &started.doors {
        for (token, why) in [("", "Bearer TOKEN"), ("a guess", "Bearer TOKEN"), ("of the test", "3 records")]
        {
            let words = format!(
                "curl --silent --show-error --location-trusted --header 'Authorization: Bearer {token}' {} --cacert {} --data-binary @clicks.txt https://{door}/clicks",
                files(&certs, Role::Client),
                certs.authority()
            );
            let (_, said) = shell(&words, folder.path());
            assert!(said.contains(why), "{words}: {said}");
        }
    }
    assert_eq!(started.end(), "6 lines, 3 different");

    // Over loopback without certificates the token is all there is.
    let started = with_token();
    for door in &started.doors {
        let words =
            format!("curl --silent --show-error --location --data-binary @clicks.txt http://{door}/clicks");
        let (_, said) = shell(&words, folder.path());
        assert!(said.contains("Bearer TOKEN"), "{said}");
    }
    assert_eq!(started.end(), "0 lines, 0 different");
}

/// Whoever begins at the master each time gets on with the workers that are left.
#[test]
fn a_receiver_that_is_killed_is_asked_no_more_and_each_request_counts_once() {
    if curl().is_none() {
        return;
    }
    let certs = Certs::new("here.lan");
    let folder = folder(&certs);
    let started = Started::with(&certs);
    let [first, second] = started.workers;
    let mut first = Some(first);
    for sequence in 0..20 {
        if sequence == 10 {
            first.take();
        }
        let words = format!(
            "curl --silent --show-error --location --cacert authority.pem --cert client-shop.pem --key client-shop-key.pem \
             --header 'cutwater-client: shop' --header 'cutwater-sequence: {sequence}' --data-binary '{sequence}' https://{}/clicks",
            started.doors[0]
        );
        let mut tries = 0;
        while shell(&words, folder.path()).1 != "1 records\n" {
            tries += 1;
            assert!(tries < 10_000, "request {sequence} is never taken");
        }
    }
    assert_eq!(ended([started.master, second]), "20 lines, 20 different");
}
