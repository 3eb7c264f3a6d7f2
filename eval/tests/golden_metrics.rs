//! Metrics against scikit-learn 1.9 and mir_eval 0.8 (fixtures/metrics/README.md), to 1e-12.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_eval::TaskConfig;
use etude_eval::metrics::{beat, chord, key, regression, report, tagging, tempo};
use etude_manifests::{Target, Vocab};
use safetensors::SafeTensors;
use serde_json::Value;

fn path(name: &str) -> String {
    format!("{}/../fixtures/metrics/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// Values of a tensor of 4- or 8-byte numbers.
fn tensor<const B: usize, T>(file: &[u8], key: &str, read: fn([u8; B]) -> T) -> Vec<T> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let view = tensors.tensor(key).unwrap();
    view.data().as_chunks::<B>().0.iter().map(|b| read(*b)).collect()
}

fn labels(file: &[u8], key: &str) -> Vec<bool> {
    tensor(file, key, i64::from_le_bytes).into_iter().map(|v| v == 1).collect()
}

fn near(got: Option<f64>, want: &Value, what: &str) {
    match (got, want.as_f64()) {
        (None, None) => {}
        (Some(got), Some(want)) if (got - want).abs() <= 1e-12 => {}
        _ => panic!("{what}: got {got:?}, expected {want}"),
    }
}

#[test]
fn tagging_scores_equal_scikit_learns_with_ties_and_degenerate_classes() {
    let file = std::fs::read(path("tagging.safetensors")).unwrap();
    for (case, want) in json("tagging.json").as_object().unwrap() {
        let scores = tensor(&file, &format!("{case}.scores"), f32::from_le_bytes);
        let labels = labels(&file, &format!("{case}.labels"));
        let classes = want["classes"].as_u64().unwrap() as usize;
        let got = tagging(&scores, &labels, classes).unwrap();
        for (c, class) in got.per_class.iter().enumerate() {
            near(class.average_precision, &want["ap_per_class"][c], &format!("{case} AP {c}"));
            near(class.roc_auc, &want["roc_auc_per_class"][c], &format!("{case} ROC {c}"));
        }
        near(got.macro_avg.average_precision, &want["macro_ap_defined_classes"], case);
        near(got.macro_avg.roc_auc, &want["macro_roc_auc_defined_classes"], case);
        near(got.micro_avg.average_precision, &want["sklearn_micro_ap"], case);
        near(got.micro_avg.roc_auc, &want["sklearn_micro_roc_auc"], case);
        near(got.weighted_avg.average_precision, &want["sklearn_weighted_ap"], case);
        let undefined = |c: &usize| want["roc_auc_per_class"][*c].is_null();
        assert_eq!(got.undefined, (0..classes).filter(undefined).collect::<Vec<_>>(), "{case}");

        let report = report::report(&report::rounded(&scores), &labels, classes).unwrap();
        for (average, line) in [
            ("micro", report.micro_avg),
            ("macro", report.macro_avg),
            ("weighted", report.weighted_avg),
            ("samples", report.samples_avg),
        ] {
            near(Some(line.f1), &want[format!("f1_{average}")], case);
            near(Some(line.precision), &want[format!("precision_{average}")], case);
            near(Some(line.recall), &want[format!("recall_{average}")], case);
        }
    }
}

#[test]
fn the_text_report_equals_the_published_one_to_the_letter() {
    let file = std::fs::read(path("report.safetensors")).unwrap();
    let scores = tensor(&file, "scores", f32::from_le_bytes);
    let report = report::report(&report::rounded(&scores), &labels(&file, "labels"), 6).unwrap();
    let names = ["Rock", "Electronic", "Ambient Electronic", "Hip-Hop", "Empty", "Never predicted"];
    let names = names.map(String::from);
    for (names, name) in [(Some(&names[..]), "report_named.txt"), (None, "report_unnamed.txt")] {
        let want = std::fs::read_to_string(path(name)).unwrap();
        assert_eq!(report.text(names).unwrap(), want);
    }
}

#[test]
fn key_scores_equal_mir_evals() {
    let want = json("key.json");
    let name = |pair: &'static Value, side: &str| pair[side].as_str().unwrap();
    let pairs: &'static [Value] = want["pairs"].as_array().unwrap().clone().leak();
    let mut named = Vec::new();
    for pair in pairs {
        let (reference, estimate) = (name(pair, "reference"), name(pair, "estimate"));
        let got = key::weighted(reference.parse().unwrap(), estimate.parse().unwrap());
        near(Some(got), &pair["score"], &format!("{reference} {estimate}"));
        named.push((reference, estimate));
    }
    let got = key::scores(&named).unwrap();
    near(Some(got.weighted), &want["mean"], "mean");
    near(Some(got.macro_avg), &want["macro_over_reference_key"], "macro");
}

#[test]
fn tempo_scores_equal_mir_evals() {
    let want = json("tempo.json");
    let mut hits = [0, 0];
    let two = |v: &Value| [v[0].as_f64().unwrap(), v[1].as_f64().unwrap()];
    for item in want["items"].as_array().unwrap() {
        let bpm = |side: &str| item[side].as_f64().unwrap();
        let (reference, estimate) = (bpm("ref_bpm"), bpm("est_bpm"));
        let acc1 = tempo::acc1(reference, estimate).unwrap();
        let acc2 = tempo::acc2(reference, estimate).unwrap();
        hits = [hits[0] + usize::from(acc1), hits[1] + usize::from(acc2)];
        assert_eq!((acc1, acc2), (item["acc1_4pct"] == true, item["acc2_4pct"] == true), "{item}");
        let pair = &item["mir_eval_two_tempi"];
        if pair.is_null() {
            continue; // given for some items only
        }
        let weight = pair["ref_weight"].as_f64().unwrap();
        let got = tempo::two_tempi(two(&pair["ref"]), weight, two(&pair["est"])).unwrap();
        near(Some(got.p_score), &pair["p_score"], "P-score");
        assert_eq!(got.one_correct, pair["one_correct"]);
        assert_eq!(got.both_correct, pair["both_correct"]);
    }
    let share = |n: usize| Some(n as f64 / want["items"].as_array().unwrap().len() as f64);
    near(share(hits[0]), &want["acc1"], "acc1");
    near(share(hits[1]), &want["acc2"], "acc2");
}

#[test]
fn beat_scores_equal_mir_evals() {
    let times = |v: &Value| v.as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
    for (i, track) in json("beat.json").as_array().unwrap().iter().enumerate() {
        let (reference, estimate): (Vec<f64>, Vec<f64>) =
            (times(&track["reference"]), times(&track["estimate"]));
        let all = beat::scores(&reference, &estimate).unwrap();
        near(Some(all.f_measure), &track["f_measure_no_trim"], &format!("{i} F, all"));
        let got = beat::scores(beat::trim(&reference), beat::trim(&estimate)).unwrap();
        near(Some(got.f_measure), &track["f_measure_trim5s_70ms"], &format!("{i} F"));
        near(Some(got.cemgil), &track["cemgil"], &format!("{i} Cemgil"));
        near(Some(got.cmlc), &track["cmlc"], &format!("{i} CMLc"));
        near(Some(got.cmlt), &track["cmlt"], &format!("{i} CMLt"));
        near(Some(got.amlc), &track["amlc"], &format!("{i} AMLc"));
        near(Some(got.amlt), &track["amlt"], &format!("{i} AMLt"));
    }
}

#[test]
fn chord_scores_equal_mir_evals() {
    for (i, track) in json("chord.json").as_array().unwrap().iter().enumerate() {
        let side = |side: &str| -> Vec<chord::Span<'_>> {
            let spans = track[format!("{side}_intervals")].as_array().unwrap();
            let labels = track[format!("{side}_labels")].as_array().unwrap();
            let span = |i: usize| chord::Span {
                start_s: spans[i][0].as_f64().unwrap(),
                end_s: spans[i][1].as_f64().unwrap(),
                label: labels[i].as_str().unwrap(),
            };
            (0..spans.len()).map(span).collect()
        };
        let got = chord::scores(&side("ref"), &side("est")).unwrap();
        for (name, value) in [
            ("root", got.root),
            ("thirds", got.thirds),
            ("triads", got.triads),
            ("mirex", got.mirex),
            ("majmin", got.majmin),
            ("majmin_inv", got.majmin_inv),
            ("sevenths", got.sevenths),
        ] {
            near(Some(value), &track[name], &format!("{i} {name}"));
        }
    }
}

