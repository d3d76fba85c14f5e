use std::{collections::HashMap, sync::Arc};

use cutwater_core::{OpId, StageId, TaskError};
use cutwater_wire::{
    message::ToWorker,
    plan::{StageDef, Template},
};

use crate::task::{AnySpec, Plan};

/// The stages that a worker was told of, and what they are put together from.
///
/// It is touched by the thread that hears the master. If the process dies, the next one is told anew.
#[derive(Default)]
pub(super) struct Plans {
    operators: HashMap<OpId, Arc<AnySpec>>,
    templates: HashMap<u32, Template>,
    stages: HashMap<StageId, Result<Arc<Plan>, TaskError>>,
}

impl Plans {
    /// Takes note of what is about plans, and hands back what is not.
    pub fn note(&mut self, message: ToWorker) -> Option<ToWorker> {
        match message {
            ToWorker::Operator(def) => {
                self.operators.insert(def.id, Arc::new(AnySpec::arrived(def)));
            }
            ToWorker::ForgetOperators(ids) => ids.iter().for_each(|id| {
                self.operators.remove(id);
            }),
            ToWorker::Template(id, template) => {
                self.templates.insert(id, template);
            }
            ToWorker::ForgetTemplates => self.templates.clear(),
            ToWorker::Stage(def) => {
                self.stages.insert(def.id, self.put_together(&def).map(Arc::new));
            }
            ToWorker::RetireStage(id) => {
                self.stages.remove(&id);
            }
            other => return Some(other),
        }
        None
    }

    pub fn stage(&self, id: StageId) -> Result<Arc<Plan>, TaskError> {
        let unknown = || TaskError::Internal(format!("a task of {id}, which nobody described"));
        self.stages.get(&id).cloned().ok_or_else(unknown)?
    }

    fn put_together(&self, def: &StageDef) -> Result<Plan, TaskError> {
        let unknown = || TaskError::Internal(format!("{} fills in a template that nobody described", def.id));
        let template = self.templates.get(&def.template).ok_or_else(unknown)?;
        Plan::arrived(def, template, |id| self.operators.get(&id).cloned())
    }
}
