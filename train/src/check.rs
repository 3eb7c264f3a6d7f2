//! Checks across the sections of an experiment: what a type cannot say. All problems are told at once.

use crate::error::{Error, Result};
use crate::experiment::{DataConfig, Experiment, KeepConfig};
use crate::objective::ObjectiveConfig;
use crate::objectives::contrastive::ContrastiveConfig;
use crate::optim::{OptimConfig, Rule};
use crate::schedule::{ScheduleConfig, Watch};
use crate::stopping::Mode;
use etude_models::{BackboneConfig, FrozenStats, HeadConfig, Tuning, masked};
use etude_shards::Crop;

/// Lowest rate of any backbone, Hz: changes that fit it fit all.
const LOWEST_RATE: u32 = 16_000;

impl Experiment {
    /// What contradicts itself or is out of range, all of it at once.
    ///
    /// # Errors
    /// [`Error::Check`].
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut no = |ok: bool, text: String| {
            if !ok {
                problems.push(text);
            }
        };
        check_data(self, &mut no);
        check_optim(&self.optim, &mut no);
        check_schedule(self, &mut no);
        check_trainer(self, &mut no);
        check_model(self, &mut no);
        check_objective(self, &mut no);
        check_cache(self, &mut no);
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::Check { place: self.place().to_owned(), problems }),
        }
    }
}

fn check_data(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let DataConfig { view, shards, crop, batch, threads, prefetch_mb, .. } = &exp.data;
    let plain = |s: &str| !s.is_empty() && !s.contains(['/', '\\']) && !s.contains("..");
    no(plain(view), format!("data.view: expected the name of a view, got {view:?}"));
    no(plain(shards), format!("data.shards: expected the name of a shard set, got {shards:?}"));
    no(*batch > 0, "data.batch: expected at least 1, got 0".to_owned());
    no(*threads > 0, "data.threads: expected at least 1, got 0".to_owned());
    no(*prefetch_mb > 0, "data.prefetch_mb: expected at least 1, got 0".to_owned());
    if let Err(e) = crop.check() {
        no(false, format!("data.{e}"));
    }
    if let Err(e) = exp.eval_loader().crop.check() {
        no(false, format!("eval.window: {e}"));
    }
    no(exp.eval.batch != Some(0), "eval.batch: expected at least 1, got 0".to_owned());
    no(exp.run.threads != Some(0), "run.threads: expected at least 1, got 0".to_owned());
}

fn check_model(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    if let Err(e) = exp.tuning.check() {
        no(false, e.to_string());
    }
    let (method, last) = (exp.tuning.name(), exp.model.backbone.last_layer());
    if let (Some(layer), Some(last)) = (exp.model.layer, last) {
        no(layer <= last, format!("model.layer: expected 0 to {last}, got {layer}"));
    }
    let full = matches!(exp.tuning, Tuning::Full(_));
    no(
        !(full && exp.model.frozen_stats == FrozenStats::Batch),
        "model.frozen_stats: nothing is frozen under full tuning; leave it out".to_owned(),
    );
    let low_rank = matches!(exp.tuning, Tuning::Lora(_) | Tuning::Dora(_));
    no(
        low_rank || exp.optim.lora_plus_ratio.is_none(),
        format!("optim.lora_plus_ratio: expected lora or dora, got {method}: leave it out"),
    );
    if !exp.trainer.checkpoint {
        return;
    }
    no(
        last.is_some(),
        format!(
            "trainer.checkpoint: expected a backbone with encoder layers: musicfm, mert, ast or tmae, got {}",
            exp.model.backbone.name()
        ),
    );
    no(
        !matches!(exp.tuning, Tuning::Probe(_)),
        "trainer.checkpoint: no gradient enters the backbone under probe; leave it out".to_owned(),
    );
}