#[test]
fn regression_scores_equal_scikit_learns() {
    let (file, want) = (std::fs::read(path("emotion.safetensors")).unwrap(), json("emotion.json"));
    let answers = tensor(&file, "pred", f64::from_le_bytes);
    let truths = tensor(&file, "target", f64::from_le_bytes);
    let got = regression::regression(&answers, &truths, 2).unwrap();
    for (d, r2) in got.r2.iter().enumerate() {
        near(Some(*r2), &want["r2_per_column"][d], "R2");
    }
    near(Some(got.r2_mean), &want["r2_uniform_average"], "mean");
    near(Some(got.r2_variance_weighted), &want["r2_variance_weighted"], "weighted");
    near(Some(got.mse), &want["mse"], "MSE");
}

#[test]
fn the_key_task_gives_mir_evals_scores() {
    let want = json("key.json");
    let pairs = want["pairs"].as_array().unwrap();
    let name = |pair: &Value, of: &str| pair[of].as_str().unwrap().to_owned();
    let mut classes: Vec<String> =
        pairs.iter().flat_map(|p| [name(p, "reference"), name(p, "estimate")]).collect();
    classes.sort();
    classes.dedup();
    let vocab = Vocab::published("keys", classes.clone()).unwrap();
    let mut scorer = TaskConfig::named("key").unwrap().build(&vocab).unwrap().scorer();
    for pair in pairs {
        let at = |of: &str| classes.iter().position(|c| *c == name(pair, of)).unwrap();
        let mut output = vec![0.0; classes.len()];
        output[at("estimate")] = 1.0;
        scorer.add(&Target::Class(at("reference") as u16), &output, 1).unwrap();
    }
    let got = scorer.finish().unwrap().summary;
    near(got.get("key-weighted").copied(), &want["mean"], "weighted");
    near(got.get("key-weighted-macro").copied(), &want["macro_over_reference_key"], "macro");
}
