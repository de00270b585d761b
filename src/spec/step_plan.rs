//! The schedule: what one training step is told, as a pure function of settings and step. Two runs
//! whose plans are equal from 0 to t compute the same weights until t.

use super::settings::{CodeSchedule, Feeding, Settings, TeacherBatchNorm, TeacherLabels};

/// Everything a step needs to know; it never sees the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPlan {
    /// Weights of the losses at this step.
    pub weights: Weights,
    /// Learning rates at this step.
    pub rates: Rates,
    /// How the teacher labels generated images.
    pub labels: TeacherLabels,
    /// Which statistics the teacher's batch norms use.
    pub teacher_norm: TeacherBatchNorm,
    /// Whether the identity loss on real photos is also taken on the positives.
    pub identity_on_positives: bool,
    /// Whether the fine head learns from real photos.
    pub fine_on_real: bool,
    /// Weight of D's gradient penalty.
    pub penalty: f64,
    /// Probability that code_2 trains E_s on a detached generated image in this step.
    pub train_structure_probability: f64,
}

/// Weights of the terms of L_total (paper equation 9, with the release's cycle and code terms): numbers in
/// a plan, whatever holds them on a device in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weights<T = f64> {
    /// img_1 and img_2.
    pub img: T,
    /// id_c: identity of generated images.
    pub id: T,
    /// Primary feature learning.
    pub prim: T,
    /// Fine-grained feature mining; also weighs the fine head's cross entropy on real photos.
    pub fine: T,
    /// code_1 and code_2.
    pub code: T,
    /// Cycle.
    pub cycle: T,
    /// The generator's adversarial term.
    pub adv: T,
    /// VGG features against the photo whose structure an image has.
    pub perceptual: T,
}

impl<T> Weights<T> {
    /// The same weights held otherwise.
    pub fn map<U>(&self, mut each: impl FnMut(&T) -> U) -> Weights<U> {
        Weights {
            img: each(&self.img),
            id: each(&self.id),
            prim: each(&self.prim),
            fine: each(&self.fine),
            code: each(&self.code),
            cycle: each(&self.cycle),
            adv: each(&self.adv),
            perceptual: each(&self.perceptual),
        }
    }

    /// Does something to each weight with its counterpart in `other`.
    pub fn update<U>(&mut self, other: &Weights<U>, mut each: impl FnMut(&mut T, &U)) {
        each(&mut self.img, &other.img);
        each(&mut self.id, &other.id);
        each(&mut self.prim, &other.prim);
        each(&mut self.fine, &other.fine);
        each(&mut self.code, &other.code);
        each(&mut self.cycle, &other.cycle);
        each(&mut self.adv, &other.adv);
        each(&mut self.perceptual, &other.perceptual);
    }
}

/// Learning rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Adam of E_s and G.
    pub generator: f64,
    /// Adam of D.
    pub discriminator: f64,
    /// SGD of E_a's backbone.
    pub backbone: f64,
    /// SGD of E_a's heads.
    pub heads: f64,
}

/// The value at `step` of a weight that rises linearly from 0 to `lambda` in `length` steps after `start`.
#[must_use]
pub fn ramp(lambda: f64, step: u64, start: u64, length: u64) -> f64 {
    let risen = step.saturating_sub(start) as f64;
    if length == 0 {
        return if step >= start { lambda } else { 0.0 };
    }
    lambda * (risen / length as f64).min(1.0)
}

/// The factor on every learning rate at `step`: a tenth for each step in `decay_at` that has passed.
#[must_use]
pub fn decay(step: u64, decay_at: &[u64]) -> f64 {
    decay_at.iter().filter(|&&at| step >= at).fold(1.0, |factor, _| factor * 0.1)
}

impl StepPlan {
    /// This plan with every number reduced to whether it is zero: two steps whose outlines are equal are the
    /// same work on other numbers.
    #[must_use]
    pub fn outline(&self) -> Self {
        let whether = |number: f64| f64::from(number != 0.0);
        Self {
            weights: self.weights.map(|&weight| whether(weight)),
            rates: Rates { generator: 0.0, discriminator: 0.0, backbone: 0.0, heads: 0.0 },
            ..self.clone()
        }
    }

    /// The first step after `step` whose plan may be another one: until then nothing ramps or decays.
    #[must_use]
    pub fn constant_until(settings: &Settings, step: u64) -> u64 {
        let (loss, decay_at) = (&settings.loss, &settings.train.decay_at);
        let start = loss.ramp_start;
        let risen = start.saturating_add(loss.ramp_steps.max(loss.ramp_steps_code));
        let ramp = match step {
            step if step < start => start,
            step if step < risen => step + 1,
            _ => u64::MAX,
        };
        decay_at.iter().copied().filter(|at| *at > step).fold(ramp, u64::min)
    }

