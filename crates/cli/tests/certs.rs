//! `cutwater certs`, as a command.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    process::{Command, Output},
};

use cutwater_wire::tls::{Role, Tls, TlsFiles};

fn certs(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutwater"));
    command.arg("certs").arg("--dir").arg(dir).args(arguments).output().unwrap()
}

#[test]
fn what_it_makes_can_be_used_and_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let arguments =
        ["--master", "m.lan", "--worker", "w1.lan,10.0.0.1", "--worker", "w2.lan", "--client", "shop"];
    let made = certs(dir.path(), &arguments);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && said.contains("made the authority"), "{said}");
    for (stem, role) in [
        ("master-m.lan", Role::Master),
        ("worker-w1.lan", Role::Worker),
        ("worker-w2.lan", Role::Worker),
        ("client-shop", Role::Client),
    ] {
        assert!(said.contains(&format!("{stem}-key.pem")), "{said}");
        let tls = Tls::read(&TlsFiles {
            authority: dir.path().join("authority.pem"),
            certificate: dir.path().join(format!("{stem}.pem")),
            key: dir.path().join(format!("{stem}-key.pem")),
        });
        assert_eq!(tls.unwrap().roles(), [role]);
    }
    let again = certs(dir.path(), &["--master", "m.lan"]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(!again.status.success() && said.contains("nothing was made"), "{said}");
    assert!(said.contains("master-m.lan.pem") && said.contains("choose another folder"), "{said}");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&["--master", "m.lan:7077"][..], "without a port"),
        (&["--worker", "cutwater-master"], "hosts cannot be called as roles are"),
        (&[], "name the hosts"),
        (&["--master", "m", "--days", "0"], "0"),
    ] {
        let refused = certs(&dir.path().join("none"), arguments);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(wanted), "{said}");
    }
    assert!(!dir.path().join("none").exists());
}
