//! Agents with certificates, and programs that they start with the same.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::set::{Child, command, embedded, readings, said, sensors};

fn with_tls(command: &mut Command, certs: &Path, name: &str) {
    command.arg("--tls-authority").arg(certs.join("authority.pem"));
    command.arg("--tls-certificate").arg(certs.join(format!("{name}.pem")));
    command.arg("--tls-key").arg(certs.join(format!("{name}-key.pem")));
}

#[test]
fn certificates_let_in_who_may_hand_out_code_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let mut make = command(&["certs", "--master", "127.0.0.1", "--worker", "127.0.0.1", "--dir"]);
    assert!(make.arg(&certs).output().unwrap().status.success());
    let mut addresses = Vec::new();
    let mut agents = Vec::new();
    for number in 0..2 {
        let mut agent = command(&["agent", "--listen", "127.0.0.1:0", "--slots", "1", "--dir"]);
        // Paths from where the agent was started, which is not where its programs run.
        agent.arg(format!("agent-{number}")).current_dir(dir.path());
        with_tls(&mut agent, Path::new("certs"), "master-127.0.0.1");
        let log = fs::File::create(dir.path().join(format!("log-{number}"))).unwrap();
        let mut agent = Child(agent.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(agent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        addresses.push(line.split(' ').nth(3).unwrap().to_owned());
        agents.push(agent);
    }
    let (program, file) = (readings(), sensors(dir.path(), 10));
    let submit = |certificate: Option<&str>| -> Output {
        let mut submit = command(&["submit", "--agents", &addresses.join(",")]);
        match certificate {
            Some(name) => with_tls(&mut submit, &certs, name),
            None => {
                // A token, where certificates are asked for.
                let token = dir.path().join("token");
                fs::write(&token, "token").unwrap();
                fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                submit.arg("--token-file").arg(token);
            }
        }
        submit.arg(&program).args(["--", "--batch", "--parallelism", "2", &file]).output().unwrap()
    };
    let output = submit(Some("master-127.0.0.1"));
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(printed, embedded(&program, &["--batch", "--threads", "2", &file]));
    assert!(said(&output).contains("has got the program from"), "agents trust each other: {}", said(&output));

    let refused = submit(Some("worker-127.0.0.1"));
    assert!(
        !refused.status.success() && said(&refused).contains("cutwater-master is needed"),
        "{}",
        said(&refused)
    );
    let refused = submit(None);
    assert!(!refused.status.success() && said(&refused).contains("TLS"), "{}", said(&refused));
}
