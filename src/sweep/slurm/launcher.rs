//! The executor: jobs become array tasks, the order stays with Slurm, ends are read in run folders and
//! stages. Data sets are drawn by this process, before anything that needs them is submitted.

mod submit;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::client::{Cancel, Client};
use super::records::{Entry, Records};
use super::state::{Fate, NOT_REQUEUED, Seen, TaskId};
use crate::spec;
use crate::store::RunDir;
use crate::store::records::Heartbeat;
use crate::sweep::SweepError;
use crate::sweep::ending::Exit;
use crate::sweep::launcher::Launcher;
use crate::sweep::process::Workers;
use crate::sweep::scheduler::{Executor, JobState, Outcome, Wish};

/// Time between two questions while something changes, and while nothing does.
const ASK_EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// How long a record that the worker's exit code promises may take to be seen on a shared file system.
const GRACE: Duration = Duration::from_secs(30);

/// Where the jobs of a study are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `runs/<study>/`, absolute.
    pub folder: PathBuf,
    pub study: String,
    pub worker: PathBuf,
    pub slurm: spec::Slurm,
    /// Cores of a task.
    pub cpus: u32,
}

/// Submits jobs as array tasks and watches them.
#[derive(Debug)]
pub struct Slurm {
    place: Place,
    client: Client,
    workers: Workers,
    records: Records,
    /// Live tasks of earlier submissions.
    earlier: Vec<(TaskId, Entry)>,
    states: Vec<Standing>,
    queue: Vec<usize>,
    ending: BTreeMap<usize, Cancel>,
    counts: (usize, usize),
    ask_at: Instant,
    pause: Duration,
    submit_at: Instant,
    trouble: Option<SweepError>,
    said: Vec<String>,
    complained: bool,
}

/// Where a job stands.
#[derive(Debug, Clone, Default)]
struct Standing {
    task: Option<TaskId>,
    /// Whether Slurm has started it, as far as is known.
    runs: bool,
    /// Length of its worker's log when it was submitted.
    log_from: u64,
    /// Since when Slurm says that it is over while its records do not.
    over_since: Option<Instant>,
    outcome: Option<Outcome>,
    /// Whether `workers` looks after it: a thread, or another sweep's worker.
    local: bool,
}

impl Slurm {
    /// Takes up what earlier sweeps of the study have submitted and is not over.
    ///
    /// # Errors
    /// Slurm does not answer: then nothing may be submitted, it could be there already.
    pub fn open(
        client: Client,
        place: Place,
        jobs: usize,
        workers: Workers,
    ) -> Result<Self, SweepError> {
        let silent = |text: String| SweepError::Slurm {
            reason: format!("Slurm does not say what it has of this study: {text}"),
            hint: "try again when `squeue` answers; what was submitted goes on".into(),
        };
        let mut records = Records::read(&place.folder)?;
        for array in records.arrays.iter_mut().filter(|array| array.job.is_none()) {
            array.job = Client::named(&array.name).map_err(silent)?;
        }
        let numbers: Vec<u64> = records.arrays.iter().filter_map(|array| array.job).collect();
        let seen = if numbers.is_empty() {
            BTreeMap::new()
        } else {
            Client::look(&numbers).map_err(silent)?
        };
        let is_live = |task: TaskId| seen.get(&task).is_some_and(Seen::is_live);
        let mut said = Vec::new();
        for (task, entry) in records.tasks() {
            if let Some(Fate::Failed(why) | Fate::Died(why)) = seen.get(&task).map(Seen::fate) {
                said.push(format!("{} (Slurm's {task}): {why}", entry.label));
            }
        }
        let earlier: Vec<(TaskId, Entry)> = records
            .tasks()
            .filter(|(task, _)| is_live(*task))
            .map(|(task, entry)| (task, entry.clone()))
            .collect();
        let live: BTreeSet<u64> = earlier.iter().map(|(task, _)| task.array).collect();
        records.arrays.retain(|array| array.job.is_some_and(|job| live.contains(&job)));
        if !earlier.is_empty() {
            said.push(format!("{} tasks of earlier submissions go on", earlier.len()));
        }
        Ok(Self {
            place,
            client,
            workers,
            records,
            earlier,
            states: vec![Standing::default(); jobs],
            queue: Vec::new(),
            ending: BTreeMap::new(),
            counts: (0, 0),
            ask_at: Instant::now(),
            pause: ASK_EVERY.0,
            submit_at: Instant::now(),
            trouble: None,
            said,
            complained: false,
        })
    }