    /// The plan of `step` (from 0).
    #[must_use]
    pub fn at(settings: &Settings, step: u64) -> Self {
        let (loss, train) = (&settings.loss, &settings.train);
        let ramped = |lambda, length| ramp(lambda, step, loss.ramp_start, length);
        let decay = decay(step, &train.decay_at);
        let code = match loss.code_schedule {
            CodeSchedule::Ramped => ramped(loss.lambda_code, loss.ramp_steps_code),
            CodeSchedule::Constant => loss.lambda_code,
        };
        let weights = Weights {
            img: loss.lambda_img,
            id: loss.lambda_id,
            prim: ramped(loss.lambda_prim, loss.ramp_steps),
            fine: ramped(loss.lambda_fine, loss.ramp_steps),
            code,
            cycle: ramped(loss.lambda_cycle, loss.ramp_steps),
            adv: loss.lambda_adv,
            perceptual: loss.lambda_perceptual,
        };
        // a finished generator is not trained: what feeds E_a is all that is left
        let weights = match train.feeding {
            Feeding::Online => weights,
            Feeding::Offline => {
                Weights { prim: weights.prim, fine: weights.fine, ..Weights::default() }
            }
        };
        Self {
            weights,
            rates: Rates {
                generator: train.lr_generator * decay,
                discriminator: train.lr_discriminator * decay,
                backbone: train.lr_backbone * decay,
                heads: train.lr_heads * decay,
            },
            labels: settings.teacher.labels,
            teacher_norm: settings.teacher.batch_norm,
            identity_on_positives: loss.identity_on_positives,
            fine_on_real: loss.fine_on_real,
            penalty: settings.discriminator.penalty,
            train_structure_probability: loss.train_structure_probability,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{StepPlan, decay, ramp};
    use crate::spec::settings::Settings;

    #[test]
    fn ramps_start_at_zero_and_end_at_lambda() {
        for (step, expected) in
            [(0, 0.0), (30_000, 0.0), (31_000, 0.5), (34_000, 2.0), (90_000, 2.0)]
        {
            assert!((ramp(2.0, step, 30_000, 4_000) - expected).abs() < 1e-12, "step {step}");
        }
        assert_eq!(ramp(2.0, 5, 5, 0).to_bits(), 2.0_f64.to_bits());
        assert_eq!(ramp(2.0, 4, 5, 0).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn rates_fall_at_the_release_steps() {
        let plan = |step| StepPlan::at(&Settings::default(), step).rates.generator;
        assert!((plan(59_999) - 1e-4).abs() < 1e-18);
        assert!((plan(60_000) - 1e-5).abs() < 1e-18);
        assert!((plan(90_000) - 1e-6).abs() < 1e-18);
        assert!((decay(200_000, &[1, 2]) - 0.01).abs() < 1e-15);
    }

    #[test]
    fn arms_over_prim_fine_and_teacher_share_the_warm_up() {
        let full = Settings::default();
        let mut other = full.clone();
        other.loss.lambda_prim = 0.0;
        other.loss.lambda_fine = 1.0;
        assert_eq!(StepPlan::at(&full, 29_999), StepPlan::at(&other, 29_999));
        assert_ne!(StepPlan::at(&full, 30_001), StepPlan::at(&other, 30_001));
    }

    #[test]
    fn steps_of_one_outline_are_the_same_work() {
        let settings = Settings::default();
        let outline = |step| StepPlan::at(&settings, step).outline();
        assert_eq!(outline(0), outline(30_000), "nothing is fed yet");
        assert_ne!(outline(30_000), outline(30_001), "the ramps have begun");
        assert_eq!(outline(30_001), outline(99_999), "ramps and decays are numbers");
        let mut other = settings.clone();
        other.loss.lambda_fine = 0.0;
        assert_ne!(outline(40_000), StepPlan::at(&other, 40_000).outline());
    }

    #[test]
    fn a_plan_stays_as_it_is_for_as_long_as_promised() {
        let mut settings = Settings::default();
        settings.train.steps = 60;
        for (start, ramp, code, decay_at) in [
            (10, 5, 8, vec![12, 40]),
            (0, 0, 0, vec![]),
            (10, 0, 3, vec![10]),
            (50, 100, 1, vec![1, 2, 59]),
        ] {
            settings.loss.ramp_start = start;
            settings.loss.ramp_steps = ramp;
            settings.loss.ramp_steps_code = code;
            settings.train.decay_at = decay_at;
            let mut step = 0;
            while step < 60 {
                let until = StepPlan::constant_until(&settings, step);
                assert!(until > step);
                for other in step..until.min(60) {
                    assert_eq!(StepPlan::at(&settings, other), StepPlan::at(&settings, step));
                }
                step = until;
            }
        }
    }
}
