//! The teacher's training: cross entropy on the real training photos, before any DG-Net step. Its
//! schedule is a pure function of the step, its randomness of (seed, step); it owns no files.

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::losses::cross_entropy;
use super::networks::seed_torch;
use super::optim::{Flat, Savable, Sgd};
use super::replay::{Inputs, Replay};
use crate::model::Pass;
use crate::model::teacher::TeacherNet;
use dgnet::spec::settings::Settings;

/// The backbone's learning rate as a share of the head's.
const BACKBONE_SHARE: f64 = 0.1;

/// A teacher and its optimizer.
#[derive(Debug)]
pub struct TeacherTrainer {
    /// The network.
    pub net: TeacherNet,
    /// Its variables.
    pub vars: VarStore,
    optim: Sgd,
    replay: Replay<(), Photos, Tensor>,
}

/// The photos of a step and who is on them.
#[derive(Debug)]
pub struct Photos {
    /// (B, 3, H, W).
    pub x: Tensor,
    /// Classes: (B,).
    pub labels: Tensor,
}

impl Inputs for Photos {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.labels]
    }

    fn kept(&self) -> Self {
        Self { x: self.x.copy(), labels: self.labels.copy() }
    }
}

/// Learning rate of the head in `epoch` (from 0): a tenth from `decay_epoch` on.
#[must_use]
pub fn head_rate(learning_rate: f64, epoch: u64, decay_epoch: u32) -> f64 {
    if epoch < u64::from(decay_epoch) { learning_rate } else { learning_rate * 0.1 }
}

/// A freshly initialised teacher and its variables.
#[must_use]
pub fn build(
    settings: &Settings,
    classes: i64,
    seed: u64,
    device: Device,
) -> (TeacherNet, VarStore) {
    let vars = VarStore::new(device);
    seed_torch(seed, "init.teacher", 0);
    let net =
        TeacherNet::new(&vars.root(), &settings.teacher, settings.appearance.upsample, classes);
    (net, vars)
}

impl TeacherTrainer {
    /// Takes the network over; load weights before.
    #[must_use]
    pub fn new(net: TeacherNet, vars: VarStore, settings: &Settings) -> Self {
        let train = &settings.train;
        let optim = Sgd::new(Flat::new(&vars), train.momentum, train.weight_decay, "model.");
        let replay = Replay::new(train.graphs, vars.device());
        Self { net, vars, optim, replay }
    }

    /// One step; returns the loss of the batch.
    pub fn step(&mut self, photos: &Photos, head_rate: f64, dropout: (u64, u64)) -> f64 {
        self.optim.prepare(head_rate * BACKBONE_SHARE, head_rate);
        // the last batch of an epoch may be smaller
        let variant = photos.labels.size()[0] as u64;
        let seed = || seed_torch(dropout.0, "teacher.dropout", dropout.1);
        self.replay.run((&(), variant), photos, seed, |x| self.kernels(x)).double_value(&[])
    }

    fn kernels(&self, photos: &Photos) -> Tensor {
        let loss = cross_entropy(&self.net.forward(&photos.x, Pass::TRAIN), &photos.labels);
        self.optim.flat.zero_gradients();
        loss.backward();
        self.optim.step();
        loss.detach()
    }

    /// The optimizer, whose state a checkpoint holds.
    #[must_use]
    pub fn optim(&self) -> &dyn Savable {
        &self.optim
    }

    /// Takes over the number of steps after a resume.
    pub fn set_steps(&mut self, steps: i64) {
        self.optim.set_steps(steps);
    }
}

/// Photos of a batch that the teacher puts into the right class.
///
/// # Shapes
/// photos (B, 3, H, W), labels (B,)
#[must_use]
pub fn right(net: &TeacherNet, photos: &Tensor, labels: &Tensor) -> i64 {
    tch::no_grad(|| {
        let guess = net.forward(photos, Pass::EVAL).argmax(1, false);
        guess.eq_tensor(labels).sum(Kind::Int64).int64_value(&[])
    })
}
