//! One objective a file.

pub mod masked_tokens;
pub mod supervised;
