//! Questions that the program itself asks the database, answered as the plain rows of `rows`, each list
//! in the fixed order that its row type names.

use std::collections::{BTreeMap, BTreeSet};

use super::db::Db;
use super::error::StoreError;
use super::query::did_you_mean;
use super::rows::{
    ArmRow, ArtifactRow, CellRow, ChangeRow, HitRow, MarkRow, MetricDef, StageRow, StudyData,
    StudyRow,
};

/// Queries shown of each arm in either direction.
pub const CHANGES: u32 = 5;

#[rustfmt::skip]
type StudyTuple =
    (String, String, String, f64, String, String, String, String, Option<String>, Option<String>);

impl Db {
    /// Everything the report of a study is made from.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a study that the database does not hold.
    pub fn study_data(&mut self, name: &str) -> Result<StudyData, StoreError> {
        let study = self.study(name)?;
        let stretch = self.stretch(name)?;
        let finals = self.finals(name)?;
        let names: BTreeSet<&str> = finals.iter().map(|row| row.metric.as_str()).collect();
        let mut defs = self.metric_defs()?;
        defs.retain(|def| names.contains(def.name.as_str()));
        Ok(StudyData {
            study,
            arms: self.arms(name)?,
            cells: self.cells(name)?,
            defs,
            artifacts: self.artifacts(name)?,
            changes: self.changes(name, CHANGES, true)?,
            stages: self.stages(name)?,
            metrics: self.curves(name, stretch)?,
            stretch,
            finals,
            settings: self.arm_settings(name)?,
            hits: self.hits(name)?,
            cameras: self.camera_pairs(name)?,
            marks: self.marks(name)?,
            archived: 0,
        })
    }

    /// Names of all studies, sorted.
    pub fn studies(&mut self) -> Result<Vec<String>, StoreError> {
        self.with("reading studies", async |connection| {
            sqlx::query_scalar("SELECT name FROM study ORDER BY name").fetch_all(connection).await
        })
    }

    /// A study.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] with the nearest names when there is none of that name.
    pub fn study(&mut self, name: &str) -> Result<StudyRow, StoreError> {
        let row: Option<StudyTuple> = self.with("reading a study", async |connection| {
            sqlx::query_as(
                "SELECT name, question, primary_name, equal_within, baseline, confirm, file, source,
                        adaptive, prune
                 FROM study WHERE name = ?",
            )
            .bind(name)
            .fetch_optional(connection)
            .await
        })?;
        let Some((
            name,
            question,
            primary,
            equal_within,
            baseline,
            confirm,
            file,
            source,
            adaptive,
            prune,
        )) = row
        else {
            let known = self.studies()?;
            let hint = if known.is_empty() {
                "the database holds no study yet; `dgnet sweep STUDY` fills it".to_owned()
            } else {
                let near = did_you_mean(name, known.iter().map(String::as_str));
                near.unwrap_or_else(|| format!("the database holds {}", quoted(&known)))
            };
            return Err(StoreError::Unknown { what: "study", name: name.to_owned(), hint });
        };
        let confirm = serde_json::from_str(&confirm).map_err(|error| self.damaged(&error))?;
        let adaptive = adaptive
            .map(|text| serde_json::from_str(&text).map_err(|error| self.damaged(&error)))
            .transpose()?;
        let prune = prune
            .map(|text| serde_json::from_str(&text).map_err(|error| self.damaged(&error)))
            .transpose()?;
        Ok(StudyRow {
            name,
            question,
            primary,
            equal_within,
            baseline,
            confirm,
            adaptive,
            prune,
            file,
            source,
        })
    }

    /// The arms of a study.
    pub fn arms(&mut self, study: &str) -> Result<Vec<ArmRow>, StoreError> {
        let rows: Vec<(String, String, String)> =
            self.with("reading arms", async |connection| {
                sqlx::query_as(
                    "SELECT name, label, overrides FROM arm WHERE study = ? ORDER BY position",
                )
                .bind(study)
                .fetch_all(connection)
                .await
            })?;
        rows.into_iter()
            .map(|(name, label, overrides)| {
                let values: BTreeMap<String, serde_json::Value> =
                    serde_json::from_str(&overrides).map_err(|error| self.damaged(&error))?;
                let overrides =
                    values.into_iter().map(|(key, value)| (key, value.to_string())).collect();
                Ok(ArmRow { name, label, overrides })
            })
            .collect()
    }

