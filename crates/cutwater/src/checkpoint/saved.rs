use std::{collections::BTreeMap, marker::PhantomData, ops::ControlFlow, sync::Arc};

use cutwater_core::{PartitionMap, Split};
use serde::{Deserialize, Serialize};

use super::{
    file::Kind,
    spread::{Place, Spread},
    store::Store,
};
use crate::{
    Record,
    error::Error,
    rdd::{DatasetNode, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec, Stop},
};

/// A state written whole, and what one differs by from the one before it in its chain.
const WHOLE: Kind = Kind::new(b"sw", 1, "state");
const CHANGES: Kind = Kind::new(b"sc", 1, "state's changes");

/// After so many files of changes in a row a partition is written whole again: whoever reads it reads all of
/// them, and none of them can go before.
const CHAIN_MAX: usize = 8;

/// The folder of the files that states consist of.
pub(crate) const STATES: &str = "state";

/// A file that holds a partition, or what it differs by from the files before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRef {
    /// In the store.
    pub name: String,
    pub bytes: u64,
}

/// The files of a partition: the first is whole, each other is what changed since the one before.
pub(crate) type Chain = Vec<FileRef>;

/// Where a checkpoint is written.
pub(crate) struct Target<'a> {
    pub store: &'a Store,
    /// The files of states that were there when it began, and their bytes.
    there: BTreeMap<String, u64>,
}

impl<'a> Target<'a> {
    /// Looks at what is there: once for all states of a checkpoint, since that may be a request for each thousand files.
    pub fn look(store: &'a Store) -> Result<Self, Error> {
        Ok(Self { store, there: store.sizes(STATES)? })
    }

    /// From changes to a file that is gone, or was cut short, nothing could be made.
    fn has(&self, file: &FileRef) -> bool {
        self.there.get(&file.name) == Some(&file.bytes)
    }
}

/// How a state can be written as what it differs by from a version written before.
///
/// An implementation is a type of size zero, so that it travels with the operators that name it.
pub(crate) trait Incremental<T>: Send + Sync + 'static {
    /// What makes `before` of the same partition this state, in bytes; `None` if it is not known to come from
    /// there, or if it is not worth it.
    fn between(before: &T, now: &T) -> Option<Result<Vec<u8>, postcard::Error>>;

    /// Turns a state into the one that wrote these changes.
    fn apply(to: &mut T, changes: &[u8]) -> Result<(), postcard::Error>;
}

/// For what is always written whole: small states, and such as do not know what changed.
pub(crate) struct Whole;

impl<T> Incremental<T> for Whole {
    fn between(_: &T, _: &T) -> Option<Result<Vec<u8>, postcard::Error>> {
        None
    }

    fn apply(_: &mut T, _: &[u8]) -> Result<(), postcard::Error> {
        Err(postcard::Error::WontImplement)
    }
}

/// How the datasets of a stream of state are written and read.
pub(crate) struct Saving<T> {
    save: OperatorSpec<FileRef>,
    read: OperatorSpec<T>,
    /// Over how many partitions keys are spread now, and how many key groups there are; `None` if it is not by key.
    by_key: Option<(u32, u32)>,
}

impl<T> Clone for Saving<T> {
    fn clone(&self) -> Self {
        Self { save: self.save.clone(), read: self.read.clone(), by_key: self.by_key }
    }
}

/// Where the tasks of a checkpoint write a partition.
#[derive(Clone, Serialize, Deserialize)]
struct SaveTo {
    store: String,
    /// Begins the names of the files.
    name: Arc<str>,
    /// Whether there is a version before of which the files are there.
    may_write_changes: bool,
}

/// What the tasks read that make a partition again.
#[derive(Clone, Serialize, Deserialize)]
struct ReadFrom {
    store: String,
    /// That of the partition; or, if keys are spread anew, those of the partitions that had keys that live here now, each
    /// with whether what is of no key is taken from it.
    chains: Vec<(Chain, bool)>,
    /// Which keys live here, if they are spread anew.
    place: Option<Place>,
}

impl<T: Record> Saving<T> {
    /// For datasets whose partitions are as many as there were when they were written.
    #[track_caller]
    pub fn new<C: Incremental<T>>(name: &str) -> Self {
        let read = OperatorSpec::new::<Read<T, C>>(name, &());
        Self { save: OperatorSpec::new::<Save<T, C>>(name, &()), read, by_key: None }
    }

    /// For datasets of one record a partition, whose keys are spread by their groups over so many `partitions` now,
    /// into however many they were written.
    #[track_caller]
    pub fn by_key<C: Incremental<T>>(name: &str, partitions: u32, key_groups: u32) -> Self
    where
        T: Spread,
    {
        let (save, read) =
            (OperatorSpec::new::<Save<T, C>>(name, &()), OperatorSpec::new::<ReadByKey<T, C>>(name, &()));
        Self { save, read, by_key: Some((partitions, key_groups)) }
    }

