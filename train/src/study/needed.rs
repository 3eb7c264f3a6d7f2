//! What a study needs and does not make: views and shards. All that is missing is told at once, with the commands that
//! make it.

use super::Study;
use crate::error::Result;
use etude_features::handcrafted::Kind;
use etude_manifests::{View, read_view};
use std::collections::BTreeSet;
use std::path::Path;

/// What was looked for and is not there.
#[derive(Default)]
pub(super) struct Needed {
    missing: BTreeSet<String>,
}

impl Needed {
    /// The view of this name, if it is there.
    ///
    /// # Errors
    /// For one that is there and cannot be read.
    pub(super) fn view(&mut self, data: &Path, name: &str) -> Result<Option<View>> {
        let path = data.join("manifests").join(format!("{name}.parquet"));
        if path.is_file() {
            return Ok(Some(read_view(&path)?));
        }
        self.missing.insert(format!(
            "view {name}: not in {}; `etude ingest configs/data/CORPUS.toml` makes the views of a corpus",
            data.join("manifests").display()
        ));
        Ok(None)
    }

    /// The shard set `<corpus>-<ending>`.
    pub(super) fn shards(&mut self, data: &Path, corpus: &str, ending: &str) {
        let name = format!("{corpus}-{ending}");
        if data.join("shards").join(&name).join("index.json").is_file() {
            return;
        }
        self.missing.insert(format!(
            "shards {name}: not in {}; `etude shards configs/data/{corpus}.toml {}` makes them",
            data.join("shards").display(),
            overrides(ending)
        ));
    }

    /// # Errors
    /// [`crate::Error::Config`] with a line for everything that is missing.
    pub(super) fn check(self, study: &Study) -> Result<()> {
        match self.missing.is_empty() {
            true => Ok(()),
            false => study.refuse(self.missing.into_iter().collect::<Vec<_>>().join("\n  ")),
        }
    }
}

/// What makes `etude shards` write the set of that ending.
fn overrides(ending: &str) -> String {
    let features = ending
        .rsplit_once('-')
        .and_then(|(front, name)| Some((rate(front)?, Kind::from_name(name)?)));
    match (rate(ending), features) {
        (Some(rate), _) => format!("--set shards.rate={rate}"),
        (None, Some((rate, kind))) => {
            format!("--set shards.rate={rate} --set shards.features={}", kind.name())
        }
        (None, None) => format!("--set shards.mel={}", ending.replace('-', "_")),
    }
}

/// 16000 of `16k`, 22050 of `22k05`; `None` for the name of a mel front end.
pub(super) fn rate(ending: &str) -> Option<u32> {
    let (whole, rest) = ending.split_once('k')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || rest.len() > 3 || !digits(whole) || !digits(rest) {
        return None;
    }
    format!("{whole}{rest:0<3}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_wave_set_is_its_rate() {
        assert_eq!(rate("16k"), Some(16_000));
        assert_eq!(rate("22k05"), Some(22_050));
        assert_eq!(["vgg-16k-db", "k", "kit", "16k0000"].map(rate), [None; 4]);
    }

    #[test]
    fn every_ending_is_told_by_the_keys_that_make_its_set() {
        for (ending, keys) in [
            ("22k05", "--set shards.rate=22050"),
            ("16k-mfcc", "--set shards.rate=16000 --set shards.features=mfcc"),
            ("vgg-16k-db", "--set shards.mel=vgg_16k_db"),
        ] {
            assert_eq!(overrides(ending), keys);
        }
    }
}
