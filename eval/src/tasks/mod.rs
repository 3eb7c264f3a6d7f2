//! One task a file.

pub mod class;
pub mod key;
pub mod tagging;
