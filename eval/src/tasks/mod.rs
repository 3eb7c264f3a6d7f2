//! One task a file.

pub mod tagging;
