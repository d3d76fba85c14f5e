use serde::{Serialize, de::DeserializeOwned};

/// What a stream or dataset may hold: anything that can be cloned, sent to another thread and
/// serialised. There is nothing to implement: `#[derive(Clone, Serialize, Deserialize)]` is enough.
///
/// Inside a process records move as values; they become bytes only on the wire, on disk and in
/// checkpoints.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a record of a stream or dataset",
    note = "a record is `Clone + Serialize + DeserializeOwned + Send + Sync + 'static`: derive `Clone`, `serde::Serialize` and `serde::Deserialize`"
)]
pub trait Record: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Record for T {}

/// A record by which others are grouped. Keys that are equal must serialise to the same bytes,
/// since the bytes decide where a key lives; every derived `Eq` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    note = "a key is a record that is also `Eq`"
)]
pub trait Key: Record + Eq {}

impl<T: Record + Eq> Key for T {}