    /// The cells of a study; a run that has no folder yet is `planned`.
    pub fn cells(&mut self, study: &str) -> Result<Vec<CellRow>, StoreError> {
        self.cells_with(study, true)
    }

    /// The same without what runs recorded at their beginning, which is most of what would be read.
    pub fn cells_in_short(&mut self, study: &str) -> Result<Vec<CellRow>, StoreError> {
        self.cells_with(study, false)
    }

    fn cells_with(&mut self, study: &str, begin: bool) -> Result<Vec<CellRow>, StoreError> {
        let rows: Vec<CellTuple> = self.with("reading cells", async |connection| {
            sqlx::query_as(
                "SELECT cell.arm, cell.seed, cell.run_uid, coalesce(run.folder, '') AS folder,
                        coalesce(run.state, 'planned') AS state, coalesce(run.attempt, 0) AS attempt,
                        coalesce(run.step, 0) AS step, coalesce(run.steps, 0) AS steps, run.failure,
                        run.wall_s, run.cpu_s, run.peak_bytes, coalesce(run.recipe, 0) AS recipe,
                        coalesce(run.data_key, '') AS data_key, coalesce(CASE WHEN ?2 THEN run.begin END, '{}') AS begin,
                        mark.archived_at IS NOT NULL AS archived
                 FROM cell
                 JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
                 LEFT JOIN run ON run.uid = cell.run_uid
                 LEFT JOIN mark ON mark.kind = 'run' AND mark.name = cell.run_uid
                 WHERE cell.study = ?1 ORDER BY arm.position, cell.seed",
            )
            .bind(study)
            .bind(begin)
            .fetch_all(connection)
            .await
        })?;
        Ok(rows.into_iter().map(CellTuple::row).collect())
    }

