//! Adam and SGD over flat buffers: the parameters of a network and their gradients become views into
//! two long tensors, so a step is a handful of operations and its whole state is four tensors that a
//! checkpoint can hold.

use std::ops::Range;

use tch::nn::VarStore;
use tch::{Kind, Tensor};

/// Elements to which each parameter's place is aligned (64 bytes of f32): vector loads stay aligned.
const ALIGN: i64 = 16;
const ADAM_EPS: f64 = 1e-8;

/// The parameters of one VarStore as views into a flat tensor, in the order of their names.
#[derive(Debug)]
pub struct Flat {
    /// Every parameter, padded with zeros between.
    pub values: Tensor,
    /// Their gradients, in the same places.
    pub gradients: Tensor,
    places: Vec<(String, Range<i64>)>,
}

impl Flat {
    /// Moves the trainable parameters of `vs` into a flat tensor. Call it last: changing the kind or
    /// device of the VarStore afterwards would part them again.
    pub fn new(vs: &VarStore) -> Self {
        let mut named: Vec<(String, Tensor)> =
            vs.variables().into_iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut at = 0;
        let places: Vec<(String, Range<i64>)> = named
            .iter()
            .map(|(name, tensor)| {
                let start = at;
                let length = tensor.numel() as i64;
                at = (start + length + ALIGN - 1) / ALIGN * ALIGN;
                (name.clone(), start..start + length)
            })
            .collect();
        // `VarStore::kind` does not follow `VarStore::double`
        let kind = named.first().map_or(Kind::Float, |(_, tensor)| tensor.kind());
        let options = (kind, vs.device());
        let (values, gradients) = (Tensor::zeros([at], options), Tensor::zeros([at], options));
        for ((_, tensor), (_, place)) in named.iter_mut().zip(&places) {
            // the first backward pass makes the gradient, whose data then moves into the flat tensor
            (tensor.sum(None::<Kind>) * 0.0).backward();
            let view = |flat: &Tensor| {
                flat.narrow(0, place.start, place.end - place.start).view(tensor.size().as_slice())
            };
            let (value, gradient) = (view(&values), view(&gradients));
            tch::no_grad(|| value.shallow_clone().copy_(&tensor.detach()));
            tensor.set_data(&value);
            tensor.grad().set_data(&gradient);
        }
        Self { values, gradients, places }
    }

    /// Sets every gradient to zero; a parameter that no loss reaches then has zeros, not none.
    pub fn zero_gradients(&mut self) {
        let _ = self.gradients.zero_();
    }

    /// L2 norm over the gradients of the parameters whose name begins with `prefix`.
    #[must_use]
    pub fn gradient_norm(&self, prefix: &str) -> f64 {
        let square = |place: &Range<i64>| {
            let part = self.gradients.narrow(0, place.start, place.end - place.start);
            part.to_kind(Kind::Double).square().sum(None::<Kind>).double_value(&[])
        };
        self.places
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(_, p)| square(p))
            .sum::<f64>()
            .sqrt()
    }

    /// The contiguous stretch of parameters whose names begin with `prefix`; empty if there are none.
    fn stretch(&self, prefix: &str) -> Range<i64> {
        let mut matching = self.places.iter().filter(|(name, _)| name.starts_with(prefix));
        let Some((_, first)) = matching.next() else { return 0..0 };
        let end = matching.next_back().map_or(first.end, |(_, place)| place.end);
        first.start..end
    }
}

/// Adam with L2 weight decay added to the gradient (Kingma and Ba 2015).
#[derive(Debug)]
pub struct Adam {
    /// The parameters it moves.
    pub flat: Flat,
    betas: [f64; 2],
    weight_decay: f64,
    mean: Tensor,
    square: Tensor,
    steps: i64,
}

impl Adam {
    /// State zero.
    pub fn new(flat: Flat, betas: [f64; 2], weight_decay: f64) -> Self {
        let zeros = || flat.values.zeros_like();
        Self { mean: zeros(), square: zeros(), flat, betas, weight_decay, steps: 0 }
    }

    /// One step with this learning rate.
    pub fn step(&mut self, rate: f64) {
        self.steps += 1;
        let [beta1, beta2] = self.betas;
        let correct = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        tch::no_grad(|| {
            let gradient = &self.flat.gradients + &self.flat.values * self.weight_decay;
            let _ = self.mean.lerp_(&gradient, 1.0 - beta1);
            self.square *= beta2;
            self.square += gradient.square() * (1.0 - beta2);
            let denominator = self.square.sqrt() / correct(beta2).sqrt() + ADAM_EPS;
            let update = &self.mean / denominator * (rate / correct(beta1));
            let _ = self.flat.values.g_sub_(&update);
        });
    }
}

/// SGD with Nesterov momentum and L2 weight decay; parameters under a prefix may have their own rate.
#[derive(Debug)]
pub struct Sgd {
    /// The parameters it moves.
    pub flat: Flat,
    momentum: f64,
    weight_decay: f64,
    velocity: Tensor,
    backbone: Range<i64>,
    steps: i64,
}

impl Sgd {
    /// State zero. Parameters whose names begin with `backbone` move at the backbone's rate, the rest
    /// at the heads'.
    pub fn new(flat: Flat, momentum: f64, weight_decay: f64, backbone: &str) -> Self {
        let stretch = flat.stretch(backbone);
        Self {
            velocity: flat.values.zeros_like(),
            backbone: stretch,
            flat,
            momentum,
            weight_decay,
            steps: 0,
        }
    }

    /// One step with these learning rates.
    pub fn step(&mut self, backbone_rate: f64, heads_rate: f64) {
        self.steps += 1;
        tch::no_grad(|| {
            let gradient = &self.flat.gradients + &self.flat.values * self.weight_decay;
            self.velocity *= self.momentum;
            self.velocity += &gradient;
            let update = gradient + &self.velocity * self.momentum;
            let Range { start, end } = self.backbone;
            for (from, to, rate) in [
                (0, start, heads_rate),
                (start, end, backbone_rate),
                (end, update.numel() as i64, heads_rate),
            ] {
                let part = update.narrow(0, from, to - from) * rate;
                let _ = self.flat.values.narrow(0, from, to - from).g_sub_(&part);
            }
        });
    }
}

/// An optimizer whose state a checkpoint can hold.
pub trait Savable {
    /// Its tensors by name; they share memory with the optimizer.
    fn state(&self) -> Vec<(&'static str, Tensor)>;
    /// Steps taken.
    fn steps(&self) -> i64;
    /// Takes over the number of steps; the tensors are copied into `state()`.
    fn set_steps(&mut self, steps: i64);
}

impl Savable for Adam {
    fn state(&self) -> Vec<(&'static str, Tensor)> {
        vec![("mean", self.mean.shallow_clone()), ("square", self.square.shallow_clone())]
    }
    fn steps(&self) -> i64 {
        self.steps
    }
    fn set_steps(&mut self, steps: i64) {
        self.steps = steps;
    }
}

impl Savable for Sgd {
    fn state(&self) -> Vec<(&'static str, Tensor)> {
        vec![("velocity", self.velocity.shallow_clone())]
    }
    fn steps(&self) -> i64 {
        self.steps
    }
    fn set_steps(&mut self, steps: i64) {
        self.steps = steps;
    }
}