    /// Asks Slurm once about everything that is not over, less often while nothing changes.
    fn look(&mut self) {
        if Instant::now() < self.ask_at {
            return;
        }
        let open: Vec<(usize, TaskId)> = (0..self.states.len())
            .filter(|&job| self.states[job].outcome.is_none())
            .filter_map(|job| Some((job, self.states[job].task?)))
            .collect();
        let arrays: BTreeSet<u64> = open.iter().map(|(_, task)| task.array).collect();
        let arrays: Vec<u64> = arrays.into_iter().collect();
        self.ask_at = Instant::now() + self.pause;
        if arrays.is_empty() {
            return;
        }
        let mut seen = match Client::look(&arrays) {
            Ok(seen) => seen,
            Err(text) => {
                self.complain(&format!("Slurm does not answer, jobs go on: {text}"));
                self.slow_down();
                return;
            }
        };
        self.complained = false;
        let forgotten: BTreeSet<u64> = open
            .iter()
            .filter(|(_, task)| !seen.contains_key(task))
            .map(|(_, t)| t.array)
            .collect();
        let forgotten: Vec<u64> = forgotten.into_iter().collect();
        for (task, about) in self.client.remembered(&forgotten) {
            seen.entry(task).or_insert(about);
        }
        let (mut counts, mut changed) = ((0, 0), false);
        for (job, task) in open {
            let runs = match seen.get(&task).map(Seen::fate) {
                Some(Fate::Queued) => false,
                Some(Fate::Running) => true,
                fate => {
                    self.states[job].outcome = self.judge(job, task, fate);
                    changed = true;
                    continue;
                }
            };
            let slot = if runs { &mut counts.1 } else { &mut counts.0 };
            *slot += 1;
            changed |= self.states[job].runs != runs;
            self.states[job].runs = runs;
        }
        if counts != self.counts && counts != (0, 0) {
            self.said.push(format!("Slurm: {} running, {} in the queue", counts.1, counts.0));
        }
        self.counts = counts;
        if changed {
            (self.pause, self.ask_at) = (ASK_EVERY.0, Instant::now() + ASK_EVERY.0);
        } else {
            self.slow_down();
        }
    }

    fn slow_down(&mut self) {
        // somebody waits for what is to end
        let most = if self.ending.is_empty() { ASK_EVERY.1 } else { ASK_EVERY.0 };
        self.pause = (self.pause * 3 / 2).min(most);
    }

    /// How a task that is over ended its job; `None` while its records may still come.
    fn judge(&mut self, job: usize, task: TaskId, fate: Option<Fate>) -> Option<Outcome> {
        if let Some(truth) = self.workers.truth(job) {
            return Some(truth);
        }
        let over_since = *self.states[job].over_since.get_or_insert_with(Instant::now);
        let is_run = self.workers.run(job).is_some();
        let promises = |exit: Exit| match exit.code {
            Some(0) => true,
            Some(1 | 3) => is_run,
            _ => false,
        };
        let with_task = |why: &str| format!("Slurm's {task}: {why}");
        match fate {
            None if over_since.elapsed() < GRACE => None,
            None => Some(Outcome::Died(with_task("Slurm has forgotten it and it left no record"))),
            Some(Fate::Queued | Fate::Running) => None,
            Some(Fate::Ended(exit)) if promises(exit) && over_since.elapsed() < GRACE => None,
            Some(Fate::Ended(Exit { code: Some(NOT_REQUEUED), .. })) => Some(Outcome::Again(
                with_task("it saved at its time limit and goes on in a new job"),
            )),
            Some(Fate::Ended(exit)) => {
                let outcome = self.workers.outcome(job, exit, self.states[job].log_from);
                // another worker is at it: that one is waited for
                self.states[job].local = outcome.is_none();
                self.states[job].task = self.states[job].task.filter(|_| outcome.is_some());
                outcome
            }
            Some(Fate::Again(why)) => Some(Outcome::Again(with_task(&why))),
            Some(Fate::Died(why)) => Some(Outcome::Died(with_task(&why))),
            Some(Fate::Failed(why)) => {
                let reason = with_task(&why);
                self.workers.give_up(job, &JobState::Failed(reason.clone()));
                Some(Outcome::Failed(reason))
            }
            Some(Fate::Cancelled(_)) => Some(Outcome::Interrupted),
        }
    }

