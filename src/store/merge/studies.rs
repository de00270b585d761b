//! Records of studies from elsewhere: seeds and arms come together where both mean the same by what both
//! have; otherwise the newer record stays as it is, for results of different settings are never pooled.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::copy::link_between;
use super::{Merged, unite_marks};
use crate::spec::Settings;
use crate::store::error::StoreError;
use crate::store::marks::Marks;
use crate::store::records::StudyRecord;
use crate::store::run_dir::RunIndex;
use crate::store::study_dir;

/// Brings the records of all studies of another folder. Returns the studies whose record is here now.
pub fn bring(
    runs_root: &Path,
    from: &Path,
    found: &mut Merged,
) -> Result<BTreeSet<String>, StoreError> {
    // runs of both are here by now
    let index = RunIndex::scan(runs_root)?;
    let mut there = BTreeSet::new();
    for study in study_dir::list(from)? {
        let folder = study_dir::folder(from, &study)?;
        if link_between(from, &folder.join("study.json")).is_some() {
            continue;
        }
        let (theirs, their_time) = match study_dir::read(from, &study) {
            Ok(read) => read,
            Err(error @ StoreError::Damaged { .. }) => {
                found.left_out.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(theirs) = theirs.filter(|record| record.name == study) else { continue };
        let (ours, our_time) = study_dir::read(runs_root, &study)?;
        let united = match &ours {
            None => theirs,
            Some(ours) => {
                let newer_is_ours = our_time >= their_time;
                let (newer, older) = if newer_is_ours { (ours, &theirs) } else { (&theirs, ours) };
                unite(newer, older, &index)?.unwrap_or_else(|| {
                    found.unlike.push(study.clone());
                    newer.clone()
                })
            }
        };
        if ours.as_ref() != Some(&united) {
            study_dir::write(runs_root, &united)?;
            set_time(runs_root, &study, our_time.max(their_time))?;
            found.studies += 1;
        }
        unite_marks(runs_root, &study_dir::folder(runs_root, &study)?, &Marks::read(&folder)?)?;
        there.insert(study);
    }
    Ok(there)
}

/// The newer record with the arms and seeds that only the older one has; `None` where an arm of both has
/// different settings, or nothing is in both to tell by.
fn unite(
    newer: &StudyRecord,
    older: &StudyRecord,
    index: &RunIndex,
) -> Result<Option<StudyRecord>, StoreError> {
    let mut united = newer.clone();
    let mut in_both = false;
    for arm in &older.arms {
        let Some(own) = newer.arms.iter().find(|other| other.name == arm.name) else {
            united.arms.push(arm.clone());
            continue;
        };
        let one = settings(newer, &arm.name, index)?;
        let other = settings(older, &arm.name, index)?;
        let alike = match (&one, &other) {
            (Some(one), Some(other)) => one == other,
            // one of them has no run yet
            _ => own.overrides == arm.overrides,
        };
        if !alike {
            return Ok(None);
        }
        in_both = true;
    }
    for cell in &older.cells {
        let known = united.cells.iter().any(|c| (&c.arm, c.seed) == (&cell.arm, cell.seed));
        if !known {
            united.cells.push(cell.clone());
        }
    }
    let StudyRecord { arms, cells, .. } = &mut united;
    cells.sort_by_key(|cell| arms.iter().position(|arm| arm.name == cell.arm));
    Ok(in_both.then_some(united))
}

/// The settings of an arm's runs, of one that is here.
fn settings(
    record: &StudyRecord,
    arm: &str,
    index: &RunIndex,
) -> Result<Option<Arc<Settings>>, StoreError> {
    for cell in record.cells.iter().filter(|cell| cell.arm == arm) {
        if let Some(run) = index.find(&cell.uid)? {
            return Ok(Some(run.spec()?.settings));
        }
    }
    Ok(None)
}

/// The time of a record is in the database: a copy keeps it.
fn set_time(runs_root: &Path, study: &str, at: f64) -> Result<(), StoreError> {
    let path = study_dir::folder(runs_root, study)?.join("study.json");
    let time = UNIX_EPOCH + Duration::try_from_secs_f64(at).unwrap_or_default();
    let set = || File::options().write(true).open(&path)?.set_modified(time);
    set().map_err(StoreError::io("write", &path))
}
