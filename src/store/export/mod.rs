//! A study as files for other programs: Parquet and CSV tables, the resolved settings of every run,
//! TensorBoard's event files; and for this one: a database of the study alone.

mod csv;
mod database;
mod parquet;
mod tensorboard;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::csv::{csv, hex};
use super::db::Db;
use super::error::StoreError;
use super::files::{check_name, create_folder, write_atomic, write_json};
use super::query::{Cell, Table, query_all};
use super::run_dir::RunDir;

/// Says that a folder is an export, so that a later one may replace its files.
const MARK: &str = "export.json";

/// The tables of an export: file stem and question, of the study `:study`.
const TABLES: [(&str, &str); 6] = [
    ("runs", "SELECT * FROM runs WHERE study = :study"),
    ("final", "SELECT * FROM final WHERE study = :study"),
    (
        "curves",
        "SELECT cell.arm, cell.seed, metric_name.name AS metric, metric.step, metric.value,
                coalesce(metric.nonfinite, '') AS nonfinite
         FROM cell
         JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
         JOIN run_number ON run_number.uid = cell.run_uid
         JOIN metric ON metric.run = run_number.id
         JOIN metric_name ON metric_name.id = metric.name
         WHERE cell.study = :study
         ORDER BY arm.position, cell.seed, metric_name.name, metric.step",
    ),
    (
        "queries",
        "SELECT cell.arm, cell.seed, query_result.step, query_result.query, query_result.ap,
                query_result.first_hit
         FROM cell
         JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
         JOIN run_number ON run_number.uid = cell.run_uid
         JOIN query_result ON query_result.run = run_number.id
         WHERE cell.study = :study
         ORDER BY arm.position, cell.seed, query_result.step, query_result.query",
    ),
    (
        "cameras",
        "SELECT camera_pairs.arm, seed, query_camera, gallery_camera, queries, mAP, rank1
         FROM camera_pairs
         JOIN arm ON arm.study = camera_pairs.study AND arm.name = camera_pairs.arm
         WHERE camera_pairs.study = :study
         ORDER BY arm.position, seed, query_camera, gallery_camera",
    ),
    (
        "settings",
        "SELECT cell.arm, cell.seed, setting.key, setting.value
         FROM cell
         JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
         JOIN setting ON setting.run_uid = cell.run_uid
         WHERE cell.study = :study ORDER BY arm.position, cell.seed, setting.key",
    ),
];

/// What an export wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Table, rows.
    pub tables: Vec<(&'static str, usize)>,
    /// Runs with a `spec.yaml`.
    pub specs: usize,
    /// Those of them that were written from the database, because their folders are not here.
    pub from_database: usize,
    /// TensorBoard runs.
    pub runs: usize,
}

