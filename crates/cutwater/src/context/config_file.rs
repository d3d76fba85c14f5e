//! Settings from a file.

use std::{fs, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Builder,
    layers::nearest,
    options::{Kind, SECTIONS, SETTINGS, Setting},
};

impl Builder {
    /// Everything in the file, and all that is wrong with it.
    pub(super) fn read_file(self, file: &Path) -> Self {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                return self
                    .faulty(format!("the configuration file {} cannot be read: {error}", file.display()));
            }
        };
        let file = File { path: file, text: &text };
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut builder = self;
        for error in errors {
            let at = file.place(&error.span().unwrap_or_default());
            builder = builder.faulty(format!("{at}: this is no TOML: {}", error.message()));
        }
        builder.read_table("", table.get_ref(), &file)
    }

    fn read_table(mut self, section: &str, table: &DeTable<'_>, file: &File<'_>) -> Self {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let at = format!("{}: {}", file.place(&key.span()), full(section, key.get_ref()));
            let here = |setting: &&Setting| setting.section == section && setting.key == key.get_ref();
            self = match (SETTINGS.iter().find(here), value.get_ref()) {
                (Some(setting), _) => self.read_value(setting, &at, value, file),
                (None, DeValue::Table(inner))
                    if section.is_empty() && SECTIONS.contains(&&**key.get_ref()) =>
                {
                    self.read_table(key.get_ref(), inner, file)
                }
                (None, _) => self.faulty(format!("{at} is no setting{}", meant(key.get_ref()))),
            };
        }
        self
    }

    fn read_value(self, setting: &Setting, at: &str, value: &Spanned<DeValue<'_>>, file: &File<'_>) -> Self {
        match (setting.kind, value.get_ref()) {
            (Kind::Number(max, set), DeValue::Integer(number)) => {
                match u64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) if number <= max => self.set_at(at, |b| set(b, number)),
                    _ => self.faulty(format!("{at} has to be from 0 to {max}, and is {}", number.as_str())),
                }
            }
            (Kind::Float(set), DeValue::Integer(number)) => match number.as_str().parse() {
                Ok(number) => self.set_at(at, |b| set(b, number)),
                Err(_) => self.faulty(format!("{at} has to be a number in decimals")),
            },
            (Kind::Float(set), DeValue::Float(number)) => match number.as_str().parse() {
                Ok(number) => self.set_at(at, |b| set(b, number)),
                Err(_) => self.faulty(format!("{at} has to be a number")),
            },
            (Kind::Switch(set), DeValue::Boolean(on)) => self.set_at(at, |b| set(b, *on)),
            (Kind::Text(set), DeValue::String(text)) => self.set_at(at, |b| set(b, text.to_string())),
            (Kind::File(_), DeValue::String(text)) if text.contains("-----BEGIN") => {
                self.faulty(format!("{at} is a certificate or key itself; give the name of a file"))
            }
            (Kind::File(set), DeValue::String(name)) => {
                // Where the file is, not where the process happens to have been started.
                let name = file.path.parent().unwrap_or(Path::new("")).join(&**name);
                self.set_at(at, |b| set(b, name))
            }
            // The value stays out of it: it might be a secret in the wrong place.
            (kind, other) => {
                self.faulty(format!("{at} has to be {}, and is of type {}", kind.wanted(), other.type_str()))
            }
        }
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    /// `cluster.toml:3`.
    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        format!("{}:{}", self.path.display(), before.matches('\n').count() + 1)
    }
}

/// A key as it is spoken of: `[cluster] min_workers`.
fn full(section: &str, key: &str) -> String {
    match section {
        "" => key.to_owned(),
        section => format!("[{section}] {key}"),
    }
}

/// What may have been meant by an unknown key.
fn meant(key: &str) -> String {
    let exact = SETTINGS.iter().find(|setting| setting.key == key);
    let near = || {
        let near = nearest(key, SETTINGS.iter().map(|setting| setting.key.to_owned()))?;
        SETTINGS.iter().find(|setting| setting.key == near)
    };
    exact.or_else(near).map_or_else(
        || "; `--help` lists them all".to_owned(),
        |setting| format!("; did you mean {}?", full(setting.section, setting.key)),
    )
}