fn check_objective(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let headless = matches!(exp.model.head, HeadConfig::None(_));
    let name = match &exp.objective {
        ObjectiveConfig::Supervised(_) => {
            let got = if headless { "none" } else { "projection" };
            let text = format!(
                "model.head.kind: expected linear, mlp or published, got {got}: this objective is supervised"
            );
            let projects = matches!(exp.model.head, HeadConfig::Projection(_));
            return no(!headless && !projects, text);
        }
        ObjectiveConfig::MaskedTokens(_) => "masked_tokens",
        ObjectiveConfig::Contrastive(_) => "contrastive",
        ObjectiveConfig::MaskedPatches(_) => "masked_patches",
    };
    let full = matches!(exp.tuning, Tuning::Full(_));
    no(full, format!("tuning.method: expected full: {name} learns the backbone"));
    if let ObjectiveConfig::Contrastive(cfg) = &exp.objective {
        return check_contrastive(exp, cfg, no);
    }
    no(headless, format!("model.head.kind: expected none: {name} learns the backbone"));
    let on = format!("expected true: {name} learns with what only pre-training needs");
    let on = format!("model.backbone.pretraining: {on}");
    match (&exp.objective, &exp.model.backbone) {
        (ObjectiveConfig::MaskedPatches(cfg), backbone) => {
            let inside = cfg.ratio > 0.0 && cfg.ratio < 1.0;
            let got = cfg.ratio;
            no(inside, format!("objective.ratio: expected between 0 and 1, got {got}"));
            match backbone {
                BackboneConfig::Tmae(net) => no(net.pretraining, on),
                other => {
                    let name = other.name();
                    no(false, format!("model.backbone.name: expected tmae, got {name}"));
                }
            }
        }
        (_, BackboneConfig::MusicFm(net)) => {
            no(net.pretraining, on);
            check_blocks(exp, no);
        }
        (_, other) => {
            let name = other.name();
            no(false, format!("model.backbone.name: expected musicfm, got {name}"));
        }
    }
}

/// Crops of whole blocks, as masked tokens need them.
fn check_blocks(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let (block, token) = (masked::BLOCK as u64, masked::BLOCK as u64 / masked::BLOCK_TOKENS as u64);
    for (key, crop) in [("data.crop", exp.data.crop), ("eval.window", exp.eval_loader().crop)] {
        let fits = crop.steps().is_some_and(|n| n >= block && n.is_multiple_of(token));
        no(fits, format!("{key}.steps: expected a multiple of {token}, at least {block}"));
    }
}

fn check_contrastive(exp: &Experiment, cfg: &ContrastiveConfig, no: &mut impl FnMut(bool, String)) {
    let projects = matches!(exp.model.head, HeadConfig::Projection(_));
    no(projects, "model.head.kind: expected projection: contrastive compares those".to_owned());
    let drops = "data.drop_last: expected true: contrastive needs batches of one size";
    no(exp.data.drop_last, drops.to_owned());
    no(exp.data.batch > 1, "data.batch: expected 2 or more: clips are told apart".to_owned());
    let samples = cfg.augment.samples as u64;
    let fits = exp.data.crop.steps().is_none_or(|steps| steps >= samples);
    no(fits, format!("data.crop.steps: expected {samples} or more, as a view has"));
    let positive = cfg.temperature.is_finite() && cfg.temperature > 0.0;
    let got = cfg.temperature;
    no(positive, format!("objective.temperature: expected above 0, got {got}"));
    no(cfg.threads > 0, "objective.threads: expected at least 1, got 0".to_owned());
    if let Err(e) = cfg.augment.check(LOWEST_RATE) {
        no(false, format!("objective.augment.{e}"));
    }
}

fn check_cache(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    if exp.data.cache.is_none() {
        return;
    }
    let frozen = !exp.tuning.method().trains_base();
    let text = format!("data.cache: {} trains the whole network", exp.tuning.name());
    no(frozen, format!("{text}; leave out data.cache, or use a method that leaves its beginning"));
    no(
        exp.model.frozen_stats == FrozenStats::Running,
        "data.cache: frozen parts that follow the batch give the same audio another output in every epoch; \
         expected model.frozen_stats = \"running\""
            .to_owned(),
    );
    if let Crop::Random { steps } | Crop::Once { steps } = exp.data.crop {
        let grid = format!("{{ kind = \"grid\", steps = {steps}, windows = 8 }}");
        no(false, format!("data.crop: there is no end of random windows to keep; expected {grid}"));
    }
}

