//! One training step of DG-Net: forward, D's step, the way back of L_total (of its id_s as early as may be), the optimizers'
//! steps. Its terms and their sum are in `terms`. It is the same code for the worker and the golden
//! numbers. It is told everything by a `StepPlan`. On a GPU its kernels are recorded once and replayed:
//! what changes from step to step therefore reaches them through tensors alone.

use std::rc::Rc;

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::gan::{adversarial, discriminator, gradient_penalty};
use super::losses::{cross_entropy, distillation, l1_pair, l2_pair, teacher_labels};
use super::networks::{Networks, seed_torch};
use super::optim::{Adam, Dial, Flat, Sgd};
use super::replay::Replay;
use super::terms::{Batch, Draws, Forward, Identity, Losses, Outcome};
use crate::compute::Arithmetic;
use crate::model::Pass;
use crate::model::appearance::{AppearanceEncoder, Seen};
use crate::model::layers::wide;
use crate::model::teacher::{TeacherNet, mean_distribution};
use crate::model::vgg::Vgg;
use dgnet::spec::settings::{Gan, Settings, StructureInput};
use dgnet::spec::step_plan::{StepPlan, Weights};

/// Finished networks that guide a training and are not trained by it.
#[derive(Debug, Default)]
pub struct Guides {
    /// Label generated images; their distributions are averaged. Empty where nobody asks.
    pub teachers: Vec<TeacherNet>,
    /// Features of the perceptual loss.
    pub perceptual: Option<Vgg>,
}

/// The networks with their optimizers and their guides.
#[derive(Debug)]
pub struct Trainer {
    /// What is trained.
    pub networks: Networks,
    /// Adam of E_s and G.
    pub gen_optim: Adam,
    /// Adam of D.
    pub dis_optim: Adam,
    /// SGD of E_a.
    pub id_optim: Sgd,
    weights: Weights<Dial>,
    guides: Guides,
    arithmetic: Arithmetic,
    gan: Gan,
    classes: i64,
    replay: Replay<StepPlan, Batch, Outcome>,
}

/// The two halves of a stacked batch.
fn halves(x: &Tensor) -> [Tensor; 2] {
    let half = x.size()[0] / 2;
    [x.narrow(0, 0, half), x.narrow(0, half, half)]
}

/// A stacked batch with its halves exchanged: (b, a).
fn exchanged(x: &Tensor) -> Tensor {
    let [a, b] = halves(x);
    Tensor::cat(&[b, a], 0)
}

impl Trainer {
    /// Takes the networks over; their parameters move into flat buffers here, so load or fill them before.
    #[must_use]
    pub fn new(networks: Networks, guides: Guides, settings: &Settings, classes: i64) -> Self {
        let train = &settings.train;
        let decay = if train.adam_weight_decay { train.weight_decay } else { 0.0 };
        let adam = |vars: &VarStore| Adam::new(Flat::new(vars), train.betas, decay);
        let gen_optim = adam(&networks.gen_vars);
        let device = networks.gen_vars.device();
        Self {
            weights: Weights::<f64>::default().map(|_| Dial::new(gen_optim.flat.options())),
            gen_optim,
            dis_optim: adam(&networks.dis_vars),
            id_optim: Sgd::new(
                Flat::new(&networks.id_vars),
                train.momentum,
                train.weight_decay,
                "model.",
            ),
            arithmetic: Arithmetic::new(train.precision, device),
            // edges are found by the host in the middle of a step
            replay: Replay::new(
                train.graphs && settings.structure.input != StructureInput::Edges,
                device,
            ),
            networks,
            guides,
            gan: settings.discriminator.gan,
            classes,
        }
    }

    /// One training step.
    pub fn step(&mut self, batch: &Batch, plan: &StepPlan, draws: Draws) -> Rc<Outcome> {
        self.prepare(plan);
        let (outline, variant) = (plan.outline(), u64::from(draws.train_structure));
        let seed = || seed_torch(draws.dropout.0, "dropout", draws.dropout.1);
        let kernels = |batch: &Batch| self.kernels(batch, plan, draws);
        self.replay.run((&outline, variant), batch, seed, kernels)
    }

