use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, local::LocalFileSystem, path::Path,
};
use tokio::runtime::Runtime;

use super::folder::Folder;
use crate::error::{Error, advised};

/// Where durable things lie: a folder, or a bucket of an object store.
///
/// Properties:
/// - an object is there whole or not at all, and never changes unless it is [put](Self::put) again;
/// - [`create`](Self::create) succeeds for one of those who try it at the same time: all that processes have
///   to agree on is agreed on by it;
/// - what was written is on disk when the call returns.
///
/// Any thread may call it, and waits; compute threads and the driver do, network threads must not. If the
/// process dies, what it had begun to write is not there, and at most [in the way](Self::sweep).
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    url: String,
    objects: Box<dyn ObjectStore>,
    prefix: Path,
    /// The folder, if it is one: what is there is changed by ourselves, and `objects` reads.
    folder: Option<Folder>,
}

impl Store {
    /// The store at `url`: a path, `file:///path`, or `s3://bucket/path` with what the environment says of
    /// credentials and region (`AWS_ACCESS_KEY_ID` and so on). A folder is made if it is not there.
    ///
    /// A process opens each store once.
    pub fn open(url: &str) -> Result<Self, Error> {
        static OPEN: Mutex<Option<HashMap<String, Store>>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        if let Some(store) = open.get(url) {
            return Ok(store.clone());
        }
        let store = Self(Arc::new(Inner::open(url)?));
        open.insert(url.to_owned(), store.clone());
        Ok(store)
    }

    /// One in a folder that goes with the first of both.
    #[cfg(test)]
    pub fn temporary() -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Self::open(&dir.path().to_string_lossy()).expect("a store");
        (dir, store)
    }

    /// What goes wrong there, on purpose.
    #[cfg(test)]
    pub fn faults(&self) -> &super::faults::Faults {
        &self.0.folder.as_ref().expect("a folder").faults
    }

    /// What any process of this machine can [`open`](Self::open) it by.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Writes an object, in the place of one that may be there.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.write(name, bytes, PutMode::Overwrite).map(drop)
    }

    /// Writes an object that is not there yet. Says whether that was so; else nothing is written.
    pub fn create(&self, name: &str, bytes: Vec<u8>) -> Result<bool, Error> {
        self.write(name, bytes, PutMode::Create)
    }

    fn write(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> Result<bool, Error> {
        if let Some(folder) = &self.0.folder {
            let written = folder.write(name, &bytes, mode == PutMode::Overwrite);
            return written.map_err(|error| self.failed("write", name, &advised(&error)));
        }
        let (path, payload) = (self.0.path(name), PutPayload::from(bytes));
        let options = PutOptions { mode, ..PutOptions::default() };
        match runtime()?.block_on(self.0.objects.put_opts(&path, payload, options)) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed("write", name, &root_of(&error))),
        }
    }

    /// An object, if it is there.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.0.path(name);
        let read = async { self.0.objects.get(&path).await?.bytes().await };
        match runtime()?.block_on(read) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", name, &root_of(&error))),
        }
    }

    /// The names of all objects whose names begin with `folder/`, in order.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        Ok(self.sizes(folder)?.into_keys().collect())
    }

    /// The same, and how many bytes each has.
    pub fn sizes(&self, folder: &str) -> Result<BTreeMap<String, u64>, Error> {
        use futures::TryStreamExt;
        let path = self.0.path(folder);
        let listed = async { self.0.objects.list(Some(&path)).try_collect::<Vec<_>>().await };
        let listed = runtime()?.block_on(listed);
        let listed = listed.map_err(|error| self.failed("list", folder, &root_of(&error)))?;
        let sized =
            listed.into_iter().filter_map(|object| Some((self.0.name(&object.location)?, object.size)));
        Ok(sized.collect())
    }

    /// Removes an object; one that is not there is as good as removed.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        if let Some(folder) = &self.0.folder {
            return folder.remove(name).map_err(|error| self.failed("remove", name, &error));
        }
        let path = self.0.path(name);
        match runtime()?.block_on(self.0.objects.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, &root_of(&error))),
        }
    }

    /// Removes what processes have left that died while they wrote or removed something.
    pub fn sweep(&self) -> Result<(), Error> {
        let Some(folder) = &self.0.folder else { return Ok(()) };
        folder.sweep().map_err(|error| self.failed("tidy up", ".", &error))
    }

    fn failed(&self, what: &str, name: &str, error: &dyn fmt::Display) -> Error {
        Error::external(format_args!("cannot {what} {name} in {}: {error}", self.0.url))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.0.url)
    }
}

