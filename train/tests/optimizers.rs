//! Every optimizer against libtorch's own, on random problems.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_train::optim::{AdamConfig, AdamWConfig, Param, Rule, SgdConfig};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

/// Relative to the weights' scale of about 1: a few roundings of float32 per step.
const TOLERANCE: f64 = 2e-6;
const STEPS: i64 = 40;
const LR: f64 = 0.05;

fn weights(vs: &nn::VarStore) -> Vec<Tensor> {
    let root = vs.root();
    let init = |name: &str, shape: &[i64], seed: i64| {
        let w = (Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)) * 0.7
            + seed)
            .sin();
        root.var_copy(name, &w.view(shape))
    };
    vec![init("a", &[5, 7], 1), init("b", &[7], 2), init("unused", &[3], 3)]
}

/// A smooth loss that differs from step to step; `unused` gets no gradient.
fn loss(w: &[Tensor], step: i64) -> Tensor {
    let x = (Tensor::arange(20, (Kind::Float, Device::Cpu)) * (0.3 + step as f64 * 0.1))
        .cos()
        .view([4, 5]);
    let y = (x.matmul(&w[0]) + &w[1]).tanh();
    (y - 0.3).square().sum(Kind::Float)
}

/// Largest distance to the reference over all weights and steps.
fn distance(rule: &Rule, reference: impl OptimizerConfig) -> f64 {
    let (ours_vs, theirs_vs) = (nn::VarStore::new(Device::Cpu), nn::VarStore::new(Device::Cpu));
    let (ours, theirs) = (weights(&ours_vs), weights(&theirs_vs));
    let mut reference = reference.build(&theirs_vs, LR).unwrap();
    let mut opt = rule.build(params(&ours));
    let mut worst = 0f64;
    for step in 0..STEPS {
        let lr = LR / (1 + step / 10) as f64;
        reference.set_lr(lr);
        reference.backward_step(&loss(&theirs, step));
        opt.zero_grad().unwrap();
        loss(&ours, step).backward();
        opt.step(lr).unwrap();
        for (a, b) in ours.iter().zip(&theirs) {
            worst = worst.max((a - b).abs().max().double_value(&[]));
        }
    }
    worst
}

fn params(w: &[Tensor]) -> Vec<Param> {
    let names = ["a", "b", "unused"];
    names
        .iter()
        .zip(w)
        .map(|(name, t)| Param {
            name: (*name).to_owned(),
            tensor: t.shallow_clone(),
            lr_scale: 1.0,
        })
        .collect()
}

#[test]
fn adam_moves_as_the_reference_does() {
    for wd in [0.0, 1e-2] {
        let rule = Rule::Adam(AdamConfig { weight_decay: wd, ..Default::default() });
        let d = distance(&rule, nn::Adam { wd, ..Default::default() });
        assert!(d < TOLERANCE, "weight decay {wd}: {d}");
    }
}

#[test]
fn adam_with_other_moments_moves_as_the_reference_does() {
    let rule = Rule::Adam(AdamConfig { betas: [0.95, 0.9], eps: 1e-6, weight_decay: 5e-3 });
    let d =
        distance(&rule, nn::Adam { beta1: 0.95, beta2: 0.9, eps: 1e-6, wd: 5e-3, amsgrad: false });
    assert!(d < TOLERANCE, "{d}");
}

#[test]
fn adamw_moves_as_the_reference_does() {
    let rule = Rule::AdamW(AdamWConfig { weight_decay: 0.1, ..Default::default() });
    let d = distance(&rule, nn::AdamW { wd: 0.1, ..Default::default() });
    assert!(d < TOLERANCE, "{d}");
}

#[test]
fn sgd_moves_as_the_reference_does() {
    for (momentum, nesterov, wd) in [(0.0, false, 0.0), (0.9, false, 1e-2), (0.9, true, 1e-3)] {
        let cfg = SgdConfig { momentum, nesterov, weight_decay: wd, dampening: 0.0 };
        let d = distance(&Rule::Sgd(cfg), nn::Sgd { momentum, dampening: 0.0, wd, nesterov });
        assert!(d < TOLERANCE, "{momentum} {nesterov}: {d}");
    }
}

