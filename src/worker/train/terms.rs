//! What a step is given and what it leaves: photos, draws, the forward pass, the terms of L_total and their sum, which is the
//! paper's equation 9. Nothing here computes a term or knows a network.

use tch::{Kind, Tensor};

use super::replay::Inputs;
use dgnet::data::rng::Rng;
use dgnet::spec::step_plan::{StepPlan, Weights};

/// The photos of a step: batches a and b stacked, a first.
#[derive(Debug)]
pub struct Batch {
    /// x_a, x_b: (2B, 3, H, W).
    pub x: Tensor,
    /// Another photo of the same persons: (2B, 3, H, W).
    pub positive: Tensor,
    /// x_a, x_b, xp_a, xp_b with random erasing: (4B, 3, H, W); `None` without erasing.
    pub erased: Option<Tensor>,
    /// Classes of x: (2B,).
    pub labels: Tensor,
}

impl Inputs for Batch {
    fn tensors(&self) -> Vec<&Tensor> {
        [&self.x, &self.positive, &self.labels].into_iter().chain(&self.erased).collect()
    }

    fn kept(&self) -> Self {
        Self {
            x: self.x.copy(),
            positive: self.positive.copy(),
            erased: self.erased.as_ref().map(Tensor::copy),
            labels: self.labels.copy(),
        }
    }
}

/// What a step draws at random, made from (seed, step) alone.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// Whether code_2 trains E_s on the detached generated image (else the gradient goes into the image).
    pub train_structure: bool,
    /// Seed and step of dropout.
    pub dropout: (u64, u64),
}

impl Draws {
    /// The draws of `step` in the run with this seed.
    #[must_use]
    pub fn at(plan: &StepPlan, seed: u64, step: u64) -> Self {
        let train_structure =
            Rng::new(seed, "train_structure", step).chance(plan.train_structure_probability);
        Self { train_structure, dropout: (seed, step) }
    }
}

/// The forward pass: codes, logits and generated images; pairs are stacked, a first.
#[derive(Debug)]
pub struct Forward {
    /// Appearance codes of x_a, x_b, xp_a, xp_b: (4B, L).
    pub appearance: Tensor,
    /// Structure codes of x_a, x_b: (2B, C, H/4, W/4).
    pub structure: Tensor,
    /// Primary head's logits of x_a, x_b, xp_a, xp_b (of their erased copies with erasing on): (4B, K).
    pub primary: Tensor,
    /// Fine head's: (4B, K).
    pub fine: Tensor,
    /// G(a_i, s_i): (2B, 3, H, W).
    pub own: Tensor,
    /// G(a_t, s_i), the appearance from another photo of the same person.
    pub positive: Tensor,
    /// x_ba = G(a_a, s_b), then x_ab = G(a_b, s_a).
    pub swapped: Tensor,
}

/// What E_a learns from the photos themselves: the cross entropies of L_total's id_s, each the sum of both directions.
#[derive(Debug)]
pub struct Identity {
    /// Primary head's on x.
    pub x: Tensor,
    /// Primary head's on the positives.
    pub positive: Tensor,
    /// Fine head's on x; weighted like `fine`.
    pub fine: Tensor,
}

impl Identity {
    fn total(&self, w: &Weights<Tensor>) -> Tensor {
        &self.x + &self.positive + &self.fine * &w.fine
    }

    /// Goes back at once where nothing else in L_total passes through E_a's maps of the photos, as with a detached code:
    /// a third of a step's memory is free then for what follows. The gradients are the same.
    pub(super) fn settled(self, w: &Weights<Tensor>, appearance: &Tensor) -> Self {
        if appearance.requires_grad() {
            return self;
        }
        self.total(w).backward();
        Self { x: self.x.detach(), positive: self.positive.detach(), fine: self.fine.detach() }
    }
}

/// Every term of L_total before weighting. Pairs are (a, b); everything else is the sum of both.
#[derive(Debug)]
pub struct Losses {
    /// L1 between G(a_i, s_i) and x_i: (2,).
    pub img_1: Tensor,
    /// L1 between G(a_t, s_i) and x_i: (2,).
    pub img_2: Tensor,
    /// Cross entropies on photos.
    pub id_s: Identity,
    /// Primary head's cross entropy on generated images, for the generator.
    pub id_c: Tensor,
    /// L1 between the appearance codes of generated images and their providers: (2,); trains nothing.
    pub code_1: Tensor,
    /// L1 between the structure codes of x_ab, x_ba and their providers: (2,).
    pub code_2: Tensor,
    /// L1 between the photo decoded from re-encoded codes and x: (2,).
    pub cycle: Tensor,
    /// Adversarial term of x_ba, x_ab: (2,).
    pub adv: Tensor,
    /// VGG features of x_ba, x_ab against those of x_b, x_a: (2,).
    pub perceptual: Tensor,
    /// Divergence from the teacher's labels on generated images.
    pub prim: Tensor,
    /// Fine head's cross entropy with the structure provider's class on generated images.
    pub fine: Tensor,
}

impl Losses {
    /// L_total (paper equation 9): everything that E_s, G and E_a minimise, weighted, over both directions.
    pub fn total(&self, w: &Weights<Tensor>) -> Tensor {
        let both = |pair: &Tensor| pair.sum(None::<Kind>);
        (both(&self.img_1) + both(&self.img_2)) * &w.img
            + self.id_s.total(w)
            + &self.id_c * &w.id
            + (both(&self.code_1) + both(&self.code_2)) * &w.code
            + both(&self.cycle) * &w.cycle
            + both(&self.adv) * &w.adv
            + both(&self.perceptual) * &w.perceptual
            + &self.prim * &w.prim
            + &self.fine * &w.fine
    }
}

/// What a step leaves behind to look at. Reading a number waits for the device; a step never does.
#[derive(Debug)]
pub struct Outcome {
    /// The forward pass, before any update.
    pub forward: Forward,
    /// Terms of L_total.
    pub losses: Losses,
    /// L_total.
    pub total: Tensor,
    /// D's loss with its penalty.
    pub dis: Tensor,
    /// The penalty alone, weighted.
    pub dis_penalty: Tensor,
    /// D's maps of x_a, x_b per scale, before its step: (2B, 1, h, w).
    pub judged: Vec<Tensor>,
}

impl Outcome {
    /// The losses under their metric names, summed over directions and unweighted.
    #[must_use]
    pub fn metrics(&self, weights: &Weights) -> Vec<(&'static str, f64)> {
        let value = |x: &Tensor| x.sum(None::<Kind>).double_value(&[]);
        let l = &self.losses;
        let id_s = value(&l.id_s.x) + value(&l.id_s.positive) + value(&l.id_s.fine) * weights.fine;
        vec![
            ("loss_total", value(&self.total)),
            ("loss_img_1", value(&l.img_1)),
            ("loss_img_2", value(&l.img_2)),
            ("loss_id_s", id_s),
            ("loss_id_c", value(&l.id_c)),
            ("loss_code_1", value(&l.code_1)),
            ("loss_code_2", value(&l.code_2)),
            ("loss_cycle", value(&l.cycle)),
            ("loss_adv", value(&l.adv)),
            ("loss_perceptual", value(&l.perceptual)),
            ("loss_prim", value(&l.prim)),
            ("loss_fine", value(&l.fine)),
            ("loss_dis", value(&self.dis)),
            ("loss_dis_penalty", value(&self.dis_penalty)),
        ]
    }
}
