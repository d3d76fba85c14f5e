//! Every bound of the engine, with its default and its reason (DESIGN D10). Over a bound there is
//! back pressure or a clear error, never memory without end.

/// Runs of one task that failed for reasons outside the program before its job fails. A fault
/// that is still there after four tries will not go away by itself.
pub const TASK_ATTEMPTS_MAX: u32 = 4;

/// Key groups into which keyed data is hashed; also the largest number of partitions of a keyed
/// dataset. Many more than cores, so that a lost worker's groups spread over all the others.
pub const KEY_GROUPS: u32 = 256;

/// Runs of one task that failed because a block could not be read, before its job fails. Such a
/// failure is no fault of the task and is answered by making the block again, so there may be
/// many in a storm of losses; a block that cannot be read after so many tries never will be.
pub const FETCH_ATTEMPTS_MAX: u32 = 16;
