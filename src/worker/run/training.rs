//! The training stage of a DG-Net run: steps, metrics, evaluations on the way, checkpoints. It resumes
//! where the newest whole checkpoint ends, and publishes its weights so that no run trains them twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::job::{Job, WorkerError};
use super::teaching::{self, copy_lines, read_lines, tensor, write_lines};
use super::{Phase, energy, finish, provenance};
use crate::compute;
use crate::model::vgg::Vgg;
use crate::train::checkpoint::{self, Checkpoints, restore_training, training_state, variables};
use crate::train::networks::Networks;
use crate::train::step::{Guides, Trainer};
use crate::train::terms::{Batch, Draws};
use crate::train::weights::Weights;
use dgnet::data::loader::{JointBatch, JointLoader, Prefetch};
use dgnet::spec::prefix::Course;
use dgnet::spec::settings::{Settings, TeacherLabels};
use dgnet::spec::step_plan::StepPlan;
use dgnet::store::records::{Begin, Fork, MetricLine};
use dgnet::store::{RunDir, RunWriter, StageKind, StoreError};

/// Batches made ahead of the step.
const DEPTH: usize = 3;
const WEIGHTS: &str = "weights.safetensors";
const METRICS: &str = "metrics.jsonl";

/// A training at some step.
pub struct Session {
    trainer: Trainer,
    checkpoints: Checkpoints,
    /// First step to train.
    next: u64,
    /// The beginning that was taken over from a training shared with other runs.
    taken: Option<Taken>,
    complaints: Vec<String>,
    /// Curve of a training that another run has already done; its weights are loaded.
    published: Option<Vec<MetricLine>>,
    device: Device,
    began: Instant,
}

/// A beginning that another process has trained.
struct Taken {
    key: String,
    steps: u64,
    lines: Vec<MetricLine>,
}

/// Whether the step will ask a teacher network at all.
pub(super) fn asks_teacher(settings: &Settings) -> bool {
    let by_network =
        !matches!(settings.teacher.labels, TeacherLabels::Static | TeacherLabels::Uniform);
    settings.loss.lambda_prim > 0.0 && by_network
}

/// VGG's features, read from a file.
fn perceptual(path: &Path, device: Device) -> Result<Vgg, WorkerError> {
    let vars = VarStore::new(device);
    let vgg = Vgg::new(&vars.root());
    Weights::read(path)?.fill_within(&vars)?;
    Ok(vgg)
}

/// Puts the finished generator that feeds this run offline, and the encoder that it was trained with,
/// into the networks.
fn load_painter(job: &Job, networks: &Networks) -> Result<(), WorkerError> {
    let Some((painter, _)) = &networks.painter else { return Ok(()) };
    let key = &job.spec.stages.generator;
    let stage = job
        .stages
        .verified(StageKind::Training, key)?
        .ok_or_else(|| WorkerError::Missing { kind: "generator", key: key.clone() })?;
    let path = stage.join(WEIGHTS);
    let (_, tensors) = checkpoint::read(&path)?;
    for (name, store) in [("gen", &networks.gen_vars), ("dis", &networks.dis_vars), ("id", painter)]
    {
        checkpoint::fill(&path, name, store, &tensors)?;
    }
    Ok(())
}

impl Session {
    /// Builds the networks and puts them where the training last was: at its newest checkpoint, or at
    /// the end of the longest published beginning among `forks`. `until` is the last step that this
    /// session will train.
    pub fn open(job: &Job, dir: &RunDir, forks: &[Fork], until: u64) -> Result<Self, WorkerError> {
        let (settings, seed) = (&job.spec.settings, job.spec.seed);
        let networks = Networks::new(settings, job.class_count(), seed, job.device);
        if let Some(weights) = &settings.appearance.weights {
            Weights::read(Path::new(weights))?.fill_backbone("id", &networks.id_vars)?;
        }
        let course = job.course();
        let asks = asks_teacher(settings) && course.asks_teacher_before(until);
        let mut guides = Guides::default();
        if asks {
            guides.teachers = teaching::load(job)?.nets;
        }
        let weights = settings.loss.perceptual_weights.as_ref();
        if let Some(path) = weights.filter(|_| settings.loss.lambda_perceptual > 0.0) {
            guides.perceptual = Some(perceptual(Path::new(path), job.device)?);
        }
        let trainer = Trainer::new(networks, guides, settings, job.class_count());
        let checkpoints = Checkpoints::new(dir.checkpoints());
        let mut session = Self {
            trainer,
            checkpoints,
            next: 0,
            taken: None,
            complaints: Vec::new(),
            published: None,
            device: job.device,
            began: Instant::now(),
        };
        let whole = until == settings.train.steps;
        let key = &job.spec.stages.training;
        if whole && session.load_published(job, key)? {
            // nothing is left to train
        } else if !session.resume(dir)? {
            // a checkpoint and a shared beginning hold the painter themselves
            load_painter(job, &session.trainer.networks)?;
            session.take_over(job, &course, forks)?;
        }
        Ok(session)
    }

