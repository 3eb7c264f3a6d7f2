//! The road of fixtures/peft: published starting values, then logits, loss, every gradient, three optimizer steps,
//! batch norm in training mode, merging. One function per fact, for any backbone.

use std::collections::BTreeMap;

use etude_models::peft::{Adapter, BitFit, Full, Lora, Prefixes, Probe, Rank, Ssf};
use etude_models::weights::{self, TensorFile};
use etude_models::{
    BackboneConfig, FrozenStats, HeadConfig, Layer, MlpHead, Model, ModelConfig, NameMap, Tuning,
};
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use super::{assert_close, fixture, open, rule};

/// A backbone with its fixture.
pub struct Case {
    /// First part of the sets' names, and of the names inside them.
    pub name: &'static str,
    pub backbone: BackboneConfig,
    /// Its weights, below `fixtures/`.
    pub weights: &'static str,
    /// Its wave, below `fixtures/`.
    pub input: &'static str,
}

/// The settings of meta.json.
pub fn tuning(method: &str) -> Tuning {
    match method {
        "finetune" => Tuning::Full(Full {}),
        "probe" => Tuning::Probe(Probe {}),
        "adapter" => Tuning::Adapter(Adapter { bottleneck: 4 }),
        "lora" => {
            let rank = Rank { attention: 3, ffn: 2, conv: 2 };
            Tuning::Lora(Lora { rank, ..Lora::default() })
        }
        "prefix" => Tuning::Prefix(Prefixes { tokens: 5, bottleneck: 6 }),
        "bitfit" => Tuning::BitFit(BitFit::default()),
        "ssf" => Tuning::Ssf(Ssf::default()),
        other => panic!("no method {other}"),
    }
}

/// A set of fixtures/peft and the model it is about.
pub struct Set<'a> {
    case: &'a Case,
    expected: TensorFile,
    pub model: Model,
    method: &'a str,
}

impl Case {
    /// Our name for one of the published LightningModule: no prefix, no wrapper, the head in its place.
    fn name(&self, theirs: &str) -> String {
        let map = NameMap::new().strip(&format!("{}.", self.name));
        map.replace(".layer.", ".").rename("proj.", "head.proj.").apply(theirs).unwrap()
    }

    fn config(&self, frozen_stats: FrozenStats) -> ModelConfig {
        ModelConfig {
            backbone: self.backbone.clone(),
            head: HeadConfig::Mlp(MlpHead { hidden: None, dropout: 0.0 }),
            weights: Some(fixture(self.weights)),
            head_weights: false,
            layer: None,
            frozen_stats,
        }
    }

    /// The model of a set with the published starting values.
    pub fn set<'a>(&'a self, method: &'a str, frozen_stats: FrozenStats) -> Set<'a> {
        let build = Model::build(&self.config(frozen_stats), &tuning(method), 50, Device::Cpu, 0);
        let model = build.unwrap();
        let init =
            open(&format!("peft/{}_{method}/init.safetensors", self.name)).tensors().unwrap();
        let init: Vec<_> = init.into_iter().map(|(n, t)| (self.name(&n), t)).collect();
        weights::restore(&model.vs, &init, |name, _| init.iter().any(|(n, _)| n == name)).unwrap();
        let expected = open(&format!("peft/{}_{method}/expected.safetensors", self.name));
        Set { case: self, expected, model, method }
    }

    fn wave(&self) -> Tensor {
        open(self.input).tensor("wav").unwrap()
    }
}

