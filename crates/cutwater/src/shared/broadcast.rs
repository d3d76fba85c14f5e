use std::{
    any::Any,
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::tally;
use crate::{Context, Error, Record};

/// A value that many functions read: a table to look things up in, a model, a list of names.
///
/// It is handed over [`with`](crate::Rdd::with) as any other value is, and reads as a `&T`. What is
/// different is the price: it is serialised once when it is made, and a process decodes it once, however
/// many operations and tasks read it (`api.md` §12, "Sharing").
///
/// Properties:
/// - cloning it is free;
/// - it never changes: to replace what a stream reads, see [`Context::refreshed`];
/// - a process lets go of its copy with the last operation that reads it.
///
/// Any thread may read it. If a worker dies, the next to run such an operation decodes the value again; if
/// the master dies, the program makes it again.
pub struct Broadcast<T> {
    copy: Arc<Copy<T>>,
}

/// The value as this process has it.
struct Copy<T> {
    id: u64,
    bytes: Box<[u8]>,
    value: T,
    /// Whether there are accumulators inside it.
    counts: bool,
}

impl Context {
    /// A value that functions read wherever they run.
    ///
    /// What they read has made the journey through its bytes already, here as on any other machine.
    ///
    /// # Errors
    /// The value cannot be serialised, or not be read back.
    ///
    /// ```
    /// # use std::collections::HashMap;
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let airports = ctx.broadcast(HashMap::from([("OSL".to_owned(), "Oslo".to_owned())]))?;
    /// let codes = ctx.parallelize(["OSL", "XXX"].map(String::from));
    /// let towns = codes.with(airports.clone()).filter_map(|airports, code| airports.get(&code).cloned());
    /// assert_eq!(towns.collect()?, ["Oslo"]);
    /// assert_eq!(airports.len(), 1); // and here
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn broadcast<T: Record>(&self, value: T) -> Result<Broadcast<T>, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let bytes = postcard::to_allocvec(&value).map_err(|error| {
            Error::user(format_args!("a value to be broadcast cannot be serialised: {error}"))
        })?;
        drop(value);
        let copy = Copy::decode(NEXT.fetch_add(1, Ordering::Relaxed), &bytes).map_err(|error| {
            Error::user(format_args!("a value to be broadcast did not survive the journey: {error}"))
        })?;
        Ok(Broadcast { copy })
    }
}

/// The values of this process, for operations that are rebuilt from bytes. It is one for the process and
/// not one for the worker in it, since serde hands nothing on to what it decodes.
static COPIES: Mutex<Option<HashMap<u64, Weak<dyn Any + Send + Sync>>>> = Mutex::new(None);

fn copies() -> MutexGuard<'static, Option<HashMap<u64, Weak<dyn Any + Send + Sync>>>> {
    COPIES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Record> Copy<T> {
    fn decode(id: u64, bytes: &[u8]) -> Result<Arc<Self>, postcard::Error> {
        let (value, counts) = tally::counts_in(|| postcard::from_bytes(bytes));
        let copy = Arc::new(Self { id, bytes: bytes.into(), value: value?, counts });
        copies().get_or_insert_default().insert(id, Arc::downgrade(&copy) as _);
        Ok(copy)
    }

    /// The copy of this process, if it has one. The bytes are compared too: a master that was started again
    /// counts its values from the beginning.
    fn known(id: u64, bytes: &[u8]) -> Option<Arc<Self>> {
        let known = copies().as_ref()?.get(&id)?.upgrade()?;
        known.downcast::<Self>().ok().filter(|copy| *copy.bytes == *bytes)
    }
}

impl<T> Drop for Copy<T> {
    fn drop(&mut self) {
        if let Some(copies) = copies().as_mut()
            // Another value may have taken the place since.
            && copies.get(&self.id).is_some_and(|copy| copy.strong_count() == 0)
        {
            copies.remove(&self.id);
        }
    }
}

impl<T> Deref for Broadcast<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.copy.value
    }
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        Self { copy: self.copy.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broadcast").field(&self.copy.value).finish()
    }
}

impl<T> Serialize for Broadcast<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.copy.id, Bytes(&self.copy.bytes)).serialize(serializer)
    }
}

impl<'de, T: Record> Deserialize<'de> for Broadcast<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (id, Bytes(bytes)) = Deserialize::deserialize(deserializer)?;
        let copy = match Copy::known(id, bytes) {
            Some(copy) => copy,
            None => Copy::decode(id, bytes).map_err(de::Error::custom)?,
        };
        if copy.counts {
            tally::note_accumulator();
        }
        Ok(Self { copy })
    }
}

/// Bytes in one piece: serde would take a slice byte by byte.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> de::Visitor<'de> for Borrowed {
            type Value = &'de [u8];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes that outlive what is decoded")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Borrowed).map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static DECODED: Cell<u32> = const { Cell::new(0) };
    }

    /// Counts on this thread how often it is decoded.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    struct Counted(u64);

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            DECODED.set(DECODED.get() + 1);
            u64::deserialize(deserializer).map(Self)
        }
    }

    #[test]
    fn a_process_decodes_it_once_and_lets_go_of_it() {
        let ctx = Context::local(1);
        let value = ctx.broadcast(Counted(7)).unwrap();
        assert_eq!(DECODED.get(), 1);
        let travelled = postcard::to_allocvec(&value).unwrap();
        let copies: Vec<Broadcast<Counted>> =
            (0..5).map(|_| postcard::from_bytes(&travelled).unwrap()).collect();
        assert!(copies.iter().all(|copy| **copy == Counted(7) && Arc::ptr_eq(&copy.copy, &value.copy)));
        assert_eq!(DECODED.get(), 1);
        let id = value.copy.id;
        drop((value, copies));
        assert!(!super::copies().as_ref().unwrap().contains_key(&id));
        // As in a process that never had it.
        let again: Broadcast<Counted> = postcard::from_bytes(&travelled).unwrap();
        assert_eq!((*again).clone(), Counted(7));
        assert_eq!(DECODED.get(), 2);
    }

    /// A master that was started again gives the same numbers to other values.
    #[test]
    fn another_value_of_the_same_number_is_another_value() {
        let ctx = Context::local(1);
        let value = ctx.broadcast(Counted(7)).unwrap();
        let of_another_run = postcard::to_allocvec(&(value.copy.id, Bytes(&[8]))).unwrap();
        let other: Broadcast<Counted> = postcard::from_bytes(&of_another_run).unwrap();
        assert_eq!(value.0, 7);
        assert_eq!(other.0, 8);
    }
}
