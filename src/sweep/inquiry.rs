//! Questions about finished networks: which weights and settings a word of the user means, and the worker
//! process that answers. What is computed is the worker's business, what is printed the command line's.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::SweepError;
use super::process::worker_executable;
use crate::data::{DataError, drawn};
use crate::spec::settings::{Drawn, Mode, TeacherSource};
use crate::spec::{Settings, identity};
use crate::store::inquiry::{Answer, Inquiry, Network};
use crate::store::records::RunSpec;
use crate::store::{RunDir, StageKind, Stages};

/// Files of a stage that hold weights.
const WEIGHTS: [&str; 2] = ["weights.safetensors", "teacher.safetensors"];

/// A network that a word of the user names, with the run that it is of, where it is of one.
#[derive(Debug)]
pub struct Found {
    /// The network.
    pub network: Network,
    /// The run.
    pub run: Option<RunSpec>,
    /// The runs folder of that run.
    pub runs_root: PathBuf,
}

/// Finds what `named` means: a run folder, a stage or its weights, any other weights file. `given` are
/// the settings that the user states, and whether they are to be taken as they are.
///
/// # Errors
/// [`SweepError::NoNetwork`] when there is no such file, or a run has no weights yet.
pub fn find(
    named: &Path,
    runs: &Path,
    given: Option<(Settings, bool)>,
) -> Result<Found, SweepError> {
    let absent = |reason: &str, hint: &str| SweepError::NoNetwork {
        path: named.to_owned(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    };
    let runs_root = root_of(named, runs);
    let (weights, run) = if named.join("spec.yaml").is_file() {
        let spec = RunDir::new(named).spec()?;
        let weights = weights_of(&spec, &runs_root).ok_or_else(|| {
            absent("its training is not finished", "`dgnet sweep` goes on where it stopped")
        })?;
        (weights, Some(spec))
    } else if named.is_dir() {
        let file = WEIGHTS.iter().map(|name| named.join(name)).find(|path| path.is_file());
        let file = file.ok_or_else(|| {
            absent(
                "it is neither a run folder nor a stage with weights",
                "name a run folder, or a weights file",
            )
        })?;
        let run = run_of_stage(named, &runs_root)?;
        (file, run)
    } else if named.is_file() {
        let above = std::path::absolute(named).unwrap_or_else(|_| named.to_owned());
        // a checkpoint lies in its run's folder
        let inside = above.ancestors().skip(1).take(3).find(|at| at.join("spec.yaml").is_file());
        let run = match (inside, named.parent()) {
            (Some(folder), _) => Some(RunDir::new(folder).spec()?),
            (None, Some(stage)) => run_of_stage(stage, &runs_root)?,
            (None, None) => None,
        };
        (named.to_owned(), run)
    } else {
        return Err(absent(
            "there is no such file or folder",
            "`dgnet runs --cols folder` lists run folders",
        ));
    };
    let own = run.as_ref().map(|spec| Settings::clone(&spec.settings));
    let (settings, exact, own_threads) = match (given, own) {
        (Some((_, false)), Some(_)) => {
            return Err(absent(
                "its run states the settings already",
                "leave out `--base` and `--set`; `--beta` gives the weights of the fine half",
            ));
        }
        (Some((settings, exact)), _) => (settings, exact, exact),
        (None, Some(settings)) => (settings, true, true),
        (None, None) => (Settings::default(), false, false),
    };
    let name = named.display().to_string();
    Ok(Found { network: Network { name, weights, settings, exact, own_threads }, run, runs_root })
}

/// The runs folder above a path, else the one that was given.
fn root_of(path: &Path, runs: &Path) -> PathBuf {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let above = whole.ancestors().find(|folder| folder.join(".stages").is_dir());
    above.map_or_else(|| runs.to_owned(), Path::to_owned)
}

/// The final weights of a run, if they are there.
fn weights_of(spec: &RunSpec, runs_root: &Path) -> Option<PathBuf> {
    let stages = Stages::new(runs_root);
    let teacher = &spec.settings.teacher;
    let path = match spec.settings.train.mode {
        Mode::Joint => {
            stages.published(StageKind::Training, &spec.stages.training)?.join(WEIGHTS[0])
        }
        Mode::TeacherOnly if teacher.source == TeacherSource::Checkpoint => {
            teacher.path.clone()?.into()
        }
        Mode::TeacherOnly => {
            stages.published(StageKind::Teacher, &spec.stages.teacher)?.join(WEIGHTS[1])
        }
    };
    path.is_file().then_some(path)
}

/// A run that ends with the weights of this stage; any will do, since they share all that matters here.
fn run_of_stage(stage: &Path, runs_root: &Path) -> Result<Option<RunSpec>, SweepError> {
    let whole = std::fs::canonicalize(stage).unwrap_or_else(|_| stage.to_owned());
    let key = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let in_stages = whole.ancestors().nth(2).is_some_and(|folder| folder.ends_with(".stages"));
    if !in_stages {
        return Ok(None);
    }
    for run in RunDir::list(runs_root)? {
        let mut spec = run.spec()?;
        if spec.stages.training == key || spec.stages.teacher == key {
            return Ok(Some(spec));
        }
        if spec.stages.generator == key {
            // the training that feeds this run offline has settings of its own
            if let Some(settings) = identity::generator_settings(&spec.settings) {
                spec.settings = settings.into();
            }
            return Ok(Some(spec));
        }
    }
    Ok(None)
}

/// The folder of a set of drawn people; it is drawn unless it is there. `progress` as for drawing.
pub fn drawn_set(
    settings: &Drawn,
    runs: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<PathBuf, SweepError> {
    let (stages, key) = (Stages::new(runs), identity::drawn_key(settings));
    if let Some(stage) = stages.published(StageKind::Data, &key) {
        return Ok(stage);
    }
    let work = stages.work(StageKind::Data, &key)?;
    let refused = |source: DataError| SweepError::Data { arm: "drawn".to_owned(), source };
    drawn::draw(settings, work.path(), progress).map_err(refused)?;
    Ok(stages.publish(work)?)
}

/// Asks a worker, and passes every line of its answer on.
///
/// # Errors
/// [`SweepError::Worker`] when it goes away before its answer is whole; whatever `take` returns.
pub fn ask<E: From<SweepError>>(
    inquiry: &Inquiry,
    runs: &Path,
    mut take: impl FnMut(Answer) -> Result<(), E>,
) -> Result<(), E> {
    let system = |action| move |source| SweepError::System { action, source };
    let mut worker = Command::new(worker_executable()?)
        .arg("--runs")
        .arg(runs)
        .arg("inquire")
        .env("DGNET_PARENT", std::process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(system("start the worker"))?;
    let request = serde_json::to_vec(inquiry)
        .map_err(|error| SweepError::Worker { reason: error.to_string() })?;
    let mut reading = worker.stdin.take();
    // a worker that died already says so by its exit status
    let _ = reading.as_mut().map(|pipe| pipe.write_all(&request));
    drop(reading);
    let answers = worker.stdout.take().map(BufReader::new);
    let mut outcome = Ok(());
    for line in answers.into_iter().flat_map(BufRead::lines) {
        outcome = line
            .map_err(system("read the worker's answer"))
            .and_then(|line| {
                serde_json::from_str(&line)
                    .map_err(|error| SweepError::Worker { reason: format!("`{line}`: {error}") })
            })
            .map_err(E::from)
            .and_then(&mut take);
        if outcome.is_err() {
            // nobody listens any more
            let _ = worker.kill();
            break;
        }
    }
    let status = worker.wait().map_err(system("wait for the worker"))?;
    outcome?;
    if status.success() {
        return Ok(());
    }
    Err(SweepError::Worker {
        reason: format!("it ended with {status} before its answer was whole"),
    }
    .into())
}
