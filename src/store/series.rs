//! Metrics along training, as a report needs them: the last value of each, and curves thinned by the
//! database, so that a study of any size fits into memory. Other questions are in `read`.

use std::collections::BTreeMap;

use super::db::Db;
use super::error::StoreError;
use super::rows::{FinalRow, MetricRow};

/// Places of a curve, at most.
pub const PLACES: u64 = 120;

type LastTuple = (String, i64, String, Option<f64>, Option<String>);

impl Db {
    /// Steps that one place of a curve stands for, the same for every run of the study.
    pub(super) fn stretch(&mut self, study: &str) -> Result<u64, StoreError> {
        let last: Option<i64> = self.with("reading the length of runs", async |connection| {
            sqlx::query_scalar(
                "SELECT max(run.step) FROM cell JOIN run ON run.uid = cell.run_uid
                 WHERE cell.study = ?",
            )
            .bind(study)
            .fetch_one(connection)
            .await
        })?;
        Ok((last.unwrap_or(0).max(0) as u64 + 1).div_ceil(PLACES))
    }

    /// The last value of every metric of a study's runs, whatever their state.
    pub(super) fn finals(&mut self, study: &str) -> Result<Vec<FinalRow>, StoreError> {
        let rows: Vec<LastTuple> = self.with("reading last values", async |connection| {
            sqlx::query_as(
                // one seek a series; joined to `metric` itself, every value would be looked at
                "SELECT arm, seed, name, value, nonfinite FROM (
                       SELECT arm.position, cell.arm, cell.seed, metric_name.name,
                              (SELECT value FROM metric
                               WHERE run = run_number.id AND name = metric_name.id
                               ORDER BY step DESC LIMIT 1) AS value,
                              (SELECT nonfinite FROM metric
                               WHERE run = run_number.id AND name = metric_name.id
                               ORDER BY step DESC LIMIT 1) AS nonfinite
                       FROM cell
                       JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
                       JOIN run_number ON run_number.uid = cell.run_uid
                       CROSS JOIN metric_name
                       WHERE cell.study = ?)
                     WHERE value IS NOT NULL OR nonfinite IS NOT NULL
                     ORDER BY position, seed, name",
            )
            .bind(study)
            .fetch_all(connection)
            .await
        })?;
        Ok(rows
            .into_iter()
            .map(|(arm, seed, metric, value, nonfinite)| FinalRow {
                arm,
                seed: seed as u64,
                metric,
                value: value.unwrap_or_else(|| spelled(nonfinite.as_deref())),
            })
            .collect())
    }

    /// The curves of a study's runs, whatever their state: finite values, averaged over stretches of so
    /// many steps.
    pub(super) fn curves(
        &mut self,
        study: &str,
        stretch: u64,
    ) -> Result<Vec<MetricRow>, StoreError> {
        let runs: Vec<(String, i64, i64)> =
            self.with("reading the runs of curves", async |connection| {
                sqlx::query_as(
                    "SELECT cell.arm, cell.seed, run_number.id
                     FROM cell
                     JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
                     JOIN run_number ON run_number.uid = cell.run_uid
                     WHERE cell.study = ? ORDER BY arm.position, cell.seed",
                )
                .bind(study)
                .fetch_all(connection)
                .await
            })?;
        let names: BTreeMap<i64, String> = self
            .with("reading metric names", async |connection| {
                sqlx::query_as("SELECT id, name FROM metric_name").fetch_all(connection).await
            })?
            .into_iter()
            .collect();
        let mut points = Vec::new();
        for (arm, seed, run) in runs {
            // run by run: what the database has to sort stays small
            let mut rows: Vec<(i64, i64, f64)> =
                self.with("reading curves", async |connection| {
                    sqlx::query_as(
                        "SELECT name, sum(step) / count(*), avg(value) FROM metric
                         WHERE run = ?1 AND value IS NOT NULL GROUP BY name, step / ?2",
                    )
                    .bind(run)
                    .bind(stretch as i64)
                    .fetch_all(connection)
                    .await
                })?;
            rows.sort_by_key(|(metric, step, _)| (names.get(metric), *step));
            points.extend(rows.into_iter().filter_map(|(metric, step, value)| {
                let (arm, metric) = (arm.clone(), names.get(&metric)?.clone());
                Some(MetricRow { arm, seed: seed as u64, metric, step: step as u64, value })
            }));
        }
        Ok(points)
    }
}

pub(super) fn spelled(nonfinite: Option<&str>) -> f64 {
    match nonfinite {
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => f64::NAN,
    }
}
