//! Whole lists of tensors at once give the bits of one parameter after the other.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use etude_train::clip_grad_norm;
use etude_train::optim::{AdamConfig, AdamWConfig, Param, Rule, SgdConfig};
use tch::{Device, Kind, Tensor};

const LR: f64 = 0.05;

/// Kind, shape, multiplier of the rate. The large ones fill a list on their own.
const PARAMS: [(Kind, &[i64], f64); 9] = [
    (Kind::Float, &[40, 33], 1.0),
    (Kind::Float, &[7], 10.0),
    (Kind::BFloat16, &[5, 9], 1.0),
    (Kind::Float, &[300, 250], 0.5),
    (Kind::Float, &[1], 1.0),
    (Kind::BFloat16, &[130], 10.0),
    (Kind::Float, &[250, 300], 1.0),
    (Kind::Float, &[12, 3, 3], 1.0),
    (Kind::BFloat16, &[257, 300], 1.0),
];

fn params() -> Vec<Param> {
    let one = |(i, (kind, shape, lr_scale)): (usize, &(Kind, &[i64], f64))| {
        let x = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
        let x = (x * 0.7 + i as f64).sin().view(*shape).to_kind(*kind);
        Param { name: format!("p{i}"), tensor: x.set_requires_grad(true), lr_scale: *lr_scale }
    };
    PARAMS.iter().enumerate().map(one).collect()
}

/// Gradients of a loss that differs from step to step; every step but the second leaves some parameters out.
fn backward(params: &[Param], step: i64) {
    let mut loss = Tensor::from(0f32);
    for (i, p) in params.iter().enumerate() {
        if step == 1 || (i as i64 + step) % 4 != 0 {
            let y = (&p.tensor * (1.0 + 0.1 * step as f64) - 0.3 * i as f64).tanh();
            loss += y.to_kind(Kind::Float).square().sum(Kind::Float);
        }
    }
    loss.backward();
}

fn same_bits(a: &Tensor, b: &Tensor) -> bool {
    let bits = |t: &Tensor| {
        let kind = if t.kind() == Kind::BFloat16 { Kind::Int16 } else { Kind::Int };
        t.detach().view_dtype(kind)
    };
    a.kind() == b.kind() && bits(a).equal(&bits(b))
}

/// What is left of an optimizer when every tensor is taken on its own: the state of one parameter.
#[derive(Default)]
struct Alone {
    m: Option<Tensor>,
    v: Option<Tensor>,
    t: i32,
}

impl Alone {
    fn step(&mut self, rule: &Rule, p: &mut Param) {
        let mut g = p.tensor.grad();
        let w = &mut p.tensor;
        if !g.defined() {
            return;
        }
        let lr = LR * p.lr_scale;
        let decay = match rule {
            Rule::Adam(AdamConfig { weight_decay, .. })
            | Rule::Sgd(SgdConfig { weight_decay, .. }) => *weight_decay,
            Rule::AdamW(AdamWConfig { weight_decay, .. }) => {
                *w *= 1.0 - lr * weight_decay;
                0.0
            }
        };
        if decay != 0.0 {
            g = &g + &*w * decay;
        }
        match rule {
            Rule::Adam(AdamConfig { betas, eps, .. })
            | Rule::AdamW(AdamWConfig { betas, eps, .. }) => {
                let m = self.m.get_or_insert_with(|| g.zeros_like());
                let v = self.v.get_or_insert_with(|| g.zeros_like());
                self.t += 1;
                let t = f64::from(self.t);
                let _ = m.lerp_(&g, 1.0 - betas[0]);
                *v *= betas[1];
                let _ = v.addcmul_(&(&g * (1.0 - betas[1])), &g);
                let mut root = v.sqrt();
                let _ = root.g_div_scalar_((1.0 - betas[1].powf(t)).sqrt());
                let _ = root.g_add_scalar_(*eps);
                let _ = w.addcdiv_(&(&*m * -(lr / (1.0 - betas[0].powf(t)))), &root);
            }
            Rule::Sgd(SgdConfig { momentum, dampening, nesterov, .. }) => {
                if *momentum != 0.0 {
                    let b = match self.m.take() {
                        None => g.copy(),
                        Some(mut b) => {
                            b *= *momentum;
                            b += &g * (1.0 - dampening);
                            b
                        }
                    };
                    g = if *nesterov { &g + &b * *momentum } else { b.shallow_clone() };
                    self.m = Some(b);
                }
                *w -= &g * lr;
            }
        }
    }
}

