//! The commands of the README that take a program from one machine to four, as they stand there.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    network::hosts,
    set::{Child, built, said},
};

const README: &str = include_str!("../../../../README.md");

/// The blocks of commands of the section.
fn blocks() -> [&'static str; 4] {
    let (_, section) = README.split_once("\n## From one machine to four\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.take(4).collect::<Vec<_>>().try_into().unwrap()
}

/// A shell in that folder, where `cutwater` is a command; `within` are the words that have something else run it.
fn shell(within: &[&str], folder: &Path, words: &str) -> Command {
    let all: Vec<&str> = within.iter().copied().chain(["sh", "-ec", words]).collect();
    let mut command = Command::new(all[0]);
    let cutwater = Path::new(env!("CARGO_BIN_EXE_cutwater")).parent().unwrap();
    let path = format!("{}:{}", cutwater.display(), std::env::var("PATH").unwrap());
    command.args(&all[1..]).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    command
}

/// What is printed of the flights, without the lines that tell times.
fn boards(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("UA"), "{printed}");
    printed.lines().filter(|line| !line.starts_with("interval ")).collect::<Vec<_>>().join("\n")
}

/// The program, where the first line of the README puts it.
fn flights(folder: &Path) {
    symlink(built("examples/flights", "cutwater-examples"), folder.join("flights")).unwrap();
}

#[test]
fn one_process_and_four_workers_print_the_same() {
    let commands: Vec<&str> = blocks()[0].lines().collect();
    let [build, one, four] = &*commands else { panic!("{commands:?}") };
    assert!(build.starts_with("cargo build --release --example flights "), "{build}");
    let dir = tempfile::tempdir().unwrap();
    flights(dir.path());
    let printed = [one, four].map(|command| boards(shell(&[], dir.path(), command)));
    assert_eq!(printed[0], printed[1]);
}

/// Hosts that know each other by the names of the README, an agent on each but the last, which is the desk.
#[test]
fn four_machines_print_what_one_process_prints() {
    let names = ["a.lan", "b.lan", "c.lan", "d.lan", "desk"];
    let Some(hosts) = hosts(names.len()) else { return };
    let [first, certs, agent, submit] = blocks();
    let dir = tempfile::tempdir().unwrap();
    let known: String = (1..).zip(names).map(|(number, name)| format!("10.77.0.{number} {name}\n")).collect();
    fs::write(dir.path().join("hosts"), format!("127.0.0.1 localhost\n{known}")).unwrap();
    let folder = |name: &str| dir.path().join(name);
    names.iter().for_each(|name| fs::create_dir(folder(name)).unwrap());
    let on = |name: &str, words: &str| {
        let number = names.iter().position(|known| *known == name).unwrap() + 1;
        // Mounts of whoever is on a host are its own.
        shell(&hosts.on(number), &folder(name), &format!("mount --bind ../hosts /etc/hosts\n{words}"))
    };
    let made = on("desk", certs).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let agents: Vec<Child> = names[..4]
        .iter()
        .map(|name| {
            for file in ["authority.pem", &format!("master-{name}.pem"), &format!("master-{name}-key.pem")] {
                fs::copy(folder("desk").join(file), folder(name).join(file)).unwrap();
            }
            let mut agent = on(name, &format!("exec {}", agent.replace("a.lan", name)));
            let log = fs::File::create(folder(name).join("log")).unwrap();
            let mut agent = Child(agent.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
            let mut line = String::new();
            BufReader::new(agent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let log = fs::read_to_string(folder(name).join("log")).unwrap();
            assert!(line.starts_with("agent listens on "), "{line}{log}");
            agent
        })
        .collect();
    flights(&folder("desk"));
    let printed = boards(on("desk", submit));
    let one = first.lines().nth(1).unwrap();
    assert_eq!(printed, boards(shell(&[], &folder("desk"), one)));
    // Each machine has run a part of it.
    for name in &names[..4] {
        let log = fs::read_to_string(folder(name).join("log")).unwrap();
        assert!(log.contains("started") && log.contains("process=worker-"), "{name}: {log}");
    }
    drop(agents);
}
