use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::selection::{Found, time_of};

/// Which folders are watched: a path of which components may hold `*` (any characters) and `?` (any
/// one). Names that begin with a dot are matched only by a component that does.
pub(super) struct Pattern {
    /// The components before the first that is a pattern.
    root: PathBuf,
    /// The ones from there on.
    rest: Vec<String>,
}

impl Pattern {
    pub fn new(path: &Path) -> Self {
        let is_pattern = |component: &Component<'_>| {
            component.as_os_str().to_str().is_some_and(|name| name.contains(['*', '?']))
        };
        let (mut root, mut rest) = (PathBuf::new(), Vec::new());
        for component in path.components() {
            if rest.is_empty() && !is_pattern(&component) {
                root.push(component);
            } else {
                rest.push(component.as_os_str().to_string_lossy().into_owned());
            }
        }
        if root.as_os_str().is_empty() {
            root.push(".");
        }
        Self { root, rest }
    }

    /// The part that must be there when the program starts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files in all folders that match: their direct children, but for those whose name begins
    /// with a dot, which is how files that are still being written are named.
    pub fn list(&self, wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<Found>> {
        let mut folders = vec![self.root.clone()];
        for pattern in &self.rest {
            let mut matching = Vec::new();
            for folder in &folders {
                for entry in children(folder, folder == &self.root)? {
                    let name = entry.file_name();
                    let hidden = is_hidden(&name) && !pattern.starts_with('.');
                    if !hidden && matches(pattern, &name.to_string_lossy()) && entry.path().is_dir() {
                        matching.push(entry.path());
                    }
                }
            }
            folders = matching;
        }
        let mut found = Vec::new();
        for folder in &folders {
            for entry in children(folder, folder == &self.root)? {
                let path = entry.path();
                if is_hidden(&entry.file_name()) || !wanted(&path) {
                    continue;
                }
                // A file that has gone since is none; its like happens with every rename.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                if metadata.is_file() {
                    found.push(Found {
                        path,
                        modified: time_of(metadata.modified()?),
                        bytes: metadata.len(),
                    });
                }
            }
        }
        Ok(found)
    }
}

/// What is in a folder. One that matched a pattern and has gone since is empty; the root must be
/// there.
fn children(folder: &Path, is_root: bool) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_root => Ok(Vec::new()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display()))),
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether `name` is one that `pattern` stands for. Goes back to the last `*` when it does not fit,
/// and to none before it, so that it takes at most the product of the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("*", "", true),
            ("day=*", "day=2013-01-01", true),
            ("day=*", "night=1", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxxab", true),
            ("*a*b", "xaxxa", false),
            ("abc", "abcd", false),
            ("*é", "café", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    /// `queue_and_files/007`: direct children of all folders that match, and nothing else.
    #[test]
    fn a_pattern_lists_the_files_of_the_folders_it_stands_for() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tmp1/1", "tmp1/2", "tmp1/.3", "tmp2/4", "other/5", "tmp1/deep/6", ".tmp3/7", "8"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let list = |pattern: &str, wanted: fn(&Path) -> bool| {
            let mut names: Vec<_> = Pattern::new(&dir.path().join(pattern))
                .list(wanted)
                .unwrap()
                .into_iter()
                .map(|file| file.path.strip_prefix(dir.path()).unwrap().display().to_string())
                .collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(list("", |_| true), "8");
        assert_eq!(list("*/", |_| true), "other/5 tmp1/1 tmp1/2 tmp2/4");
        assert_eq!(list("tmp?", |_| true), "tmp1/1 tmp1/2 tmp2/4");
        assert_eq!(list("*/deep", |_| true), "tmp1/deep/6");
        assert_eq!(list("nothing*/x", |_| true), "");
        assert_eq!(list("tmp*", |path| !path.ends_with("1")), "tmp1/2 tmp2/4");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = Pattern::new(&dir.path().join("missing")).list(|_| true).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
