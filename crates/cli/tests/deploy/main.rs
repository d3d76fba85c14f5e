//! The manifests of `deploy/`: tools find them valid, and what they start is a cluster that works.

#![allow(clippy::unwrap_used)]

#[path = "../cluster/set.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod set;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cutwater_wire::tls::{Tls, TlsFiles};
use serde_json::Value;
use set::{Child, command, embedded, is_there, readings, said, sensors, wait_for};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// What the validating script says of a folder of manifests, and its exit status.
fn validate(folder: &Path) -> (String, Option<i32>) {
    let output = Command::new(deploy().join("validate")).arg(folder).output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output), output.status.code())
}

#[test]
fn manifests_are_valid_and_broken_ones_are_not() {
    let (told, status) = validate(&deploy());
    println!("{told}");
    assert!(status == Some(0) || (status == Some(3) && told.contains("skipped: ")), "{told}");

    let dir = tempfile::tempdir().unwrap();
    for folder in ["systemd", "kubernetes"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        for entry in fs::read_dir(deploy().join(folder)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(folder).join(entry.file_name())).unwrap();
        }
    }
    let broken = [
        ("systemd/cutwater-agent.service", "\nRestart=", "\nRestrat="),
        ("systemd/cutwater-worker@.service", "TimeoutStopSec=60s", "TimeoutStopSec=soon"),
        ("kubernetes/master.yaml", "containerPort: 7077", "containerPort: many"),
        ("kubernetes/workers.yaml", "  replicas: 3", "  replicsa: 3"),
    ];
    for (file, right, wrong) in broken {
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(right), "{file}");
        fs::write(&path, text.replacen(right, wrong, 1)).unwrap();
    }
    let (told, _) = validate(dir.path());
    for (file, ..) in broken {
        let kind = file.split('/').next().unwrap();
        if !told.contains(&format!("skipped: {kind}/")) {
            assert!(told.contains(&format!("WRONG: {file}")), "{file}: {told}");
        }
    }
}

/// A port that is free now. Between this and its use somebody else could take it, which a test that fails then
/// says by itself.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Certificates for this machine in the folder that manifests mount: one of a master or of a worker.
fn certificates(dir: &Path, role: &str) -> PathBuf {
    let (made, folder) = (dir.join("certs"), dir.join(format!("{role}-tls")));
    if !made.exists() {
        let mut make = command(&["certs", "--master", "localhost", "--worker", "localhost", "--dir"]);
        assert!(make.arg(&made).output().unwrap().status.success());
    }
    if folder.exists() {
        // Somebody may be reading it.
        return folder;
    }
    fs::create_dir_all(&folder).unwrap();
    let name = format!("{role}-localhost");
    for (from, to) in [
        ("authority.pem".to_owned(), "authority.pem"),
        (format!("{name}.pem"), "certificate.pem"),
        (format!("{name}-key.pem"), "key.pem"),
    ] {
        fs::copy(made.join(from), folder.join(to)).unwrap();
    }
    folder
}

/// Starts the master and workers, and compares what the master prints with a run in one process. The programs
/// are started with what manifests say and nothing else.
fn prints_what_one_process_prints(master: &mut Command, workers: &mut [Command], arguments: &[&str]) {
    let mut master = Child(master.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let workers: Vec<_> = workers.iter_mut().map(|worker| Child(worker.spawn().unwrap())).collect();
    let (out, err) = (master.0.stdout.take().unwrap(), master.0.stderr.take().unwrap());
    let errors = std::thread::spawn(move || std::io::read_to_string(err).unwrap());
    let printed = std::io::read_to_string(out).unwrap();
    let (status, errors) = (master.0.wait().unwrap(), errors.join().unwrap());
    assert!(status.success(), "{errors}");
    assert_eq!(printed, embedded(&readings(), arguments), "{errors}");
    for mut worker in workers {
        assert!(worker.0.wait().unwrap().success(), "workers end with the program");
    }
}

/// The lines `KEY=VALUE` of a unit's `[Service]`, with lines that go on put together.
fn service(unit: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(deploy().join("systemd").join(unit)).unwrap().replace("\\\n", " ");
    let lines = text.lines().skip_while(|line| *line != "[Service]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#'));
    let pair =
        |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
    lines.filter_map(pair).collect()
}

/// The command that a unit runs, with its environment, where the places of a machine are those of `places`.
fn of_unit(unit: &str, places: &[(&str, &str)]) -> Command {
    let here = |text: &str| places.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let service = service(unit);
    let (_, line) = service.iter().find(|(key, _)| key == "ExecStart").unwrap();
    let line = here(line);
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::null());
    for (_, value) in service.iter().filter(|(key, _)| key == "Environment") {
        let (name, value) = value.split_once('=').unwrap();
        command.env(name, here(value));
    }
    command
}

#[test]
fn what_the_units_of_a_program_start_is_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let file = sensors(dir.path(), 10);
    let arguments = ["--batch", "--parallelism", "3", &file];
    let master = format!("localhost:{}", free_port());
    let commands = |role: &str| {
        // The file of the README, for this machine: one folder for each, as each has certificates of its own.
        let settings = fs::read_to_string(deploy().join("systemd/program.toml")).unwrap();
        let settings = settings.replace("0.0.0.0:7077", &master).replace("master.example:7077", &master);
        let tls = certificates(dir.path(), role);
        let settings = settings.replace("\"tls/", &format!("\"{}/", tls.display()));
        let etc = dir.path().join(format!("etc-{role}"));
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("flights.toml"), settings).unwrap();
        of_unit(
            &format!("cutwater-{role}@.service"),
            &[
                ("/opt/cutwater/%i", readings().to_str().unwrap()),
                ("/etc/cutwater/%i.toml", etc.join("flights.toml").to_str().unwrap()),
                ("$ARGUMENTS", &arguments.join(" ")),
                ("%H", "localhost"),
            ],
        )
    };
    let mut workers: Vec<_> = (0..3).map(|_| commands("worker")).collect();
    prints_what_one_process_prints(&mut commands("master"), &mut workers, &arguments);
}

