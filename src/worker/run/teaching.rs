//! The teacher stage: training on the real photos, published once per key and shared by every run of
//! a seed; and loading it, with a check that its classes are those of the data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tch::Tensor;
use tch::nn::VarStore;

use super::job::{Job, WorkerError};
use super::{Exit, Phase};
use crate::compute;
use crate::eval::features::gather;
use crate::model::teacher::TeacherNet;
use crate::train::checkpoint::{self, CheckpointError, Checkpoints, restore_optimizer, variables};
use crate::train::teacher::{Photos, TeacherTrainer, build, head_rate, right};
use crate::train::weights::Weights;
use dgnet::data::loader::{Images, Prefetch, TeacherLoader};
use dgnet::data::rng::Rng;
use dgnet::data::sampler::hold_out;
use dgnet::spec::settings::{Mode, Settings, TeacherSource};
use dgnet::store::files::create_folder;
use dgnet::store::records::{MetricLine, Number};
use dgnet::store::{Pulse, RunLock, RunWriter, StageKind, StoreError};

/// Epochs between two checkpoints of a teacher.
const CHECKPOINT_EPOCHS: u64 = 5;
/// Batches made ahead of the step.
const DEPTH: usize = 4;
/// Training photos, evenly spread, on which a teacher from elsewhere is tried.
const CHECKED_PHOTOS: usize = 2_048;
const WEIGHTS: &str = "teacher.safetensors";
const METRICS: &str = "metrics.jsonl";
/// In a checkpoint, the losses of the epoch in which a teacher was stopped.
const LOSSES: &str = "losses";

/// Trains the teacher of this job's seed and publishes it, unless it is there.
pub fn train(job: &Job) -> Result<Exit, WorkerError> {
    let key = &job.spec.stages.teacher;
    if key.is_empty() || job.stages.published(StageKind::Teacher, key).is_some() {
        return Ok(Exit::Done);
    }
    let began = Instant::now();
    let resume = job.stages.resume_dir(StageKind::Teacher, key);
    create_folder(&resume)?;
    let Some(_lock) = RunLock::acquire(&resume)? else { return Ok(Exit::Locked) };
    if job.stages.published(StageKind::Teacher, key).is_some() {
        return Ok(Exit::Done);
    }
    let (mut tensors, mut curves, mut steps) = (Vec::new(), Vec::new(), 0);
    for nth in 0..teacher_count(&job.spec.settings) {
        let mut course = Course::open(job, &resume, nth)?;
        match course.run(job)? {
            Phase::Complete => {}
            Phase::Interrupted { .. } => return Ok(Exit::Interrupted),
            Phase::Diverged { step, reason } => {
                tracing::error!("{} diverged at step {step}: {reason}", called(nth));
                return Ok(Exit::Diverged);
            }
        }
        if course.step > 0 && nth + 1 < teacher_count(&job.spec.settings) {
            course.save(job, &[])?;
        }
        tensors.extend(variables(&called(nth), &course.trainer.vars));
        steps = course.step;
        curves.push(course.lines);
    }
    let work = job.work(StageKind::Teacher, key)?.since(began);
    checkpoint::write(&work.path().join(WEIGHTS), &tensors, steps, &job.people(), BTreeMap::new())?;
    write_lines(&work.path().join(METRICS), &mean_lines(&curves))?;
    job.stages.publish(work)?;
    let _ = fs::remove_dir_all(&resume);
    Ok(Exit::Done)
}

/// Teachers of a run; one that is trained for itself is alone, as its identity says.
fn teacher_count(settings: &Settings) -> u32 {
    if settings.train.mode == Mode::TeacherOnly { 1 } else { settings.teacher.count }
}

/// The name of the nth teacher in files: teacher, teacher1, teacher2.
fn called(nth: u32) -> String {
    if nth == 0 { "teacher".to_owned() } else { format!("teacher{nth}") }
}

/// The seed of the nth teacher of a run: the first one has the run's own.
fn seed_of(seed: u64, nth: u32) -> u64 {
    if nth == 0 { seed } else { Rng::new(seed, "teacher", u64::from(nth)).next_u64() >> 1 }
}

/// Curves of several teachers, which have the same steps, as one: the mean of every value.
fn mean_lines(curves: &[Vec<MetricLine>]) -> Vec<MetricLine> {
    let mut mean = curves.first().cloned().unwrap_or_default();
    for (at, line) in mean.iter_mut().enumerate() {
        for (name, value) in &mut line.values {
            let all = curves.iter().filter_map(|lines| Some(lines.get(at)?.values.get(name)?.0));
            value.0 = all.sum::<f64>() / curves.len() as f64;
        }
    }
    mean
}