/// As `clip_grad_norm`, one gradient after the other.
fn clip_alone(params: &[Param], max: f64) -> Tensor {
    let grads = params.iter().map(|p| p.tensor.grad()).filter(Tensor::defined);
    let mut grads: Vec<Tensor> = grads.collect();
    let norms: Vec<Tensor> = grads.iter().map(Tensor::norm).collect();
    let norm = Tensor::stack(&norms, 0).norm().to_kind(Kind::Float);
    let scale = ((&norm + 1e-6).reciprocal() * max).clamp_max(1.0);
    for g in &mut grads {
        *g *= scale.to_kind(g.kind());
    }
    norm
}

fn rules() -> Vec<Rule> {
    let sgd = |momentum, nesterov, weight_decay| {
        Rule::Sgd(SgdConfig { momentum, nesterov, weight_decay, dampening: 0.0 })
    };
    vec![
        Rule::Adam(AdamConfig { weight_decay: 0.01, ..Default::default() }),
        Rule::Adam(AdamConfig { betas: [0.8, 0.95], ..Default::default() }),
        Rule::AdamW(AdamWConfig { weight_decay: 0.1, ..Default::default() }),
        sgd(0.0, false, 0.01),
        sgd(0.9, false, 0.0),
        sgd(0.9, true, 0.01),
        Rule::Sgd(SgdConfig { momentum: 0.9, dampening: 0.1, ..Default::default() }),
    ]
}

#[test]
fn steps_on_lists_give_the_bits_of_steps_on_single_tensors() {
    etude_aten::set_threads(1);
    for rule in rules() {
        let (ours, mut alone) = (params(), params());
        let mut states: Vec<Alone> = alone.iter().map(|_| Alone::default()).collect();
        let shared = |p: &Param| Param {
            name: p.name.clone(),
            tensor: p.tensor.shallow_clone(),
            lr_scale: p.lr_scale,
        };
        let mut opt = rule.build(ours.iter().map(shared).collect());
        for step in 0..8 {
            opt.zero_grad().unwrap();
            alone.iter().for_each(|p| etude_aten::clear_grad(&p.tensor).unwrap());
            backward(&ours, step);
            backward(&alone, step);
            assert_eq!(ours[5].tensor.grad().defined(), step % 4 != 3);
            let norm = clip_grad_norm(opt.params(), Some(2.0)).unwrap();
            let _guard = tch::no_grad_guard();
            let want = clip_alone(&alone, 2.0);
            assert!(same_bits(&norm, &want), "{rule:?}, step {step}: norm {norm} and {want}");
            opt.step(LR).unwrap();
            for (p, state) in alone.iter_mut().zip(&mut states) {
                state.step(&rule, p);
            }
            for (ours, alone) in ours.iter().zip(&alone) {
                assert!(
                    same_bits(&ours.tensor, &alone.tensor),
                    "{rule:?}, step {step}, {}",
                    ours.name
                );
            }
        }
        for (name, tensor) in opt.state() {
            let (field, i) = name.split_once(".p").unwrap();
            let state = &states[i.parse::<usize>().unwrap()];
            match field {
                "exp_avg" | "momentum" => {
                    assert!(same_bits(&tensor, state.m.as_ref().unwrap()), "{name}")
                }
                "exp_avg_sq" => assert!(same_bits(&tensor, state.v.as_ref().unwrap()), "{name}"),
                _ => assert_eq!(tensor.int64_value(&[]), i64::from(state.t), "{name}"),
            }
        }
    }
}