    /// Writes every partition of `state` to files under `name`, as what it differs by from `before` where that
    /// is worth it. Answers with the chain of each partition, and waits until all is written.
    pub fn write(
        &self,
        state: &Rdd<T>,
        before: Option<(&Rdd<T>, &[Chain])>,
        target: &Target<'_>,
        name: &str,
    ) -> Result<Vec<Chain>, Error> {
        let partitions = state.num_partitions();
        let is_alike = |(rdd, chains): &(&Rdd<T>, &[Chain])| {
            rdd.num_partitions() == partitions && chains.len() == partitions as usize
        };
        let before = before.filter(is_alike);
        let chain = |partition: usize| before.and_then(|(_, chains)| chains.get(partition));
        let mut parents = vec![(state.kept_node().clone(), PartitionMap::Same)];
        parents.extend(before.map(|(rdd, _)| (rdd.kept_node().clone(), PartitionMap::Same)));
        let mut node = DatasetNode::narrow(state.engine(), partitions, parents, &self.save.any);
        let split = |partition: u32| {
            let may_write_changes = chain(partition as usize)
                .is_some_and(|files| files.len() < CHAIN_MAX && files.iter().all(|file| target.has(file)));
            let store = target.store.url().to_owned();
            let to = SaveTo { store, name: name.into(), may_write_changes };
            split_of(&to)
        };
        node.dataset_mut().splits = (0..partitions).map(split).collect::<Result<_, _>>()?;
        let written = node.of(&self.save).in_background()?;
        let chain_of = |(partition, files): (usize, Vec<FileRef>)| {
            let [file] =
                <[FileRef; 1]>::try_from(files).map_err(|_| Error::internal("a partition has one file"))?;
            let mut chain = match file.name.ends_with(CHANGES_END) {
                true => chain(partition).cloned().unwrap_or_default(),
                false => Chain::new(),
            };
            chain.push(file);
            Ok(chain)
        };
        written.into_iter().enumerate().map(chain_of).collect()
    }

    /// How tasks make the partitions of these files again: the operator, and what each partition reads.
    pub fn reading(
        &self,
        store: &Store,
        chains: &[Chain],
    ) -> Result<(&OperatorSpec<T>, Arc<[Split]>), Error> {
        let before = u32::try_from(chains.len()).unwrap_or(u32::MAX);
        let split = |chains, place| split_of(&ReadFrom { store: store.url().to_owned(), chains, place });
        let splits: Result<_, _> = match self.by_key {
            Some((partitions, key_groups)) if partitions != before => {
                let spread = |partition| {
                    let place = Place { partition, partitions, key_groups };
                    let chain = |(from, with_rest)| (chains[from as usize].clone(), with_rest);
                    split(place.takes_from(before).map(chain).collect(), Some(place))
                };
                (0..partitions).map(spread).collect()
            }
            _ => chains.iter().map(|chain| split(vec![(chain.clone(), true)], None)).collect(),
        };
        Ok((&self.read, splits?))
    }
}

/// Whether a file that holds a state whole could have been written by a program in which its type is `T`: it is read
/// to its end, and takes as many bytes again. Says what is wrong with it if not; damage is for others to find.
pub(crate) fn fits<T: Record>(file: &[u8]) -> Result<(), String> {
    let Ok(content) = WHOLE.open(file) else { return Ok(()) };
    let (records, rest) = postcard::take_from_bytes::<Vec<T>>(content)
        .map_err(|error| format!("what was written cannot be read as that: {error}"))?;
    if !rest.is_empty() {
        return Err(format!("what was written is {} bytes longer than that", rest.len()));
    }
    let again = postcard::to_allocvec(&records).map_err(|error| error.to_string())?;
    // The order in it may be another where a program's own types do not keep one.
    if again.len() != content.len() {
        return Err("what was written is not as long as that would be".to_owned());
    }
    Ok(())
}

fn split_of(place: &impl Serialize) -> Result<Split, Error> {
    Ok(Split { blocks: Vec::new(), place: postcard::to_allocvec(place).map_err(Error::internal)?.into() })
}

const WHOLE_END: &str = ".state";
const CHANGES_END: &str = ".changes";

/// Writes a partition of its parent to the store, and emits where it is.
struct Save<T, C>(PhantomData<fn(T, C)>);

