use std::marker::PhantomData;

use super::Table;
use crate::{
    Key, Record,
    task::{Emit, Flow, LENT_RECORDS, Look, Node, Operator},
};

/// The keys and values of a table, in the order of the table.
pub(crate) struct Entries<K, V>(PhantomData<fn(K, V)>);

impl<K: Key, V: Record> Operator for Entries<K, V> {
    type Env = ();
    type Out = (K, V);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, V)>) -> Flow {
        let table: Option<Table<K, V>> = node.only(0, partition)?;
        let Some(mut entries) = table.as_ref().map(Table::iter) else { return Flow::Continue(()) };
        // Asking for the next one clones it.
        while let Some(entry) = node.call(|| entries.next()) {
            emit(entry)?;
        }
        Flow::Continue(())
    }

    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, (K, V)>) -> Flow {
        let table: Option<Table<K, V>> = node.only(0, partition)?;
        let Some(mut entries) = table.as_ref().map(Table::iter) else { return Flow::Continue(()) };
        let mut some = Vec::with_capacity(LENT_RECORDS);
        loop {
            node.call(|| some.extend(entries.by_ref().take(LENT_RECORDS)));
            if some.is_empty() {
                return Flow::Continue(());
            }
            look(&some)?;
            some.clear();
        }
    }
}

/// A table with nothing in it for each partition: where state begins.
pub(crate) struct EmptyTables<K, V>(PhantomData<fn(K, V)>);

impl<K: Key, V: Record> Operator for EmptyTables<K, V> {
    type Env = ();
    type Out = Table<K, V>;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, _: Node<'_>, _: u32, emit: &mut Emit<'_, Table<K, V>>) -> Flow {
        emit(Table::new())
    }
}
