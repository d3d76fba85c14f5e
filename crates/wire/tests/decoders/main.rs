//! The decoders of `targets.rs` on random bytes, and on right ones of which a little was changed, which get
//! further. The same functions are fuzzed for longer: see CONTRIBUTING.md.

mod targets;

use bytes::Bytes;
use cutwater_core::{Attempt, BlockId, DatasetId, Located, OpId, Shape, StageId, Task, TaskError, WorkerId};
use cutwater_wire::{
    PROTOCOL_VERSION,
    fetched::Fetched,
    frame,
    handshake::ExecutableHash,
    message::{Fetch, Introduction, Ran, ToMaster, ToWorker},
    names::Blocks,
    plan::{StageDef, Template, TemplateDataset},
};
use proptest::prelude::*;
use serde::Serialize;

fn encoded(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("messages can be encoded")
}

/// Right bytes of many kinds, to be damaged.
fn right() -> Vec<Vec<u8>> {
    let attempt = Attempt { stage: StageId(1), partition: 2, number: 3 };
    let piece = BlockId::Piece { dataset: DatasetId(4), map: 5, reduce: 6 };
    let dataset = TemplateDataset {
        op: OpId(1),
        label: Some("map".into()),
        partitions: 4,
        parents: Vec::new(),
        shape: Shape::Pieces(3),
        keep: false,
    };
    let template = Template { datasets: vec![dataset], shuffles: vec![4] };
    let stage = StageDef {
        id: StageId(1),
        template: 0,
        datasets: vec![DatasetId(4)],
        shuffles: vec![DatasetId(3)],
        splits: Vec::new(),
    };
    let task = Task {
        attempt,
        target: DatasetId(7),
        remote: vec![(piece, WorkerId(8))],
        pieces: vec![(DatasetId(4), 2..3)],
    };
    let told = vec![
        ToWorker::Template(0, template.clone()),
        ToWorker::Stage(stage.clone()),
        ToWorker::Locate(DatasetId(4), Located::runs([(0, WorkerId(8))]).into()),
        ToWorker::Ahead(DatasetId(4), vec![2..3, 5..9]),
        ToWorker::Run(task),
        ToWorker::Hold(piece, Bytes::from_static(b"records")),
        ToWorker::Peers(vec![(WorkerId(0), "127.0.0.1:1".to_owned())]),
    ];
    let ran = Ran {
        stored: Blocks::short(&[piece]),
        result: Some(Bytes::from_static(b"result")),
        findings: vec![1],
        read: 5,
        combined: 1,
        fetched_bytes: 6,
    };
    let failed = TaskError::User { operator: "map".into(), message: "no".to_owned() };
    let heard =
        vec![ToMaster::Ran(attempt, Ok(ran)), ToMaster::Ran(attempt, Err(failed)), ToMaster::Held(piece)];
    let mut framed = Vec::new();
    frame::encode(&encoded(&told), &mut framed);
    frame::encode(b"", &mut framed);
    let greeting = [b"cutwater".as_slice(), &PROTOCOL_VERSION.to_le_bytes(), &[7; 32]].concat();
    let mut introduced = greeting.clone();
    frame::encode(
        &encoded(&(encoded(&Introduction::Reader { executable: ExecutableHash([1; 32]) }), [0_u8; 32])),
        &mut introduced,
    );
    let answer = |compressed| {
        let (head, payload) =
            Fetched::new(vec![Some(40_000), None, Some(2)], vec![vec![7; 40_002].into()], compressed);
        let head = encoded(&head);
        [vec![head.len() as u8], head, payload.concat()].concat()
    };
    vec![
        encoded(&told),
        encoded(&heard),
        encoded(&template),
        encoded(&stage),
        encoded(&Fetch(vec![
            Blocks::One(piece),
            Blocks::Pieces { dataset: DatasetId(4), map: 1, reduce: 0, count: 9 },
        ])),
        framed,
        greeting,
        introduced,
        answer(false),
        answer(true),
    ]
}

/// What is damaged below is right before: each kind is what it was made from, decoded once more.
#[test]
fn right_bytes_are_understood() {
    for bytes in right() {
        targets::TARGETS.iter().for_each(|(_, target)| target(&bytes));
    }
    let told = &right()[0];
    assert!(postcard::from_bytes::<Vec<ToWorker>>(told).is_ok_and(|told| told.len() == 7));
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        targets::TARGETS.iter().for_each(|(_, target)| target(&bytes));
    }

    /// Bytes are changed, cut off, repeated and put in.
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
        targets::TARGETS.iter().for_each(|(_, target)| target(&bytes));
    }
}
