use std::str;

use serde::de::DeserializeOwned;

/// Makes a record of a line, or says what is wrong with it. `None`: the line holds no record and
/// nothing is wrong.
pub(super) type Decode<T> = fn(&[u8]) -> Result<Option<T>, String>;

/// A line as text; an empty line is an empty record.
pub(super) fn text(line: &[u8]) -> Result<Option<String>, String> {
    match str::from_utf8(line) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(format!("not UTF-8: {error}")),
    }
}

/// A JSON value. Blank lines are what many servers send to show that they are there.
pub(super) fn json<T: DeserializeOwned>(line: &[u8]) -> Result<Option<T>, String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(line).map(Some).map_err(|error| error.to_string())
}