#[test]
fn a_restored_optimizer_goes_on_to_the_same_bits() {
    let rules = [
        Rule::Adam(AdamConfig::default()),
        Rule::AdamW(AdamWConfig::default()),
        Rule::Sgd(SgdConfig { momentum: 0.9, ..Default::default() }),
    ];
    for rule in rules {
        let vs = nn::VarStore::new(Device::Cpu);
        let w = weights(&vs);
        let mut opt = rule.build(params(&w));
        let run = |opt: &mut Box<dyn etude_train::optim::Optimizer>,
                   steps: std::ops::Range<i64>| {
            for step in steps {
                opt.zero_grad().unwrap();
                loss(&w, step).backward();
                opt.step(LR).unwrap();
            }
            w.iter().map(|t| t.copy()).collect::<Vec<_>>()
        };
        run(&mut opt, 0..7);
        let saved: Vec<(String, Tensor)> =
            opt.state().into_iter().map(|(n, t)| (n, t.copy())).collect();
        let at_save: Vec<Tensor> = w.iter().map(|t| t.copy()).collect();
        let straight = run(&mut opt, 7..12);
        tch::no_grad(|| w.iter().zip(&at_save).for_each(|(t, s)| t.shallow_clone().copy_(s)));
        let mut resumed = rule.build(params(&w));
        resumed.restore(saved).unwrap();
        let again = run(&mut resumed, 7..12);
        assert!(straight.iter().zip(&again).all(|(a, b)| a.equal(b)), "{rule:?}");
    }
}

#[test]
fn a_state_of_another_model_is_refused() {
    let vs = nn::VarStore::new(Device::Cpu);
    let w = weights(&vs);
    let mut opt = Rule::Adam(AdamConfig::default()).build(params(&w));
    let mut state = opt.state();
    state[0].1 = Tensor::zeros([2, 2], (Kind::Float, Device::Cpu));
    let text = opt.restore(state).unwrap_err().to_string();
    assert!(text.contains("exp_avg.a: expected shape [5, 7], got [2, 2]"), "{text}");
    let text = opt.restore(Vec::new()).unwrap_err().to_string();
    assert!(text.contains("exp_avg.a: expected in the checkpoint"), "{text}");
    let mut state = opt.state();
    state.push(("exp_avg.z".to_owned(), Tensor::from(0f32)));
    assert!(opt.restore(state).unwrap_err().to_string().contains("exp_avg.z"));
}

#[test]
fn a_group_has_its_own_rate() {
    let vs = nn::VarStore::new(Device::Cpu);
    let w = weights(&vs);
    let before: Vec<Tensor> = w.iter().map(|t| t.copy()).collect();
    let mut p = params(&w);
    p[1].lr_scale = 0.0;
    let mut opt = Rule::sgd().build(p);
    loss(&w, 0).backward();
    opt.step(LR).unwrap();
    assert!(!w[0].equal(&before[0]) && w[1].equal(&before[1]));
}

/// Two parameters over six steps; a loss reaches `b` in the first, fourth and fifth only.
fn now_and_then(rule: &Rule) -> Vec<f64> {
    let leaf = |x: &[f32]| Tensor::from_slice(x).set_requires_grad(true);
    let (a, b) = (leaf(&[0.5, -1.0, 2.0]), leaf(&[1.0, -0.25]));
    let mut opt = rule.build(params(&[a.shallow_clone(), b.shallow_clone()]));
    for step in 0..6 {
        opt.zero_grad().unwrap();
        let mut loss = (&a - 0.3 * f64::from(step + 1)).square().sum(Kind::Float);
        if [0, 3, 4].contains(&step) {
            loss += (&b + 0.1 * f64::from(step)).pow_tensor_scalar(3).sum(Kind::Float);
        }
        loss.backward();
        assert_eq!(b.grad().defined(), [0, 3, 4].contains(&step));
        opt.step(0.05).unwrap();
    }
    [a, b].iter().flat_map(|t| Vec::<f64>::try_from(t.to_kind(Kind::Double)).unwrap()).collect()
}

/// The numbers are those of torch 2.11 in Python: the same problem, `zero_grad(set_to_none=True)`.
#[test]
fn a_parameter_that_a_loss_does_not_reach_keeps_value_and_moments() {
    let momentum = |cfg: SgdConfig| Rule::Sgd(SgdConfig { momentum: 0.9, dampening: 0.0, ..cfg });
    for (rule, want) in [
        (
            Rule::Adam(AdamConfig { weight_decay: 0.01, ..Default::default() }),
            [0.591_014_92, -0.698_345_54, 1.729_488_5, 0.850_860_18, -0.360_040_81],
        ),
        (
            Rule::AdamW(AdamWConfig { weight_decay: 0.1, ..Default::default() }),
            [0.578_508_68, -0.672_432_96, 1.676_081_8, 0.836_633_44, -0.357_374_16],
        ),
        (
            momentum(SgdConfig { weight_decay: 0.01, ..Default::default() }),
            [1.054_247_4, 1.445_115, 0.663_379_85, 0.088_795_632, -0.277_786_34],
        ),
        (
            momentum(SgdConfig { nesterov: true, ..Default::default() }),
            [1.238_505_1, 1.620_830_8, 0.856_179_24, -0.074_240_93, -0.287_065_06],
        ),
    ] {
        let got = now_and_then(&rule);
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() < TOLERANCE, "{rule:?}: {got:?}, torch has {want:?}");
        }
    }
}
