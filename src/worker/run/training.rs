//! The training stage of a DG-Net run: steps, metrics, evaluations on the way, checkpoints. It resumes
//! where the newest whole checkpoint ends, and publishes its weights so that no run trains them twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tch::Tensor;

use super::job::{Job, WorkerError};
use super::teaching::{self, copy_lines, read_lines, tensor, write_lines};
use super::{Phase, finish};
use crate::train::checkpoint::{self, Checkpoints, restore_training, training_state, variables};
use crate::train::step::{Batch, Draws, Networks, Trainer};
use dgnet::data::loader::{JointBatch, JointLoader, Prefetch};
use dgnet::spec::settings::{Settings, TeacherLabels};
use dgnet::spec::step_plan::StepPlan;
use dgnet::store::records::MetricLine;
use dgnet::store::{RunDir, RunWriter, StageKind};

/// Batches made ahead of the step.
const DEPTH: usize = 3;
const WEIGHTS: &str = "weights.safetensors";
const METRICS: &str = "metrics.jsonl";

/// A training at some step.
pub struct Session {
    trainer: Trainer,
    checkpoints: Checkpoints,
    from_step: u64,
    complaints: Vec<String>,
    /// Curve of a training that another run has already done; its weights are loaded.
    published: Option<Vec<MetricLine>>,
    began: Instant,
}

/// Whether the step will ask a teacher network at all.
fn asks_teacher(settings: &Settings) -> bool {
    let by_network =
        !matches!(settings.teacher.labels, TeacherLabels::Static | TeacherLabels::Uniform);
    settings.loss.lambda_prim > 0.0 && by_network
}

impl Session {
    /// Builds the networks and puts them where the training last was.
    pub fn open(job: &Job, dir: &RunDir) -> Result<Self, WorkerError> {
        let (settings, seed) = (&job.spec.settings, job.spec.seed);
        let networks = Networks::new(settings, job.class_count(), seed, job.device);
        if let Some(weights) = &settings.appearance.weights {
            checkpoint::load_backbone(Path::new(weights), &networks.id_vars)?;
        }
        let teacher = if asks_teacher(settings) { Some(teaching::load(job)?.0) } else { None };
        let trainer = Trainer::new(networks, teacher, settings, job.class_count());
        let checkpoints = Checkpoints::new(dir.checkpoints());
        let mut session = Self {
            trainer,
            checkpoints,
            from_step: 0,
            complaints: Vec::new(),
            published: None,
            began: Instant::now(),
        };
        if let Some(stage) = job.stages.published(StageKind::Training, &job.spec.stages.training) {
            session.load_published(&stage)?;
        } else {
            session.resume(dir)?;
        }
        Ok(session)
    }

    fn load_published(&mut self, stage: &Path) -> Result<(), WorkerError> {
        let path = stage.join(WEIGHTS);
        let (_, tensors) = checkpoint::read(&path)?;
        for (name, store) in self.trainer.networks.stores() {
            checkpoint::fill(&path, name, store, &tensors)?;
        }
        self.published = Some(read_lines(&stage.join(METRICS))?);
        Ok(())
    }

    fn resume(&mut self, dir: &RunDir) -> Result<(), WorkerError> {
        let (found, damaged) = self.checkpoints.newest();
        self.complaints = damaged.iter().map(ToString::to_string).collect();
        if let Some((record, tensors)) = found {
            restore_training(&mut self.trainer, &dir.checkpoints(), &record, &tensors)?;
            self.from_step = record.step;
        }
        Ok(())
    }

    /// First step that this attempt trains.
    #[must_use]
    pub fn from_step(&self) -> u64 {
        self.from_step
    }

    /// Damaged checkpoints that were passed over.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The trained networks.
    #[must_use]
    pub fn into_trainer(self) -> Trainer {
        self.trainer
    }

    /// Trains what is left and publishes the weights.
    pub fn train(&mut self, job: &Job, writer: &mut RunWriter) -> Result<Phase, WorkerError> {
        if let Some(lines) = &self.published {
            copy_lines(lines, writer)?;
            return Ok(Phase::Complete);
        }
        let settings = &job.spec.settings;
        let steps = settings.train.steps;
        let loader = JointLoader::new(
            Arc::clone(&job.train),
            &job.classes,
            settings.augment.clone(),
            settings.train.batch as usize,
            job.spec.seed,
        )?;
        let workers = settings.train.loader_workers as usize;
        let make = Arc::new(move |step| loader.joint_batch(step));
        for joint in Prefetch::new(self.from_step..steps, workers, DEPTH, make) {
            let joint = joint?;
            let done = joint.step + 1;
            if let Some(diverged) = self.step(job, &joint, writer)? {
                return Ok(diverged);
            }
            writer.heartbeat("training", done, steps)?;
            let stop = done < steps && job.stop.requested();
            if stop || done.is_multiple_of(settings.train.checkpoint_every) && done < steps {
                self.save(job, done, writer)?;
            }
            if stop {
                return Ok(Phase::Interrupted { step: done });
            }
        }
        self.publish(job, writer)
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

    fn publish(&self, job: &Job, writer: &mut RunWriter) -> Result<Phase, WorkerError> {
        writer.sync()?;
        let work = job.stages.work(StageKind::Training, &job.spec.stages.training)?;
        let stores = self.trainer.networks.stores();
        let tensors: Vec<(String, Tensor)> =
            stores.iter().flat_map(|(name, store)| variables(name, store)).collect();
        let steps = job.spec.settings.train.steps;
        checkpoint::write(
            &work.path().join(WEIGHTS),
            &tensors,
            steps,
            &job.people(),
            BTreeMap::new(),
        )?;
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
