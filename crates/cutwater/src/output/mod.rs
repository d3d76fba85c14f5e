//! Where results go.

mod save;

pub(crate) use save::write_folder;
