//! Adam and SGD over flat buffers: the parameters of a network and their gradients become views into
//! two long tensors, so a step is a handful of operations and its whole state is four tensors that a
//! checkpoint can hold.

use std::ops::Range;

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::compute::optimizers::{AdamNumbers, SgdNumbers, adam, sgd};

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

    /// Kind and device of the parameters.
    #[must_use]
    pub fn options(&self) -> (Kind, Device) {
        (self.values.kind(), self.values.device())
    }

    /// Sets every gradient to zero; a parameter that no loss reaches then has zeros, not none.
    pub fn zero_gradients(&self) {
        let _ = self.gradients.shallow_clone().zero_();
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

/// A number that changes from step to step, held where the kernels read it: kernels that were recorded once
/// find the new one in the old place.
#[derive(Debug)]
pub struct Dial {
    tensor: Tensor,
    set: f64,
}

impl Dial {
    /// Zero, of this kind on this device.
    #[must_use]
    pub fn new(options: (Kind, Device)) -> Self {
        Self { tensor: Tensor::zeros([] as [i64; 0], options), set: 0.0 }
    }

    /// Sets it. One that stays as it is costs nothing, and nothing waits for the device.
    pub fn set(&mut self, number: f64) {
        if self.set.to_bits() != number.to_bits() {
            let _ = self.tensor.fill_(number);
            self.set = number;
        }
    }

    /// The number.
    fn number(&self) -> f64 {
        self.set
    }

    /// The number as a tensor of shape ().
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
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
    /// The rate over the mean's correction.
    rate: Dial,
    /// The square's correction.
    correction: Dial,
    steps: i64,
}

impl Adam {
    /// State zero.
    pub fn new(flat: Flat, betas: [f64; 2], weight_decay: f64) -> Self {
        let zeros = || flat.values.zeros_like();
        let dial = || Dial::new(flat.options());
        Self {
            mean: zeros(),
            square: zeros(),
            rate: dial(),
            correction: dial(),
            flat,
            betas,
            weight_decay,
            steps: 0,
        }
    }

    /// Tells the next step its learning rate.
    pub fn prepare(&mut self, rate: f64) {
        self.steps += 1;
        let correct = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let [beta1, beta2] = self.betas.map(correct);
        self.rate.set(rate / beta1);
        self.correction.set(beta2.sqrt());
    }

    /// One step, prepared for.
    pub fn step(&self) {
        match self.flat.values.device() {
            Device::Cpu => self.step_at_once(),
            _ => self.step_by_tensors(),
        }
    }

    /// The step in few passes over memory.
    fn step_at_once(&self) {
        let [beta1, beta2] = self.betas;
        let Flat { values, gradients, .. } = &self.flat;
        adam(
            [values, gradients, &self.mean, &self.square],
            AdamNumbers {
                decay: self.weight_decay,
                mean_share: 1.0 - beta1,
                square_kept: beta2,
                square_share: 1.0 - beta2,
                rate: self.rate.number(),
                correction: self.correction.number(),
                epsilon: ADAM_EPS,
            },
        );
    }

    /// The same step. It changes tensors alone, so its kernels can be recorded.
    fn step_by_tensors(&self) {
        let [beta1, beta2] = self.betas;
        let (rate, correction) = (self.rate.tensor(), self.correction.tensor());
        tch::no_grad(|| {
            let gradient = &self.flat.gradients + &self.flat.values * self.weight_decay;
            let [mut mean, mut square] = [&self.mean, &self.square].map(Tensor::shallow_clone);
            let _ = mean.lerp_(&gradient, 1.0 - beta1);
            square *= beta2;
            square += gradient.square() * (1.0 - beta2);
            let denominator = square.sqrt() / correction + ADAM_EPS;
            let update = mean / denominator * rate;
            let _ = self.flat.values.shallow_clone().g_sub_(&update);
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
    backbone_rate: Dial,
    heads_rate: Dial,
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
            backbone_rate: Dial::new(flat.options()),
            heads_rate: Dial::new(flat.options()),
            flat,
            momentum,
            weight_decay,
            steps: 0,
        }
    }

    /// Tells the next step its learning rates.
    pub fn prepare(&mut self, backbone_rate: f64, heads_rate: f64) {
        self.steps += 1;
        self.backbone_rate.set(backbone_rate);
        self.heads_rate.set(heads_rate);
    }

    /// One step, prepared for.
    pub fn step(&self) {
        match self.flat.values.device() {
            Device::Cpu => self.step_at_once(),
            _ => self.step_by_tensors(),
        }
    }

    /// Stretches of parameters, each with its rate.
    fn stretches(&self) -> [(Range<i64>, &Dial); 3] {
        let Range { start, end } = self.backbone;
        let all = self.flat.values.numel() as i64;
        let (backbone, heads) = (&self.backbone_rate, &self.heads_rate);
        [(0..start, heads), (start..end, backbone), (end..all, heads)]
    }

    /// The step in one pass over memory.
    fn step_at_once(&self) {
        for (Range { start, end }, rate) in self.stretches() {
            let of = [&self.flat.values, &self.flat.gradients, &self.velocity]
                .map(|all| all.narrow(0, start, end - start));
            let (decay, momentum, rate) = (self.weight_decay, self.momentum, rate.number());
            sgd(of.each_ref(), SgdNumbers { decay, momentum, rate });
        }
    }

    /// The same step. It changes tensors alone, so its kernels can be recorded.
    fn step_by_tensors(&self) {
        tch::no_grad(|| {
            let gradient = &self.flat.gradients + &self.flat.values * self.weight_decay;
            let mut velocity = self.velocity.shallow_clone();
            velocity *= self.momentum;
            velocity += &gradient;
            let update = gradient + velocity * self.momentum;
            for (Range { start, end }, rate) in self.stretches() {
                let part = update.narrow(0, start, end - start) * rate.tensor();
                let _ = self.flat.values.narrow(0, start, end - start).g_sub_(&part);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters as many as two threads share, and a few that fill no vector.
    fn flat(kind: Kind) -> Flat {
        let mut vars = VarStore::new(Device::Cpu);
        for (part, count) in [("head", 40_011), ("model", 70_001), ("tail", 29)] {
            let _ = (vars.root() / part).randn("weight", &[count], 0.0, 1.0);
        }
        if kind == Kind::Double {
            vars.double();
        }
        Flat::new(&vars)
    }

    fn random_gradients(flat: &Flat) {
        let _ = flat.gradients.shallow_clone().normal_(0.0, 0.1);
    }

    /// Both ways of a step leave the same bits.
    fn agree(of: &[&Tensor], by_tensors: &dyn Fn(), at_once: &dyn Fn()) {
        let copies = || -> Vec<Tensor> { of.iter().map(|tensor| tensor.copy()).collect() };
        let before = copies();
        by_tensors();
        let wanted = copies();
        for (to, from) in of.iter().zip(&before) {
            to.shallow_clone().copy_(from);
        }
        at_once();
        for (ours, theirs) in of.iter().zip(&wanted) {
            let off = ours.not_equal_tensor(theirs).sum(Kind::Int64).int64_value(&[]);
            assert_eq!(off, 0, "of {} numbers", ours.numel());
        }
    }

    #[test]
    fn steps_at_once_are_those_by_tensors() {
        for kind in [Kind::Float, Kind::Double] {
            for (betas, decay) in [([0.0, 0.999], 5e-4), ([0.9, 0.99], 0.0)] {
                let mut adam = Adam::new(flat(kind), betas, decay);
                for _ in 0..3 {
                    random_gradients(&adam.flat);
                    adam.prepare(1e-3);
                    let of = [&adam.flat.values, &adam.mean, &adam.square];
                    agree(&of, &|| adam.step_by_tensors(), &|| adam.step_at_once());
                }
            }
            let mut sgd = Sgd::new(flat(kind), 0.9, 5e-4, "model.");
            for _ in 0..3 {
                random_gradients(&sgd.flat);
                sgd.prepare(2e-3, 2e-2);
                let of = [&sgd.flat.values, &sgd.velocity];
                agree(&of, &|| sgd.step_by_tensors(), &|| sgd.step_at_once());
            }
        }
    }
}
