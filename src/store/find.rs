//! Names that people give: an arm, a run, a study; and the last values and per-query results of what
//! they name.

use std::path::Path;

use super::db::Db;
use super::error::StoreError;
use super::query::nearest;
use super::series::spelled;
use super::study_dir;

/// A run of an arm and the last value of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmRun {
    /// Seed.
    pub seed: u64,
    /// Identity.
    pub uid: String,
    /// planned | running | done | failed | diverged | stale | interrupted.
    pub state: String,
    /// Recipe version; 0 before it began.
    pub recipe: u32,
    /// Key of the data set; empty before it began.
    pub data_key: String,
    /// Last value of the metric, NaN and infinities restored; `None` where it has none.
    pub value: Option<f64>,
    /// Whether it or its study is archived.
    pub archived: bool,
}

/// A setting and its JSON value in either of two runs.
pub type SettingPair = (String, Option<String>, Option<String>);

/// How one query was ranked.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRow {
    /// File name of the query.
    pub query: String,
    /// Average precision; `None` where no true match exists.
    pub ap: Option<f64>,
    /// Rank of the first true match, from 1.
    pub first_hit: Option<u32>,
}

type RunTuple = (i64, String, String, i64, String, Option<f64>, Option<String>, Option<i64>, bool);

impl Db {
    /// The arm of a study that `ARM` or `STUDY/ARM` names.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] with the nearest names, or with the studies to choose from.
    pub fn find_arm(&mut self, name: &str) -> Result<(String, String), StoreError> {
        let rows: Vec<(String, String)> = self.with("looking for an arm", async |connection| {
            sqlx::query_as("SELECT study, name FROM arm ORDER BY study, position")
                .fetch_all(connection)
                .await
        })?;
        let fits = |(study, arm): &&(String, String)| {
            arm == name || name.split_once('/') == Some((study.as_str(), arm.as_str()))
        };
        let found: Vec<&(String, String)> = rows.iter().filter(fits).collect();
        let hint = match found.as_slice() {
            [one] => return Ok((*one).clone()),
            [] => {
                let known = rows.iter().map(|(study, arm)| {
                    if name.contains('/') { format!("{study}/{arm}") } else { arm.clone() }
                });
                let known: std::collections::BTreeSet<String> = known.collect();
                nearest(name, &known.into_iter().collect::<Vec<_>>(), "arms")
            }
            several => {
                let names: Vec<String> =
                    several.iter().map(|(study, arm)| format!("`{study}/{arm}`")).collect();
                format!("several studies have it: {}", names.join(", "))
            }
        };
        Err(StoreError::Unknown { what: "arm", name: name.to_owned(), hint })
    }

    /// The uid of the run that `ARM/SEED`, `STUDY/ARM/SEED` or the beginning of a uid names.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where it names none, or more than one.
    pub fn find_run(&mut self, name: &str) -> Result<String, StoreError> {
        let parts: Vec<&str> = name.split('/').collect();
        let (sql, values) = match parts.as_slice() {
            [arm, seed] => {
                ("SELECT DISTINCT run_uid FROM cell WHERE arm = ? AND seed = ?", vec![*arm, *seed])
            }
            [study, arm, seed] => (
                "SELECT run_uid FROM cell WHERE study = ? AND arm = ? AND seed = ?",
                vec![*study, *arm, *seed],
            ),
            _ => ("SELECT uid FROM run WHERE substr(uid, 1, length(?1)) = ?1", vec![name]),
        };
        let found: Vec<String> = self.with("looking for a run", async |connection| {
            let mut query = sqlx::query_scalar(sql);
            for value in values {
                query = query.bind(value.to_owned());
            }
            query.fetch_all(connection).await
        })?;
        let hint = match found.as_slice() {
            [uid] => return Ok(uid.clone()),
            [] => "a run is named ARM/SEED, STUDY/ARM/SEED or by the beginning of its id; `dgnet runs` lists them".to_owned(),
            several => format!(
                "it names {} runs; name its study too: STUDY/ARM/SEED, or more of its id",
                several.len()
            ),
        };
        Err(StoreError::Unknown { what: "run", name: name.to_owned(), hint })
    }

