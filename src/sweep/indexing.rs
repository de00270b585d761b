//! Keeping the database up to date while runs go on, if this process is its writer; taking over when
//! another writer ends. Run folders stay the truth, so trouble here never stops a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::ingest::Writer;
use crate::store::{Db, RunDir, RunState, StoreError, study_dir};

const POLL_EVERY: Duration = Duration::from_secs(1);
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// How long the end of a sweep waits for another writer to bring in its results.
const PATIENCE: Duration = Duration::from_secs(20);

/// The writer, or the wish to be it.
#[derive(Debug)]
pub(super) struct Indexing {
    runs_root: PathBuf,
    study: String,
    own: BTreeSet<RunDir>,
    writer: Option<Writer>,
    over: BTreeSet<RunDir>,
    studies: BTreeMap<String, f64>,
    polled: Option<Instant>,
    scanned: Option<Instant>,
    complained: bool,
}

impl Indexing {
    /// Becomes the writer if there is none, and brings in what is there of this study.
    pub fn begin(runs_root: &Path, study: &str, own: BTreeSet<RunDir>) -> Result<Self, StoreError> {
        let mut indexing = Self {
            runs_root: runs_root.to_owned(),
            study: study.to_owned(),
            own,
            writer: Writer::open(runs_root)?,
            over: BTreeSet::new(),
            studies: BTreeMap::new(),
            polled: None,
            scanned: None,
            complained: false,
        };
        indexing.bring_in_own()?;
        Ok(indexing)
    }

    /// Reads what is new, at most once a second.
    pub fn poll(&mut self) {
        if self.polled.is_some_and(|polled| polled.elapsed() < POLL_EVERY) {
            return;
        }
        self.polled = Some(Instant::now());
        if let Err(error) = self.bring_in_new() {
            // the folders keep everything; the end of the sweep tries again and then fails aloud
            if !self.complained {
                tracing::warn!("the database cannot be kept up to date: {error}");
            }
            self.complained = true;
        }
    }

    /// Brings in the last lines and closes the database. Returns whether the results of this study are
    /// in it: another writer may be slow.
    pub fn finish(mut self) -> Result<bool, StoreError> {
        let since = Instant::now();
        loop {
            if self.writer.is_none() {
                self.writer = Writer::open(&self.runs_root)?;
            }
            if self.writer.is_some() {
                self.bring_in_own()?;
                return self.writer.take().map_or(Ok(()), Writer::close).map(|()| true);
            }
            if self.is_brought_in() {
                return Ok(true);
            }
            if since.elapsed() > PATIENCE {
                return Ok(false);
            }
            std::thread::sleep(POLL_EVERY / 4);
        }
    }

    fn bring_in_own(&mut self) -> Result<(), StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        writer.study(&self.study)?;
        for run in self.own.iter().filter(|run| run.spec_file().is_file()) {
            writer.tail(run)?;
        }
        Ok(())
    }

    /// Own runs every time; every few seconds also those of other sweeps, which only write folders.
    fn bring_in_new(&mut self) -> Result<(), StoreError> {
        if self.writer.is_none() {
            self.writer = Writer::open(&self.runs_root)?;
        }
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        let mut runs: BTreeSet<RunDir> = self.own.clone();
        if self.scanned.is_none_or(|scanned| scanned.elapsed() >= SCAN_EVERY) {
            self.scanned = Some(Instant::now());
            runs.extend(RunDir::list(&self.runs_root)?);
            for study in study_dir::list(&self.runs_root)? {
                let at = study_dir::read(&self.runs_root, &study).map_or(0.0, |(_, at)| at);
                if self.studies.insert(study.clone(), at) != Some(at) {
                    writer.study(&study)?;
                }
            }
        }
        for run in runs.difference(&self.over.clone()) {
            let tailed = match writer.tail(run) {
                Ok(tailed) => tailed,
                // another study's broken folder is for `dgnet reindex` to report
                Err(StoreError::Damaged { .. }) if !self.own.contains(run) => {
                    self.over.insert(run.clone());
                    continue;
                }
                Err(error) => return Err(error),
            };
            if matches!(tailed.state, RunState::Done | RunState::Failed | RunState::Diverged) {
                self.over.insert(run.clone());
            }
        }
        Ok(())
    }

    fn is_brought_in(&self) -> bool {
        let Ok(mut db) = Db::open_read(&Db::file(&self.runs_root)) else { return false };
        let Ok(cells) = db.cells_in_short(&self.study) else { return false };
        let states: BTreeMap<_, _> =
            cells.iter().map(|cell| (cell.folder.as_str(), cell.state.as_str())).collect();
        self.own.iter().all(|run| {
            let folder = run.relative(&self.runs_root);
            run.state().is_ok_and(|state| states.get(folder.as_str()) == Some(&state.as_str()))
        })
    }
}
