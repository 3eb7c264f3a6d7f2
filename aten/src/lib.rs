//! ATen.