/// A teacher on its way.
struct Course {
    nth: u32,
    seed: u64,
    trainer: TeacherTrainer,
    checkpoints: Checkpoints,
    pulse: Pulse,
    folder: PathBuf,
    lines: Vec<MetricLine>,
    /// Losses of the epoch in which it was stopped.
    losses: Vec<f64>,
    held_out: Vec<usize>,
    loader: Arc<TeacherLoader>,
    step: u64,
}

impl Course {
    fn open(job: &Job, resume: &Path, nth: u32) -> Result<Self, WorkerError> {
        let (settings, seed) = (&job.spec.settings, seed_of(job.spec.seed, nth));
        let folder = &if nth == 0 { resume.to_owned() } else { resume.join(called(nth)) };
        create_folder(folder)?;
        let (net, vars) = build(settings, job.class_count(), seed, job.device);
        if let Some(weights) = &settings.teacher.weights {
            Weights::read(Path::new(weights))?.fill_backbone("teacher", &vars)?;
        }
        let mut trainer = TeacherTrainer::new(net, vars, settings);
        let checkpoints = Checkpoints::new(folder.join("checkpoints"));
        let (found, damaged) = checkpoints.recover()?;
        for complaint in damaged {
            tracing::warn!("{complaint}");
        }
        let (mut step, mut losses) = (0, Vec::new());
        if let Some((record, tensors)) = found {
            compute::same_class(record.device.as_deref(), job.device, folder)?;
            if let Some(tensor) = tensors.get(LOSSES) {
                losses = Vec::try_from(tensor).map_err(CheckpointError::from)?;
            }
            checkpoint::fill(folder, "teacher", &trainer.vars, &tensors)?;
            restore_optimizer(folder, "teacher", trainer.optim(), &tensors)?;
            trainer.set_steps(record.counters.get("teacher").copied().unwrap_or_default());
            step = record.step;
        }
        let mut lines = read_lines(&folder.join(METRICS))?;
        lines.retain(|line| line.step <= step);
        let (kept, held_out) = if settings.teacher.hold_out {
            hold_out(&job.train.people(), seed)
        } else {
            ((0..job.train.len()).collect(), (0..job.train.len()).collect())
        };
        let batch = settings.teacher.batch as usize;
        let loader = TeacherLoader::new(
            Arc::clone(&job.train),
            kept,
            &job.classes,
            settings.augment.clone(),
            batch,
            seed,
        )?;
        Ok(Self {
            nth,
            seed,
            trainer,
            checkpoints,
            // one heartbeat for all of them
            pulse: Pulse::new(resume)?,
            folder: folder.clone(),
            lines,
            losses,
            held_out,
            loader: Arc::new(loader),
            step,
        })
    }

    fn run(&mut self, job: &Job) -> Result<Phase, WorkerError> {
        let (settings, seed) = (&job.spec.settings, self.seed);
        let epoch_steps = self.loader.steps_per_epoch();
        let steps = epoch_steps * u64::from(settings.teacher.epochs);
        let loader = Arc::clone(&self.loader);
        let workers = settings.train.loader_workers as usize;
        let batches = Prefetch::new(
            self.step..steps,
            workers,
            DEPTH,
            Arc::new(move |step| loader.batch(step)),
        );
        let mut losses = std::mem::take(&mut self.losses);
        for batch in batches {
            let batch = batch?;
            let photos = Photos {
                x: tensor(&job.train, &batch.x, job),
                labels: Tensor::from_slice(&batch.labels).to_device(job.device),
            };
            let rate = head_rate(
                settings.teacher.learning_rate,
                batch.step / epoch_steps,
                settings.teacher.decay_epoch,
            );
            let loss = self.trainer.step(&photos, rate, (seed, batch.step));
            self.step = batch.step + 1;
            if !loss.is_finite() {
                return Ok(Phase::Diverged {
                    step: self.step,
                    reason: format!("its loss is {loss}"),
                });
            }
            losses.push(loss);
            let (before, all) = (u64::from(self.nth) * steps, u64::from(teacher_count(settings)));
            self.pulse.beat("teacher", before + self.step, all * steps)?;
            if self.step.is_multiple_of(epoch_steps) {
                self.note_epoch(job, &mut losses)?;
                let epoch = self.step / epoch_steps;
                if epoch.is_multiple_of(CHECKPOINT_EPOCHS) {
                    self.save(job, &[])?;
                }
            }
            if self.step < steps && job.stop.requested() {
                self.save(job, &losses)?;
                return Ok(Phase::Interrupted { step: self.step });
            }
        }
        Ok(Phase::Complete)
    }

