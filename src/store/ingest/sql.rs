//! Rows of a run into their tables, in bulk through `json_each`. Decides nothing: what to write comes
//! from `folder` and `lines`.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::folder::{Part, Seen};
use super::lines::Batch;
use crate::spec::metrics;
use crate::stats::ranking::CameraPair;
use crate::store::records::RunSpec;

pub async fn define_metric(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<i64, sqlx::Error> {
    let info = metrics::lookup(name);
    let direction = match info.map(|info| info.direction) {
        Some(metrics::Direction::Higher) => "higher",
        Some(metrics::Direction::Lower) => "lower",
        Some(metrics::Direction::None) | None => "none",
    };
    sqlx::query("INSERT OR IGNORE INTO metric_name (name, unit, direction) VALUES (?, ?, ?)")
        .bind(name)
        .bind(info.map_or("", |info| info.unit))
        .bind(direction)
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar("SELECT id FROM metric_name WHERE name = ?")
        .bind(name)
        .fetch_one(connection)
        .await
}

pub async fn write_run(connection: &mut SqliteConnection, seen: &Seen) -> Result<i64, sqlx::Error> {
    let Seen { spec, begin, end, .. } = seen;
    sqlx::query(
        "INSERT INTO run (uid, folder, state, attempt, seed, step, steps, recipe, data_key, settings,
                          begin, failure, started_at, ended_at, wall_s, cpu_s, peak_bytes)
         VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (uid) DO UPDATE SET folder = excluded.folder, state = excluded.state,
           attempt = excluded.attempt, steps = excluded.steps, begin = excluded.begin,
           failure = excluded.failure, started_at = excluded.started_at, ended_at = excluded.ended_at,
           wall_s = excluded.wall_s, cpu_s = excluded.cpu_s, peak_bytes = excluded.peak_bytes",
    )
    .bind(&spec.uid)
    .bind(&seen.folder)
    .bind(seen.state.as_str())
    .bind(seen.attempt())
    .bind(spec.seed as i64)
    .bind(begin.as_ref().map_or(spec.settings.train.steps, |begin| begin.steps) as i64)
    .bind(spec.recipe)
    .bind(&spec.stages.data)
    .bind(to_json(&spec.settings))
    .bind(begin.as_ref().map_or_else(|| "{}".to_owned(), to_json))
    .bind(end.as_ref().and_then(|end| end.reason.clone()))
    .bind(seen.started_at())
    .bind(end.as_ref().map(|end| end.ended_at))
    .bind(end.as_ref().map(|end| end.wall_s))
    .bind(end.as_ref().map(|end| end.cpu_s))
    .bind(end.as_ref().map(|end| end.peak_bytes as i64))
    .execute(&mut *connection)
    .await?;
    for sql in [
        "INSERT OR IGNORE INTO run_number (uid) VALUES (?1)",
        "INSERT OR IGNORE INTO setting (run_uid, key, value)
         SELECT ?1, value->>0, value->>1 FROM json_each(?2)",
        "INSERT OR IGNORE INTO run_stage (run_uid, kind, key)
         SELECT ?1, value->>0, value->>1 FROM json_each(?3)",
    ] {
        let keys: Vec<_> = seen.stage_keys().map(|(kind, key)| (kind.as_str(), key)).collect();
        sqlx::query(sql)
            .bind(&spec.uid)
            .bind(to_json(&dotted_settings(spec)))
            .bind(to_json(&keys))
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query_scalar("SELECT id FROM run_number WHERE uid = ?")
        .bind(&spec.uid)
        .fetch_one(connection)
        .await
}

pub async fn write_part(
    connection: &mut SqliteConnection,
    run: i64,
    part: &Part,
    ids: &BTreeMap<String, i64>,
) -> Result<(), sqlx::Error> {
    let Batch { void_after, metrics, queries, artifacts, events, .. } = &part.batch;
    if let Some(step) = void_after {
        sqlx::query("DELETE FROM metric WHERE run = ? AND step > ?")
            .bind(run)
            .bind(*step as i64)
            .execute(&mut *connection)
            .await?;
    }
    let metrics: Vec<_> = metrics
        .iter()
        .filter_map(|(name, step, value, word)| Some((ids.get(name)?, step, value, word)))
        .collect();
    for (sql, rows) in [
        (
            "INSERT OR REPLACE INTO metric (run, name, step, value, nonfinite)
             SELECT ?1, value->>0, value->>1, value->>2, value->>3 FROM json_each(?2)",
            if metrics.is_empty() { String::new() } else { to_json(&metrics) },
        ),
        (
            "INSERT OR REPLACE INTO query_result (run, step, query, ap, first_hit)
             SELECT ?1, value->>0, value->>1, value->>2, value->>3 FROM json_each(?2)",
            if queries.is_empty() { String::new() } else { to_json(queries) },
        ),
        (
            "INSERT OR REPLACE INTO event (run, attempt, line, at, level, message)
             SELECT ?1, value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?2)",
            if events.is_empty() { String::new() } else { to_json(events) },
        ),
    ] {
        if !rows.is_empty() {
            sqlx::query(sql).bind(run).bind(rows).execute(&mut *connection).await?;
        }
    }
    for (line, bytes) in artifacts.iter().zip(&part.pictures) {
        sqlx::query(
            "INSERT OR REPLACE INTO artifact (run, name, kind, step, media_type, caption, bytes)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(run)
        .bind(&line.name)
        .bind(&line.kind)
        .bind(line.step as i64)
        .bind(&line.media_type)
        .bind(&line.caption)
        .bind(bytes.as_slice())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Replaces a run's pairs of cameras.
pub async fn write_cameras(
    connection: &mut SqliteConnection,
    run: i64,
    pairs: &[CameraPair],
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM camera_pair WHERE run = ?")
        .bind(run)
        .execute(&mut *connection)
        .await?;
    let rows: Vec<_> = pairs
        .iter()
        .map(|p| (p.query_camera, p.gallery_camera, p.queries, p.map, p.rank1))
        .collect();
    sqlx::query(
        "INSERT OR REPLACE INTO camera_pair (run, query_camera, gallery_camera, queries, mAP, rank1)
         SELECT ?1, value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?2)",
    )
    .bind(run)
    .bind(to_json(&rows))
    .execute(connection)
    .await
    .map(|_| ())
}

/// How far a file of a run was read: bytes and lines.
pub async fn write_offset(
    connection: &mut SqliteConnection,
    uid: &str,
    file: &str,
    (bytes, lines): (u64, u64),
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO ingest (uid, file, offset, lines) VALUES (?, ?, ?, ?)")
        .bind(uid)
        .bind(file)
        .bind(bytes as i64)
        .bind(lines as i64)
        .execute(connection)
        .await
        .map(|_| ())
}

/// The resolved settings as dotted key and JSON value; lists are values.
fn dotted_settings(spec: &RunSpec) -> Vec<(String, String)> {
    fn walk(prefix: &str, value: &serde_json::Value, into: &mut Vec<(String, String)>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    let dotted =
                        if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&dotted, value, into);
                }
            }
            value => into.push((prefix.to_owned(), value.to_string())),
        }
    }
    let mut found = Vec::new();
    walk("", &serde_json::to_value(&spec.settings).unwrap_or_default(), &mut found);
    found
}

/// Plain records of strings and numbers, which JSON can always spell.
pub fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