    /// The resolved settings of each arm, of its first run that has any: key -> JSON value.
    pub fn arm_settings(
        &mut self,
        study: &str,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, StoreError> {
        let rows: Vec<(String, String, String)> =
            self.with("reading settings", async |connection| {
                sqlx::query_as(
                    "SELECT cell.arm, setting.key, setting.value
                     FROM cell JOIN setting ON setting.run_uid = cell.run_uid
                     WHERE cell.study = ?1 AND cell.seed = (
                       SELECT min(other.seed) FROM cell AS other
                       WHERE other.study = ?1 AND other.arm = cell.arm
                         AND EXISTS (SELECT 1 FROM setting WHERE run_uid = other.run_uid))",
                )
                .bind(study)
                .fetch_all(connection)
                .await
            })?;
        let mut settings: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (arm, key, value) in rows {
            settings.entry(arm).or_default().insert(key, value);
        }
        Ok(settings)
    }

    /// First true matches of the last evaluations: queries by arm position, seed, rank.
    pub fn hits(&mut self, study: &str) -> Result<Vec<HitRow>, StoreError> {
        let rows: Vec<(String, i64, i64, i64)> =
            self.with("reading ranks", async |connection| {
                sqlx::query_as(
                    "SELECT cell.arm, cell.seed, query_result.first_hit, count(*)
                     FROM cell
                     JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
                     JOIN run_number ON run_number.uid = cell.run_uid
                     JOIN query_result ON query_result.run = run_number.id
                      AND query_result.step = (SELECT max(step) FROM query_result AS other
                                               WHERE other.run = run_number.id)
                     WHERE cell.study = ? AND query_result.first_hit IS NOT NULL
                     GROUP BY arm.position, cell.seed, query_result.first_hit
                     ORDER BY arm.position, cell.seed, query_result.first_hit",
                )
                .bind(study)
                .fetch_all(connection)
                .await
            })?;
        Ok(rows
            .into_iter()
            .map(|(arm, seed, rank, queries)| HitRow {
                arm,
                seed: seed as u64,
                rank: rank as u32,
                queries: queries as u64,
            })
            .collect())
    }

    /// The marks of a study and of its runs: the study's first, then by uid.
    pub fn marks(&mut self, study: &str) -> Result<Vec<MarkRow>, StoreError> {
        let rows: Vec<(String, String, String, String, bool)> =
            self.with("reading notes", async |connection| {
                sqlx::query_as(
                    "SELECT kind, name, tags, notes, archived_at IS NOT NULL FROM mark
                     WHERE (kind = 'study' AND name = ?1)
                        OR (kind = 'run' AND name IN (SELECT run_uid FROM cell WHERE study = ?1))
                     ORDER BY kind DESC, name",
                )
                .bind(study)
                .fetch_all(connection)
                .await
            })?;
        rows.into_iter()
            .map(|(kind, name, tags, notes, archived)| {
                let notes = serde_json::from_str(&notes).map_err(|error| self.damaged(&error))?;
                let tags = tags.split_whitespace().map(str::to_owned).collect();
                Ok(MarkRow { of_study: kind == "study", name, tags, notes, archived })
            })
            .collect()
    }

    /// The definitions of all metrics, by name.
    pub fn metric_defs(&mut self) -> Result<Vec<MetricDef>, StoreError> {
        let rows: Vec<(String, String, String)> =
            self.with("reading metric names", async |connection| {
                sqlx::query_as("SELECT name, unit, direction FROM metric_name ORDER BY name")
                    .fetch_all(connection)
                    .await
            })?;
        Ok(rows
            .into_iter()
            .map(|(name, unit, direction)| MetricDef { name, unit, direction })
            .collect())
    }

    /// The pictures of a study's runs, with their bytes.
    pub fn artifacts(&mut self, study: &str) -> Result<Vec<ArtifactRow>, StoreError> {
        let rows: Vec<ArtifactTuple> = self.with("reading pictures", async |connection| {
            sqlx::query_as(
                "SELECT cell.arm, cell.seed, artifact.name, artifact.kind, artifact.step,
                        artifact.media_type, artifact.caption, artifact.bytes
                 FROM cell
                 JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
                 JOIN run_number ON run_number.uid = cell.run_uid
                 JOIN artifact ON artifact.run = run_number.id
                 WHERE cell.study = ?
                 ORDER BY arm.position, cell.seed, artifact.name",
            )
            .bind(study)
            .fetch_all(connection)
            .await
        })?;
        Ok(rows
            .into_iter()
            .map(|(arm, seed, name, kind, step, media_type, caption, bytes)| ArtifactRow {
                arm,
                seed: seed as u64,
                name,
                kind,
                step: step as u64,
                media_type,
                caption,
                bytes,
            })
            .collect())
    }

    /// The `most` queries that each arm improves and those that it hurts most: mean difference of average
    /// precision to the baseline over the seeds that both finished, on equal data and recipes. A query
    /// that does not change is none of them. Archived runs count where `archived` says so.
    pub fn changes(
        &mut self,
        study: &str,
        most: u32,
        archived: bool,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        let rows: Vec<(String, String, i64, f64, f64)> =
            self.with("reading queries", async |connection| {
                sqlx::query_as(
                    "WITH finished AS (
                       SELECT cell.arm, cell.seed, run.data_key, run.recipe, run_number.id,
                              (SELECT max(step) FROM query_result WHERE run = run_number.id) AS step
                       FROM cell
                       JOIN run ON run.uid = cell.run_uid AND run.state = 'done'
                       JOIN run_number ON run_number.uid = run.uid
                       LEFT JOIN mark ON mark.kind = 'run' AND mark.name = cell.run_uid
                       WHERE cell.study = ?1 AND (?3 OR mark.archived_at IS NULL)
                     ), changed AS (
                       SELECT own.arm, mine.query, count(*) AS seeds, avg(theirs.ap) AS baseline,
                              avg(mine.ap) AS value, avg(mine.ap - theirs.ap) AS difference
                       FROM finished AS own
                       JOIN study ON study.name = ?1 AND study.baseline <> own.arm
                       JOIN finished AS base ON base.arm = study.baseline AND base.seed = own.seed
                        AND base.data_key = own.data_key AND base.recipe = own.recipe
                       JOIN query_result AS mine ON mine.run = own.id AND mine.step = own.step
                       JOIN query_result AS theirs ON theirs.run = base.id AND theirs.step = base.step
                        AND theirs.query = mine.query
                       WHERE mine.ap IS NOT NULL AND theirs.ap IS NOT NULL
                       GROUP BY own.arm, mine.query
                     ), placed AS (
                       SELECT *,
                              row_number() OVER (PARTITION BY arm ORDER BY difference DESC, query) AS best,
                              row_number() OVER (PARTITION BY arm ORDER BY difference, query) AS worst
                       FROM changed
                     )
                     SELECT placed.arm, placed.query, placed.seeds, placed.baseline, placed.value
                     FROM placed
                     JOIN arm ON arm.study = ?1 AND arm.name = placed.arm
                     WHERE best <= ?2 AND difference > 0 OR worst <= ?2 AND difference < 0
                     ORDER BY arm.position, difference DESC, query",
                )
                .bind(study)
                .bind(most)
                .bind(archived)
                .fetch_all(connection)
                .await
            })?;
        Ok(rows
            .into_iter()
            .map(|(arm, query, seeds, baseline, value)| ChangeRow {
                arm,
                query,
                seeds: seeds as u32,
                baseline,
                value,
            })
            .collect())
    }

