//! Optimizers in tensor operations, equal to torch's, with a state that can be saved: resuming is exact.
//!
//! libtorch's own optimizers keep their moments where tch cannot read them (no way to resume) and do not return the
//! gradient norm. Every update runs without recording gradients and skips parameters that received none.

mod adam;
mod adamw;
mod lists;
mod sgd;

pub use adam::{Adam, AdamConfig};
pub use adamw::{AdamW, AdamWConfig};
pub(crate) use lists::lists;
pub use sgd::{Sgd, SgdConfig};

use crate::error::{Error, Result};
use crate::schedule::ScheduleConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use tch::Tensor;

/// The `[optim]` section: one [`Rule`] plus how its rate moves.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct OptimConfig {
    /// The update; its keys stand beside the others in the file.
    pub rule: Rule,
    /// Learning rate before the schedule.
    pub lr: f64,
    /// How the rate moves; constant when left out.
    pub schedule: ScheduleConfig,
    /// Largest global gradient norm; no clipping when left out.
    pub clip: Option<f64>,
    /// Parameters with a rate of their own; the first prefix that fits counts.
    pub groups: Vec<GroupConfig>,
    /// LoRA+ (arXiv:2402.12354): multiplies the rate of LoRA's B matrices; the same rate for all when left out.
    pub lora_plus_ratio: Option<f64>,
}

/// Parameters whose names start alike, with their own share of the rate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Start of the parameter names, e.g. `head.`.
    pub prefix: String,
    /// Multiplies the rate.
    pub lr_scale: f64,
}

/// The update of one step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Rule {
    /// Weight decay is added to the gradient.
    Adam(AdamConfig),
    /// Weight decay shrinks the weights, apart from the moments.
    AdamW(AdamWConfig),
    /// Plain, with momentum, or Nesterov.
    Sgd(SgdConfig),
}

impl fmt::Display for Rule {
    /// As a line of a training log names it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Rule::Adam(_) => write!(f, "Adam"),
            Rule::AdamW(_) => write!(f, "AdamW"),
            Rule::Sgd(SgdConfig { momentum: 0.0, .. }) => write!(f, "SGD"),
            Rule::Sgd(SgdConfig { momentum, nesterov, .. }) => {
                let kind = if *nesterov { "Nesterov momentum" } else { "momentum" };
                write!(f, "SGD, {kind} {momentum}")
            }
        }
    }
}

/// A tensor to train.
#[derive(Debug)]
pub struct Param {
    /// Dotted name, as in checkpoints.
    pub name: String,
    /// Shares its memory with the model.
    pub tensor: Tensor,
    /// Multiplies the learning rate.
    pub lr_scale: f64,
}

/// Moves parameters against their gradients.
pub trait Optimizer {
    /// One update at the given rate; parameters without a gradient stay.
    fn step(&mut self, lr: f64) -> Result<()>;
    /// The parameters, in the order they were given.
    fn params(&self) -> &[Param];
    /// Everything the next step depends on, by name; ends in the parameter's name.
    fn state(&self) -> Vec<(String, Tensor)>;
    /// Takes over a state; every name must be there with its shape, and no other.
    fn restore(&mut self, state: Vec<(String, Tensor)>) -> Result<()>;

    /// Takes all gradients away: a parameter that the next loss does not reach has none, and [`Optimizer::step`] leaves
    /// it and its moments alone.
    fn zero_grad(&mut self) -> Result<()> {
        for p in self.params() {
            etude_aten::clear_grad(&p.tensor)?;
        }
        Ok(())
    }
}

impl Rule {
    /// Plain SGD.
    pub fn sgd() -> Self {
        Rule::Sgd(SgdConfig::default())
    }

    /// An optimizer whose state starts at zero.
    pub fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        match self {
            Rule::Adam(cfg) => Box::new(Adam::new(cfg, params)),
            Rule::AdamW(cfg) => Box::new(AdamW::new(cfg, params)),
            Rule::Sgd(cfg) => Box::new(Sgd::new(cfg, params)),
        }
    }
}

impl OptimConfig {
    /// The rate multiplier of a parameter.
    pub fn lr_scale(&self, name: &str) -> f64 {
        let group = self.groups.iter().find(|g| name.starts_with(&g.prefix));
        let scale = group.map_or(1.0, |g| g.lr_scale);
        match self.lora_plus_ratio {
            Some(ratio) if name.ends_with(".lora_B") => scale * ratio,
            _ => scale,
        }
    }
}