    /// Passes on who is to end. A task that starts between two looks is told again.
    fn end(&mut self, due: bool) {
        let tasks = |how: Cancel| -> Vec<TaskId> {
            let of = self.ending.iter().filter(|(_, asked)| **asked == how);
            of.filter_map(|(job, _)| self.states[*job].task).collect()
        };
        let (at_once, gently) = (tasks(Cancel::AtOnce), tasks(Cancel::Gently));
        let mut told = Ok(());
        if !at_once.is_empty() {
            told = Client::cancel(&at_once, Cancel::AtOnce);
        }
        if !gently.is_empty() && due {
            told = told
                .and_then(|()| Client::cancel(&gently, Cancel::Queued))
                .and_then(|()| Client::cancel(&gently, Cancel::Gently));
        }
        if let Err(text) = told {
            self.complain(&format!("Slurm does not cancel: {text}"));
            return;
        }
        let ended: Vec<usize> = self
            .ending
            .iter()
            .filter(|(_, how)| **how == Cancel::AtOnce)
            .map(|(job, _)| *job)
            .collect();
        for job in ended {
            self.ending.remove(&job);
            self.states[job].outcome = Some(Outcome::Interrupted);
        }
    }

    fn complain(&mut self, text: &str) {
        if !self.complained {
            self.said.push(text.to_owned());
        }
        self.complained = true;
    }
}

impl Executor for Slurm {
    fn start(&mut self, job: usize, slot: usize) -> Result<(), String> {
        self.states[job] = Standing::default();
        if self.workers.is_own(job) {
            self.states[job].local = true;
            return self.workers.start(job, slot);
        }
        let of_job = self.workers.job(job);
        match self.earlier.iter().position(|(_, entry)| entry.is_of(of_job)) {
            Some(at) => self.states[job].task = Some(self.earlier.swap_remove(at).0),
            None => self.queue.push(job),
        }
        Ok(())
    }

    fn poll(&mut self, job: usize) -> Option<Outcome> {
        let outcome = if self.states[job].local {
            self.workers.poll(job)?
        } else {
            self.states[job].outcome.take()?
        };
        self.states[job] = Standing::default();
        self.ending.remove(&job);
        Some(outcome)
    }

    fn stop(&mut self, job: usize, at_once: bool) {
        if self.states[job].local {
            self.workers.stop(job, at_once);
        } else if self.states[job].task.is_none() {
            self.queue.retain(|queued| *queued != job);
            self.states[job].outcome = Some(Outcome::Interrupted);
        } else {
            self.ending.insert(job, if at_once { Cancel::AtOnce } else { Cancel::Gently });
            self.ask_at = Instant::now();
        }
    }

    fn give_up(&mut self, job: usize, state: &JobState) {
        self.workers.give_up(job, state);
    }

    fn holds_back(&self, job: usize) -> bool {
        !self.states[job].local
    }

    fn round(&mut self, states: &[JobState]) -> Wish {
        self.workers.round(states)
    }
}

impl Launcher for Slurm {
    fn heartbeat(&self, job: usize) -> Option<Heartbeat> {
        self.workers.heartbeat(job)
    }

    fn run(&self, job: usize) -> Option<&RunDir> {
        self.workers.run(job)
    }

    fn found_no_room(&self) -> bool {
        self.workers.found_no_room()
    }

    fn is_queued(&self, job: usize) -> bool {
        !self.states[job].local && !self.states[job].runs
    }

    fn attend(&mut self) -> Vec<String> {
        if self.trouble.is_none()
            && let Err(error) = self.submit()
        {
            self.trouble = Some(error);
        }
        let due = Instant::now() >= self.ask_at;
        self.end(due);
        self.look();
        std::mem::take(&mut self.said)
    }

    fn is_independent(&self) -> bool {
        let own = |job: usize| self.states[job].local && self.workers.is_own(job);
        self.queue.is_empty() && !(0..self.states.len()).any(own)
    }

    fn trouble(&mut self) -> Option<SweepError> {
        self.trouble.take()
    }
}
