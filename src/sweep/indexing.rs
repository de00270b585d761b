//! Keeping the database up to date while runs go on, if this process is its writer; taking over when
//! another writer ends. Run folders stay the truth, so trouble here never stops a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::store::ingest::Writer;
use crate::store::{Db, RunDir, StoreError, study_dir};

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
    /// Runs in which nothing goes on, not begun or over, and when their folders last changed.
    resting: BTreeMap<RunDir, SystemTime>,
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
            resting: BTreeMap::new(),
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
        for run in &runs {
            // whoever begins a run, tries it again or marks it makes a file in its folder
            let changed = std::fs::metadata(run.path()).and_then(|folder| folder.modified()).ok();
            if changed.is_some() && self.resting.get(run) == changed.as_ref() {
                continue;
            }
            let rests = match writer.tail(run) {
                Ok(tailed) => tailed.state.rests(),
                // another study's broken folder is for `dgnet reindex` to report
                Err(StoreError::Damaged { .. }) if !self.own.contains(run) => true,
                Err(error) => return Err(error),
            };
            match changed.filter(|_| rests) {
                Some(changed) => self.resting.insert(run.clone(), changed),
                None => self.resting.remove(run),
            };
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::marks::Marks;
    use crate::store::query::{Cell, query};
    use crate::store::records::EndState;
    use crate::store::run_dir::tests::{begin, end, spec};
    use crate::store::run_writer::RunWriter;

    #[test]
    fn a_planned_run_is_read_again_once_it_is_marked_or_begun() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let run = RunDir::create(root, &spec("s", "full", 1, "a")).unwrap();
        let mut indexing = Indexing::begin(root, "s", BTreeSet::from([run.clone()])).unwrap();
        let said = |sql: &str| query(&Db::file(root), sql).unwrap().rows;
        for _ in 0..2 {
            indexing.bring_in_new().unwrap();
            assert_eq!(said("select state from run"), [[Cell::Text("planned".into())]]);
        }
        assert_eq!(indexing.resting.len(), 1);
        // a file system's clock may stand still for some milliseconds
        std::thread::sleep(Duration::from_millis(20));
        Marks::change(root, run.path(), |marks| marks.tags.extend(["good".into()])).unwrap();
        indexing.bring_in_new().unwrap();
        assert_eq!(said("select tags from mark"), [[Cell::Text("good".into())]]);
        std::thread::sleep(Duration::from_millis(20));
        let _writer = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
        indexing.bring_in_new().unwrap();
        assert_ne!(said("select state from run"), [[Cell::Text("planned".into())]]);
        assert!(indexing.resting.is_empty());
    }

    #[test]
    fn a_failed_run_that_another_sweep_tries_again_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let run = RunDir::create(root, &spec("another", "full", 1, "a")).unwrap();
        let mut indexing = Indexing::begin(root, "s", BTreeSet::new()).unwrap();
        let mut states = || {
            indexing.scanned = None;
            indexing.bring_in_new().unwrap();
            // a file system's clock may stand still for some milliseconds
            std::thread::sleep(Duration::from_millis(20));
            query(&Db::file(root), "select state from run").unwrap().rows
        };
        let state = |word: &str| vec![vec![Cell::Text(word.into())]];
        let writer = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
        writer.end(&end(EndState::Failed, 1, 5)).unwrap();
        assert_eq!(states(), state("failed"));
        run.reopen().unwrap();
        let writer = RunWriter::begin(run.path(), &begin(2, 0)).unwrap();
        assert_ne!(states(), state("failed"));
        writer.end(&end(EndState::Done, 2, 10)).unwrap();
        assert_eq!(states(), state("done"));
    }
}