    /// Mean loss of the epoch and accuracy on the held-out photos.
    fn note_epoch(&mut self, job: &Job, losses: &mut Vec<f64>) -> Result<(), WorkerError> {
        let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        losses.clear();
        let accuracy = accuracy(job, &self.trainer.net, &job.train, &self.held_out)?;
        let values = [("teacher_loss", mean), ("teacher_accuracy", accuracy)];
        let values = values.map(|(name, value)| (name.to_owned(), Number(value))).into();
        self.lines.push(MetricLine { step: self.step, values });
        Ok(())
    }

    /// Saves what it is at; `losses` are those of the epoch that has begun.
    fn save(&self, job: &Job, losses: &[f64]) -> Result<(), WorkerError> {
        write_lines(&self.folder.join(METRICS), &self.lines)?;
        let mut tensors = variables("teacher", &self.trainer.vars);
        if !losses.is_empty() {
            tensors.push((LOSSES.to_owned(), Tensor::from_slice(losses)));
        }
        let optim = self.trainer.optim();
        tensors.extend(
            optim
                .state()
                .into_iter()
                .map(|(part, tensor)| (format!("optim.teacher.{part}"), tensor)),
        );
        let counters = BTreeMap::from([("teacher".to_owned(), optim.steps())]);
        Ok(self.checkpoints.save(&tensors, self.step, &job.people(), counters)?)
    }
}

/// A batch of pixels as a tensor.
///
/// # Shapes
/// N * 3 * H * W numbers -> (N, 3, H, W)
pub fn tensor(images: &Images, pixels: &[f32], job: &Job) -> Tensor {
    let (height, width) = images.size();
    Tensor::from_slice(pixels).view([-1, 3, height as i64, width as i64]).to_device(job.device)
}

fn accuracy(
    job: &Job,
    net: &TeacherNet,
    images: &Images,
    indices: &[usize],
) -> Result<f64, WorkerError> {
    let labels = images.labels(&job.classes)?;
    let mut correct = 0;
    for chunk in indices.chunks(job.spec.settings.eval.batch.max(1) as usize) {
        let truth: Vec<i64> = chunk.iter().map(|&i| labels[i]).collect();
        let truth = Tensor::from_slice(&truth).to_device(job.device);
        correct += right(net, &gather(images, chunk, job.device), &truth);
    }
    Ok(correct as f64 / indices.len().max(1) as f64)
}

/// The teachers that a job's spec asks for.
pub struct Teachers {
    /// The networks; most often one.
    pub nets: Vec<TeacherNet>,
    /// Their variables.
    pub vars: Vec<VarStore>,
    /// Steps that each was trained.
    pub steps: u64,
}

/// Loads the teachers that this job's spec asks for; their steps are 0 where a file does not say.
///
/// # Errors
/// Besides unreadable files, `WorkerError::Teacher` for one that was read from elsewhere and does not
/// know the classes of this training set.
pub fn load(job: &Job) -> Result<Teachers, WorkerError> {
    let settings = &job.spec.settings;
    let given = settings
        .teacher
        .path
        .as_ref()
        .filter(|_| settings.teacher.source == TeacherSource::Checkpoint);
    let weights = if let Some(path) = given {
        Weights::read(Path::new(path))?
    } else {
        let key = &job.spec.stages.teacher;
        let stage = job.stages.verified(StageKind::Teacher, key)?;
        let path = stage
            .ok_or_else(|| WorkerError::Missing { kind: "teacher", key: key.clone() })?
            .join(WEIGHTS);
        let (record, tensors) = checkpoint::read(&path)?;
        Weights { path, tensors, record: Some(record) }
    };
    check_classes(job, &weights)?;
    let steps = weights.record.as_ref().map_or(0, |record| record.step);
    let mut teachers = Teachers { nets: Vec::new(), vars: Vec::new(), steps };
    for nth in 0..teacher_count(settings) {
        let (net, vars) = build(settings, job.class_count(), job.spec.seed, job.device);
        weights.fill(&called(nth), &vars)?;
        if given.is_some() && settings.train.mode == Mode::Joint {
            check_accuracy(job, &net, &weights)?;
        }
        teachers.nets.push(net);
        teachers.vars.push(vars);
    }
    Ok(teachers)
}