    /// Loads the weights of a training that is published; `false` where none is, or none that is whole.
    fn load_published(&mut self, job: &Job, key: &str) -> Result<bool, WorkerError> {
        let stage = match job.stages.verified(StageKind::Training, key) {
            Ok(Some(stage)) => stage,
            Ok(None) => return Ok(false),
            Err(error @ StoreError::Damaged { .. }) => {
                self.complaints.push(error.to_string());
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let path = stage.join(WEIGHTS);
        let (record, tensors) = checkpoint::read(&path)?;
        compute::same_class(record.device.as_deref(), self.device, &stage)?;
        for (name, store) in self.trainer.networks.stores() {
            checkpoint::fill(&path, name, store, &tensors)?;
        }
        self.published = Some(read_lines(&stage.join(METRICS))?);
        Ok(true)
    }

    /// Goes back to the newest whole checkpoint; `false` without one.
    fn resume(&mut self, dir: &RunDir) -> Result<bool, WorkerError> {
        let (found, damaged) = self.checkpoints.recover()?;
        self.complaints.extend(damaged.iter().map(ToString::to_string));
        let Some((record, tensors)) = found else { return Ok(false) };
        compute::same_class(record.device.as_deref(), self.device, &dir.checkpoints())?;
        restore_training(&mut self.trainer, &dir.checkpoints(), &record, &tensors)?;
        self.next = record.step;
        Ok(true)
    }

    /// Begins at the end of the longest beginning that is published and is this training's own.
    fn take_over(&mut self, job: &Job, course: &Course, forks: &[Fork]) -> Result<(), WorkerError> {
        let published = |fork: &&Fork| job.stages.published(StageKind::Prefix, &fork.key).is_some();
        let mut usable = forks.iter().filter(published).collect::<Vec<_>>();
        usable.sort_by_key(|fork| std::cmp::Reverse(fork.steps));
        for fork in usable.into_iter().filter(|fork| course.key(fork.steps) == fork.key) {
            let stage = match job.stages.verified(StageKind::Prefix, &fork.key) {
                Ok(Some(stage)) => stage,
                Ok(None) => continue,
                // nothing is lost: the steps are trained again, now or by the next sweep
                Err(error @ StoreError::Damaged { .. }) => {
                    self.complaints.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let path = stage.join(WEIGHTS);
            let (record, tensors) = checkpoint::read(&path)?;
            // a beginning is a help: one of another class of device is none
            if let Err(error) = compute::same_class(record.device.as_deref(), self.device, &stage) {
                self.complaints.push(error.to_string());
                continue;
            }
            restore_training(&mut self.trainer, &path, &record, &tensors)?;
            self.next = record.step;
            let lines = read_lines(&stage.join(METRICS))?;
            self.taken = Some(Taken { key: fork.key.clone(), steps: record.step, lines });
            return Ok(());
        }
        Ok(())
    }

    /// `begin.json` of the attempt that trains on from here, to `steps` steps in all.
    pub fn begin(&self, dir: &RunDir, steps: u64) -> Result<Begin, StoreError> {
        let (from_step, shared_steps) = match &self.taken {
            // lines that are taken over are written again, so no earlier ones count
            Some(taken) => (0, taken.steps),
            None if self.next > 0 => (self.next, dir.begin()?.map_or(0, |last| last.shared_steps)),
            None => (0, 0),
        };
        let begin = provenance::begin(self.device, dir.next_attempt()?, from_step, steps);
        Ok(Begin { shared_steps, ..begin })
    }

    /// Damaged checkpoints that were passed over.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The trained networks.
    #[must_use]
    pub fn into_trainer(self) -> Trainer {
        self.trainer.finish();
        self.trainer
    }

    /// Trains what is left and publishes the weights.
    pub fn train(&mut self, job: &Job, writer: &mut RunWriter) -> Result<Phase, WorkerError> {
        if let Some(lines) = &self.published {
            copy_lines(lines, writer)?;
            let steps = job.spec.settings.train.steps;
            writer.event(
                "info",
                &format!("took over {steps} steps: the training was done already"),
            )?;
            return Ok(Phase::Complete);
        }
        match self.advance(job, writer, job.spec.settings.train.steps)? {
            Phase::Complete => {}
            other => return Ok(other),
        }
        let stores = self.trainer.networks.stores();
        let tensors: Vec<(String, Tensor)> =
            stores.iter().flat_map(|(name, store)| variables(name, store)).collect();
        let steps = job.spec.settings.train.steps;
        let key = &job.spec.stages.training;
        self.publish(job, writer, (StageKind::Training, key), steps, (&tensors, BTreeMap::new()))
    }

    /// Trains the beginning up to `steps` and publishes it for every run that has it in common.
    pub fn train_prefix(
        &mut self,
        job: &Job,
        writer: &mut RunWriter,
        (steps, key): (u64, &str),
    ) -> Result<Phase, WorkerError> {
        match self.advance(job, writer, steps)? {
            Phase::Complete => {}
            other => return Ok(other),
        }
        let (tensors, counters) = training_state(&self.trainer);
        self.publish(job, writer, (StageKind::Prefix, key), steps, (&tensors, counters))
    }

    /// Trains up to step `until`.
    fn advance(
        &mut self,
        job: &Job,
        writer: &mut RunWriter,
        until: u64,
    ) -> Result<Phase, WorkerError> {
        if let Some(taken) = &self.taken {
            copy_lines(&taken.lines, writer)?;
            let steps = taken.steps;
            writer.event(
                "info",
                &format!("took over {steps} steps trained together with other runs"),
            )?;
        }
        let settings = &job.spec.settings;
        let loader = JointLoader::new(
            Arc::clone(&job.train),
            &job.classes,
            settings.augment.clone(),
            settings.train.batch as usize,
            job.spec.seed,
        )?;
        let workers = settings.train.loader_workers as usize;
        let make = Arc::new(move |step| loader.joint_batch(step));
        for joint in Prefetch::new(self.next..until, workers, DEPTH, make) {
            let joint = joint?;
            let done = joint.step + 1;
            if let Some(diverged) = self.step(job, &joint, writer)? {
                return Ok(diverged);
            }
            writer.heartbeat("training", done, until)?;
            energy::sample();
            let stop = done < until && job.stop.requested();
            if stop || done.is_multiple_of(settings.train.checkpoint_every) && done < until {
                self.save(job, done, writer)?;
            }
            if stop {
                return Ok(Phase::Interrupted { step: done });
            }
        }
        Ok(Phase::Complete)
    }

    /// One step with its metrics; `Some` when it diverged.
    fn step(
        &mut self,
        job: &Job,
        joint: &JointBatch,
        writer: &mut RunWriter,
    ) -> Result<Option<Phase>, WorkerError> {
        let settings = &job.spec.settings;
        let plan = StepPlan::at(settings, joint.step);
        let started = Instant::now();
        let outcome = self.trainer.step(
            &batch(job, joint),
            &plan,
            Draws::at(&plan, job.spec.seed, joint.step),
        );
        let done = joint.step + 1;
        let checked = [("L_total", &outcome.total), ("D's loss", &outcome.dis)];
        let bad = checked
            .map(|(name, loss)| (name, loss.double_value(&[])))
            .into_iter()
            .find(|(_, v)| !v.is_finite());
        if bad.is_some()
            || done.is_multiple_of(settings.train.log_every)
            || done == settings.train.steps
        {
            let mut values = outcome.metrics(&plan.weights);
            values.push(("step_seconds", started.elapsed().as_secs_f64()));
            values.push(("weight_prim", plan.weights.prim));
            values.push(("weight_fine", plan.weights.fine));
            values.push(("weight_code", plan.weights.code));
            values.push(("weight_cycle", plan.weights.cycle));
            writer.metrics(done, &values)?;
        }
        if let Some((name, value)) = bad {
            let reason = format!("{name} is {value} after step {done}");
            return Ok(Some(Phase::Diverged { step: done, reason }));
        }
        if done.is_multiple_of(settings.eval.every) && done < settings.train.steps {
            let model = finish::Model::Joint(&self.trainer.networks);
            let ranked = finish::rank(job, &model)?;
            writer.metrics(done, &ranked.metrics())?;
        }
        Ok(None)
    }

    fn save(&self, job: &Job, done: u64, writer: &mut RunWriter) -> Result<(), WorkerError> {
        // what the checkpoint stands for must be on disk before it
        writer.sync()?;
        super::job::add_usage(writer.run(), writer.attempt(), self.began)?;
        let (tensors, counters) = training_state(&self.trainer);
        Ok(self.checkpoints.save(&tensors, done, &job.people(), counters)?)
    }

    /// Publishes tensors with the curves up to here as a stage.
    fn publish(
        &self,
        job: &Job,
        writer: &mut RunWriter,
        (kind, key): (StageKind, &str),
        steps: u64,
        (tensors, counters): (&[(String, Tensor)], BTreeMap<String, i64>),
    ) -> Result<Phase, WorkerError> {
        writer.sync()?;
        let taken = self.taken.as_ref().map(|taken| (StageKind::Prefix, taken.key.as_str()));
        let work = job.work(kind, key)?.since(self.began).made_from(taken);
        checkpoint::write(&work.path().join(WEIGHTS), tensors, steps, &job.people(), counters)?;
        write_lines(&work.path().join(METRICS), &writer.run().metric_lines()?)?;
        job.stages.publish(work)?;
        self.checkpoints.clear();
        Ok(Phase::Complete)
    }
}

/// The photos of a step as tensors, a first.
fn batch(job: &Job, joint: &JointBatch) -> Batch {
    let stack = |parts: &[&Vec<f32>]| {
        let tensors: Vec<Tensor> =
            parts.iter().map(|pixels| tensor(&job.train, pixels, job)).collect();
        Tensor::cat(&tensors, 0)
    };
    Batch {
        x: stack(&[&joint.x_a, &joint.x_b]),
        positive: stack(&[&joint.xp_a, &joint.xp_b]),
        erased: joint.erased.as_ref().map(|[a, b, pa, pb]| stack(&[a, b, pa, pb])),
        labels: Tensor::from_slice(&[joint.labels_a.as_slice(), &joint.labels_b].concat())
            .to_device(job.device),
    }
}
