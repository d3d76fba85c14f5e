//! What this crate does with bytes of other processes, beyond the messages of `cutwater-wire`, as functions of any bytes.
//!
//! Tests call them with random and damaged bytes, and so do the targets of `fuzz/`, for as long as one likes. None
//! may panic, whatever the bytes, or take memory for what is only announced.

use cutwater_core::{Split, StageId};
use cutwater_wire::{client, message::ToWorker};
use serde::{Serialize, de::DeserializeOwned};

use super::plans::Plans;
use crate::{
    block::{Batches, Packed},
    rdd::LineSplit,
    runtime::receive::records_of,
    state::Table,
    task::Findings,
};

/// A decoder, and what people call it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 3] = [("plans", plans), ("values", values), ("lines", lines)];

/// What a master says of operators and stages: code that is none is refused, and no plan that is put together from it
/// runs in a circle.
pub fn plans(bytes: &[u8]) {
    let mut plans = Plans::default();
    for message in postcard::from_bytes::<Vec<ToWorker>>(bytes).unwrap_or_default() {
        let mut stage: Option<StageId> = None;
        match &message {
            // Code is looked for anywhere in the image, which the address sanitizer of `fuzz/` takes for an overrun.
            #[cfg(test)]
            ToWorker::Operator(def) => {
                drop(crate::task::AnySpec::arrived(def.clone()).operator().map(|_| ()))
            }
            ToWorker::Stage(def) => stage = Some(def.id),
            _ => {}
        }
        let _ = plans.note(message);
        if let Some(Ok(plan)) = stage.map(|stage| plans.stage(stage)) {
            assert!(plan.is_acyclic(), "a dataset is made from itself");
        }
    }
}

/// What decodes is, encoded and decoded once more, encoded the same.
fn decoded<V: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = postcard::from_bytes::<V>(bytes) else { return };
    let Ok(encoded) = postcard::to_allocvec(&value) else { return };
    let again: V = postcard::from_bytes(&encoded).expect("what was encoded can be decoded");
    assert_eq!(postcard::to_allocvec(&again).ok(), Some(encoded));
}

/// Blocks of other workers, what sources have them read, and what tasks have found.
pub fn values(bytes: &[u8]) {
    decoded::<Vec<(String, u64)>>(bytes);
    decoded::<Table<String, u64>>(bytes);
    decoded::<Table<u32, Option<u32>>>(bytes);
    decoded::<Packed>(bytes);
    decoded::<Batches>(bytes);
    decoded::<Findings>(bytes);
    decoded::<LineSplit>(bytes);
    decoded::<Vec<Split>>(bytes);
}

/// What is posted by HTTP, as records: as many as are counted, and no byte more than arrived.
pub fn lines(bytes: &[u8]) {
    let (count, content) = records_of(bytes);
    let records: Vec<_> = client::records(&content).map(|record| record.expect("it was made here")).collect();
    assert_eq!(records.len(), count as usize);
    assert!(records.iter().map(|record| record.len()).sum::<usize>() <= bytes.len());
}

#[cfg(test)]
mod tests {
    use cutwater_core::{Attempt, DatasetId, OpId, PartitionMap, Shape};
    use cutwater_wire::plan::{StageDef, Template, TemplateDataset, TemplateParent};
    use proptest::prelude::*;

    use super::*;
    use crate::{rdd::Lines, source::ErrorPolicy, task::OperatorSpec};

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        postcard::to_allocvec(value).unwrap()
    }

    fn dataset(op: OpId, parents: Vec<TemplateParent>) -> TemplateDataset {
        TemplateDataset { op, label: None, partitions: 4, parents, shape: Shape::Records, keep: true }
    }

    /// A plan of two datasets with these names, the second made from the one at that place.
    fn told(names: [u64; 2], parent: u32) -> Vec<ToWorker> {
        let spec = OperatorSpec::<String>::new::<Lines>("lines", &ErrorPolicy::Skip.on_task());
        let op = spec.any.id;
        let template = Template {
            datasets: vec![
                dataset(op, vec![TemplateParent::Shuffle(0)]),
                dataset(op, vec![TemplateParent::Narrow(parent, PartitionMap::Same)]),
            ],
            shuffles: vec![4],
        };
        let stage = StageDef {
            id: StageId(1),
            template: 0,
            datasets: names.map(DatasetId).to_vec(),
            shuffles: vec![DatasetId(9)],
            splits: Vec::new(),
        };
        vec![
            ToWorker::Operator(spec.any.to_def().unwrap()),
            ToWorker::Template(0, template),
            ToWorker::Stage(stage),
            ToWorker::Cancel(Attempt { stage: StageId(1), partition: 0, number: 0 }),
        ]
    }

    fn right() -> Vec<Vec<u8>> {
        let table: Table<String, u64> =
            (0..50u64).map(|n| (format!("{n}"), n)).collect::<Vec<_>>().into_iter().collect();
        vec![
            encoded(&told([3, 4], 0)),
            encoded(&table),
            encoded(&Packed::in_memory(3, vec![1, 2, 3])),
            b"one\r\n\ntwo".to_vec(),
        ]
    }

    #[test]
    fn right_bytes_are_understood_and_circles_are_refused() {
        right().iter().for_each(|bytes| TARGETS.iter().for_each(|(_, target)| target(bytes)));
        for (names, parent, is_right) in
            [([3, 4], 0, true), ([3, 4], 1, false), ([3, 3], 0, false), ([3, 4], 7, false)]
        {
            let told = told(names, parent);
            plans(&encoded(&told));
            let mut plans = Plans::default();
            told.into_iter().for_each(|message| drop(plans.note(message)));
            assert_eq!(plans.stage(StageId(1)).is_ok(), is_right, "{names:?} {parent}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            TARGETS.iter().for_each(|(_, target)| target(&bytes));
        }

        #[test]
        fn damage_is_an_error_and_no_panic(
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
        ) {
            let all = right();
            let mut bytes = which.get(&all).clone();
            for (at, to, how) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = to,
                    1 => bytes[at] ^= 1 << (to % 8),
                    2 => bytes.insert(at, to),
                    _ => bytes.truncate(at),
                }
            }
            TARGETS.iter().for_each(|(_, target)| target(&bytes));
        }
    }
}
