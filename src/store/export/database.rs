//! A study as a database of its own: all that its report and questions about it need, without the studies
//! and runs beside it, and without pictures that the report does not show: they stay in the run folders.

use std::path::Path;

use crate::store::db::Db;
use crate::store::error::StoreError;

/// The rows of each table that belong to the study `?1`, in an order that foreign keys allow. What a
/// live database knows about files that it reads is left behind.
const ROWS: [(&str, &str); 15] = [
    ("study", "name = ?1"),
    ("arm", "study = ?1"),
    ("run", "uid IN (SELECT run_uid FROM whole.cell WHERE study = ?1)"),
    ("cell", "study = ?1"),
    ("setting", "run_uid IN (SELECT uid FROM main.run)"),
    ("metric_name", "?1 = ?1"),
    ("run_number", "uid IN (SELECT uid FROM main.run)"),
    ("metric", "run IN (SELECT id FROM main.run_number)"),
    ("query_result", "run IN (SELECT id FROM main.run_number)"),
    ("camera_pair", "run IN (SELECT id FROM main.run_number)"),
    // of every arm and kind the first seed's, which are those that a report shows
    (
        "artifact",
        "(run, kind) IN (
            SELECT run, kind FROM (
                SELECT artifact.run, artifact.kind, min(cell.seed)
                FROM main.cell
                JOIN main.run_number ON run_number.uid = cell.run_uid
                JOIN whole.artifact ON artifact.run = run_number.id
                WHERE cell.run_uid NOT IN (SELECT name FROM whole.mark WHERE kind = 'run' AND archived_at IS NOT NULL)
                GROUP BY cell.arm, artifact.kind))",
    ),
    ("event", "run IN (SELECT id FROM main.run_number)"),
    ("run_stage", "run_uid IN (SELECT uid FROM main.run)"),
    ("stage", "(kind, key) IN (SELECT kind, key FROM main.run_stage)"),
    ("mark", "kind = 'study' AND name = ?1 OR kind = 'run' AND name IN (SELECT uid FROM main.run)"),
];

/// Copies a study out of the database `source` into a new one, which replaces `target` when it is whole.
///
/// # Errors
/// A database that cannot be read or written.
pub(super) fn write(source: &Path, study: &str, target: &Path) -> Result<(), StoreError> {
    let partial = target.with_extension("partial");
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io("remove", &partial)(error));
        }
        _ => {}
    }
    let mut db = Db::open(&partial)?;
    let source = source.to_string_lossy().into_owned();
    db.with("copying a study", async |connection| {
        sqlx::query("ATTACH DATABASE ? AS whole").bind(source).execute(&mut *connection).await?;
        for (table, rows) in ROWS {
            // both are constants of this file
            let sql = format!(
                "INSERT OR REPLACE INTO main.{table} SELECT * FROM whole.{table} WHERE {rows}"
            );
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(study).execute(&mut *connection).await?;
        }
        sqlx::raw_sql("DETACH DATABASE whole").execute(connection).await
    })?;
    db.close()?;
    std::fs::rename(&partial, target).map_err(StoreError::io("rename", &partial))
}
