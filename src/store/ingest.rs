//! The one writer of the database: tails run folders into it. The folders stay the truth; how far a file
//! was read is committed together with what was read, so a crash loses nothing and repeats nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sqlx::Connection;

use super::db::Db;
use super::error::StoreError;
use super::files::{create_folder, with_suffix};
use super::marks::Marks;
use super::records::CAMERAS;
use super::run_dir::{RunDir, RunLock, RunState};
use super::stages::Stages;
use super::study_dir;
use crate::spec::metrics;
use folder::{Cameras, Known, KnownTuple, Part, Seen, cameras, new_parts};
use sql::{define_metric, to_json, write_cameras, write_offset, write_part, write_run};

mod folder;
mod lines;
mod sql;

/// The holder of `runs/.writer.lock` and its connection.
#[derive(Debug)]
pub struct Writer {
    runs_root: PathBuf,
    db: Db,
    stages: Stages,
    metric_ids: BTreeMap<String, i64>,
    _lock: RunLock,
}

/// What a look at a run folder brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tailed {
    /// State of the run.
    pub state: RunState,
    /// New lines.
    pub lines: u64,
    /// Lines among them that could not be understood.
    pub damaged: u64,
}

/// What [`reindex`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reindexed {
    /// Studies.
    pub studies: usize,
    /// Runs.
    pub runs: usize,
    /// Lines.
    pub lines: u64,
    /// Lines that could not be understood.
    pub damaged: u64,
    /// Folders that could not be read, with the reason.
    pub unreadable: Vec<String>,
    /// Where the old database is kept, if it knew runs of which there is no folder or could not be read.
    pub kept: Option<PathBuf>,
}

impl Writer {
    /// Opens the database of a runs folder for writing; `None` when another process is its writer.
    pub fn open(runs_root: &Path) -> Result<Option<Self>, StoreError> {
        create_folder(runs_root)?;
        let Some(lock) = RunLock::acquire_file(&runs_root.join(".writer.lock"))? else {
            return Ok(None);
        };
        Self::with_file(runs_root, &Db::file(runs_root), lock).map(Some)
    }

    fn with_file(runs_root: &Path, file: &Path, lock: RunLock) -> Result<Self, StoreError> {
        let mut db = Db::open(file)?;
        let metric_ids = db.with("writing metric names", async |connection| {
            for info in metrics::METRICS {
                define_metric(connection, info.name).await?;
            }
            let rows: Vec<(String, i64)> =
                sqlx::query_as("SELECT name, id FROM metric_name").fetch_all(connection).await?;
            Ok(rows.into_iter().collect())
        })?;
        let stages = Stages::new(runs_root);
        Ok(Self { runs_root: runs_root.to_owned(), db, stages, metric_ids, _lock: lock })
    }