impl Set<'_> {
    fn want(&self, name: &str) -> Tensor {
        self.expected.tensor(name).unwrap()
    }

    /// Expected tensors below `prefix`, by our names.
    fn below(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let names = self.expected.names().into_iter().filter(|n| n.starts_with(prefix));
        names.map(|n| (self.case.name(&n[prefix.len()..]), self.want(&n))).collect()
    }

    fn loss(&self, train: bool) -> (Tensor, Tensor) {
        let logits = self.model.logits(&self.case.wave(), train).unwrap();
        let y = open("peft/labels.safetensors").tensor("y").unwrap().to_kind(Kind::Float);
        let none = None::<&Tensor>;
        let loss = logits.binary_cross_entropy_with_logits(&y, none, none, Reduction::Mean);
        (logits, loss)
    }

    /// Hidden states, logits, loss.
    pub fn check_outputs(&self) {
        let hidden = self.model.backbone.hidden(&self.case.wave(), Layer::Last, false).unwrap();
        let (logits, loss) = self.loss(false);
        for (name, got) in [
            ("frame_embedding", hidden.shallow_clone()),
            ("embedding", hidden.mean_dim(1, false, Kind::Float)),
            ("logits", logits),
            ("loss", loss.reshape([1])),
        ] {
            let want = self.want(name);
            assert_close(&format!("{} {name}", self.method), &got, &want, rule(&want));
        }
    }

    /// Exactly the published tensors train, and each has the published gradient.
    pub fn check_gradients(&self) {
        let (_, loss) = self.loss(false);
        loss.backward();
        self.compare_gradients("grad/");
        let squares =
            self.model.trainable().into_iter().map(|(_, t)| t.grad().square().sum(Kind::Double));
        let norm = squares.map(|s| s.double_value(&[])).sum::<f64>().sqrt();
        let want = self.want("grad_norm").double_value(&[0]);
        assert!(
            (norm - want).abs() <= 1e-5 * want,
            "{}: norm {norm}, expected {want}",
            self.method
        );
    }

    fn compare_gradients(&self, prefix: &str) {
        let want = self.below(prefix);
        let ours: Vec<String> = self.model.trainable().into_iter().map(|(n, _)| n).collect();
        assert_eq!(ours, want.keys().cloned().collect::<Vec<_>>(), "{}", self.method);
        // one bound per set: gradients that are zero in exact arithmetic have no scale of their own
        let scale = want.values().map(|t| t.abs().max().double_value(&[])).fold(0.0, f64::max);
        for (name, tensor) in self.model.trainable() {
            let atol = rule(&want[&name]).max(1e-6 * scale);
            assert_close(
                &format!("{} {prefix}{name}", self.method),
                &tensor.grad(),
                &want[&name],
                atol,
            );
        }
    }

    /// Three AdamW steps at a constant rate, no clipping; weight decay 0.01.
    pub fn check_adamw(&self, atol: f64) {
        let losses = self.train(|_| 1e-3, 0.01, f64::INFINITY);
        self.compare_parameters("adamw", &losses, atol);
    }

    /// Three Adam steps on the published cosine schedule with gradients clipped to a norm of 0.05.
    pub fn check_adam_with_schedule_and_clipping(&self, atol: f64) {
        let rate = |step: f64| {
            1e-7 + 0.5 * (1e-3 - 1e-7) * (1.0 + (std::f64::consts::PI * step / 10.0).cos())
        };
        let losses = self.train(rate, 0.0, 0.05);
        self.compare_parameters("adamclip", &losses, atol);
    }

    fn compare_parameters(&self, kind: &str, losses: &[f64], atol: f64) {
        let want = self.want(&format!("{kind}.losses"));
        assert_close(
            &format!("{} {kind} losses", self.method),
            &Tensor::from_slice(losses),
            &want,
            2e-5,
        );
        let want = self.below(&format!("{kind}/"));
        for (name, tensor) in &want {
            let got = self.model.vs.get(name).unwrap();
            assert_close(&format!("{} {kind}/{name}", self.method), &got, tensor, atol);
        }
    }

    /// Loss before each of three steps and after the last.
    fn train(&self, rate: impl Fn(f64) -> f64, decay: f64, clip: f64) -> Vec<f64> {
        let params = self.model.trainable();
        let zeros = || params.iter().map(|(_, p)| p.zeros_like()).collect::<Vec<_>>();
        let (mut first, mut second) = (zeros(), zeros());
        let mut losses = Vec::new();
        for step in 0..3 {
            let (_, loss) = self.loss(false);
            losses.push(loss.double_value(&[]));
            loss.backward();
            let squares = params.iter().map(|(_, p)| p.grad().square().sum(Kind::Double));
            let norm = squares.map(|s| s.double_value(&[])).sum::<f64>().sqrt();
            let (lr, n) = (rate(f64::from(step)), step + 1);
            no_grad(|| {
                for (i, (_, p)) in params.iter().enumerate() {
                    let (mut p, g) =
                        (p.shallow_clone(), p.grad() * (clip / (norm + 1e-6)).min(1.0));
                    let _ = p.g_mul_scalar_(1.0 - lr * decay);
                    first[i] = &first[i] * 0.9 + &g * 0.1;
                    second[i] = &second[i] * 0.999 + g.square() * 0.001;
                    let root = second[i].sqrt() / (1.0f64 - 0.999f64.powi(n)).sqrt() + 1e-8;
                    let _ = p.g_sub_(&(&first[i] / root * (lr / (1.0 - 0.9f64.powi(n)))));
                    p.zero_grad();
                }
            });
        }
        losses.push(self.loss(false).1.double_value(&[]));
        losses
    }

    /// Batch norms in training mode, as the published runs have them: logits, loss, gradients, running statistics.
    pub fn check_batch_statistics(&self) {
        let (logits, loss) = self.loss(true);
        loss.backward();
        for (name, got) in [("bntrain.logits", logits), ("bntrain.loss", loss.reshape([1]))] {
            let want = self.want(name);
            assert_close(&format!("{} {name}", self.method), &got, &want, rule(&want));
        }
        self.compare_gradients("bntrain.grad/");
        for name in ["conv.conv.0.bn1.running_mean", "conv.conv.0.bn1.running_var"] {
            let want = self.want(&format!("bntrain.{name}"));
            assert_close(name, &self.model.vs.get(name).unwrap(), &want, rule(&want));
        }
    }

    /// The base with the update folded in, under a plain head, gives the published merged logits.
    pub fn check_merged(&self) {
        let merged = self.model.merged().unwrap();
        let plain = Tuning::Probe(Probe {});
        let plain =
            Model::build(&self.case.config(FrozenStats::Running), &plain, 50, Device::Cpu, 0)
                .unwrap();
        let head = self.model.trainable().into_iter().filter(|(n, _)| n.starts_with("head."));
        let ours = plain.vs.select(|_, _| true);
        let state: Vec<_> = merged.into_iter().chain(head).collect();
        // a shift on a layer without bias would have no place; published methods make none
        assert_eq!(state.len(), ours.len());
        weights::restore(&plain.vs, &state, |_, _| true).unwrap();
        let got = plain.logits(&self.case.wave(), false).unwrap();
        let want = self.want("merged.logits");
        assert_close(&format!("{} merged", self.method), &got, &want, rule(&want));
    }
}