/// Writes a study below `out`: `<table>.parquet` and `<table>.csv`, `study.yaml`,
/// `specs/<arm>-seed-<n>.yaml`, `tensorboard/<arm>/seed-<n>/`, `results.db`.
///
/// # Errors
/// An unknown study, an unreadable database, a folder that cannot be written.
pub fn export(runs_root: &Path, study: &str, out: &Path) -> Result<Exported, StoreError> {
    let file = Db::file(runs_root);
    let mut db = Db::open_read(&file)?;
    let row = db.study(study)?;
    create_folder(out)?;
    let mark = out.join(MARK);
    let mut entries = std::fs::read_dir(out).map_err(StoreError::io("list", out))?;
    if !mark.is_file() && entries.next().is_some() {
        return Err(StoreError::Query {
            reason: format!("`{}` is not empty and holds no export", out.display()),
            hint: Some("name a new folder: files of an export replace others of their name".into()),
        });
    }
    write_json(&mark, &serde_json::json!({ "study": study }))?;
    for folder in ["tensorboard", "specs"] {
        match std::fs::remove_dir_all(out.join(folder)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", out.join(folder))(error));
            }
            _ => {}
        }
    }
    let mut exported = Exported::default();
    for (name, sql) in TABLES {
        let values = BTreeMap::from([("study".to_owned(), Cell::Text(study.to_owned()))]);
        let table = query_all(&file, sql, &values)?;
        write_table(&out.join(format!("{name}.parquet")), &table)?;
        write_table(&out.join(format!("{name}.csv")), &table)?;
        exported.tables.push((name, table.rows.len()));
        if name == "curves" {
            exported.runs = scalars(&mut db, study, &table, &out.join("tensorboard"))?;
        }
    }
    database::write(&file, study, &Db::file(out))?;
    write_atomic(&out.join("study.yaml"), row.source.as_bytes())?;
    let specs = out.join("specs");
    create_folder(&specs)?;
    for cell in db.cells(study)? {
        if cell.folder.is_empty() {
            continue; // it has not begun: `runs` says so
        }
        check_name("arm", &cell.arm)?;
        let spec = RunDir::new(runs_root.join(&cell.folder)).spec_file();
        let copy = specs.join(format!("{}-seed-{}.yaml", cell.arm, cell.seed));
        if spec.is_file() {
            std::fs::copy(&spec, &copy).map_err(StoreError::io("copy", &copy))?;
        } else if let Some(recorded) = db.recorded(&cell.uid)? {
            let text = recorded.spec.yaml().map_err(|error| StoreError::Io {
                action: "write",
                path: copy.clone(),
                source: std::io::Error::other(error),
            })?;
            write_atomic(&copy, text.as_bytes())?;
            exported.from_database += 1;
        } else {
            continue;
        }
        exported.specs += 1;
    }
    Ok(exported)
}

/// Writes an answer as the name's ending says: `.parquet`, else CSV.
///
/// # Errors
/// A file that cannot be written.
pub fn write_table(path: &Path, table: &Table) -> Result<(), StoreError> {
    if path.extension().is_some_and(|end| end == "parquet") {
        let bytes = self::parquet::parquet(table).map_err(|error| StoreError::Io {
            action: "write",
            path: path.to_owned(),
            source: std::io::Error::other(error),
        })?;
        return write_atomic(path, &bytes);
    }
    write_atomic(path, csv(table).as_bytes())
}

/// One event file a run. Metrics carry no clock of their own, so every value has the time at which its
/// run began; TensorBoard orders by step.
fn scalars(db: &mut Db, study: &str, curves: &Table, out: &Path) -> Result<usize, StoreError> {
    let begins: BTreeMap<(String, i64), f64> = db
        .cells(study)?
        .into_iter()
        .map(|cell| {
            let begin: serde_json::Value = serde_json::from_str(&cell.begin).unwrap_or_default();
            ((cell.arm, cell.seed as i64), begin["started_at"].as_f64().unwrap_or(0.0))
        })
        .collect();
    let mut files: BTreeMap<(String, i64), tensorboard::Events> = BTreeMap::new();
    for row in &curves.rows {
        let [
            Cell::Text(arm),
            Cell::Integer(seed),
            Cell::Text(metric),
            Cell::Integer(step),
            value,
            nonfinite,
        ] = row.as_slice()
        else {
            continue;
        };
        let value = match (value, nonfinite) {
            (Cell::Real(value), _) => *value,
            (Cell::Integer(value), _) => *value as f64,
            (_, Cell::Text(word)) => super::series::spelled(Some(word)),
            _ => f64::NAN,
        };
        let run = (arm.clone(), *seed);
        let at = begins.get(&run).copied().unwrap_or(0.0);
        let events = files.entry(run).or_insert_with(|| tensorboard::Events::begin(at));
        events.scalar(at, *step, metric, value);
    }
    let count = files.len();
    for ((arm, seed), events) in files {
        check_name("arm", &arm)?;
        let folder: PathBuf = out.join(&arm).join(format!("seed-{seed}"));
        create_folder(&folder)?;
        // always one name: TensorBoard adds up all the event files of a folder
        write_atomic(&folder.join("events.out.tfevents.0.dgnet"), &events.finish())?;
    }
    Ok(count)
}