    /// Brings the rows of a study, its arms and its cells up to `study.json`.
    pub fn study(&mut self, name: &str) -> Result<(), StoreError> {
        let (record, at) = study_dir::read(&self.runs_root, name)?;
        let Some(record) = record else { return Ok(()) };
        let confirm = to_json(&record.confirm);
        let arms: Vec<_> = (0_u64..)
            .zip(&record.arms)
            .map(|(position, arm)| {
                (&arm.name, position, &arm.label, to_json(arm.overrides.as_ref()))
            })
            .collect();
        let cells: Vec<_> =
            record.cells.iter().map(|cell| (&cell.arm, cell.seed, &cell.uid)).collect();
        let (arms, cells) = (to_json(&arms), to_json(&cells));
        self.db.with("writing a study", async |connection| {
            let mut tx = connection.begin().await?;
            sqlx::query(
                "INSERT INTO study (name, question, primary_name, equal_within, baseline, confirm, file, source, updated_at, adaptive, prune)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (name) DO UPDATE SET question = excluded.question,
                   primary_name = excluded.primary_name, equal_within = excluded.equal_within,
                   baseline = excluded.baseline, confirm = excluded.confirm, file = excluded.file,
                   source = excluded.source, updated_at = excluded.updated_at,
                   adaptive = excluded.adaptive, prune = excluded.prune",
            )
            .bind(&record.name)
            .bind(&record.question)
            .bind(&record.primary)
            .bind(record.equal_within)
            .bind(&record.baseline)
            .bind(confirm)
            .bind(&record.file)
            .bind(&record.source)
            .bind(at)
            .bind(record.adaptive.map(|adaptive| to_json(&adaptive)))
            .bind(record.prune.map(|prune| to_json(&prune)))
            .execute(&mut *tx)
            .await?;
            sqlx::query("DELETE FROM arm WHERE study = ?").bind(name).execute(&mut *tx).await?;
            sqlx::query(
                "INSERT INTO arm (study, name, position, label, overrides)
                 SELECT ?1, value->>0, value->>1, value->>2, value->>3 FROM json_each(?2)",
            )
            .bind(name)
            .bind(arms)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "INSERT INTO cell (study, arm, seed, run_uid)
                 SELECT ?1, value->>0, value->>1, value->>2 FROM json_each(?2)",
            )
            .bind(name)
            .bind(cells)
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        })?;
        let marks = Marks::read(&study_dir::folder(&self.runs_root, name)?)?;
        self.marks("study", name, &marks)
    }

    /// Brings the rows of a run up to its folder. Reading the same folder twice changes nothing.
    pub fn tail(&mut self, run: &RunDir) -> Result<Tailed, StoreError> {
        let seen = Seen::look(run, &self.runs_root)?;
        self.marks("run", &seen.spec.uid, &Marks::read(run.path())?)?;
        let known = self.known(&seen.spec.uid)?;
        if known.as_ref().is_some_and(|known| known.is_current(&seen, run)) {
            return Ok(Tailed { state: seen.state, lines: 0, damaged: 0 });
        }
        let forget = known.as_ref().is_some_and(|known| known.is_of_another_life(&seen, run));
        let mut read = match known {
            Some(known) if !forget => known.read,
            _ => BTreeMap::new(),
        };
        let mut tailed = Tailed { state: seen.state, lines: 0, damaged: 0 };
        let between = cameras(run)?;
        tailed.damaged += u64::from(between.as_ref().is_some_and(|cameras| cameras.damaged));
        let mut first = true;
        loop {
            let parts = new_parts(run, &mut read)?;
            if parts.is_empty() && !first {
                break;
            }
            for part in &parts {
                tailed.lines += part.batch.lines;
                tailed.damaged += part.batch.damaged.len() as u64;
                for line in &part.batch.damaged {
                    let file = run.path().join(&part.file);
                    tracing::warn!("`{}:{line}` is damaged and was left out", file.display());
                }
            }
            self.commit(&seen, forget && first, &parts, between.as_ref().filter(|_| first))?;
            first = false;
        }
        self.stages_of(&seen)?;
        Ok(tailed)
    }

    /// Forgets a run whose folder is about to be replaced; the next look reads it from its beginning.
    pub fn forget(&mut self, uid: &str) -> Result<(), StoreError> {
        self.db.with("forgetting a run", async |connection| {
            let query = sqlx::query("DELETE FROM run WHERE uid = ?").bind(uid);
            query.execute(connection).await.map(|_| ())
        })
    }

    /// Closes the database; see [`Db::close`].
    pub fn close(self) -> Result<(), StoreError> {
        self.db.close()
    }

    /// Writes notes and tags, where they changed.
    fn marks(&mut self, kind: &str, name: &str, marks: &Marks) -> Result<(), StoreError> {
        let tags: Vec<&str> = marks.tags.iter().map(String::as_str).collect();
        let (tags, notes) = (tags.join(" "), to_json(&marks.notes));
        self.db.with("writing notes", async |connection| {
            let sql = if *marks == Marks::default() {
                "DELETE FROM mark WHERE kind = ?1 AND name = ?2"
            } else {
                "INSERT INTO mark (kind, name, tags, notes, archived_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, name) DO UPDATE SET tags = excluded.tags,
                   notes = excluded.notes, archived_at = excluded.archived_at
                 WHERE (tags, notes, archived_at)
                   IS NOT (excluded.tags, excluded.notes, excluded.archived_at)"
            };
            let mut query = sqlx::query(sql).bind(kind).bind(name);
            if *marks != Marks::default() {
                query = query.bind(tags).bind(notes).bind(marks.archived_at);
            }
            query.execute(connection).await.map(|_| ())
        })
    }

    fn known(&mut self, uid: &str) -> Result<Option<Known>, StoreError> {
        self.db.with("reading how far a run was read", async |connection| {
            let row: Option<KnownTuple> = sqlx::query_as(
                "SELECT state, attempt, started_at, ended_at, folder FROM run WHERE uid = ?",
            )
            .bind(uid)
            .fetch_optional(&mut *connection)
            .await?;
            let Some((state, attempt, started_at, ended_at, folder)) = row else {
                return Ok(None);
            };
            let rows: Vec<(String, i64, i64)> =
                sqlx::query_as("SELECT file, offset, lines FROM ingest WHERE uid = ?")
                    .bind(uid)
                    .fetch_all(connection)
                    .await?;
            let read =
                rows.into_iter().map(|(file, at, n)| (file, (at as u64, n as u64))).collect();
            Ok(Some(Known { state, attempt: attempt as u32, started_at, ended_at, folder, read }))
        })
    }

    fn commit(
        &mut self,
        seen: &Seen,
        forget: bool,
        parts: &[Part],
        cameras: Option<&Cameras>,
    ) -> Result<(), StoreError> {
        for name in parts.iter().flat_map(|part| &part.batch.metrics).map(|row| &row.0) {
            if !self.metric_ids.contains_key(name) {
                let id = self.db.with("writing metric names", async |connection| {
                    define_metric(connection, name).await
                })?;
                self.metric_ids.insert(name.clone(), id);
            }
        }
        let ids = &self.metric_ids;
        self.db.with("writing the results of a run", async |connection| {
            let mut tx = connection.begin().await?;
            let uid = &seen.spec.uid;
            if forget {
                sqlx::query("DELETE FROM run WHERE uid = ?").bind(uid).execute(&mut *tx).await?;
            }
            let number = write_run(&mut tx, seen).await?;
            for part in parts {
                write_part(&mut tx, number, part, ids).await?;
                write_offset(&mut tx, uid, &part.file, (part.next, part.lines)).await?;
            }
            if let Some(cameras) = cameras {
                write_cameras(&mut tx, number, &cameras.pairs).await?;
                let read = (cameras.bytes, cameras.pairs.len() as u64);
                write_offset(&mut tx, uid, CAMERAS, read).await?;
            }
            let ended = seen.end.as_ref().map(|end| end.step).or(seen.pause.as_ref().map(|pause| pause.step));
            sqlx::query(
                "UPDATE run SET step = coalesce(?2, (SELECT max(step) FROM metric WHERE run = ?3), 0) WHERE uid = ?1",
            )
            .bind(uid)
            .bind(ended.map(|step| step as i64))
            .bind(number)
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        })
    }

    fn stages_of(&mut self, seen: &Seen) -> Result<(), StoreError> {
        for (kind, key) in seen.stage_keys() {
            if self.stages.published(kind, key).is_none() {
                continue;
            }
            let record = match self.stages.record(kind, key) {
                // whoever uses the stage sets it aside; the results of the run are not worse for it
                Err(StoreError::Damaged { .. }) => None,
                record => record?,
            };
            self.db.with("writing a stage", async |connection| {
                sqlx::query(
                    "INSERT OR REPLACE INTO stage (kind, key, state, wall_s, bytes) VALUES (?, ?, 'done', ?, ?)",
                )
                .bind(kind.as_str())
                .bind(key)
                .bind(record.as_ref().map(|record| record.wall_s))
                .bind(record.as_ref().map(|record| record.bytes as i64))
                .execute(connection)
                .await
            })?;
        }
        Ok(())
    }
}

