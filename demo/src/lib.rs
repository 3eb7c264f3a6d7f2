//! A small tagged music corpus, synthesised from a seed.
//!
//! [`run`] composes pieces, plays them on synthetic instruments, listens to what came out, lets forgetful annotators
//! tag it and writes the result in MagnaTagATune's published layout, so that everything that reads the real corpus can
//! be tried in a minute, offline. Seconds, decibels and beats are real: tags follow from the sound.
//!
//! One concern a file: `culture`, `western` and `modal` (what styles are), `composer`, `melody`, `parts`, `drums`, `texture`
//! (the music), `voices` (instruments), `room` and `mix` (the recording), `tags` (the listeners), `catalogue`,
//! `layout`, `encode`, `bad`, `readme` (the corpus on disk), `notes` (single notes in TinySOL's layout).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod bad;
mod catalogue;
mod composer;
mod corpus;
mod culture;
mod drums;
mod dsp;
mod encode;
mod error;
mod layout;
mod melody;
mod mix;
mod modal;
mod names;
mod notes;
mod parts;
mod performer;
mod readme;
mod report;
mod rng;
mod room;
mod score;
mod stamp;
mod tags;
mod texture;
mod voices;
mod western;

pub use bad::Bad;
pub use corpus::{Config, CultureName, run};
pub use error::{Error, Result};
pub use notes::{NotesReport, notes};
pub use report::{BadFile, Report, Summary, TagCount};
pub use tags::{FAST_BPM, LOUD_DB, QUIET_DB, SLOW_BPM};
pub use western::TAGS;
