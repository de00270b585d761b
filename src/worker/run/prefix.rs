//! Trainings that are made for other runs: the steps that several have in common, published with
//! everything that a training needs to go on from there (which steps those are is `spec::prefix`'s), and
//! whole trainings whose generator feeds a run offline.

use std::fs;

use super::job::{Job, WorkerError};
use super::training::Session;
use super::{Exit, Phase};
use dgnet::store::files::create_folder;
use dgnet::store::records::Fork;
use dgnet::store::{RunDir, RunLock, RunWriter, StageKind};

/// Trains the first `steps` steps of this job's run and publishes them, unless they are there. `forks`
/// are the shorter beginnings that it may go on from.
pub fn train(job: &Job, forks: &[Fork], steps: u64) -> Result<Exit, WorkerError> {
    let key = job.course().key(steps);
    let shorter: Vec<Fork> = forks.iter().filter(|fork| fork.steps < steps).cloned().collect();
    train_stage(job, (StageKind::Prefix, &key), &shorter, steps)
}

/// Trains this job's run to its end and publishes the weights, unless they are there.
pub fn train_whole(job: &Job) -> Result<Exit, WorkerError> {
    let key = &job.spec.stages.training;
    train_stage(job, (StageKind::Training, key), &[], job.spec.settings.train.steps)
}

fn train_stage(
    job: &Job,
    (kind, key): (StageKind, &str),
    forks: &[Fork],
    steps: u64,
) -> Result<Exit, WorkerError> {
    let published = || job.stages.published(kind, key).is_some();
    if published() {
        return Ok(Exit::Done);
    }
    let folder = job.stages.resume_dir(kind, key);
    create_folder(&folder)?;
    let Some(_lock) = RunLock::acquire(&folder)? else { return Ok(Exit::Locked) };
    if published() {
        return Ok(Exit::Done);
    }
    let dir = RunDir::new(&folder);
    let mut session = Session::open(job, &dir, forks, steps)?;
    let mut writer = RunWriter::begin(&folder, &session.begin(&dir, steps)?)?;
    for complaint in session.complaints() {
        writer.event("warn", complaint)?;
    }
    let phase = if kind == StageKind::Prefix {
        session.train_prefix(job, &mut writer, (steps, key))?
    } else {
        session.train(job, &mut writer)?
    };
    match phase {
        Phase::Complete => {}
        Phase::Interrupted { .. } => return Ok(Exit::Interrupted),
        // every run that shares it will find out for itself, and keep the record of it
        Phase::Diverged { step, reason } => {
            tracing::error!("diverged at step {step}: {reason}");
            return Ok(Exit::Diverged);
        }
    }
    drop(writer);
    let _ = fs::remove_dir_all(&folder);
    Ok(Exit::Done)
}
