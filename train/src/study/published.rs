//! Where the limited-data study keeps a probe's scores in its published form:
//! `<run>/<dataset>_<model>_<size>_model-<probe>`, with names of its own for two models and every task.

use super::limited::{Limited, ProbeRow};

impl Limited {
    /// Folder of a row's files, e.g. `tinysol/tinysol_mae_5_model-1`; hand-crafted features have no size. Run and dataset are
    /// called `view`, as the task's view is, unless the study has other names.
    pub fn published_name(&self, row: &ProbeRow, view: &str) -> String {
        let task = self.tasks.iter().find(|task| task.name == row.task);
        let (run, dataset) = task
            .and_then(|task| task.published_name.as_deref()?.split_once('/'))
            .unwrap_or((view, view));
        let model = self.models.iter().find(|model| model.name == row.model);
        let model = model.and_then(|model| model.published_name.as_deref()).unwrap_or(&row.model);
        let size = row.size.map_or(String::new(), |size| format!("_{size}"));
        let probe = self.probes.iter().position(|probe| probe.name == row.probe);
        format!("{run}/{dataset}_{model}{size}_model-{}", probe.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Study, StudyConfig};

    #[test]
    fn the_published_study_has_the_published_names() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/limited");
        let study = Study::read(&path.join("study.toml")).unwrap();
        let StudyConfig::Limited(cfg) = &study.config else { panic!("a limited-data study") };
        let place = Place { runs: "runs".into(), sets: Vec::new(), seeds: None };
        let rows = cfg.rows(&study, &place);
        let names: Vec<String> = rows.iter().map(|row| cfg.published_name(row, "view")).collect();
        for name in [
            "magnatagatune/magnatagatune_vgg_0_model-0",
            "magnatagatune/magnatagatune_mae_full_model-1",
            "tinysol/tinysol_ast_100_model-1",
            "tinysol/tinysol_mfcc_model-0",
            "beatport/beatport_key_musicnn_5_model-0",
            "view/view_chroma_model-1",
        ] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
    }
}
