//! One task a file.

use crate::error::Result;
use crate::task::Task;
use etude_manifests::Vocab;
use serde::Deserialize;

/// What the file of a task says of it before it has classes: implemented by its settings.
trait Settings {
    /// Names of the scores, as in [`crate::Scores::summary`].
    fn scores(&self) -> &'static [&'static str];

    /// The task on the classes of a view.
    ///
    /// # Errors
    /// [`crate::Error::Misfit`] when there are no classes, or too few, or other ones than the task is about.
    fn build(&self, vocab: &Vocab) -> Result<Box<dyn Task>>;
}

/// The list of tasks: module, variant with its settings, what an example is. A task is called as its module.
macro_rules! tasks {
    ($($file:ident: $Task:ident($Settings:ident) => $about:literal;)+) => {
        $(pub mod $file;)+

        /// The tasks there are.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum TaskConfig {
            $(#[doc = $about]
            $Task($file::$Settings),)+
        }

        impl TaskConfig {
            /// Names in a configuration.
            pub const NAMES: &[&str] = &[$(stringify!($file)),+];

            fn settings(&self) -> &dyn Settings {
                match self {
                    $(TaskConfig::$Task(cfg) => cfg,)+
                }
            }
        }
    };
}

// A new task is its file and its line here.
tasks! {
    tagging: Tagging(TaggingConfig) => "Any number of classes per example.";
    class: Class(ClassConfig) => "One class per example.";
    key: Key(KeyConfig) => "The key of a recording.";
}

impl TaskConfig {
    /// A task by name, with default settings.
    ///
    /// # Errors
    /// [`crate::Error::Task`] lists the names there are.
    pub fn named(name: &str) -> Result<Self> {
        serde_json::from_value(serde_json::json!({ "kind": name }))
            .map_err(|e| crate::Error::Task { text: e.to_string() })
    }

    /// Names of the scores that the task gives, as in [`crate::Scores::summary`].
    pub fn score_names(&self) -> &'static [&'static str] {
        self.settings().scores()
    }

    /// The task on the classes of a view.
    ///
    /// # Errors
    /// [`crate::Error::Misfit`] when the view has no classes, or too few, or other ones than the task is about.
    pub fn build(&self, vocab: &Vocab) -> Result<Box<dyn Task>> {
        self.settings().build(vocab)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_called_as_its_file_and_a_wrong_name_lists_the_right_ones() {
        let text = TaskConfig::named("taging").unwrap_err().to_string();
        let names = TaskConfig::NAMES.join("`, `");
        let expected = format!("unknown variant `taging`, expected one of `{names}`");
        assert!(text.contains(&expected), "{text}");
    }
}