    /// The stages of a study's runs: data, teacher, training, evaluation, pictures, then by key.
    pub fn stages(&mut self, study: &str) -> Result<Vec<StageRow>, StoreError> {
        let rows: Vec<(String, String, i64, Option<f64>)> =
            self.with("reading stages", async |connection| {
                sqlx::query_as(
                    "SELECT run_stage.kind, run_stage.key, count(DISTINCT run_stage.run_uid), max(stage.wall_s)
                     FROM cell
                     JOIN run_stage ON run_stage.run_uid = cell.run_uid
                     LEFT JOIN stage ON stage.kind = run_stage.kind AND stage.key = run_stage.key
                     WHERE cell.study = ?
                     GROUP BY run_stage.kind, run_stage.key
                     ORDER BY CASE run_stage.kind WHEN 'data' THEN 0 WHEN 'teacher' THEN 1
                       WHEN 'training' THEN 2 WHEN 'evaluation' THEN 3 ELSE 4 END, run_stage.key",
                )
                .bind(study)
                .fetch_all(connection)
                .await
            })?;
        Ok(rows
            .into_iter()
            .map(|(kind, key, used_by, wall_s)| StageRow {
                kind,
                key,
                used_by: used_by as u32,
                wall_s,
            })
            .collect())
    }

    pub(super) fn damaged(&self, error: &serde_json::Error) -> StoreError {
        StoreError::Damaged {
            path: self.path().to_owned(),
            reason: error.to_string(),
            hint: "`dgnet reindex` rebuilds it from the run folders".into(),
        }
    }
}

type ArtifactTuple = (String, i64, String, String, i64, String, String, Vec<u8>);

#[derive(sqlx::FromRow)]
struct CellTuple {
    arm: String,
    seed: i64,
    run_uid: String,
    folder: String,
    state: String,
    attempt: i64,
    step: i64,
    steps: i64,
    failure: Option<String>,
    wall_s: Option<f64>,
    cpu_s: Option<f64>,
    peak_bytes: Option<i64>,
    recipe: i64,
    data_key: String,
    begin: String,
    archived: bool,
}

impl CellTuple {
    fn row(self) -> CellRow {
        CellRow {
            arm: self.arm,
            seed: self.seed as u64,
            uid: self.run_uid,
            folder: self.folder,
            state: self.state,
            attempt: self.attempt as u32,
            step: (self.step as u64, self.steps as u64),
            failure: self.failure,
            wall_s: self.wall_s,
            cpu_s: self.cpu_s,
            peak_bytes: self.peak_bytes.map(|bytes| bytes as u64),
            recipe: self.recipe as u32,
            data_key: self.data_key,
            begin: self.begin,
            archived: self.archived,
        }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