    /// The runs of an arm by seed, with the last value of a metric.
    pub fn arm_runs(
        &mut self,
        study: &str,
        arm: &str,
        metric: &str,
    ) -> Result<Vec<ArmRun>, StoreError> {
        let rows: Vec<RunTuple> = self.with("reading an arm", async |connection| {
            sqlx::query_as(
                "SELECT cell.seed, cell.run_uid, coalesce(runs.state, 'planned'),
                        coalesce(runs.recipe, 0), coalesce(runs.data_key, ''), metric.value,
                        metric.nonfinite, metric.step, runs.archived
                 FROM cell
                 JOIN runs ON runs.study = cell.study AND runs.arm = cell.arm AND runs.seed = cell.seed
                 LEFT JOIN run_number ON run_number.uid = cell.run_uid
                 LEFT JOIN metric ON metric.run = run_number.id
                       AND metric.name = (SELECT id FROM metric_name WHERE metric_name.name = ?3)
                       AND metric.step = (SELECT max(step) FROM metric AS other
                                          WHERE other.run = metric.run AND other.name = metric.name)
                 WHERE cell.study = ?1 AND cell.arm = ?2 ORDER BY cell.seed",
            )
            .bind(study)
            .bind(arm)
            .bind(metric)
            .fetch_all(connection)
            .await
        })?;
        Ok(rows
            .into_iter()
            .map(|(seed, uid, state, recipe, data_key, value, nonfinite, step, archived)| ArmRun {
                seed: seed as u64,
                uid,
                state,
                recipe: recipe as u32,
                data_key,
                value: step.map(|_| value.unwrap_or_else(|| spelled(nonfinite.as_deref()))),
                archived,
            })
            .collect())
    }

    /// How every query of a run was ranked at its last evaluation, by query.
    pub fn query_results(&mut self, uid: &str) -> Result<Vec<QueryRow>, StoreError> {
        let rows: Vec<(String, Option<f64>, Option<i64>)> =
            self.with("reading queries", async |connection| {
                sqlx::query_as(
                    "SELECT query, ap, first_hit FROM query_result
                     WHERE run = (SELECT id FROM run_number WHERE uid = ?1)
                       AND step = (SELECT max(step) FROM query_result
                                   WHERE run = (SELECT id FROM run_number WHERE uid = ?1))
                     ORDER BY query",
                )
                .bind(uid)
                .fetch_all(connection)
                .await
            })?;
        Ok(rows
            .into_iter()
            .map(|(query, ap, hit)| QueryRow { query, ap, first_hit: hit.map(|h| h as u32) })
            .collect())
    }

    /// The settings in which two runs differ: key, JSON value of the first, of the second.
    pub fn settings_between(
        &mut self,
        one: &str,
        other: &str,
    ) -> Result<Vec<SettingPair>, StoreError> {
        self.with("comparing settings", async |connection| {
            sqlx::query_as(
                "SELECT key, max(CASE run_uid WHEN ?1 THEN value END) AS a,
                        max(CASE run_uid WHEN ?2 THEN value END) AS b
                 FROM setting WHERE run_uid IN (?1, ?2) GROUP BY key HAVING a IS NOT b ORDER BY key",
            )
            .bind(one)
            .bind(other)
            .fetch_all(connection)
            .await
        })
    }

    /// The folder of a run, relative to the runs folder; empty before it has one.
    pub fn run_folder(&mut self, uid: &str) -> Result<String, StoreError> {
        let folder: Option<String> =
            self.with("looking for a run's folder", async |connection| {
                sqlx::query_scalar("SELECT folder FROM run WHERE uid = ?")
                    .bind(uid)
                    .fetch_optional(connection)
                    .await
            })?;
        Ok(folder.unwrap_or_default())
    }

    /// The cells that point to a run: study, arm, seed.
    pub fn cells_of(&mut self, uid: &str) -> Result<Vec<(String, String, i64)>, StoreError> {
        self.with("looking for a run's cells", async |connection| {
            sqlx::query_as(
                "SELECT study, arm, seed FROM cell WHERE run_uid = ? ORDER BY study, arm, seed",
            )
            .bind(uid)
            .fetch_all(connection)
            .await
        })
    }

    /// Checks that a metric is known.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] with the nearest names.
    pub fn check_metric(&mut self, name: &str) -> Result<(), StoreError> {
        let known: Vec<String> = self.metric_defs()?.into_iter().map(|def| def.name).collect();
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        let hint = nearest(name, &known, "metrics");
        Err(StoreError::Unknown { what: "metric", name: name.to_owned(), hint })
    }
}

/// Whether a name is that of a study that has a folder.
#[must_use]
pub fn is_study(runs_root: &Path, name: &str) -> bool {
    study_dir::folder(runs_root, name).is_ok_and(|folder| folder.join("study.json").is_file())
}
