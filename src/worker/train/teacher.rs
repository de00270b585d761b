//! The teacher's training: cross entropy on the real training photos, before any DG-Net step. Its
//! schedule is a pure function of the step, its randomness of (seed, step); it owns no files.

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::losses::cross_entropy;
use super::optim::{Flat, Savable, Sgd};
use super::step::seed_torch;
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
        Self { net, vars, optim }
    }

    /// One step; returns the loss of the batch.
    ///
    /// # Shapes
    /// photos (B, 3, H, W), labels (B,)
    pub fn step(
        &mut self,
        photos: &Tensor,
        labels: &Tensor,
        head_rate: f64,
        dropout: (u64, u64),
    ) -> f64 {
        seed_torch(dropout.0, "teacher.dropout", dropout.1);
        let loss = cross_entropy(&self.net.forward(photos, Pass::TRAIN), labels);
        self.optim.flat.zero_gradients();
        loss.backward();
        self.optim.step(head_rate * BACKBONE_SHARE, head_rate);
        loss.double_value(&[])
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
