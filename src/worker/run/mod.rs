//! The worker's run loop: where training, evaluation, stages and records meet. It runs in
//! `dgnet-worker`, a process per run.

pub mod energy;
pub mod finish;
pub mod finished;
pub mod generate;
pub mod job;
pub mod prefix;
pub mod provenance;
pub mod quality;
pub mod ranked;
pub mod teaching;
pub mod trained;
pub mod training;

use std::path::Path;

pub use generate::generate;
pub use job::{Job, Stop, WorkerError};

use dgnet::spec::identity::{RECIPE_VERSION, generator_settings, run_uid};
use dgnet::spec::settings::Mode;
use dgnet::store::error::no_room;
use dgnet::store::records::{End, EndState, Pause, RunSpec, Usage};
use dgnet::store::run_dir::now;
use dgnet::store::{RunDir, RunLock, RunWriter};
use provenance::peak_bytes;

/// How a worker process ends; the discriminant is its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything is there.
    Done = 0,
    /// An error, recorded in `end.json` where there is a run.
    Failed = 1,
    /// A request that cannot be met as it is.
    Refused = 2,
    /// A loss was not finite; recorded.
    Diverged = 3,
    /// Another process holds the lock.
    Locked = 4,
    /// The disk is full: perhaps not even the record of the failure could be written.
    NoRoom = 5,
    /// Stopped on request after a checkpoint.
    Interrupted = 130,
}

/// What a phase of a run says when it is over.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Go on.
    Complete,
    /// A value was not finite after this many steps.
    Diverged {
        /// Steps finished.
        step: u64,
        /// Which value.
        reason: String,
    },
    /// Stopped on request after this many steps.
    Interrupted {
        /// Steps finished.
        step: u64,
    },
}

/// Does everything of one run that is not done yet: training, evaluation, pictures.
pub fn run(runs: &Path, folder: &Path, stop: &Stop) -> Result<Exit, WorkerError> {
    let dir = RunDir::new(folder);
    let Some(_lock) = RunLock::acquire(folder)? else { return Ok(Exit::Locked) };
    if let Some(end) = dir.end()? {
        return Ok(match end.state {
            EndState::Done => Exit::Done,
            EndState::Failed => Exit::Failed,
            EndState::Diverged => Exit::Diverged,
        });
    }
    let began = std::time::Instant::now();
    energy::sample();
    let outcome = caught(|| attempt(runs, &dir, stop));
    let attempt = dir.begin()?.map_or(1, |begin| begin.attempt);
    let (state, reason, step) = match outcome {
        Ok(Phase::Complete) => (EndState::Done, None, None),
        Ok(Phase::Diverged { step, reason }) => (EndState::Diverged, Some(reason), Some(step)),
        Ok(Phase::Interrupted { step }) => {
            job::add_usage(&dir, attempt, began)?;
            dgnet::store::files::write_json(
                &folder.join("pause.json"),
                &Pause { attempt, step, at: now() },
            )?;
            return Ok(Exit::Interrupted);
        }
        Err(error) => (EndState::Failed, Some(error.to_string()), None),
    };
    if let Some(reason) = &reason {
        tracing::error!("{reason}");
    }
    if let Err(error) = job::add_usage(&dir, attempt, began) {
        // what it was at matters more than what it cost
        tracing::warn!("{error}");
    }
    let Usage { wall_s, cpu_s, energy_j } = dir.usage()?;
    let step = step.unwrap_or_else(|| dir.heartbeat().map_or(0, |beat| beat.step));
    let end = End {
        state,
        reason: reason.clone(),
        attempt,
        step,
        ended_at: now(),
        wall_s,
        cpu_s,
        energy_j,
        peak_bytes: peak_bytes(),
    };
    dgnet::store::files::write_json(&folder.join("end.json"), &end)?;
    Ok(match state {
        EndState::Failed if reason.as_deref().is_some_and(no_room) => Exit::NoRoom,
        EndState::Done => Exit::Done,
        EndState::Failed => Exit::Failed,
        EndState::Diverged => Exit::Diverged,
    })
}

fn attempt(runs: &Path, dir: &RunDir, stop: &Stop) -> Result<Phase, WorkerError> {
    let spec = dir.spec()?;
    check_identity(dir, &spec)?;
    let job = Job::open(runs, spec, stop)?;
    match job.spec.settings.train.mode {
        Mode::Joint => joint(&job, dir),
        Mode::TeacherOnly => teacher_only(&job, dir),
    }
}

