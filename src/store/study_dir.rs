//! The folder of a study, `runs/<study>/`: its `study.json`, so that the folders alone can rebuild the
//! database.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::error::StoreError;
use super::files::{check_name, create_folder, read_json, write_json};
use super::records::StudyRecord;

/// `runs/<study>/`.
pub fn folder(runs_root: &Path, study: &str) -> Result<PathBuf, StoreError> {
    check_name("study", study)?;
    Ok(runs_root.join(study))
}

/// Writes `study.json`, unless it says the same already. Returns whether it was written.
pub fn write(runs_root: &Path, record: &StudyRecord) -> Result<bool, StoreError> {
    let folder = folder(runs_root, &record.name)?;
    create_folder(&folder)?;
    // a damaged record is replaced: it is planned anew from the study file right now
    if read(runs_root, &record.name).is_ok_and(|(old, _)| old.as_ref() == Some(record)) {
        return Ok(false);
    }
    write_json(&folder.join("study.json"), record)?;
    Ok(true)
}

/// Reads `study.json` and when it was written, in seconds since 1970.
pub fn read(runs_root: &Path, study: &str) -> Result<(Option<StudyRecord>, f64), StoreError> {
    let path = folder(runs_root, study)?.join("study.json");
    let record = read_json(&path)?;
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
    let at = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((record, at.map_or(0.0, |since| since.as_secs_f64())))
}

/// Names of the studies that have a `study.json`, sorted.
pub fn list(runs_root: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(runs_root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", runs_root)(error)),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("study.json").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| check_name("study", name).is_ok())
        .collect();
    names.sort();
    Ok(names)
}