/// Rebuilds the database from the folders alone and puts it in the place of the old one, which is kept beside
/// it where something would be lost.
///
/// # Errors
/// [`StoreError::Locked`] while a sweep writes to the database, [`StoreError::OnlyCopy`] where the folders have less
/// of every run, [`StoreError::Newer`] and [`StoreError::Foreign`] for what is not to be replaced.
pub fn reindex(runs_root: &Path) -> Result<Reindexed, StoreError> {
    create_folder(runs_root)?;
    let lock_file = runs_root.join(".writer.lock");
    let lock = RunLock::acquire_file(&lock_file)?.ok_or_else(|| StoreError::Locked {
        what: "the results database".into(),
        path: lock_file,
        hint: "a sweep is running on this runs folder; wait for it or stop it".into(),
    })?;
    let (file, fresh) = (Db::file(runs_root), runs_root.join(".reindex.db"));
    let old = Db::runs_in(&file)?;
    remove_database(&fresh)?;
    let mut writer = Writer::with_file(runs_root, &fresh, lock)?;
    let mut found = Reindexed::default();
    for run in RunDir::list(runs_root)? {
        match writer.tail(&run) {
            Ok(tailed) => {
                found.runs += 1;
                found.lines += tailed.lines;
                found.damaged += tailed.damaged;
            }
            Err(error @ (StoreError::Damaged { .. } | StoreError::Io { .. })) => {
                found.unreadable.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    for study in study_dir::list(runs_root)? {
        match writer.study(&study) {
            Ok(()) => found.studies += 1,
            Err(error @ StoreError::Damaged { .. }) => found.unreadable.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let Writer { db, _lock: lock, .. } = writer;
    db.close()?;
    let rebuilt = Db::runs_in(&fresh)?.unwrap_or_default();
    let is_less =
        |(uid, values): &(&String, &i64)| rebuilt.get(*uid).is_none_or(|new| new < *values);
    let (known, lost) =
        old.as_ref().map_or((0, 0), |old| (old.len(), old.iter().filter(is_less).count()));
    let refused = match old {
        None if found.runs == 0 => Some(StoreError::Damaged {
            path: file.clone(),
            reason: "it cannot be read, and no run folder is here to rebuild it from".into(),
            hint: "restore a copy of it, or move it away first".into(),
        }),
        _ if lost > 0 && lost == known => {
            Some(StoreError::OnlyCopy { path: file.clone(), runs: lost })
        }
        _ => None,
    };
    if let Some(refused) = refused {
        remove_database(&fresh)?;
        return Err(refused);
    }
    if old.is_none() || lost > 0 {
        found.kept = Some(set_aside(&file)?);
    }
    remove_database(&file)?;
    std::fs::rename(&fresh, &file).map_err(StoreError::io("rename", &fresh))?;
    drop(lock);
    Ok(found)
}

/// The files that SQLite makes of a database.
fn files_of(database: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|suffix| with_suffix(database, suffix))
}

fn remove_database(file: &Path) -> Result<(), StoreError> {
    for file in files_of(file) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Renames a database, with what belongs to it, to the first `.replaced-N` that is free.
fn set_aside(file: &Path) -> Result<PathBuf, StoreError> {
    let name = |number: u32| with_suffix(file, &format!(".replaced-{number}"));
    let mut number = 1;
    while name(number).exists() {
        number += 1;
    }
    let aside = name(number);
    // the logs first: a file without its log is old, a log without its file belongs to nobody
    for (from, to) in files_of(file).into_iter().zip(files_of(&aside)).rev() {
        if from.exists() {
            std::fs::rename(&from, to).map_err(StoreError::io("rename", &from))?;
        }
    }
    Ok(aside)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod figures;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
pub(crate) mod tests;
