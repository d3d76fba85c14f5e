//! What may go.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crate::{BlockId, Dataset, DatasetId, Shape, WorkerId};

use super::{Command, Scheduler, blocks::Unit, datasets::is_pieces};

impl Scheduler {
    pub(super) fn forgotten(&mut self, datasets: Vec<DatasetId>) {
        self.expect_no_longer(&datasets);
        self.forgotten.extend(datasets);
        self.drop_forgotten();
    }

    /// Drops forgotten datasets, except those that something being run is made from: were a block
    /// lost now, they would be needed to make it again.
    pub(super) fn drop_forgotten(&mut self) {
        if self.forgotten.is_empty() {
            return;
        }
        let needed = self.datasets.behind(self.runs.values().map(|run| run.stage.target));
        let mut doomed = Vec::new();
        let mut unknown = Vec::new();
        for id in self.forgotten.extract_if(.., |id| !needed.contains(id)) {
            self.dropped.insert(id);
            self.may_let_go = true;
            match self.datasets.remove(id) {
                Some(dataset) => doomed.push(dataset),
                None => unknown.push(id),
            }
        }
        let mut units: Vec<_> = doomed.iter().flat_map(|dataset| self.units_of(dataset)).collect();
        // Workers may have said of one that they hold it from the time with another master, and nobody has asked for it.
        for dataset in unknown {
            let partitions = self.blocks.partitions(dataset).into_iter();
            let unit = |partition| {
                (Unit::Made { dataset, partition }, vec![BlockId::Partition { dataset, partition }])
            };
            units.extend(partitions.map(unit));
        }
        self.drop_units(units);
    }

    /// Says which dropped datasets no stage names. One that was cut before something behind it went may be defined yet.
    pub(super) fn let_go_dropped(&mut self) {
        if !std::mem::take(&mut self.may_let_go) || self.dropped.is_empty() {
            return;
        }
        let stages = self.runs.values().map(|run| &run.stage);
        let named =
            stages.flat_map(|stage| stage.datasets.iter().map(|it| it.id).chain(stage.shuffles.clone()));
        let named: HashSet<DatasetId> = named.collect();
        let datasets: Vec<DatasetId> = self.dropped.extract_if(.., |id| !named.contains(id)).collect();
        if !datasets.is_empty() {
            self.commands.push(Command::LetGo { datasets });
        }
    }

    pub(super) fn unpersisted(&mut self, id: DatasetId) {
        if let Ok(dataset) = self.datasets.get(id)
            && !is_pieces(dataset)
        {
            let units = self.units_of(dataset);
            self.datasets.stop_keeping(id);
            self.drop_units(units);
            self.cut_anew(|stage| stage.held.contains(&id));
        }
    }

    pub(super) fn inputs_released(&mut self, blocks: Vec<BlockId>) {
        let mut units = BTreeMap::<Unit, Vec<BlockId>>::new();
        for block in blocks {
            units.entry(Unit::of(&block)).or_default().push(block);
        }
        self.drop_units(units.into_iter().collect());
    }

    /// What was behind the dataset may have been forgotten and kept only for its sake.
    pub(super) fn lineage_cut(&mut self, dataset: DatasetId) {
        self.datasets.cut_off(dataset);
        self.drop_forgotten();
    }

    /// Tasks that are still to start must not count on what is behind it, which goes now.
    pub(super) fn lineage_replaced(&mut self, dataset: Arc<Dataset>) {
        let id = dataset.id;
        if self.datasets.replace(dataset) {
            self.cut_anew(|stage| stage.computes(id));
            self.drop_forgotten();
        }
    }

    /// What there is of a dataset, and the names of the blocks in it.
    fn units_of(&self, dataset: &Dataset) -> Vec<(Unit, Vec<BlockId>)> {
        let id = dataset.id;
        let partitions = self.blocks.partitions(id).into_iter();
        partitions
            .map(|partition| (Unit::Made { dataset: id, partition }, names(dataset, partition)))
            .collect()
    }

    /// Has them deleted by whoever holds them: one command for each worker, in order.
    fn drop_units(&mut self, units: Vec<(Unit, Vec<BlockId>)>) {
        let mut by_worker = BTreeMap::<WorkerId, Vec<BlockId>>::new();
        for (unit, blocks) in units {
            self.copies.released(unit);
            for worker in self.blocks.take(unit) {
                by_worker.entry(worker).or_default().extend(&blocks);
            }
        }
        by_worker.retain(|_, blocks| !blocks.is_empty());
        for (worker, mut blocks) in by_worker {
            blocks.sort_unstable();
            self.commands.push(Command::DropBlocks { worker, blocks });
        }
    }
}

/// What the task for one partition of a dataset leaves behind.
pub(super) fn names(dataset: &Dataset, partition: u32) -> Vec<BlockId> {
    match dataset.shape {
        Shape::Records => vec![BlockId::Partition { dataset: dataset.id, partition }],
        Shape::Pieces(pieces) => {
            let piece = |reduce| BlockId::Piece { dataset: dataset.id, map: partition, reduce };
            (0..pieces).map(piece).collect()
        }
    }
}
