//! Where results go.

mod save;