    /// Ends the training: memory that further steps would need is given back.
    pub fn finish(&self) {
        self.replay.forget();
    }

    /// Tells the kernels what is new in this step: weights and rates.
    fn prepare(&mut self, plan: &StepPlan) {
        let rates = plan.rates;
        self.weights.update(&plan.weights, |dial, weight| dial.set(*weight));
        if plan.weights.adv != 0.0 {
            self.dis_optim.prepare(rates.discriminator);
        }
        if self.networks.painter.is_none() {
            self.gen_optim.prepare(rates.generator);
        }
        self.id_optim.prepare(rates.backbone, rates.heads);
    }

    /// The step itself: the same kernels on the same tensors for every step of this outline.
    fn kernels(&self, batch: &Batch, plan: &StepPlan, draws: Draws) -> Outcome {
        let arithmetic = self.arithmetic;
        let weights = self.weights.map(|dial| dial.tensor().shallow_clone());
        self.gen_optim.flat.zero_gradients();
        self.id_optim.flat.zero_gradients();
        let forward = arithmetic.fast(|| self.forward(batch));
        let id_s = arithmetic.fast(|| Self::identity(batch, &forward, plan));
        let id_s = id_s.settled(&weights, &forward.appearance);
        let (dis, dis_penalty, judged) = self.discriminator_step(batch, &forward, plan);
        let losses = arithmetic.fast(|| self.losses(batch, &forward, id_s, plan, draws));
        let total = losses.total(&weights);
        // a finished G learns nothing, and E_a nothing more before it is fed images
        if total.requires_grad() {
            total.backward();
        }
        if self.networks.painter.is_none() {
            self.gen_optim.step();
        }
        self.id_optim.step();
        Outcome { forward, losses, total: total.detach(), dis, dis_penalty, judged }
    }

    /// Codes, logits, and G on own, positive's and exchanged appearance. To E_a, x_a, x_b, xp_a and xp_b are four
    /// batches (batch norm); E_s and G treat samples alone.
    fn forward(&self, batch: &Batch) -> Forward {
        let Networks { generator, encoder, painter, .. } = &self.networks;
        let photos = Tensor::cat(&[&batch.x, &batch.positive], 0);
        let Seen { code: mut appearance, primary, fine } =
            encode(encoder, &photos, batch.erased.as_ref());
        let mut pass = Pass::TRAIN;
        if let Some((_, painter)) = painter {
            pass = Pass::EVAL;
            appearance = painter.code(&photos, pass).detach();
        }
        // a finished G is only looked at
        let _no_graph = painter.is_some().then(tch::no_grad_guard);
        let structure = generator.structure.forward(&batch.x, pass);
        let style = generator.decoder.style(&appearance, pass);
        let (two, four) = (batch.x.size()[0], appearance.size()[0]);
        let rows = |from, to| Tensor::arange_start(from, to, (Kind::Int64, appearance.device()));
        let own_positive_own = Tensor::cat(&[rows(0, two), rows(two, four), rows(0, two)], 0);
        let structures = |of: &Tensor| Tensor::cat(&[of, of, &exchanged(of)], 0);
        let style = style.select(&own_positive_own);
        let images = generator.decoder.forward_shared(&style, &structure, &structures, pass);
        let part = |k: i64| images.narrow(0, k * two, two);
        let [own, positive, swapped] = [0, 1, 2].map(part);
        Forward { appearance, structure, primary, fine, own, positive, swapped }
    }

    /// D's step on real photos and detached fakes. Skipped where nothing listens to D.
    fn discriminator_step(
        &self,
        batch: &Batch,
        forward: &Forward,
        plan: &StepPlan,
    ) -> (Tensor, Tensor, Vec<Tensor>) {
        if plan.weights.adv == 0.0 {
            return (zero(&batch.x), zero(&batch.x), Vec::new());
        }
        let judge = &self.networks.discriminator;
        // a slope of weight 0 is not asked for: it is D's second derivative, the dearest part of this step
        let is_sloped = plan.penalty > 0.0;
        let real = batch.x.detach().set_requires_grad(is_sloped);
        let judge = |photos: &Tensor| {
            wide_all(&self.arithmetic.fast(|| judge.forward(photos, Pass::TRAIN)))
        };
        let judged = judge(&real);
        let fakes = judge(&wide(&forward.swapped).detach());
        let penalty = if is_sloped {
            gradient_penalty(self.gan, &judged, &real) * plan.penalty
        } else {
            zero(&batch.x)
        };
        let loss = discriminator(self.gan, &fakes, &judged) + &penalty;
        self.dis_optim.flat.zero_gradients();
        loss.backward();
        self.dis_optim.step();
        (loss.detach(), penalty.detach(), judged.iter().map(Tensor::detach).collect())
    }

