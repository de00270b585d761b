//! Metrics along training, as a report needs them: the last value of each, and curves thinned by the
//! database, so that a study of any size fits into memory. Other questions are in `read`.

use super::db::Db;
use super::error::StoreError;
use super::rows::{FinalRow, MetricRow};

/// Places of a curve, at most.
pub const PLACES: u64 = 120;

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
        let rows: Vec<(String, i64, String, Option<f64>, Option<String>)> =
            self.with("reading last values", async |connection| {
                sqlx::query_as(
                    "SELECT cell.arm, cell.seed, metric_name.name, metric.value, metric.nonfinite
                     FROM cell
                     JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
                     JOIN run_number ON run_number.uid = cell.run_uid
                     CROSS JOIN metric_name
                     JOIN metric ON metric.run = run_number.id AND metric.name = metric_name.id
                      AND metric.step = (SELECT max(step) FROM metric
                                         WHERE run = run_number.id AND name = metric_name.id)
                     WHERE cell.study = ?
                     ORDER BY arm.position, cell.seed, metric_name.name",
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
        let mut points = Vec::new();
        for (arm, seed, run) in runs {
            // run by run: what the database has to sort stays small
            let rows: Vec<(String, i64, f64)> =
                self.with("reading curves", async |connection| {
                    sqlx::query_as(
                        "SELECT metric_name.name, sum(metric.step) / count(*), avg(metric.value)
                         FROM metric JOIN metric_name ON metric_name.id = metric.name
                         WHERE metric.run = ?1 AND metric.value IS NOT NULL
                         GROUP BY metric.name, metric.step / ?2
                         ORDER BY metric_name.name, metric.step / ?2",
                    )
                    .bind(run)
                    .bind(stretch as i64)
                    .fetch_all(connection)
                    .await
                })?;
            points.extend(rows.into_iter().map(|(metric, step, value)| MetricRow {
                arm: arm.clone(),
                seed: seed as u64,
                metric,
                step: step as u64,
                value,
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
