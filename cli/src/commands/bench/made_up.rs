//! Noise with tags, shards and a view that a training run takes for a corpus, and an experiment on it from random
//! weights: what a step costs depends on neither.

use super::loader::{noise, noise_key};
use anyhow::Result;
use etude_manifests::{Example, Split, Target, View, Vocab, write_view};
use etude_train::Experiment;
use std::path::Path;

/// Of the view and of the shard set.
const NAME: &str = "noise";
/// As many as in MagnaTagATune's usual vocabulary.
const CLASSES: u16 = 50;

/// `clips` clips to train on, and one each to validate and test.
pub fn write(dir: &Path, clips: usize, seconds: f64) -> Result<()> {
    noise(&dir.join("shards").join(NAME), clips + 2, seconds)?;
    let examples = (0..clips + 2).map(|clip| {
        let split = match clip.checked_sub(clips) {
            None => Split::Train,
            Some(0) => Split::Valid,
            Some(_) => Split::Test,
        };
        let key = noise_key(clip);
        let tags = (0..CLASSES).filter(|tag| (clip + usize::from(*tag)).is_multiple_of(19));
        let target = Target::Tags(tags.collect());
        Example { track: key.clone(), key, variant: "orig".into(), split, target }
    });
    let classes = (0..CLASSES).map(|n| format!("tag {n}")).collect();
    let view = View {
        name: NAME.into(),
        corpus: NAME.into(),
        vocab: Vocab { id: "fifty".into(), classes, order: "published".into() },
        examples: examples.collect(),
        sources: Vec::new(),
    };
    Ok(write_view(&dir.join("manifests"), &view)?)
}

/// The experiment in `text`, called `name`, on what [`write()`] put into `dir`, from random weights and for `steps` steps
/// without a validation; `sets` override keys.
pub fn experiment(
    (name, text): (&str, &str),
    dir: &Path,
    steps: usize,
    sets: &[String],
) -> Result<Experiment> {
    let mut root: toml::Table = text.parse()?;
    for (section, key) in [("model", "weights"), ("trainer", "epochs")] {
        if let Some(section) = root.get_mut(section).and_then(toml::Value::as_table_mut) {
            section.remove(key);
        }
    }
    root.remove("published");
    let mut all = vec![
        format!("data.dir={dir:?}"),
        format!("data.view={NAME}"),
        format!("data.shards={NAME}"),
        format!("trainer.steps={steps}"),
        "trainer.validate_steps=1000000".to_owned(),
    ];
    all.extend_from_slice(sets);
    Ok(Experiment::parse(name, &toml::to_string(&root)?, &all)?)
}
