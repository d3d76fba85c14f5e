//! What the compiler refuses, and with which sentence.
//!
//! Every file in `closures/` is a program. One that begins with lines `// refused: …` must not compile,
//! the compiler must say each of these, and it must point at the line marked `// here`. The others must
//! compile and run.
//!
//! That a closure captures is found out when its code is made and not by `cargo check`, so programs are
//! compiled for good. It is done by calling the compiler with what this test is linked with: nothing is
//! fetched, nothing else is built, and only sentences of ours are looked for, since the compiler's own
//! change with its version.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

/// The folder with everything this test was linked with.
fn libraries() -> PathBuf {
    env::current_exe().unwrap().parent().expect("an executable is in a folder").to_owned()
}

/// Builds of cutwater, the newest first: older ones may lie about.
fn builds() -> Vec<PathBuf> {
    let files = fs::read_dir(libraries()).unwrap().map(|file| file.unwrap().path());
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("libcutwater-") && name.ends_with(".rlib")
    };
    let mut builds: Vec<_> = files.filter(named).collect();
    builds.sort_by_key(|path| std::cmp::Reverse(path.metadata().and_then(|data| data.modified()).ok()));
    builds
}

/// The compiler that belongs to the cargo which runs this test.
fn rustc() -> PathBuf {
    let beside_cargo = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    beside_cargo.filter(|rustc| rustc.exists()).unwrap_or_else(|| "rustc".into())
}

fn compile(program: &Path, library: &Path, into: &Path) -> Output {
    Command::new(rustc())
        .args(["--edition=2024", "--crate-type=bin", "--color=never", "-Cdebuginfo=0"])
        .arg(format!("-Ldependency={}", libraries().display()))
        .arg(format!("--extern=cutwater={}", library.display()))
        .arg("-o")
        .arg(into.join(program.file_stem().expect("a program has a name")))
        .arg(program)
        .output()
        .expect("the compiler can be run")
}

/// What is wrong with how the compiler took `program`; nothing, if it is as it should be.
fn verdict(program: &Path, library: &Path, into: &Path) -> Option<String> {
    let name = program.file_name()?.to_string_lossy().into_owned();
    let text = fs::read_to_string(program).unwrap();
    let refused: Vec<_> = text.lines().map_while(|line| line.strip_prefix("// refused: ")).collect();
    let output = compile(program, library, into);
    let said = String::from_utf8_lossy(&output.stderr);
    if refused.is_empty() {
        if !output.status.success() {
            return Some(format!("{name} does not compile:\n{said}"));
        }
        let ran = Command::new(into.join(program.file_stem()?)).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        return (!ran.status.success()).then(|| format!("{name} does not run:\n{said}"));
    }
    if output.status.success() {
        return Some(format!("{name} compiles"));
    }
    // The compiler breaks long sentences nowhere but puts them into boxes.
    let missing: Vec<_> = refused.into_iter().filter(|sentence| !said.contains(sentence)).collect();
    if !missing.is_empty() {
        return Some(format!("{name} is refused without {missing:?}:\n{said}"));
    }
    let here = 1 + text.lines().position(|line| line.contains("// here")).expect("a line is marked");
    let points = (1..=here).rev().take(4).any(|line| said.contains(&format!("{name}:{line}:")));
    (!points).then(|| format!("{name} is refused, but not at line {here}:\n{said}"))
}

#[test]
fn the_compiler_says_what_travels() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/closures");
    let into = tempfile::tempdir().unwrap();
    let passing = folder.join("everything_that_travels.rs");
    let builds = builds();
    // One that does not fit this compiler, or was left behind by a program since changed, fails here.
    let mut said = String::new();
    let library = builds.iter().find(|library| {
        said = verdict(&passing, library, into.path()).unwrap_or_default();
        said.is_empty()
    });
    let library =
        library.unwrap_or_else(|| panic!("what should compile does not, with any of {builds:?}: {said}"));

    let mut programs: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    programs.retain(|program| *program != passing);
    programs.sort();
    assert!(programs.len() >= 20, "programs are in {}", folder.display());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let wrong: Vec<String> = thread::scope(|scope| {
        let parts = programs.chunks(programs.len().div_ceil(workers));
        let threads: Vec<_> = parts
            .map(|part| {
                let into = into.path();
                scope.spawn(move || part.iter().filter_map(|p| verdict(p, library, into)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
