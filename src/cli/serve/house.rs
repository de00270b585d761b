//! What the pages are made from: rows of the database, the shelf of reports, heartbeats in run folders.
//! Everything here blocks; `routes` calls it from threads that may.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::shelf::{Pace, Shelf};
use crate::cli::beats::{Beats, Line, Waited};
use crate::cli::runs::state_now;
use crate::report::ReportError;
use crate::report::facts::utc;
use crate::report::live::{self, Counts, Running, Standing, StudyLine};
use crate::store::records::StageKeys;
use crate::store::rows::CellRow;
use crate::store::run_dir::now;
use crate::store::{Db, RunDir, StoreError};
use crate::sweep::progress::duration;

/// How long a program that holds the database alone is waited for.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Changes longer ago are told by their date.
const LONG_AGO: f64 = 48.0 * 3600.0;

/// A runs folder and what was seen of it.
#[derive(Debug)]
pub struct House {
    runs: PathBuf,
    shelf: Shelf,
    /// Heartbeats by study.
    beats: Mutex<BTreeMap<String, Beats>>,
    /// Stages of runs by uid; a run's never change.
    stages: Mutex<BTreeMap<String, StageKeys>>,
}

/// Whoever panicked with a lock left something whole: it is only ever replaced.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    /// That of a runs folder, which need not hold a database yet.
    pub fn new(runs: &Path) -> Self {
        Self {
            runs: runs.to_owned(),
            shelf: Shelf::new(runs),
            beats: Mutex::default(),
            stages: Mutex::default(),
        }
    }

    /// The list of all studies: a whole page, or what changes of it.
    pub fn studies(&self, whole: bool) -> Result<String, ReportError> {
        let mut db = self.open()?;
        let (mut lines, mut archived) = (Vec::new(), 0);
        for row in db.overview()? {
            if row.archived {
                archived += 1;
                continue;
            }
            let counts = count(&self.cells(&mut db, &row.name)?);
            let ago = now() - row.changed_at;
            let changed = match ago {
                _ if counts.running > 0 => "now".to_owned(),
                ago if ago < LONG_AGO => format!("{} ago", duration(ago)),
                _ => utc(row.changed_at),
            };
            lines.push(StudyLine { name: row.name, question: row.question, counts, changed });
        }
        let parts = |lines: &[StudyLine]| live::index_parts(lines, archived).into_string();
        Ok(if whole { live::index(&lines, archived) } else { parts(&lines) })
    }

    /// A study's live page, or what changes of it for somebody who has seen a version of its report.
    pub fn study(&self, name: &str, seen: Option<&str>) -> Result<String, ReportError> {
        let mut db = self.open()?;
        let (report, version) = self.shelf.report(&mut db, name, Pace::Thrifty)?;
        let standing = Standing { version, ..self.standing(&mut db, name)? };
        Ok(match seen {
            None => live::study(&report, &standing),
            Some(seen) => live::study_parts(&report, &standing, seen).into_string(),
        })
    }

    /// A file of a study's report, if it has one of that name.
    pub fn file(&self, study: &str, name: &str) -> Result<Option<Vec<u8>>, ReportError> {
        self.shelf.file(&mut self.open()?, study, name)
    }

    fn open(&self) -> Result<Db, StoreError> {
        Db::open_read_within(&Db::file(&self.runs), PATIENCE)
    }

    /// Cells as the folders say, without archived runs.
    fn cells(&self, db: &mut Db, study: &str) -> Result<Vec<CellRow>, StoreError> {
        let mut cells = db.cells(study)?;
        cells.retain(|cell| !cell.archived);
        for cell in &mut cells {
            cell.state = state_now(cell, &self.runs);
        }
        Ok(cells)
    }

    fn standing(&self, db: &mut Db, study: &str) -> Result<Standing, StoreError> {
        let cells = self.cells(db, study)?;
        let counts = count(&cells);
        let open = cells.iter().filter(|cell| cell.state != "done" && cell.state != "diverged");
        // cells may share a run
        let mut seen = BTreeSet::new();
        let open: Vec<&CellRow> = open.filter(|cell| seen.insert(cell.uid.as_str())).collect();
        let at_work: Vec<(String, RunDir)> = open
            .iter()
            .filter(|cell| cell.state == "running")
            .map(|cell| (format!("{} seed {}", cell.arm, cell.seed), self.folder(cell)))
            .collect();
        let waited = self.waited(&open);
        let mut beats = lock(&self.beats);
        let of_study = beats.entry(study.to_owned()).or_default();
        let running = of_study.look(&self.runs, &at_work, &waited);
        let running = running.into_iter().map(told).collect();
        Ok(Standing { counts, running, version: String::new() })
    }

    fn folder(&self, cell: &CellRow) -> RunDir {
        RunDir::new(self.runs.join(&cell.folder))
    }

    /// What these runs wait for, by the records in their folders.
    fn waited(&self, open: &[&CellRow]) -> Waited {
        let mut waited = Waited::default();
        let mut beginnings: BTreeMap<String, (u64, usize)> = BTreeMap::new();
        let mut stages = lock(&self.stages);
        for cell in open.iter().filter(|cell| !cell.folder.is_empty()) {
            let run = self.folder(cell);
            if !stages.contains_key(&cell.uid) {
                // a folder that is gone or damaged waits for nothing; `dgnet doctor` tells of it
                let Ok(spec) = run.spec() else { continue };
                stages.insert(cell.uid.clone(), spec.stages);
            }
            if let Some(keys) = stages.get(&cell.uid) {
                waited.stages_of(cell.seed, &keys.teacher, &keys.generator);
            }
            for fork in run.forks().unwrap_or_default() {
                beginnings.entry(fork.key).or_insert((fork.steps, 0)).1 += 1;
            }
        }
        for (key, (steps, runs)) in beginnings {
            waited.beginning(&key, steps, runs);
        }
        waited
    }
}

fn count(cells: &[CellRow]) -> Counts {
    let of = |state: &str| cells.iter().filter(|cell| cell.state == state).count();
    Counts {
        done: of("done"),
        running: of("running"),
        failed: of("failed"),
        diverged: of("diverged"),
        total: cells.len(),
    }
}

fn told(line: Line) -> Running {
    let (speed, left) = (line.speed(), line.left());
    Running {
        label: line.label,
        phase: line.beat.phase,
        step: (line.beat.step, line.beat.of),
        speed,
        left,
    }
}