impl<T: Record, C: Incremental<T>> Operator for Save<T, C> {
    type Env = ();
    type Out = FileRef;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, FileRef>) -> Flow {
        let to: SaveTo = node.interval(partition)?;
        let mut records = Vec::<T>::new();
        node.each::<T>(0, partition, &mut |record| {
            records.push(record);
            Flow::Continue(())
        })?;
        // A state is one record; only of such it is known which comes from which.
        let changes = match &records[..] {
            [now] if to.may_write_changes => {
                node.only::<T>(1, partition)?.and_then(|before| node.call(|| C::between(&before, now)))
            }
            _ => None,
        };
        let (kind, end, content) = match changes {
            Some(changes) => (CHANGES, CHANGES_END, changes),
            None => (WHOLE, WHOLE_END, node.call(|| postcard::to_allocvec(&records))),
        };
        let content = match content {
            Ok(content) => content,
            Err(error) => return node.refuse(format_args!("its state cannot be serialised: {error}")),
        };
        let (file, name) = (kind.seal(&content), format!("{}/{partition:05}{end}", to.name));
        let bytes = file.len() as u64;
        match Store::open(&to.store).and_then(|store| store.put(&name, file)) {
            Ok(()) => emit(FileRef { name, bytes }),
            Err(error) => node.external(error),
        }
    }
}

/// Reads a partition from its files.
struct Read<T, C>(PhantomData<fn(T, C)>);

/// The same; or, if keys are spread anew, those of its keys from the files of each partition that had some.
struct ReadByKey<T, C>(PhantomData<fn(T, C)>);

impl<T: Record, C: Incremental<T>> Operator for Read<T, C> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let from: ReadFrom = node.interval(partition)?;
        for (chain, _) in &from.chains {
            read::<T, C>(node, &from.store, chain)?.into_iter().try_for_each(&mut *emit)?;
        }
        Flow::Continue(())
    }
}

impl<T: Record + Spread, C: Incremental<T>> Operator for ReadByKey<T, C> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let from: ReadFrom = node.interval(partition)?;
        let Some(place) = from.place else {
            return Read::<T, C>(PhantomData).run(node, partition, emit);
        };
        let mut state = T::default();
        for (chain, with_rest) in &from.chains {
            for part in read::<T, C>(node, &from.store, chain)? {
                node.call(|| state.take_over(part, &|hash| place.is_home_of(hash), *with_rest));
            }
        }
        emit(state)
    }
}

/// The records of a partition that was written to these files.
fn read<T: Record, C: Incremental<T>>(
    node: Node<'_>,
    store: &str,
    chain: &[FileRef],
) -> ControlFlow<Stop, Vec<T>> {
    let open = match Store::open(store) {
        Ok(store) => store,
        Err(error) => return node.external(error),
    };
    let mut records = Vec::new();
    for FileRef { name, .. } in chain {
        let read = match open.get(name) {
            Ok(Some(file)) => node.call(|| take_in::<T, C>(&mut records, name, &file)),
            Ok(None) => Err("it is not there".to_owned()),
            Err(error) => return node.external(error),
        };
        if let Err(why) = read {
            return node.external(format_args!("cannot use {name} of {store}: {why}"));
        }
    }
    ControlFlow::Continue(records)
}

/// Takes the next file of a chain in.
fn take_in<T: Record, C: Incremental<T>>(
    records: &mut Vec<T>,
    name: &str,
    file: &[u8],
) -> Result<(), String> {
    if !name.ends_with(CHANGES_END) {
        *records = WHOLE.open_value(file)?;
        return Ok(());
    }
    let changes = CHANGES.open(file)?;
    let [state] = &mut records[..] else { return Err("there is no state that it changes".to_owned()) };
    C::apply(state, changes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::{
        super::{crashes::held, manifest::Manifest},
        *,
    };
    use crate::{Context, testing::Harness};

    /// Somebody has removed files of states, or cut them short: workers still hold what was in them.
    #[test]
    fn states_of_which_files_are_missing_are_written_whole_with_the_next_checkpoint() {
        let (dir, store) = Store::temporary();
        let builder = Context::builder("missing").interval(Duration::from_secs(1)).threads(2).parallelism(2);
        let builder = builder.checkpoint(store.url()).checkpoint_intervals(1);
        let harness = Harness::with(builder, 2);
        // All keys at first, and then few.
        let keys = |t: u64| (0..if t == 0 { 2_000 } else { 3 }).map(|key| (key, t)).collect();
        let _sums = harness.watch(&harness.input((0..10).map(keys)).running_reduce(|a, b| a + b));
        let advance = || {
            harness.advance(1).unwrap();
            harness.wait_until_written();
            let newest = Manifest::read(&store, held(&store).last().unwrap()).unwrap().unwrap();
            newest.files().map(str::to_owned).collect::<Vec<_>>()
        };
        let removed = |file: &str| fs::remove_file(dir.path().join(file)).unwrap();
        let cut_short = |file: &str| fs::write(dir.path().join(file), "short").unwrap();
        for damage in [&removed as &dyn Fn(&str), &cut_short] {
            advance();
            let files = advance();
            let changes: Vec<&String> = files.iter().filter(|file| file.ends_with(CHANGES_END)).collect();
            assert!(!changes.is_empty(), "{files:?}");
            changes.iter().for_each(|file| damage(file));
            let next = advance();
            assert!(!changes.iter().any(|file| next.contains(file)), "{next:?} need {changes:?}");
        }
    }
}