    /// Cross entropies on photos; one that the plan leaves out is 0.
    fn identity(batch: &Batch, forward: &Forward, plan: &StepPlan) -> Identity {
        let [primary_x, primary_positive] = halves(&forward.primary);
        let [fine_x, _] = halves(&forward.fine);
        let entropy = |logits: &Tensor| over_directions(&cross_entropy(logits, &batch.labels));
        let when = |wanted: bool, logits: &Tensor| {
            if wanted { entropy(logits) } else { zero(&batch.x) }
        };
        Identity {
            x: entropy(&primary_x),
            positive: when(plan.identity_on_positives, &primary_positive),
            fine: when(plan.fine_on_real, &fine_x),
        }
    }

    /// Every term of L_total; a term of weight 0 is not computed, but for the reconstructions, which are
    /// always worth a look.
    fn losses(
        &self,
        batch: &Batch,
        forward: &Forward,
        id_s: Identity,
        plan: &StepPlan,
        draws: Draws,
    ) -> Losses {
        let w = &plan.weights;
        let (frozen, trained) = self.generated(forward, plan);
        let again = self.reencode(batch, forward, plan, draws, frozen);
        let (prim, fine) = self.feedback(batch, forward, plan, trained);
        let adv = if w.adv == 0.0 {
            zero_pair(&batch.x)
        } else {
            let judge = &self.networks.discriminator;
            let judged = judge.forward(&wide(&forward.swapped), Pass::FROZEN);
            adversarial(self.gan, &wide_all(&judged))
        };
        Losses {
            img_1: l1_pair(&forward.own, &batch.x),
            img_2: l1_pair(&forward.positive, &batch.x),
            id_s,
            id_c: again.id_c,
            code_1: again.code_1,
            code_2: again.code_2,
            cycle: again.cycle,
            adv,
            perceptual: self.perceptual(batch, forward, plan),
            prim,
            fine,
        }
    }

    /// VGG features of generated images against those of the photos whose structure they have.
    fn perceptual(&self, batch: &Batch, forward: &Forward, plan: &StepPlan) -> Tensor {
        match &self.guides.perceptual {
            Some(vgg) if plan.weights.perceptual > 0.0 => {
                let carriers = tch::no_grad(|| vgg.forward(&exchanged(&batch.x)));
                l2_pair(&vgg.forward(&forward.swapped), &carriers)
            }
            _ => zero_pair(&batch.x),
        }
    }

    /// What E_a sees in x_ba and x_ab: as a frozen copy, through which the generator is trained, and in a training pass on
    /// detached images, from which E_a learns itself. Each only where a weight asks for it.
    fn generated(&self, forward: &Forward, plan: &StepPlan) -> (Option<Seen>, Option<Seen>) {
        let (w, encoder, images) = (&plan.weights, &self.networks.encoder, &forward.swapped);
        let by_generator = w.code > 0.0 || w.cycle > 0.0 || w.id > 0.0;
        let by_encoder = w.prim > 0.0 || w.fine > 0.0;
        // one pass for both; a recording on a GPU has not been tried with it
        if by_generator && by_encoder && images.device() == Device::Cpu {
            let [trained, frozen] = encoder.forward_twice(images, 2);
            return (Some(frozen), Some(trained));
        }
        let frozen = by_generator.then(|| encoder.forward(images, Pass::FROZEN.of(2)));
        let trained = by_encoder.then(|| encoder.forward(&images.detach(), Pass::TRAIN.of(2)));
        (frozen, trained)
    }

