//! Runs from elsewhere: brings run folders, the stages that they need and the records of their studies from
//! other runs folders into this one, and into its database. What is finished here is never replaced; whatever
//! is copied appears by a rename, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::files::create_folder;
use super::ingest::Writer;
use super::marks::Marks;
use super::records::RunSpec;
use super::run_dir::{RunDir, RunIndex, RunLock, RunState};
use super::stages::{StageKind, Stages};
use super::study_dir;

mod copy;
mod studies;

use copy::{copy_folder, replace_folder};

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Runs that were not here before.
    pub new: usize,
    /// Runs that had got further elsewhere.
    pub replaced: usize,
    /// Runs that are here and at least as far.
    pub kept: usize,
    /// Stages that were not here before.
    pub stages: usize,
    /// Studies whose record changed.
    pub studies: usize,
    /// What could not be taken, with the reason.
    pub left_out: Vec<String>,
    /// Studies that mean different things here and there: the newer record stays.
    pub unlike: Vec<String>,
}

impl Merged {
    /// Whether anything here changed.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.new + self.replaced + self.stages + self.studies > 0
    }
}

/// A run of another runs folder.
struct Arrival {
    from: RunDir,
    spec: RunSpec,
    to: RunDir,
}

/// Brings runs, stages and studies of the folders `sources` into `runs_root`.
///
/// # Errors
/// [`StoreError::Locked`] while a worker or a sweep is at what would be read or written,
/// [`StoreError::Unknown`] for a folder that holds no runs; nothing is changed then.
pub fn merge(runs_root: &Path, sources: &[PathBuf]) -> Result<Merged, StoreError> {
    create_folder(runs_root)?;
    let here = fs::canonicalize(runs_root).map_err(StoreError::io("open", runs_root))?;
    let mut found = Merged::default();
    let mut arrivals: Vec<(PathBuf, Vec<Arrival>)> = Vec::new();
    let mut places = BTreeMap::new();
    for source in sources {
        let from = fs::canonicalize(source).map_err(StoreError::io("open", source))?;
        if from == here {
            return Err(no_runs(source, "it is the runs folder itself; name another one"));
        }
        let runs = arrivals_of(runs_root, &from, &mut places, &mut found)?;
        if runs.is_empty() && found.left_out.is_empty() {
            return Err(no_runs(source, "give a runs folder: it has <study>/<arm>/seed-*/ in it"));
        }
        arrivals.push((from, runs));
    }
    let studies: BTreeSet<String> = arrivals
        .iter()
        .flat_map(|(_, runs)| runs)
        .flat_map(|run| [study_of(runs_root, &run.to), Some(run.spec.study.clone())])
        .flatten()
        .collect();
    let _locks = locks(runs_root, &studies)?;
    let Some(mut writer) = Writer::open(runs_root)? else {
        return Err(StoreError::Locked {
            what: "the results database".into(),
            path: runs_root.join(".writer.lock"),
            hint: "a sweep is running on this runs folder; wait for it or stop it".into(),
        });
    };
    let mut touched = studies;
    for (from, runs) in &arrivals {
        for run in runs {
            bring(runs_root, from, run, &mut writer, &mut found)?;
            // it may have been left out
            if run.to.spec_file().is_file() {
                writer.tail(&run.to)?;
            }
        }
        touched.extend(studies::bring(runs_root, from, &mut found)?);
    }
    for study in touched {
        writer.study(&study)?;
    }
    writer.close()?;
    Ok(found)
}

fn no_runs(source: &Path, hint: &str) -> StoreError {
    let name = source.display().to_string();
    StoreError::Unknown { what: "runs in", name, hint: hint.to_owned() }
}

/// The study below whose folder a run lies.
fn study_of(runs_root: &Path, run: &RunDir) -> Option<String> {
    run.relative(runs_root).split('/').next().map(str::to_owned)
}

/// Keeps sweeps of these studies away.
fn locks(runs_root: &Path, studies: &BTreeSet<String>) -> Result<Vec<RunLock>, StoreError> {
    let mut held = Vec::new();
    for study in studies {
        let folder = study_dir::folder(runs_root, study)?;
        create_folder(&folder)?;
        let path = folder.join(".sweep.lock");
        held.push(RunLock::acquire_file(&path)?.ok_or_else(|| StoreError::Locked {
            what: format!("the study `{study}`"),
            path,
            hint: "a sweep of it is running; wait for it or stop it".into(),
        })?);
    }
    Ok(held)
}

