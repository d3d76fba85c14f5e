//! A table and its cases, as they are written.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// A file of cases.
#[derive(Clone, Debug, Deserialize)]
pub struct Table {
    /// What is in it, in order.
    #[serde(default)]
    pub cases: Vec<Case>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// It is not JSON, or a case has no `id`.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Some input, one operation, and what must come of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    /// Its name, unique over all tables.
    pub id: String,
    /// What is done: `{"op": …}`. A case without is not for the runner.
    pub operation: Option<Json>,
    /// Everything else that it says.
    #[serde(flatten)]
    pub fields: Map<String, Json>,
}

impl Case {
    /// Whether it is about streams and their intervals, and not about one dataset.
    pub fn is_stream(&self) -> bool {
        ["batch_interval_ms", "input", "inputs"].iter().any(|field| self.fields.contains_key(*field))
    }

    /// Whether it is for the runner: it has an operation, and no script of its own of what happens meanwhile.
    pub fn is_for_runner(&self) -> bool {
        self.operation.is_some() && !self.fields.contains_key("script")
    }

    /// A field by its name; `null` if there is none.
    pub fn field(&self, name: &str) -> &Json {
        self.fields.get(name).unwrap_or(&Json::Null)
    }

    /// A field of the operation by its name; `null` if there is none.
    pub fn argument(&self, name: &str) -> &Json {
        self.operation.as_ref().and_then(|operation| operation.get(name)).unwrap_or(&Json::Null)
    }

    /// What the operation is called.
    pub fn op(&self) -> &str {
        self.argument("op").as_str().unwrap_or_default()
    }

    /// What is expected, to be printed.
    pub fn expected_text(&self) -> String {
        self.field("expected").to_string()
    }
}
