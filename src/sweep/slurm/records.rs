//! `slurm.json` in the folder of a study: which array task was submitted for which job. It is written
//! before and after every submission, so that a sweep that begins again submits nothing twice.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::TaskId;
use crate::store::StoreError;
use crate::store::files::{read_json, write_json};
use crate::sweep::scheduler::{Job, JobKind};

/// The arrays of a study.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Records {
    pub arrays: Vec<Array>,
}

/// A submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Array {
    /// Name of the job, which no other has.
    pub name: String,
    /// Slurm's number; `None` while it is not known whether the submission arrived.
    pub job: Option<u64>,
    /// Seconds since 1970.
    pub at: f64,
    /// By index of the task.
    pub tasks: Vec<Entry>,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// teacher, prefix, generator, run.
    pub kind: String,
    /// Key of the stage, or uid of the run.
    pub key: String,
    /// For people.
    pub label: String,
}

impl Entry {
    /// The entry of a job.
    pub fn of(job: &Job) -> Self {
        let kind = match job.kind {
            JobKind::Data => "data",
            JobKind::Teacher => "teacher",
            JobKind::Prefix => "prefix",
            JobKind::Generator => "generator",
            JobKind::Run => "run",
        };
        Self { kind: kind.into(), key: job.key.clone(), label: job.label.clone() }
    }

    /// Whether it was submitted for this job; labels change with the plan.
    pub fn is_of(&self, job: &Job) -> bool {
        self.key == job.key && self.kind == Self::of(job).kind
    }
}

impl Records {
    /// `slurm.json`.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("slurm.json")
    }

    /// Reads them; none where there is no file.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        Ok(read_json(&Self::file(folder))?.unwrap_or_default())
    }

    /// Writes them as a whole.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        write_json(&Self::file(folder), self)
    }

    /// Every task whose array is known to Slurm.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, &Entry)> {
        self.arrays.iter().filter_map(|array| Some((array.job?, array))).flat_map(|(job, array)| {
            let ids = (0..).map(move |index| TaskId { array: job, index });
            ids.zip(&array.tasks)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_again_by_what_they_do() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Records::read(folder.path()).unwrap(), Records::default());
        let job = |kind, key: &str| Job {
            kind,
            key: key.into(),
            label: "x".into(),
            after: vec![],
            batch: 0,
            cost: 1,
        };
        let (run, teacher) = (job(JobKind::Run, "ab"), job(JobKind::Teacher, "ab"));
        let array = |job, of: &[&Job]| Array {
            name: "n".into(),
            job,
            at: 1.0,
            tasks: of.iter().map(|job| Entry::of(job)).collect(),
        };
        let records =
            Records { arrays: vec![array(None, &[&run]), array(Some(7), &[&run, &teacher])] };
        records.write(folder.path()).unwrap();
        let read = Records::read(folder.path()).unwrap();
        assert_eq!(read, records);
        let found: Vec<_> =
            read.tasks().filter(|(_, entry)| entry.is_of(&teacher)).map(|(id, _)| id).collect();
        assert_eq!(found, [TaskId { array: 7, index: 1 }], "only what Slurm is known to have");
    }
}