#[test]
fn what_the_agents_unit_starts_is_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    let (tls, address) = (certificates(dir.path(), "master"), format!("127.0.0.1:{}", free_port()));
    let places = [
        ("/usr/local/bin/cutwater", env!("CARGO_BIN_EXE_cutwater")),
        ("0.0.0.0:7078", &address),
        ("/var/lib/cutwater", dir.path().to_str().unwrap()),
        ("/etc/cutwater/tls", tls.to_str().unwrap()),
    ];
    let mut agent = Child(of_unit("cutwater-agent.service", &places).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(agent.0.stdout.take().unwrap()), &mut line)
        .unwrap();
    assert!(line.starts_with(&format!("agent listens on {address}")), "{line}");
    let mut submit = command(&["submit", "--agents", &address.replace("127.0.0.1", "localhost")]);
    for (flag, name) in [("authority", "authority"), ("certificate", "certificate"), ("key", "key")] {
        submit.arg(format!("--tls-{flag}")).arg(tls.join(format!("{name}.pem")));
    }
    let file = sensors(dir.path(), 10);
    let output = submit.arg(readings()).args(["--", "--batch", &file]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(printed, embedded(&readings(), &["--batch", &file]));
}

/// The documents of a file of Kubernetes', read by the tool that validates them; `None` without it.
fn documents(file: &str) -> Option<Vec<Value>> {
    let python = deploy().join("../target/validate/bin/python");
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let path = deploy().join("kubernetes").join(file);
    let output = Command::new(python).args(["-c", script]).arg(path).output().ok()?;
    assert!(output.status.success(), "{}", said(&output));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The only container of a file's pods.
fn container(file: &str) -> Option<Value> {
    let pods = documents(file)?
        .into_iter()
        .find_map(|document| document["spec"]["template"]["spec"]["containers"].as_array().cloned());
    Some(pods.unwrap().remove(0))
}

/// A list of texts.
fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The certificates that the README has made are for the names that the manifests give to pods.
#[test]
fn certificates_of_the_readme_are_for_the_names_of_pods() {
    let readme = fs::read_to_string(deploy().join("README.md")).unwrap();
    let made = "cutwater certs --master flights-master --worker '*.flights-workers.default.svc'\n";
    assert!(readme.contains(made));
    let workers = fs::read_to_string(deploy().join("kubernetes/workers.yaml")).unwrap();
    assert!(workers.contains("value: $(POD_NAME).flights-workers.$(POD_NAMESPACE).svc\n"));
    let dir = tempfile::tempdir().unwrap();
    let mut make = command(&["certs", "--dir", "certs"]);
    make.args(made.trim().replace('\'', "").split(' ').skip(2)).current_dir(dir.path());
    assert!(make.output().unwrap().status.success());
    let names = [
        ("master-flights-master", "flights-master"),
        ("worker-any.flights-workers.default.svc", "flights-worker-0.flights-workers.default.svc"),
    ];
    for (stem, host) in names {
        let file = |name: &str| dir.path().join("certs").join(name);
        assert!(readme.contains(stem.split_once('-').unwrap().1));
        let files = TlsFiles {
            authority: file("authority.pem"),
            certificate: file(&format!("{stem}.pem")),
            key: file(&format!("{stem}-key.pem")),
        };
        assert!(Tls::read(&files).unwrap().is_for(host), "{host}");
    }
}

#[test]
fn what_the_pods_run_is_a_cluster_and_their_probes_mean_something() {
    // It installs what reads the manifests, if it can.
    validate(&deploy());
    let (Some(master), Some(worker)) = (container("master.yaml"), container("workers.yaml")) else {
        return println!("skipped: without kubernetes-validate there is nothing that reads YAML");
    };
    let settings = documents("config.yaml").unwrap().remove(0);
    let settings = settings["data"]["cutwater.toml"].as_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let file = sensors(dir.path(), 10);
    let arguments = ["--batch", "--parallelism", "3", &file];
    let ports: Vec<_> = (0..4).map(|_| free_port()).collect();
    let at = |port: u16| format!("localhost:{port}");

    // What a pod would find, where the paths and names are those of this machine.
    let places = |role: &str, number: usize| -> BTreeMap<String, String> {
        let tls = certificates(dir.path(), role);
        let config = dir.path().join(format!("config-{role}"));
        fs::create_dir_all(&config).unwrap();
        let settings =
            settings.replace("0.0.0.0:7077", &at(ports[0])).replace("flights-master:7077", &at(ports[0]));
        fs::write(config.join("cutwater.toml"), settings.replace("/etc/cutwater/tls", tls.to_str().unwrap()))
            .unwrap();
        [
            ("/usr/local/bin/program", readings().to_str().unwrap()),
            ("/usr/local/bin/cutwater", env!("CARGO_BIN_EXE_cutwater")),
            ("/etc/cutwater/config", config.to_str().unwrap()),
            ("/etc/cutwater/tls", tls.to_str().unwrap()),
            ("$(POD_NAME).flights-workers.$(POD_NAMESPACE).svc", "localhost"),
            ("flights-master", "localhost"),
            ("0.0.0.0:7100", &format!("127.0.0.1:{}", ports[number])),
            ("127.0.0.1:7100", &at(ports[number])),
            ("127.0.0.1:7077", &at(ports[0])),
        ]
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .into()
    };
    let here = |places: &BTreeMap<String, String>, text: &str| {
        // The longest first: one is a part of another.
        let mut all: Vec<_> = places.iter().collect();
        all.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        // An address that was put in is not to be replaced again.
        match all.iter().find(|(from, _)| from.contains(':') && text == **from) {
            Some((_, to)) => (*to).clone(),
            None => all.into_iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)),
        }
    };
    let pod = |container: &Value, places: &BTreeMap<String, String>| {
        let words = [texts(&container["command"]), texts(&container["args"])].concat();
        let mut command = Command::new(here(places, &words[0]));
        command.args(&words[1..]).args(arguments).stdin(Stdio::null());
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            match (name, variable["value"].as_str()) {
                (_, Some(value)) => command.env(name, here(places, value)),
                // Where Kubernetes fills in what a pod is called and has.
                ("POD_NAME" | "POD_NAMESPACE", None) => command.env(name, "filled in"),
                ("CUTWATER_THREADS", None) => command.env(name, "1"),
                _ => panic!("{variable}"),
            };
        }
        command
    };
    let probe = |container: &Value, places: &BTreeMap<String, String>, kind: &str| {
        let words = texts(&container[kind]["exec"]["command"]);
        let words: Vec<_> = words.iter().map(|word| here(places, word)).collect();
        Command::new(&words[0]).args(&words[1..]).output().unwrap()
    };

    // Long enough to be probed; what is compared afterwards is a run of its own.
    // All files are written before anybody reads them.
    let all: Vec<_> =
        (0..4).map(|number| places(if number == 0 { "master" } else { "worker" }, number)).collect();
    let (master_places, worker_places) = (&all[0], &all[1]);
    let kinds = ["startupProbe", "readinessProbe", "livenessProbe"];
    assert!(!probe(&master, master_places, kinds[0]).status.success(), "nobody is there yet");
    {
        let long = sensors(dir.path(), 600);
        let begin = |container: &Value, places: &BTreeMap<String, String>| {
            let mut command = pod(container, places);
            let mut long_command = Command::new(command.get_program());
            long_command.arg(&long).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = long_command;
            command.stdout(Stdio::null()).stderr(Stdio::null());
            Child(command.spawn().unwrap())
        };
        let running: Vec<_> = std::iter::once(begin(&master, master_places))
            .chain((1..4).map(|number| begin(&worker, &all[number])))
            .collect();
        for (container, places) in [(&master, master_places), (&worker, worker_places)] {
            for kind in kinds {
                let said_at_last = || said(&probe(container, places, kind));
                wait_for(said_at_last, || probe(container, places, kind).status.success());
            }
        }
        // A process that is stopped does not answer, though its port is open.
        set::signal(running[1].0.id(), "-STOP");
        assert!(is_there(running[1].0.id()));
        let output = probe(&worker, worker_places, "livenessProbe");
        assert!(!output.status.success() && said(&output).contains("does not answer"), "{}", said(&output));
        set::signal(running[1].0.id(), "-CONT");
    }
    let mut workers: Vec<_> = (1..4).map(|number| pod(&worker, &all[number])).collect();
    prints_what_one_process_prints(&mut pod(&master, master_places), &mut workers, &arguments);
}
