//! A small tagged music corpus, synthesised from a seed.
