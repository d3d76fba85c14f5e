use cutwater_core::{WorkerId, limits};

/// Slots are neither made nor lost: no worker has more attempts than it has room for, and when all is over each
/// of them can be used.
#[derive(Default)]
pub(crate) struct Slots;

impl Slots {
    pub fn occupied(&self, id: WorkerId, attempts: usize, slots: usize) -> Result<(), String> {
        let room = slots * (1 + limits::WAITING_PER_SLOT);
        if attempts > room {
            return Err(format!("{id} has {attempts} attempts and room for {room}"));
        }
        Ok(())
    }

    pub fn all_used(&self, running: usize, slots: usize) -> Result<(), String> {
        if running != slots {
            return Err(format!("of {slots} slots {running} are used, and more tasks wait"));
        }
        Ok(())
    }
}
