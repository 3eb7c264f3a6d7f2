//! One objective a file.

pub mod contrastive;
pub mod masked_patches;
pub mod masked_tokens;
mod means;
pub mod supervised;