fn check_optim(optim: &OptimConfig, no: &mut impl FnMut(bool, String)) {
    let positive = |x: f64| x.is_finite() && x > 0.0;
    let decay = |x: f64| x.is_finite() && x >= 0.0;
    no(positive(optim.lr), format!("optim.lr: expected above 0, got {}", optim.lr));
    if let Some(clip) = optim.clip {
        no(positive(clip), format!("optim.clip: expected above 0, or no such key, got {clip}"));
    }
    if let Some(ratio) = optim.lora_plus_ratio {
        no(positive(ratio), format!("optim.lora_plus_ratio: expected above 0, got {ratio}"));
    }
    for g in &optim.groups {
        let text = format!("optim.groups: {}: expected a lr_scale of 0 or more", g.prefix);
        no(decay(g.lr_scale), text);
    }
    let mut rules = vec![("optim", &optim.rule)];
    if let ScheduleConfig::Staged(s) = &optim.schedule {
        rules.extend(s.stages.iter().map(|s| ("optim.schedule.stages.rule", &s.rule)));
    }
    for (place, rule) in rules {
        let (weight_decay, moments) = match rule {
            Rule::Adam(c) => (c.weight_decay, Some((c.betas, c.eps))),
            Rule::AdamW(c) => (c.weight_decay, Some((c.betas, c.eps))),
            Rule::Sgd(c) => {
                let ahead = !c.nesterov || (c.momentum > 0.0 && c.dampening == 0.0);
                no(ahead, format!("{place}.nesterov: needs momentum above 0 and no dampening"));
                no(decay(c.momentum), format!("{place}.momentum: expected 0 or more"));
                (c.weight_decay, None)
            }
        };
        no(decay(weight_decay), format!("{place}.weight_decay: expected 0 or more"));
        if let Some((betas, eps)) = moments {
            let inside = betas.iter().all(|b| (0.0..1.0).contains(b));
            no(inside, format!("{place}.betas: expected two numbers from 0 to below 1"));
            no(positive(eps), format!("{place}.eps: expected above 0"));
        }
    }
}

fn check_schedule(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let place = "optim.schedule";
    match &exp.optim.schedule {
        ScheduleConfig::Constant(_) => {}
        ScheduleConfig::Linear(d) | ScheduleConfig::Cosine(d) => {
            no(d.steps != Some(0), format!("{place}.steps: expected at least 1, got 0"));
            let below = (0.0..=exp.optim.lr).contains(&d.lr_min);
            no(below, format!("{place}.lr_min: expected from 0 to optim.lr, got {}", d.lr_min));
        }
        ScheduleConfig::Plateau(p) => {
            let inside = p.factor > 0.0 && p.factor < 1.0;
            no(inside, format!("{place}.factor: expected between 0 and 1, got {}", p.factor));
            let seen = p.watch != Watch::ValidLoss || exp.trainer.validate_steps.is_none();
            no(
                seen,
                format!(
                    "{place}.watch: valid_loss is looked at after every epoch; leave out trainer.validate_steps"
                ),
            );
        }
        ScheduleConfig::EpochDecay(d) => {
            no(d.warmup > 0, format!("{place}.warmup: expected at least 1, got 0"));
            no(d.every > 0, format!("{place}.every: expected at least 1, got 0"));
            let inside = d.factor > 0.0 && d.factor <= 1.0;
            no(inside, format!("{place}.factor: expected above 0, at most 1, got {}", d.factor));
        }
        ScheduleConfig::Staged(s) => {
            no(!s.stages.is_empty(), format!("{place}.stages: expected at least one"));
            let rising = s.stages.windows(2).all(|w| w[0].from_epoch < w[1].from_epoch);
            no(rising, format!("{place}.stages: expected rising from_epoch"));
            let rates = s.stages.iter().all(|s| s.lr > 0.0 && s.lr.is_finite());
            no(rates, format!("{place}.stages: expected an lr above 0 in every stage"));
        }
    }
}