/// The runs of another folder and where each belongs here. Nobody may be at any of them.
fn arrivals_of(
    runs_root: &Path,
    from: &Path,
    places: &mut BTreeMap<String, RunDir>,
    found: &mut Merged,
) -> Result<Vec<Arrival>, StoreError> {
    let index = RunIndex::scan(runs_root)?;
    let mut arrivals = Vec::new();
    for run in RunDir::list(from)? {
        if let Some(link) = copy::link_between(from, run.path()) {
            found.left_out.push(copy::link_refused(&link).to_string());
            continue;
        }
        let place = |run: &RunDir| -> Result<Arrival, StoreError> {
            let spec = run.spec()?;
            let own = RunDir::of(runs_root, &spec)?;
            let to = index.find(&spec.uid)?.or_else(|| places.get(&spec.uid).cloned());
            let to = to.unwrap_or(own);
            Ok(Arrival { from: run.clone(), spec, to })
        };
        let arrival = match place(&run) {
            Ok(arrival) => arrival,
            Err(error @ (StoreError::Damaged { .. } | StoreError::Name { .. })) => {
                found.left_out.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        for folder in [&arrival.from, &arrival.to] {
            if RunLock::is_held(folder.path())? {
                return Err(StoreError::Locked {
                    what: format!("the run `{}`", folder.path().display()),
                    path: folder.path().join("lock"),
                    hint: "a worker is at it; wait for it or stop it".into(),
                });
            }
        }
        places.insert(arrival.spec.uid.clone(), arrival.to.clone());
        arrivals.push(arrival);
    }
    Ok(arrivals)
}

/// How far a run is: what is over for good is furthest, then steps count.
fn progress(run: &RunDir) -> Result<(u8, u64), StoreError> {
    let step = run.end()?.map(|end| end.step).or(run.pause()?.map(|pause| pause.step));
    let step = step.unwrap_or(0).max(run.heartbeat().map_or(0, |beat| beat.step));
    Ok(match run.state()? {
        RunState::Done | RunState::Diverged => (2, 0),
        RunState::Planned => (0, 0),
        _ => (1, step),
    })
}

fn bring(
    runs_root: &Path,
    from: &Path,
    run: &Arrival,
    writer: &mut Writer,
    found: &mut Merged,
) -> Result<(), StoreError> {
    let is_here = run.to.spec_file().is_file();
    // what a run needs comes before the run
    let mut stages: BTreeSet<(StageKind, String)> = BTreeSet::new();
    stages.extend(run.spec.stages.all().map(|(kind, key)| (kind, key.to_owned())));
    stages.extend(run.from.forks()?.into_iter().map(|fork| (StageKind::Prefix, fork.key)));
    for (kind, key) in stages {
        match bring_stage(runs_root, from, kind, &key) {
            Ok(new) => found.stages += usize::from(new),
            Err(error @ StoreError::Damaged { .. }) => found.left_out.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let marks = Marks::read(run.from.path())?;
    if is_here && progress(&run.from)? <= progress(&run.to)? {
        found.kept += 1;
    } else {
        let _lock = if is_here { Some(run.to.exclusive()?) } else { None };
        let old_marks = if is_here { Marks::read(run.to.path())? } else { Marks::default() };
        if is_here {
            // its lines may be those of another training
            writer.forget(&run.spec.uid)?;
        }
        match replace_folder(run.from.path(), run.to.path()) {
            Ok(()) if is_here => found.replaced += 1,
            Ok(()) => found.new += 1,
            Err(error @ StoreError::Damaged { .. }) => {
                found.left_out.push(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        unite_marks(runs_root, run.to.path(), &old_marks)?;
    }
    unite_marks(runs_root, run.to.path(), &marks)
}

/// Copies a stage that is there and not here. Returns whether it did.
fn bring_stage(
    runs_root: &Path,
    from: &Path,
    kind: StageKind,
    key: &str,
) -> Result<bool, StoreError> {
    let (there, here) = (Stages::new(from), Stages::new(runs_root));
    let Some(source) = there.published(kind, key) else { return Ok(false) };
    if here.published(kind, key).is_some() {
        return Ok(false);
    }
    if let Some(link) = copy::link_between(from, &source) {
        return Err(copy::link_refused(&link));
    }
    let work = here.work(kind, key)?;
    copy_folder(&source, work.path())?;
    here.publish_copy(work)
}

/// Adds notes and tags that are not here yet.
fn unite_marks(runs_root: &Path, folder: &Path, others: &Marks) -> Result<(), StoreError> {
    let united = |marks: &Marks| {
        let mut marks = marks.clone();
        for note in &others.notes {
            if !marks.notes.contains(note) {
                marks.notes.push(note.clone());
            }
        }
        marks.notes.sort_by(|a, b| a.at.total_cmp(&b.at));
        marks.tags.extend(others.tags.iter().cloned());
        marks.archived_at = marks.archived_at.or(others.archived_at);
        marks
    };
    let now = Marks::read(folder)?;
    if united(&now) != now {
        Marks::change(runs_root, folder, |marks| *marks = united(marks))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "merge_tests.rs"]
mod tests;