/// Refuses a teacher of other persons: by the class map where the file has one, by their number otherwise.
fn check_classes(job: &Job, weights: &Weights) -> Result<(), WorkerError> {
    let path = weights.path.display();
    let known = match &weights.record {
        Some(record) if record.people == job.people() => return Ok(()),
        Some(record) => record.people.len(),
        None => {
            let teacher = weights.of("teacher");
            let Some(classifier) = teacher.get("classifier.classifier.0.weight") else {
                return Err(WorkerError::Teacher(format!(
                    "`{path}` holds no teacher: `classifier.classifier.0.weight` is missing\n  hint: \
                     a teacher has one head; E_a of a DG-Net (two heads) cannot teach"
                )));
            };
            let classes = classifier.size().first().copied().unwrap_or_default();
            if classes == job.class_count() {
                return Ok(());
            }
            classes as usize
        }
    };
    Err(WorkerError::Teacher(format!(
        "the teacher `{path}` knows {known} persons in another order or number than the data set's {}\n  \
         hint: class index = rank of the person id; use a teacher that was trained on this training set",
        job.classes.len()
    )))
}

/// Refuses a teacher that is wrong about the photos that it should have learnt. Wrong classes would
/// ruin a run in silence.
fn check_accuracy(job: &Job, net: &TeacherNet, weights: &Weights) -> Result<(), WorkerError> {
    let least = job.spec.settings.teacher.min_accuracy;
    if least <= 0.0 || job.train.is_empty() {
        return Ok(());
    }
    let step = job.train.len().div_ceil(CHECKED_PHOTOS);
    let sample: Vec<usize> = (0..job.train.len()).step_by(step).collect();
    let measured = accuracy(job, net, &job.train, &sample)?;
    if measured >= least {
        return Ok(());
    }
    let cause = if weights.record.is_some() {
        "its classes stand in the right order, so look at `image`, `teacher.last_stride` and how it was trained"
    } else {
        "most likely its classes stand in another order: class index = rank of the person id in ascending \
         order; otherwise `image` or `teacher.last_stride` differ from its training"
    };
    Err(WorkerError::Teacher(format!(
        "the teacher `{}` puts {:.1} % of {} training photos into the right class, \
         `teacher.min_accuracy` asks for {:.1} %\n  hint: {cause}; `teacher.min_accuracy: 0` uses it all the same",
        weights.path.display(),
        100.0 * measured,
        sample.len(),
        100.0 * least,
    )))
}

/// Copies the curve of the teacher's training into a run's records.
pub fn copy_metrics(job: &Job, writer: &mut RunWriter) -> Result<(), WorkerError> {
    if let Some(stage) = job.stages.published(StageKind::Teacher, &job.spec.stages.teacher) {
        copy_lines(&read_lines(&stage.join(METRICS))?, writer)?;
    }
    Ok(())
}

/// Writes lines into a run's records.
pub fn copy_lines(lines: &[MetricLine], writer: &mut RunWriter) -> Result<(), StoreError> {
    for line in lines {
        let values: Vec<(&str, f64)> =
            line.values.iter().map(|(name, value)| (name.as_str(), value.0)).collect();
        writer.metrics(line.step, &values)?;
    }
    Ok(())
}

/// Metric lines of a stage; none where there is no file.
pub fn read_lines(path: &Path) -> Result<Vec<MetricLine>, StoreError> {
    let bytes = dgnet::store::files::read_optional(path)?.unwrap_or_default();
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|error| damaged(path, &error))).collect()
}

fn damaged(path: &Path, error: &serde_json::Error) -> StoreError {
    let hint = "remove the stage's folder and run the sweep again; it is made anew".to_owned();
    StoreError::Damaged { path: path.to_owned(), reason: error.to_string(), hint }
}

/// Writes metric lines of a stage.
pub fn write_lines(path: &Path, lines: &[MetricLine]) -> Result<(), StoreError> {
    let mut bytes = Vec::new();
    for line in lines {
        let json = serde_json::to_vec(line).map_err(|error| damaged(path, &error))?;
        bytes.extend(json);
        bytes.push(b'\n');
    }
    dgnet::store::files::write_atomic(path, &bytes)
}