fn check_trainer(exp: &Experiment, no: &mut impl FnMut(bool, String)) {
    let t = &exp.trainer;
    no(
        t.steps.is_some() != t.epochs.is_some(),
        "trainer: expected either `steps` or `epochs`".to_owned(),
    );
    let lengths = [
        ("steps", t.steps),
        ("epochs", t.epochs),
        ("accumulate", Some(t.accumulate)),
        ("epoch_batches", t.epoch_batches),
        ("validate_steps", t.validate_steps),
        ("save_steps", Some(t.save_steps)),
        ("log_steps", Some(t.log_steps)),
        ("keep.best", Some(t.keep.best as u64)),
    ];
    for (key, value) in lengths {
        no(value != Some(0), format!("trainer.{key}: expected at least 1, got 0"));
    }
    let names = exp.objective.score_names();
    let KeepConfig { by, mode, .. } = &t.keep;
    no(
        names.iter().any(|n| n == by),
        format!("trainer.keep.by: expected one of {}, got {by:?}", names.join(", ")),
    );
    if let Some(stop) = t.stop.as_ref().and_then(|s| s.by.as_ref()) {
        no(
            names.iter().any(|n| n == stop),
            format!("trainer.stop.by: expected one of {}, got {stop:?}", names.join(", ")),
        );
    }
    let lower = by == crate::LOSS;
    no(
        lower == (*mode == Mode::Min),
        format!(
            "trainer.keep.mode: {by} is better when {}; expected \"{}\"",
            if lower { "lower" } else { "higher" },
            if lower { "min" } else { "max" }
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
run = { seed = 1 }
data = { view = 'a', shards = 'a-16k', crop = { kind = 'whole' }, batch = 4 }
model = { backbone = { name = 'vggish', preset = 'limited' }, head = { kind = 'published' } }
tuning = { method = 'full' }
objective = { kind = 'supervised', task = { kind = 'tagging' } }
optim = { kind = 'adam', lr = 1e-3 }
trainer = { steps = 10 }
";

    #[test]
    fn every_contradiction_is_named_with_its_key() {
        let table = [
            ("data.batch=0", "data.batch: expected at least 1, got 0"),
            ("data.view=../x", "data.view: expected the name of a view, got \"../x\""),
            ("data.crop={ kind = 'random', steps = 0 }", "data.crop.steps: expected at least 1"),
            ("eval.window={ steps = 5, hop = 0 }", "eval.window: crop.hop: expected at least 1"),
            ("optim.lr=-1.0", "optim.lr: expected above 0, got -1"),
            ("optim.clip=0.0", "optim.clip: expected above 0"),
            ("optim.betas=[0.9, 1.0]", "optim.betas: expected two numbers from 0 to below 1"),
            ("optim={ kind = 'sgd', lr = 1.0, nesterov = true }", "optim.nesterov: needs momentum"),
            ("optim.schedule={ kind = 'cosine', lr_min = 1.0 }", "optim.schedule.lr_min: expected"),
            (
                "optim.schedule={ kind = 'plateau', factor = 2.0 }",
                "optim.schedule.factor: expected",
            ),
            ("optim.schedule={ kind = 'staged', stages = [] }", "expected at least one"),
            ("trainer.epochs=3", "trainer: expected either `steps` or `epochs`"),
            ("trainer.accumulate=0", "trainer.accumulate: expected at least 1, got 0"),
            ("trainer.epoch_batches=0", "trainer.epoch_batches: expected at least 1, got 0"),
            ("optim.lora_plus_ratio=0", "optim.lora_plus_ratio: expected above 0, got 0"),
            ("trainer.log_steps=0", "trainer.log_steps: expected at least 1, got 0"),
            ("data.cache={}", "data.cache: full trains the whole network; leave out data.cache"),
            ("trainer.keep.by=map", "expected one of mAP, ROC-AUC, loss, got \"map\""),
            ("trainer.keep.by=loss", "loss is better when lower; expected \"min\""),
        ];
        Experiment::parse("x.toml", TEXT, &[]).unwrap();
        for (set, want) in table {
            let text =
                Experiment::parse("x.toml", TEXT, &[set.to_owned()]).unwrap_err().to_string();
            assert!(text.starts_with("x.toml: ") && text.contains(want), "{set}: {text}");
        }
    }

    #[test]
    fn what_pretraining_cannot_work_with_is_told_at_once() {
        let sets = ["objective={ kind = 'masked_tokens' }".to_owned()];
        let text = Experiment::parse("x.toml", TEXT, &sets).unwrap_err().to_string();
        for want in [
            "trainer.keep.by: expected one of accuracy, loss",
            "model.head.kind: expected none",
            "model.backbone.name: expected musicfm, got vggish",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
        let sets = [
            "objective={ kind = 'masked_tokens' }",
            "model={ backbone = { name = 'musicfm' }, head = { kind = 'none' } }",
            "tuning={ method = 'lora' }",
            "data.crop={ kind = 'random', steps = 9601 }",
            "trainer.keep={ by = 'loss', mode = 'min' }",
        ];
        let sets = sets.map(str::to_owned);
        let text = Experiment::parse("x.toml", TEXT, &sets).unwrap_err().to_string();
        for want in [
            "tuning.method: expected full",
            "model.backbone.pretraining: expected true",
            "data.crop.steps: expected a multiple of 960, at least 9600",
            "eval.window.steps: expected a multiple of 960",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
        let sets = ["model.head={ kind = 'none' }".to_owned()];
        let text = Experiment::parse("x.toml", TEXT, &sets).unwrap_err().to_string();
        assert!(text.contains("model.head.kind: expected linear, mlp or published"), "{text}");
    }

    #[test]
    fn what_a_network_or_method_cannot_do_is_told_before_anything_is_read() {
        let musicfm =
            "model={ backbone = { name = 'musicfm', layers = 2 }, head = { kind = 'mlp' } }";
        let parse = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|&s| s.to_owned()).collect();
            Experiment::parse("x.toml", TEXT, &sets)
        };
        for set in ["tuning.method=full", "tuning={ method = 'lora' }"] {
            parse(&[musicfm, set, "trainer.checkpoint=true"]).unwrap();
        }
        for backbone in ["ast', preset = 'limited_fixed', layers = 2", "tmae', layers = 2"] {
            let model = format!(
                "model={{ backbone = {{ name = '{backbone} }}, head = {{ kind = 'mlp' }} }}"
            );
            parse(&[&model, "trainer.checkpoint=true"]).unwrap();
        }
        let table = [
            (
                "tuning={ method = 'lora', rank = { attention = 0, ffn = 0, conv = 0 } }",
                "tuning.rank: expected at least 1",
            ),
            (
                "tuning={ method = 'dora', targets = ['query'], rank = { attention = 0 } }",
                "tuning.rank: expected at least 1",
            ),
            (
                "tuning={ method = 'lora', rank = { attention = -2 } }",
                "tuning.rank: expected 0 or more, got -2",
            ),
            ("tuning={ method = 'lora', targets = [] }", "tuning.targets: expected at least one"),
            (
                "tuning={ method = 'lora', alpha = 0.0 }",
                "tuning.alpha: expected a number that is not 0",
            ),
            (
                "tuning={ method = 'adapter', bottleneck = 0 }",
                "tuning.bottleneck: expected at least 1, got 0",
            ),
            (
                "tuning={ method = 'prefix', tokens = 0 }",
                "tuning.tokens: expected at least 1, got 0",
            ),
            ("model.layer=3", "model.layer: expected 0 to 2, got 3"),
            ("model.frozen_stats=batch", "model.frozen_stats: nothing is frozen under full tuning"),
            (
                "optim.lora_plus_ratio=16.0",
                "optim.lora_plus_ratio: expected lora or dora, got full",
            ),
        ];
        for (set, want) in table {
            let text = parse(&[musicfm, set]).unwrap_err().to_string();
            assert!(text.starts_with("x.toml: ") && text.contains(want), "{set}: {text}");
        }
        let sets = ["trainer.checkpoint=true", "tuning={ method = 'probe' }"];
        let text = parse(&[musicfm, sets[0], sets[1]]).unwrap_err().to_string();
        assert!(text.contains("no gradient enters the backbone under probe"), "{text}");
        let text = parse(&sets[..1]).unwrap_err().to_string();
        assert!(
            text.contains("expected a backbone with encoder layers") && text.contains("got vggish"),
            "{text}"
        );
    }

    #[test]
    fn what_has_no_fixed_output_to_keep_is_told_at_once() {
        let sets = [
            "data.cache={ dtype = 'bf16' }",
            "model.frozen_stats=batch",
            "tuning={ method = 'probe' }",
            "data.crop={ kind = 'random', steps = 32768 }",
        ];
        let text =
            Experiment::parse("x.toml", TEXT, &sets.map(str::to_owned)).unwrap_err().to_string();
        for want in [
            "data.cache: frozen parts that follow the batch",
            "data.crop: there is no end of random windows to keep; \
             expected { kind = \"grid\", steps = 32768, windows = 8 }",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
        let sets = ["data.cache={ dtype = 'f16' }".to_owned()];
        let text = Experiment::parse("x.toml", TEXT, &sets).unwrap_err().to_string();
        assert!(text.contains("expected `bf16` or `f32`"), "{text}");
        let sets = ["data.cache={ fill = 'after' }".to_owned()];
        let text = Experiment::parse("x.toml", TEXT, &sets).unwrap_err().to_string();
        assert!(text.contains("expected `first_epoch` or `before`"), "{text}");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let sets = ["data.batch=0".to_owned(), "optim.lr=0.0".to_owned()];
        let text = Experiment::parse("x.toml", TEXT, &sets).unwrap_err().to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
