//! What is in the folder afterwards.
#![allow(clippy::unwrap_used)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use cutwater_certs::{CertsError, Request, Role, make};
use cutwater_wire::tls::{Tls, TlsFiles};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new");
    let made = make(&Request { workers: vec!["w".parse().unwrap()], ..Request::new(&folder) }).unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&made.authority_key), 0o600);
    assert_eq!(mode(&made.issued[0].key), 0o600);
    assert!(fs::read_to_string(&made.issued[0].key).unwrap().contains("PRIVATE KEY"));
    let said = made.to_string();
    for file in [&made.authority, &made.authority_key, &made.issued[0].certificate, &made.issued[0].key] {
        assert!(said.contains(file.to_str().unwrap()), "{said}");
    }
    assert!(!said.contains("PRIVATE KEY"));
}

#[test]
fn nothing_is_written_over_and_nothing_is_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let one = |name: &str| vec![name.parse().unwrap()];
    let made = make(&Request { masters: one("m"), ..Request::new(dir.path()) }).unwrap();
    let before = fs::read(&made.issued[0].certificate).unwrap();
    let again = Request { masters: one("m"), workers: one("w"), ..Request::new(dir.path()) };
    match make(&again).unwrap_err() {
        CertsError::Exists(files) => assert_eq!(files.len(), 2),
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(&made.issued[0].certificate).unwrap(), before);
    assert!(!dir.path().join("worker-w.pem").exists(), "not even what was not there");
    let twice = Request { workers: [one("w"), one("w")].concat(), ..Request::new(dir.path()) };
    assert!(make(&twice).unwrap_err().to_string().contains("named twice"));
    assert!(matches!(make(&Request::new(dir.path())), Err(CertsError::NothingWanted)));
}

/// Certificates that are made later are of the same authority.
#[test]
fn an_authority_signs_again() {
    let dir = tempfile::tempdir().unwrap();
    let one = |name: &str| vec![name.parse().unwrap()];
    make(&Request { masters: one("m"), ..Request::new(dir.path()) }).unwrap();
    let authority = fs::read(dir.path().join("authority.pem")).unwrap();
    let later = make(&Request { workers: one("w,10.0.0.7"), ..Request::new(dir.path()) }).unwrap();
    assert!(!later.is_new_authority && later.to_string().contains("used the authority"));
    assert_eq!(fs::read(dir.path().join("authority.pem")).unwrap(), authority);
    let tls = Tls::read(&TlsFiles {
        authority: later.authority,
        certificate: later.issued[0].certificate.clone(),
        key: later.issued[0].key.clone(),
    });
    let tls = tls.unwrap();
    assert_eq!(tls.roles(), [Role::Worker]);
    assert!(tls.is_for("w") && tls.is_for("10.0.0.7") && tls.is_for("localhost") && !tls.is_for("m"));
}

#[test]
fn what_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let request = Request { masters: vec!["m".parse().unwrap()], ..Request::new(dir.path()) };
    fs::write(dir.path().join("authority.pem"), "").unwrap();
    let said = make(&request).unwrap_err().to_string();
    assert!(said.contains("without") && said.contains("authority-key.pem"), "{said}");
    fs::write(dir.path().join("authority-key.pem"), "no key").unwrap();
    assert!(make(&request).is_err());
    let other = dir.path().join("other");
    let endless = Request { days: u32::MAX, folder: other.clone(), ..request };
    assert!(make(&endless).unwrap_err().to_string().contains("beyond the calendar"));
    assert!(!other.exists());
}
