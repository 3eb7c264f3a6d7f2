//! One objective a file.

pub mod supervised;
