//! Settings that are not code: a file, the environment, the command line, and what is wrong with them.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use cutwater::{Builder, Context, ErrorKind};
use tempfile::TempDir;

fn written(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("program.toml");
    fs::write(&file, text).unwrap();
    (dir, file)
}

fn faults(builder: Builder) -> String {
    let error = match builder.build() {
        Ok(ctx) => ctx.run_for(1).unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

fn flags(flags: &[&str]) -> Vec<String> {
    [&["program"], flags].concat().iter().map(|flag| (*flag).to_owned()).collect()
}

#[test]
fn every_fault_of_a_file_is_listed_with_its_line_and_key() {
    let (dir, file) = written(
        r#"
thread = 4
threads = "four"
interval_ms = 0
speed = "fast"
batch = 1
max_rate = -3
min_workers = 2

[cluster]
master = 7077
bind = "everywhere"
advertise = "a host"
role = "boss"
join_wait_ms = 99999999999999999

[tls]
authority = "none.pem"
certificat = "this.pem"
"#,
    );
    let said = faults(Context::builder("wrong").config_file(&file));
    let at = |line: u32| format!("program.toml:{line}: ");
    for (line, wanted) in [
        (2, "thread is no setting; did you mean threads?"),
        (3, "threads has to be a whole number, and is of type string"),
        (4, "interval_ms: an interval of 0ns"),
        (5, "speed has to be a number, and is of type string"),
        (6, "batch has to be true or false, and is of type integer"),
        (7, "max_rate has to be from 0 to"),
        (8, "min_workers is no setting; did you mean [cluster] min_workers?"),
        (11, "[cluster] master has to be text in quotes, and is of type integer"),
        (12, r#"[cluster] bind: "everywhere" is no address"#),
        (13, r#"[cluster] advertise: "a host" is neither a name"#),
        (14, r#"[cluster] role: "boss" is none of: embedded, master, worker"#),
        (15, "[cluster] join_wait_ms has to be from 0 to"),
        (19, "[tls] certificat is no setting; did you mean [tls] certificate?"),
    ] {
        let wanted = at(line) + wanted;
        assert!(said.contains(&wanted), "{wanted:?} is not in {said}");
    }
    assert!(said.contains("[tls] has no certificate and no key"), "{said}");
    drop(dir);
}

#[test]
fn a_file_that_is_none_is_named() {
    let said = faults(Context::builder("none").config_file("/no/such/file.toml"));
    assert!(said.contains("the configuration file /no/such/file.toml cannot be read"), "{said}");
    let (_dir, file) = written("threads = \nbatch = [\n");
    let said = faults(Context::builder("none").config_file(&file));
    assert!(said.contains("program.toml:1: this is no TOML"), "{said}");
    let said = faults(Context::builder("none").args(flags(&["--config"])));
    assert!(said.contains("--config needs a value"), "{said}");
}

/// A certificate's key where the name of its file belongs stays out of what is printed.
#[test]
fn what_may_be_secret_is_not_printed() {
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
    let (_dir, file) = written(&format!(
        "token = \"hush\"\nthreads = \"hush\"\n[tls]\nkey = '''{key}'''\n[cluster]\ntoken_file = {{ hush = 1 }}\n"
    ));
    let builder = Context::builder("secret").config_file(&file);
    let said = faults(builder.args(flags(&["--tls-certificate", key, "--token=hush"])));
    for secret in ["hush", "c2VjcmV0"] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(said.contains("give the name of a file") && said.contains("unknown argument --token"), "{said}");
}

/// Five layers of one setting, and no matter in which order the program names them.
#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    const CHILD: &str = "CUTWATER_TEST_LAYERS";
    let (dir, file) = written("interval_ms = 20\nparallelism = 20\n");
    let other = dir.path().join("other.toml");
    fs::write(&other, "interval_ms = 25").unwrap();
    let program = |args: &[&str]| {
        let program = Context::builder("layers").args(flags(args)).config_file(&file).threads(1);
        program.interval(Duration::from_millis(10)).parallelism(10).build().unwrap()
    };
    let length = |args: &[&str]| program(args).interval().as_millis();
    if std::env::var(CHILD).is_ok() {
        // Started below, with an environment.
        assert_eq!((length(&[]), program(&[]).parallelize([1]).num_partitions()), (30, 20));
        assert_eq!(length(&["--interval-ms=40"]), 40);
        assert!(program(&[]).is_batch() && !program(&["--no-batch"]).is_batch());
        return;
    }
    assert_eq!((length(&[]), program(&[]).parallelize([1]).num_partitions()), (20, 20));
    assert_eq!(length(&["--config", other.to_str().unwrap()]), 25);
    assert_eq!(length(&["--interval-ms", "40", "input.csv"]), 40);
    assert_eq!(program(&["--interval-ms", "40", "input.csv"]).arguments(), ["input.csv"]);

    let mut child = Command::new(std::env::current_exe().unwrap());
    let name = std::thread::current().name().unwrap().to_owned();
    child.args([&name, "--exact"]).env(CHILD, "1");
    child.env("CUTWATER_INTERVAL_MS", "30").env("CUTWATER_BATCH", "true");
    let ran = child.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn the_environment_is_checked_too() {
    const CHILD: &str = "CUTWATER_TEST_ENVIRONMENT";
    if std::env::var(CHILD).is_ok() {
        let said = faults(Context::builder("wrong"));
        for wanted in [
            "CUTWATER_THREADS=many is not a number it can be",
            "CUTWATER_BATCH=perhaps is not true or false",
            "CUTWATER_ROLE=boss is none of: embedded, master, worker",
            "the configuration file /nowhere.toml cannot be read",
        ] {
            assert!(said.contains(wanted), "{wanted:?} is not in {said}");
        }
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let name = std::thread::current().name().unwrap().to_owned();
    child.args([&name, "--exact"]).env(CHILD, "1").env("CUTWATER_THREADS", "many");
    child
        .env("CUTWATER_BATCH", "perhaps")
        .env("CUTWATER_ROLE", "boss")
        .env("CUTWATER_CONFIG", "/nowhere.toml");
    let ran = child.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

/// Files that a file names are where it is, whatever the folder of the process.
#[test]
fn names_of_files_are_relative_to_the_file() {
    let (dir, file) = written("[tls]\nauthority = \"a.pem\"\ncertificate = \"b.pem\"\nkey = \"/k.pem\"\n");
    let said = faults(Context::builder("files").config_file(&file));
    for wanted in [dir.path().join("a.pem"), dir.path().join("b.pem"), PathBuf::from("/k.pem")] {
        assert!(said.contains(&format!("{}: ", wanted.display())), "{wanted:?} is not in {said}");
    }
}

/// What the guide shows is understood: all that is wrong is that those certificates are not there.
#[test]
fn the_guide_shows_settings_that_exist() {
    let guide = include_str!("../../../../book/security.md");
    let shown: Vec<&str> =
        guide.split("```toml").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!shown.is_empty());
    for text in shown {
        let (_dir, file) = written(text);
        let said = faults(Context::builder("guide").config_file(&file).args(flags(&["--role", "worker"])));
        let wrong: Vec<&str> = said.lines().filter(|line| line.trim().starts_with("- ")).collect();
        assert_eq!(wrong.len(), 3, "{said}");
        assert!(wrong.iter().all(|fault| fault.contains(".pem: cannot be read")), "{said}");
    }
}

#[test]
fn contradictions_are_faults() {
    let of = |args: &[&str]| faults(Context::builder("torn").threads(1).args(flags(args)));
    let said = of(&["--worker", "--workers", "2"]);
    assert!(said.contains("workers are started by a master, and this process is to be a worker"), "{said}");
    let said = of(&["--master", "127.0.0.1:0", "--join", "127.0.0.1:1"]);
    assert!(said.contains("both `master` and `join` are given"), "{said}");
    let said = of(&["--master", "0.0.0.0:0"]);
    assert!(said.contains("beyond loopback there are only encrypted connections"), "{said}");
    assert!(said.contains("cutwater certs"), "{said}");
    let said = of(&["--worker", "--bind", "0.0.0.0:0"]);
    assert!(said.contains("only encrypted") && said.contains("advertise"), "{said}");
    let said = of(&["--join", "nowhere"]);
    assert!(said.contains("not HOST:PORT"), "{said}");
    let said = of(&["--min-worker", "2", "--master=nowhere:x"]);
    assert!(said.contains("did you mean --min-workers?") && said.contains("ADDRESS:PORT"), "{said}");
}
