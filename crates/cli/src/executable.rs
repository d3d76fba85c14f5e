//! What can be said of an executable before it is sent anywhere.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, bail, ensure};
use cutwater_core::limits;
use cutwater_wire::handshake::ExecutableHash;

/// A program as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// Its content.
    pub hash: ExecutableHash,
    /// How long it is.
    pub bytes: u64,
    /// For which processor it is, as ELF says it.
    pub machine: u16,
}

/// What every program of cutwater has in it: the name of the variable that tells it what it is.
const MARK: &[u8] = b"CUTWATER_ROLE";

impl Executable {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no executable of this kind of system, or no program of cutwater.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        let metadata = file.metadata()?;
        ensure!(metadata.is_file(), "{name} is no file");
        ensure!(metadata.permissions().mode() & 0o111 != 0, "{name} is not executable (chmod +x)");
        let bytes = metadata.len();
        ensure!(
            bytes <= limits::EXECUTABLE_BYTES_MAX,
            "{name} has {bytes} bytes, and agents take at most {}",
            limits::EXECUTABLE_BYTES_MAX
        );
        let read = read(&mut file).with_context(|| format!("cannot read {name}"))?;
        let Some(machine) = machine_of(&read.head) else {
            bail!(
                "{name} is no executable that Linux runs by itself (ELF); submit what the compiler has built"
            )
        };
        ensure!(read.has_mark, "there is no program of cutwater in {name}");
        ensure!(read.bytes == bytes, "{name} changed while it was read");
        Ok(Self { hash: ExecutableHash(read.hash), bytes, machine })
    }
}

struct Seen {
    head: Vec<u8>,
    has_mark: bool,
    hash: [u8; 32],
    bytes: u64,
}

fn read(file: &mut File) -> io::Result<Seen> {
    let mut seen = Seen { head: Vec::new(), has_mark: false, hash: [0; 32], bytes: 0 };
    let mut hasher = blake3::Hasher::new();
    let finder = memchr::memmem::Finder::new(MARK);
    let mut piece = Vec::new();
    loop {
        // The end of the piece before, since the mark may lie across.
        let kept = piece.split_off(piece.len().saturating_sub(MARK.len() - 1));
        piece = kept;
        let old = piece.len();
        if file.take(limits::CHUNK_BYTES as u64).read_to_end(&mut piece)? == 0 {
            seen.hash = hasher.finalize().into();
            return Ok(seen);
        }
        hasher.update(&piece[old..]);
        seen.bytes += (piece.len() - old) as u64;
        seen.has_mark |= finder.find(&piece).is_some();
        if seen.head.is_empty() {
            seen.head = piece[..piece.len().min(20)].to_vec();
        }
    }
}

/// For which processor an ELF file is; `None` if it is none.
fn machine_of(head: &[u8]) -> Option<u16> {
    let is_elf = head.starts_with(b"\x7fELF");
    let machine = [*head.get(18)?, *head.get(19)?];
    let is_big_endian = head.get(5) == Some(&2);
    is_elf.then(|| if is_big_endian { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) })
}

/// The processor for which this command was built.
pub fn own_machine() -> u16 {
    let mut head = Vec::new();
    let read = File::open("/proc/self/exe").and_then(|file| file.take(20).read_to_end(&mut head));
    read.ok().and_then(|_| machine_of(&head)).unwrap_or_default()
}

/// A processor as people call it.
pub fn machine_name(machine: u16) -> String {
    let known = [
        (3, "x86"),
        (40, "arm"),
        (62, "x86_64"),
        (183, "aarch64"),
        (243, "riscv"),
        (22, "s390x"),
        (21, "ppc64"),
    ];
    known
        .into_iter()
        .find(|(number, _)| *number == machine)
        .map_or_else(|| format!("machine {machine}"), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What the beginning of an ELF file for that processor looks like, and then `rest`.
    fn elf(machine: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend(machine.to_le_bytes());
        bytes.extend(rest);
        bytes
    }

    fn read(bytes: &[u8], mode: u32) -> Result<Executable, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Executable::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_is_recognised_wherever_its_mark_lies() {
        let chunk = limits::CHUNK_BYTES;
        for before in [0, 1000, chunk - 25, chunk - 20, 2 * chunk - 22] {
            let bytes = elf(183, &[&vec![0; before], MARK].concat());
            let executable = read(&bytes, 0o700).unwrap();
            assert_eq!(executable.hash.0, *blake3::hash(&bytes).as_bytes());
            assert_eq!((executable.bytes, executable.machine), (bytes.len() as u64, 183));
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_a_reason() {
        assert!(read(&elf(62, MARK), 0o600).unwrap_err().contains("chmod +x"));
        assert!(read(b"#!/bin/sh\necho CUTWATER_ROLE is set here\n", 0o700).unwrap_err().contains("ELF"));
        assert!(read(b"", 0o700).unwrap_err().contains("ELF"));
        assert!(read(&elf(62, b"CUTWATER"), 0o700).unwrap_err().contains("no program of cutwater"));
        assert!(Executable::read(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
        assert!(Executable::read(Path::new("/")).unwrap_err().to_string().contains("no file"));
    }

    #[test]
    fn this_machine_has_a_name() {
        assert_eq!(machine_name(own_machine()), std::env::consts::ARCH);
        assert_eq!(machine_name(9999), "machine 9999");
    }
}