impl TryFrom<toml::Table> for OptimConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        fn take<T: for<'a> Deserialize<'a>>(
            table: &mut toml::Table,
            key: &str,
        ) -> Result<Option<T>, String> {
            let value = table.remove(key).map(toml::Value::try_into).transpose();
            value.map_err(|e| format!("optim.{key}: {}", e.to_string().trim()))
        }
        let lr = take(&mut table, "lr")?.ok_or("optim: missing key `lr`")?;
        let schedule = take(&mut table, "schedule")?.unwrap_or_default();
        let clip = take(&mut table, "clip")?;
        let groups = take(&mut table, "groups")?.unwrap_or_default();
        let lora_plus_ratio = take(&mut table, "lora_plus_ratio")?;
        let rule = toml::Value::Table(table).try_into::<Rule>().map_err(|e| {
            format!(
                "optim: {} (beside `kind`, `lr`, `schedule`, `clip`, `groups` and `lora_plus_ratio`)",
                e.to_string().trim()
            )
        })?;
        Ok(Self { rule, lr, schedule, clip, groups, lora_plus_ratio })
    }
}

/// Saved tensors by name, handed out one by one with their shapes checked.
struct Saved(BTreeMap<String, Tensor>);

impl Saved {
    fn new(state: Vec<(String, Tensor)>) -> Self {
        Self(state.into_iter().collect())
    }

    /// Copies the tensor of this name into `into`.
    fn load(&mut self, name: &str, into: &mut Tensor) -> Result<()> {
        let saved = self.take(name)?;
        if saved.size() != into.size() {
            let text = format!("{name}: expected shape {:?}, got {:?}", into.size(), saved.size());
            return Err(Error::OptimState { text });
        }
        into.f_copy_(&saved)?;
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<Tensor> {
        let text = || format!("{name}: expected in the checkpoint, not there");
        self.0.remove(name).ok_or_else(|| Error::OptimState { text: text() })
    }

    /// The number of updates, saved under `name`.
    fn count(&mut self, name: &str) -> Result<i64> {
        Ok(self.take(name)?.f_int64_value(&[])?)
    }

    /// Every name has been asked for.
    fn end(self) -> Result<()> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => {
                let text = format!("{name}: in the checkpoint, but not a state of this optimizer");
                Err(Error::OptimState { text })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<OptimConfig, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_keys_of_the_rule_stand_beside_the_common_ones() {
        let cfg = parse(
            "kind = 'adam'\nlr = 1e-3\nweight_decay = 1e-5\nclip = 1.0\ngroups = [{ prefix = 'head.', lr_scale = 10.0 }]",
        )
        .unwrap();
        assert_eq!(cfg.rule, Rule::Adam(AdamConfig { weight_decay: 1e-5, ..Default::default() }));
        assert_eq!((cfg.lr, cfg.clip), (1e-3, Some(1.0)));
        assert_eq!((cfg.lr_scale("head.0.weight"), cfg.lr_scale("layers.0")), (10.0, 1.0));
    }

    #[test]
    fn lora_plus_moves_b_faster_and_nothing_else() {
        let cfg = parse("kind = 'adamw'\nlr = 1e-4\nlora_plus_ratio = 16").unwrap();
        let layer = "conformer.layers.0.self_attn.linear_q";
        assert_eq!(cfg.lr_scale(&format!("{layer}.lora_B")), 16.0);
        for name in ["lora_A", "weight", "bias"] {
            assert_eq!(cfg.lr_scale(&format!("{layer}.{name}")), 1.0, "{name}");
        }
        assert_eq!(cfg.lr_scale("head.proj.0.bias"), 1.0);
    }

    #[test]
    fn a_wrong_key_names_the_right_ones() {
        let text = parse("kind = 'adam'\nlr = 1e-3\nmomentum = 0.9").unwrap_err();
        assert!(text.contains("unknown field `momentum`"), "{text}");
        assert!(text.contains("`betas`") && text.contains("`clip`"), "{text}");
        let text = parse("kind = 'adma'\nlr = 1e-3").unwrap_err();
        assert!(text.contains("unknown variant `adma`") && text.contains("`adamw`"), "{text}");
        assert!(parse("kind = 'sgd'").unwrap_err().contains("missing key `lr`"));
    }
}
