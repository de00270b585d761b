//! Handing jobs to Slurm: which of them become an array, under a name that is on disk before it is
//! submitted, so that nothing is submitted twice. What becomes of them is the launcher's.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{ASK_EVERY, Slurm, Standing};
use crate::store::files::{create_folder, write_atomic};
use crate::store::run_dir::now;
use crate::sweep::SweepError;
use crate::sweep::slurm::arrays::{After, next};
use crate::sweep::slurm::client::{Client, Refusal};
use crate::sweep::slurm::records::{Array, Entry};
use crate::sweep::slurm::script::{self, Batch};
use crate::sweep::slurm::state::TaskId;

impl Slurm {
    pub(super) fn submit(&mut self) -> Result<(), SweepError> {
        while !self.queue.is_empty() && Instant::now() >= self.submit_at {
            let jobs = |job: usize| self.workers.job(job).clone();
            let arrays = next(&self.queue, &jobs, &|job| self.states[job].task);
            for (after, members) in arrays {
                if !self.submit_array(&after, &members)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Submits one array; `false` when Slurm has no room for it now.
    fn submit_array(&mut self, after: &After, members: &[usize]) -> Result<bool, SweepError> {
        let refused = |reason: String| SweepError::Slurm {
            reason,
            hint: "see the `slurm` block of the study; `sinfo` lists partitions and their limits"
                .into(),
        };
        let tasks: Vec<Entry> =
            members.iter().map(|job| Entry::of(self.workers.job(*job))).collect();
        // an attempt of which it is not known whether it arrived
        let open = self.records.arrays.iter().find(|a| a.job.is_none() && a.tasks == tasks);
        let (name, arrived) = if let Some(array) = open {
            (array.name.clone(), Client::named(&array.name))
        } else {
            let name = self.new_name(&tasks);
            let array = Array { name: name.clone(), job: None, at: now(), tasks };
            self.records.arrays.push(array);
            self.records.write(&self.place.folder)?;
            (name, Ok(None))
        };
        let number = match arrived {
            Ok(Some(number)) => Ok(number),
            Ok(None) => {
                let batch = self.batch(&name, after, members).map_err(refused)?;
                let file = self.scripts().join(format!("{name}.sh"));
                create_folder(&self.scripts())?;
                write_atomic(&file, script::text(&batch).as_bytes())?;
                Client::submit(&file)
            }
            Err(text) => Err(Refusal::ForNow(text)),
        };
        match number {
            Ok(number) => {
                let mut arrays = self.records.arrays.iter_mut();
                if let Some(array) = arrays.find(|array| array.name == name) {
                    array.job = Some(number);
                }
                self.records.write(&self.place.folder)?;
                self.took(members, number);
                Ok(true)
            }
            Err(Refusal::ForNow(text)) => {
                self.complain(&format!("Slurm takes no jobs just now, trying again: {text}"));
                self.submit_at = Instant::now() + ASK_EVERY.1;
                Ok(false)
            }
            Err(Refusal::ForGood(text)) => {
                self.records.arrays.retain(|array| array.name != name);
                self.records.write(&self.place.folder)?;
                Err(refused(format!("Slurm refuses the jobs of this study: {text}")))
            }
        }
    }

    fn took(&mut self, members: &[usize], number: u64) {
        for (index, &job) in (0..).zip(members) {
            let log_from = std::fs::metadata(self.workers.log(job)).map_or(0, |meta| meta.len());
            let task = Some(TaskId { array: number, index });
            self.states[job] = Standing { task, log_from, ..Standing::default() };
        }
        self.queue.retain(|job| !members.contains(job));
        let labels: Vec<&str> =
            members.iter().take(3).map(|job| self.workers.job(*job).label.as_str()).collect();
        let more = if members.len() > 3 { ", ..." } else { "" };
        self.said.push(format!("Slurm job {number}: {}{more}", labels.join(", ")));
        (self.ask_at, self.pause) = (Instant::now() + ASK_EVERY.0, ASK_EVERY.0);
    }

    fn new_name(&self, tasks: &[Entry]) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{tasks:?} {} {}", now(), std::process::id()).as_bytes());
        format!("dgnet-{}-{}", self.place.study, &hash.finalize().to_hex()[..8])
    }

    fn scripts(&self) -> PathBuf {
        self.place.folder.join(".slurm")
    }

    fn batch(&self, name: &str, after: &After, members: &[usize]) -> Result<Batch, String> {
        let here = std::env::current_dir().map_err(|error| error.to_string())?;
        let tasks = members.iter().map(|&job| {
            let arguments = self.workers.arguments(job)?;
            let arguments: Result<Vec<_>, _> = arguments.iter().map(|a| utf8(a.as_ref())).collect();
            let log = self.workers.log(job);
            if let Some(folder) = log.parent() {
                create_folder(folder).map_err(|error| error.to_string())?;
            }
            let label = self.workers.job(job).label.clone();
            Ok(script::Task { label, arguments: arguments?, log: utf8(&log)? })
        });
        Ok(Batch {
            name: name.to_owned(),
            slurm: self.place.slurm.clone(),
            cpus: self.place.cpus,
            folder: utf8(&here)?,
            outputs: utf8(&self.scripts())?,
            worker: utf8(&self.place.worker)?,
            tasks: tasks.collect::<Result<_, String>>()?,
            after_ok: after.ok.clone(),
            after_any: after.any.clone(),
        })
    }
}

fn utf8(path: &Path) -> Result<String, String> {
    let refused = || format!("`{}` is no text that a batch script can hold", path.display());
    let text = path.to_str().ok_or_else(refused)?;
    if text.chars().any(char::is_control) { Err(refused()) } else { Ok(text.to_owned()) }
}
