//! The prefix stage: the steps that several runs have in common, trained once and published with
//! everything that a training needs to go on from there. Which steps those are is `spec::prefix`'s.

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
    let published = || job.stages.published(StageKind::Prefix, &key).is_some();
    if published() {
        return Ok(Exit::Done);
    }
    let folder = job.stages.resume_dir(StageKind::Prefix, &key);
    create_folder(&folder)?;
    let Some(_lock) = RunLock::acquire(&folder)? else { return Ok(Exit::Locked) };
    if published() {
        return Ok(Exit::Done);
    }
    let dir = RunDir::new(&folder);
    let shorter: Vec<Fork> = forks.iter().filter(|fork| fork.steps < steps).cloned().collect();
    let mut session = Session::open(job, &dir, &shorter, steps)?;
    let mut writer = RunWriter::begin(&folder, &session.begin(&dir, steps)?)?;
    match session.train_prefix(job, &mut writer, (steps, &key))? {
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