    /// Generated images through frozen copies: what trains the generator through E_a and E_s.
    fn reencode(
        &self,
        batch: &Batch,
        forward: &Forward,
        plan: &StepPlan,
        draws: Draws,
        seen: Option<Seen>,
    ) -> Reencoded {
        let generator = &self.networks.generator;
        let w = &plan.weights;
        let none = || zero_pair(&batch.x);
        let mut again =
            Reencoded { id_c: zero(&batch.x), code_1: none(), code_2: none(), cycle: none() };
        let Some(seen) = seen else { return again };
        again.id_c = over_directions(&cross_entropy(&seen.primary, &batch.labels));
        if w.code == 0.0 && w.cycle == 0.0 {
            return again;
        }
        let appearance = seen.code;
        let carriers = exchanged(&forward.swapped); // x_ab carries the structure of a, x_ba that of b
        let structure = if draws.train_structure {
            generator.structure.forward(&carriers.detach(), Pass::TRAIN)
        } else {
            generator.structure.forward(&carriers, Pass::FROZEN)
        };
        if w.code > 0.0 {
            again.code_1 =
                l1_pair(&appearance, &forward.appearance.narrow(0, 0, appearance.size()[0]));
            again.code_2 = l1_pair(&structure, &forward.structure);
        }
        if w.cycle > 0.0 {
            again.cycle =
                l1_pair(&generator.generate(&appearance, &structure, Pass::TRAIN), &batch.x);
        }
        again
    }

    /// Generated images fed back to E_a: primary feature learning with the teacher's labels (paper
    /// equation 7) and fine-grained feature mining with the structure provider's (equation 8).
    fn feedback(
        &self,
        batch: &Batch,
        forward: &Forward,
        plan: &StepPlan,
        seen: Option<Seen>,
    ) -> (Tensor, Tensor) {
        let w = &plan.weights;
        let Some(seen) = seen else { return (zero(&batch.x), zero(&batch.x)) };
        let images = forward.swapped.detach(); // x_ba, then x_ab
        let (appearance, structure) = (&batch.labels, &exchanged(&batch.labels));
        let prim = if w.prim > 0.0 {
            // static and uniform labels need no teacher; the plan asks for one in all other cases
            let asked = || {
                // labels are exact whatever the precision: narrowed, the teacher's have come out as no numbers
                let teach =
                    || mean_distribution(&self.guides.teachers, &wide(&images), plan.teacher_norm);
                let q = self.arithmetic.exact(teach);
                q.unwrap_or_else(|| Tensor::full_like(&seen.primary, f64::NAN))
            };
            let q = teacher_labels(
                plan.labels,
                asked,
                appearance,
                structure,
                self.classes,
                wide(&seen.primary).kind(),
            );
            over_directions(&distillation(&seen.primary, &q))
        } else {
            zero(&batch.x)
        };
        let fine = if w.fine > 0.0 {
            over_directions(&cross_entropy(&seen.fine, structure))
        } else {
            zero(&batch.x)
        };
        (prim, fine)
    }
}

/// The terms that come from generated images seen through frozen copies.
struct Reencoded {
    id_c: Tensor,
    code_1: Tensor,
    code_2: Tensor,
    cycle: Tensor,
}

/// What E_a sees in x_a, x_b, xp_a, xp_b. With erasing on the codes come from the clean photos and the logits
/// from the erased ones.
fn encode(encoder: &AppearanceEncoder, photos: &Tensor, erased: Option<&Tensor>) -> Seen {
    let pass = Pass::TRAIN.of(4);
    match erased {
        None => encoder.forward(photos, pass),
        Some(erased) => {
            let code = encoder.code(photos, pass);
            Seen { code, ..encoder.forward(erased, pass) }
        }
    }
}

/// D's maps in 32 bits: what is made of them needs no speed.
fn wide_all(maps: &[Tensor]) -> Vec<Tensor> {
    maps.iter().map(wide).collect()
}

/// A mean over two stacked batches as the sum of the two means: terms are added over directions.
fn over_directions(mean: &Tensor) -> Tensor {
    mean * 2.0
}

fn zero(like: &Tensor) -> Tensor {
    Tensor::zeros([] as [i64; 0], (like.kind(), like.device()))
}

fn zero_pair(like: &Tensor) -> Tensor {
    Tensor::zeros([2], (like.kind(), like.device()))
}