/// Refuses a folder whose settings are no longer those of the run that it is named after.
fn check_identity(dir: &RunDir, spec: &RunSpec) -> Result<(), WorkerError> {
    // another version of the program counts otherwise
    let uid = run_uid(&spec.settings, spec.seed, &spec.stages.data);
    if spec.recipe != RECIPE_VERSION || uid == spec.uid {
        return Ok(());
    }
    Err(WorkerError::Refused(format!(
        "`{}` was changed: its settings are those of the run {:.8} and its folder is that of {:.8}\n  \
         hint: move the folder away; the same command makes it anew. Settings are changed in the study file",
        dir.spec_file().display(),
        uid,
        spec.uid
    )))
}

/// A DG-Net run.
fn joint(job: &Job, dir: &RunDir) -> Result<Phase, WorkerError> {
    let steps = job.spec.settings.train.steps;
    // weights that do not fit are found now, not at the end of a training
    quality::inception(job)?;
    let mut session = training::Session::open(job, dir, &dir.forks()?, steps)?;
    let mut writer = RunWriter::begin(dir.path(), &session.begin(dir, steps)?)?;
    for complaint in session.complaints() {
        writer.event("warn", complaint)?;
    }
    match session.train(job, &mut writer)? {
        Phase::Complete => {}
        other => {
            writer.sync()?;
            return Ok(other);
        }
    }
    let trainer = session.into_trainer();
    let model = finish::Model::Joint(&trainer.networks);
    let judged = finish::evaluation(job, &model, steps, &mut writer)?;
    finish::pictures(job, &model, steps, &judged, &mut writer)?;
    writer.heartbeat("pictures", steps, steps)?;
    writer.sync()?;
    Ok(Phase::Complete)
}

/// The re-ID baseline: the teacher of this seed, evaluated.
fn teacher_only(job: &Job, dir: &RunDir) -> Result<Phase, WorkerError> {
    let teaching::Teachers { nets, steps, .. } = teaching::load(job)?;
    let Some(teacher) = nets.first() else {
        let key = job.spec.stages.teacher.clone();
        return Err(WorkerError::Missing { kind: "teacher", key });
    };
    let attempt = dir.next_attempt()?;
    let mut writer =
        RunWriter::begin(dir.path(), &provenance::begin(job.device, attempt, 0, steps))?;
    teaching::copy_metrics(job, &mut writer)?;
    let model = finish::Model::Teacher(teacher);
    let judged = finish::evaluation(job, &model, steps, &mut writer)?;
    finish::pictures(job, &model, steps, &judged, &mut writer)?;
    writer.heartbeat("pictures", steps, steps)?;
    writer.sync()?;
    Ok(Phase::Complete)
}

/// Trains the teacher that the run described by `spec_file` needs, unless it is there.
pub fn teacher(runs: &Path, spec_file: &Path, stop: &Stop) -> Result<Exit, WorkerError> {
    let folder = spec_file.parent().unwrap_or(Path::new("."));
    let spec = RunDir::new(folder).spec()?;
    caught(|| teaching::train(&Job::open(runs, spec, stop)?))
}

/// Trains the beginning, up to `steps`, of the run described by `spec_file`, for every run that shares it.
pub fn prefix(runs: &Path, spec_file: &Path, steps: u64, stop: &Stop) -> Result<Exit, WorkerError> {
    let folder = RunDir::new(spec_file.parent().unwrap_or(Path::new(".")));
    let spec = folder.spec()?;
    let forks = folder.forks()?;
    caught(|| prefix::train(&Job::open(runs, spec, stop)?, &forks, steps))
}

/// Trains the generator that feeds the run described by `spec_file` offline, unless it is there.
pub fn generator(runs: &Path, spec_file: &Path, stop: &Stop) -> Result<Exit, WorkerError> {
    let folder = RunDir::new(spec_file.parent().unwrap_or(Path::new(".")));
    let mut spec = folder.spec()?;
    let Some(settings) = generator_settings(&spec.settings) else { return Ok(Exit::Done) };
    spec.settings = settings.into();
    spec.stages.training = std::mem::take(&mut spec.stages.generator);
    spec.stages.teacher.clear();
    caught(|| prefix::train_whole(&Job::open(runs, spec, stop)?))
}

/// Turns a panic (libtorch's errors arrive as such) into an error with its message.
fn caught<T>(work: impl FnOnce() -> Result<T, WorkerError>) -> Result<T, WorkerError> {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    std::panic::set_hook(quiet);
    outcome.unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "no message".into());
        Err(WorkerError::Panic(message))
    })
}