impl Inner {
    fn open(url: &str) -> Result<Self, Error> {
        let refused = |why: &dyn fmt::Display| {
            Error::external(format_args!("checkpoints cannot be kept at {url}: {why}"))
        };
        let is_url = url.contains("://") && !url.starts_with("file://");
        if !is_url {
            let folder = PathBuf::from(url.strip_prefix("file://").unwrap_or(url));
            let folder = Folder::open(&folder).map_err(|error| refused(&error))?;
            let root = folder.root();
            let objects = LocalFileSystem::new_with_prefix(root).map_err(|error| refused(&error))?;
            return Ok(Self {
                // The same for processes that work in other folders.
                url: root.to_string_lossy().into_owned(),
                objects: Box::new(objects),
                prefix: Path::default(),
                folder: Some(folder),
            });
        }
        let parsed = url::Url::parse(url).map_err(|error| refused(&error))?;
        let (objects, prefix) = remote(&parsed).map_err(|error| refused(&error))?;
        Ok(Self { url: url.to_owned(), objects, prefix, folder: None })
    }

    fn path(&self, name: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(name).parts()))
    }

    fn name(&self, path: &Path) -> Option<String> {
        let rest: Vec<_> = path.prefix_match(&self.prefix)?.map(|part| part.as_ref().to_owned()).collect();
        Some(rest.join("/"))
    }
}

#[cfg(feature = "s3")]
fn remote(url: &url::Url) -> Result<(Box<dyn ObjectStore>, Path), object_store::Error> {
    use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
    if url.scheme() != "s3" {
        return object_store::parse_url(url);
    }
    let store = AmazonS3Builder::from_env()
        .with_url(url.as_str())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()?;
    Ok((Box::new(store), Path::from_url_path(url.path())?))
}

#[cfg(not(feature = "s3"))]
fn remote(url: &url::Url) -> Result<(Box<dyn ObjectStore>, Path), String> {
    Err(format!("{} needs cutwater's feature `s3`; without it, give a folder", url.scheme()))
}

/// What went wrong in the end. The messages around it tell the same again.
fn root_of(error: &object_store::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The threads on which stores do their waiting.
fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let started = RUNTIME.get_or_init(|| {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        let builder = builder.worker_threads(1).thread_name("cutwater-store").enable_all();
        builder.build().map_err(|error| error.to_string())
    });
    started.as_ref().map_err(|error| Error::external(format_args!("cannot start a thread: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back_and_are_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap()).unwrap();
        for name in ["a/2", "a/1", "b/c/3"] {
            store.put(name, name.as_bytes().to_vec()).unwrap();
        }
        assert_eq!(store.list("a").unwrap(), ["a/1", "a/2"]);
        assert_eq!(store.list("").unwrap().len(), 3);
        assert_eq!(store.get("b/c/3").unwrap().unwrap(), b"b/c/3");
        store.delete("a/1").unwrap();
        store.delete("a/1").unwrap();
        assert_eq!((store.get("a/1").unwrap(), store.list("nowhere").unwrap()), (None, Vec::new()));
    }

    #[test]
    fn one_of_many_creates_an_object() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap()).unwrap();
        let tries = (0..8u8).map(|n| {
            let store = store.clone();
            std::thread::spawn(move || (n, store.create("lease", vec![n]).unwrap()))
        });
        let tries: Vec<_> = tries.collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect();
        let winners: Vec<u8> = tries.iter().filter(|(_, won)| *won).map(|(n, _)| *n).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(store.get("lease").unwrap().unwrap(), winners);
    }

    #[test]
    fn an_error_names_the_thing() {
        let error = Store::open("/proc/nothing/here").unwrap_err().to_string();
        assert!(error.contains("/proc/nothing/here"), "{error}");
        let error = Store::open("ftp://somewhere/else").unwrap_err().to_string();
        assert!(error.contains("ftp://somewhere/else"), "{error}");
    }
}
