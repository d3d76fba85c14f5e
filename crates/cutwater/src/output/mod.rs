//! Where results go.

pub(crate) mod frames;
mod part;
mod save;
mod save_records;

pub(crate) use save::write_folder;
