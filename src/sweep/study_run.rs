//! The sweep of one study: makes every missing data set, teacher and run, keeps the database up to
//! date, and tells how every cell ended. The report is the command line's next step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::error::SweepError;
use super::hang;
use super::indexing::Indexing;
use super::jobs::{Task, places, tasks, threads};
use super::launcher::Launcher;
use super::plan::Plan;
use super::process::{ROUND, Workers, worker_executable};
use super::progress::{Progress, Seen, duration};
use super::scheduler::{self, Executor, Job, JobKind, JobState, Outcome, Wish};
use super::slots::Places;
use super::slurm::{Client, Place, Slurm};
use crate::spec;
use crate::spec::devices::Slots;
use crate::store::files::create_folder;
use crate::store::records::{Fork, Heartbeat};
use crate::store::{RunDir, RunLock, RunState, Stages, StoreError, study_dir};

/// Ask for a stop: the keyboard, a batch system, a terminal that closes.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// How to sweep.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Jobs at a time, at most; as many as the devices hold without it.
    pub jobs: Option<usize>,
    /// Where to train instead of where the study says.
    pub devices: Vec<Slots>,
    /// Runs that may fail or diverge before nothing more is started.
    pub max_failures: Option<usize>,
    /// Wall time after which running workers save and stop.
    pub time: Option<Duration>,
    /// Training steps after which running workers save and stop.
    pub steps: Option<u64>,
    /// Time without a sign of life after which a worker hangs; [`hang::DEFAULT`] without it.
    pub hang_after: Option<Duration>,
    /// Jobs are made by Slurm, which is asked for this; by this machine without it.
    pub slurm: Option<spec::Slurm>,
    /// End as soon as everything is submitted.
    pub detach: bool,
}

/// How a cell stands after a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct CellEnd {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// State of its run.
    pub state: RunState,
    /// Why it failed or diverged.
    pub reason: Option<String>,
    /// Its folder.
    pub run: RunDir,
}

/// How far a sweep came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// Everything that it could do is done.
    #[default]
    Complete,
    /// It was asked to stop before that.
    Interrupted,
    /// It has left, while what it submitted goes on.
    Left,
    /// The disk is full.
    NoRoom,
}

/// What a sweep did.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Every cell that was asked for.
    pub cells: Vec<CellEnd>,
    /// Data sets, teachers and runs that were made.
    pub made: usize,
    /// Training steps that it has seen done, where they are limited.
    pub trained: u64,
    /// Whether everything was seen to its end.
    pub ending: Ending,
    /// Why it stopped by itself, where it did.
    pub stopped: Option<String>,
    /// Whether the results are in the database; `false` while another sweep's writer is behind.
    pub indexed: bool,
}

impl Summary {
    /// Cells in a state.
    #[must_use]
    pub fn count(&self, state: RunState) -> usize {
        self.cells.iter().filter(|cell| cell.state == state).count()
    }
}

/// Makes everything that a plan says is missing.
///
/// # Errors
/// Another sweep of the same study, a folder that cannot be written, no worker executable. A run that
/// fails is no error: its cell says so.
pub fn sweep(plan: &Plan, runs_root: &Path, options: &Options) -> Result<Summary, SweepError> {
    let client = options.slurm.as_ref().map(|_| Client::find()).transpose()?;
    let folder = study_dir::folder(runs_root, &plan.study)?;
    create_folder(&folder)?;
    let lock_file = folder.join(".sweep.lock");
    let _lock = RunLock::acquire_file(&lock_file)?.ok_or_else(|| StoreError::Locked {
        what: format!("the study `{}`", plan.study),
        path: lock_file,
        hint: "a sweep of it is running; wait for it, or stop it and start again".into(),
    })?;
    let tasks = tasks(plan);
    // what refuses the sweep refuses it before anything is written
    let means = match tasks.len() {
        0 => None,
        jobs => Some(means(plan, options, jobs)?),
    };
    study_dir::write(runs_root, &plan.record)?;
    if means.is_some() {
        Stages::new(runs_root).remove_abandoned();
    }
    for cell in plan.open_runs() {
        if !cell.run.spec_file().is_file() {
            RunDir::create(runs_root, &cell.spec)?;
        }
        if cell.state == RunState::Failed {
            match cell.run.reopen() {
                // another sweep was faster and its worker is at it: it will be waited for
                Err(StoreError::Locked { .. }) => {}
                reopened => reopened?,
            }
        }
    }
    let mut beginnings: BTreeMap<usize, Vec<Fork>> = BTreeMap::new();
    for fork in &plan.forks {
        for &cell in &fork.cells {
            beginnings.entry(cell).or_default().push(fork.record());
        }
    }
    for (cell, forks) in beginnings {
        plan.cells[cell].run.set_forks(&forks)?;
    }
    let own: BTreeSet<RunDir> = plan.cells.iter().map(|cell| cell.run.clone()).collect();
    let indexing = Indexing::begin(runs_root, &plan.study, own)?;
    let (indexing, Made { states, trained, stopped, ending }) = match means {
        None => (indexing, Made::default()),
        Some(means) => make(plan, runs_root, options, client, means, tasks, indexing)?,
    };
    let indexed = match indexing.finish() {
        // the run folders say what happened, and that is to be heard
        Err(error) if ending == Ending::NoRoom => {
            tracing::warn!("{error}");
            false
        }
        indexed => indexed?,
    };
    Ok(Summary {
        cells: ends(plan)?,
        made: states.iter().filter(|state| **state == JobState::Done).count(),
        trained,
        ending,
        stopped,
        indexed,
    })
}

/// How the jobs of a sweep ended.
#[derive(Default)]
struct Made {
    states: Vec<JobState>,
    trained: u64,
    stopped: Option<String>,
    ending: Ending,
}

/// What makes the jobs of a sweep.
struct Means {
    places: Places,
    worker: PathBuf,
}

fn means(plan: &Plan, options: &Options, jobs: usize) -> Result<Means, SweepError> {
    let places = match options.slurm {
        // Slurm has a queue of its own
        Some(_) => Places::plain(jobs),
        None => places(plan, &options.devices, options.jobs)?,
    };
    Ok(Means { places, worker: worker_executable()? })
}

fn make(
    plan: &Plan,
    runs_root: &Path,
    options: &Options,
    client: Option<Client>,
    Means { places, worker }: Means,
    tasks: Vec<Task>,
    indexing: Indexing,
) -> Result<(Indexing, Made), SweepError> {
    let slots = places.count();
    let signals = Signals::new(SIGNALS)
        .map_err(|source| SweepError::System { action: "listen for signals", source })?;
    // once this is over, signals end the program again
    let over = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&over))
            .map_err(|source| SweepError::System { action: "listen for signals", source })?;
    }
    let done_before = plan.cells.len() - plan.cells.iter().filter(|cell| cell.is_open()).count();
    let mut cells_of: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in &plan.cells {
        *cells_of.entry(&cell.spec.uid).or_default() += 1;
    }
    let jobs: Vec<Job> = tasks.iter().map(|task| task.job.clone()).collect();
    let cells = jobs
        .iter()
        .map(|job| match job.kind {
            JobKind::Run => cells_of.get(job.key.as_str()).copied().unwrap_or(1),
            JobKind::Data | JobKind::Teacher | JobKind::Prefix | JobKind::Generator => 0,
        })
        .collect();
    let classes = tasks.iter().map(|task| task.class).collect();
    let progress = Progress::new(&jobs, classes, cells, slots, (done_before, plan.cells.len()));
    let work = tasks.into_iter().map(|task| (task.job, task.work)).collect();
    let hang_after = options.hang_after.unwrap_or(hang::DEFAULT);
    let workers = Workers::new(runs_root, worker.clone(), work, places, hang_after);
    let workers: Box<dyn Launcher> = match (client, &options.slurm) {
        (Some(client), Some(slurm)) => {
            let folder = study_dir::folder(runs_root, &plan.study)?;
            let folder = std::path::absolute(&folder)
                .map_err(|source| SweepError::System { action: "find the runs folder", source })?;
            let cpus = slurm.cpus.unwrap_or_else(|| threads(plan));
            let place =
                Place { folder, study: plan.study.clone(), worker, slurm: slurm.clone(), cpus };
            Box::new(Slurm::open(client, place, jobs.len(), workers)?)
        }
        _ => Box::new(workers),
    };
    let limits = Limits {
        is_run: jobs.iter().map(|job| job.kind == JobKind::Run).collect(),
        max_failures: options.max_failures,
        until: options.time.map(|time| (Instant::now() + time, time)),
        steps: options.steps.map(|most| (Trained::new(jobs.len()), most)),
    };
    let mut sweep = Sweep {
        workers,
        indexing,
        progress,
        signals,
        limits,
        stopped: None,
        wish: Wish::Go,
        trouble: None,
        stays: options.slurm.is_some(),
        detach: options.detach && options.slurm.is_some(),
    };
    let states = scheduler::run(&jobs, slots, &mut sweep);
    let left = sweep.wish == Wish::Leave;
    sweep.progress.end(if left { &[] } else { &states });
    over.store(true, Ordering::Relaxed);
    let ending = if sweep.workers.found_no_room() {
        Ending::NoRoom
    } else if left {
        Ending::Left
    } else if states.contains(&JobState::Interrupted) {
        Ending::Interrupted
    } else {
        Ending::Complete
    };
    if let Some(trouble) = sweep.trouble {
        return Err(trouble);
    }
    let trained = sweep.limits.steps.map_or(0, |(trained, _)| trained.steps());
    Ok((sweep.indexing, Made { states, trained, stopped: sweep.stopped, ending }))
}

/// What ends a sweep before its work does.
struct Limits {
    /// Which jobs are runs: what they need fails with them, and is not counted again.
    is_run: Vec<bool>,
    max_failures: Option<usize>,
    until: Option<(Instant, Duration)>,
    steps: Option<(Trained, u64)>,
}

/// Training steps that this sweep has seen done.
struct Trained {
    /// Of every job, the step at which it was first and last seen.
    seen: Vec<Option<(u64, u64)>>,
    looked: Option<Instant>,
}

impl Trained {
    /// Time between two looks.
    const EVERY: Duration = Duration::from_secs(1);

    fn new(jobs: usize) -> Self {
        Self { seen: vec![None; jobs], looked: None }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.looked.is_none_or(|looked| now.duration_since(looked) >= Self::EVERY);
        if due {
            self.looked = Some(now);
        }
        due
    }

    fn look(&mut self, job: usize, beat: &Heartbeat) {
        if beat.phase == "training" {
            let (first, last) = self.seen[job].unwrap_or((beat.step, beat.step));
            // one that died goes on from its last checkpoint, and pays for those steps again
            let again = last.saturating_sub(beat.step);
            self.seen[job] = Some((first.saturating_sub(again), beat.step));
        }
    }

    fn steps(&self) -> u64 {
        self.seen.iter().flatten().map(|(first, last)| last.saturating_sub(*first)).sum()
    }
}

impl Limits {
    /// Why to stop now, if one is reached.
    fn reached(&self, states: &[JobState], now: Instant) -> Option<String> {
        let bad = |state: &JobState| matches!(state, JobState::Failed(_) | JobState::Diverged(_));
        let runs = states.iter().zip(&self.is_run);
        let failures = runs.filter(|(state, is_run)| **is_run && bad(state)).count();
        if let Some(most) = self.max_failures.filter(|most| failures > 0 && failures >= *most) {
            return Some(format!("{failures} failed or diverged and {most} was the limit"));
        }
        if let Some((trained, most)) = &self.steps
            && trained.steps() >= *most
        {
            return Some(format!("{} steps are trained and {most} was the limit", trained.steps()));
        }
        let (_, time) = self.until.filter(|(until, _)| now >= *until)?;
        Some(format!("{} are over", duration(time.as_secs_f64())))
    }
}

/// Workers, with everything that goes on beside them once per round.
struct Sweep {
    workers: Box<dyn Launcher>,
    indexing: Indexing,
    progress: Progress,
    signals: Signals,
    limits: Limits,
    stopped: Option<String>,
    wish: Wish,
    trouble: Option<SweepError>,
    /// Whether started jobs go on without this process.
    stays: bool,
    /// Whether to leave once they all do.
    detach: bool,
}

impl Executor for Sweep {
    fn admits(&mut self, slot: usize) -> bool {
        self.workers.admits(slot)
    }

    fn start(&mut self, job: usize, slot: usize) -> Result<(), String> {
        self.progress.started(job);
        self.workers.start(job, slot)
    }

    fn poll(&mut self, job: usize) -> Option<Outcome> {
        let outcome = self.workers.poll(job)?;
        self.progress.ended(job, &outcome);
        Some(outcome)
    }

    fn stop(&mut self, job: usize, at_once: bool) {
        self.workers.stop(job, at_once);
    }

    fn give_up(&mut self, job: usize, state: &JobState) {
        self.progress.given_up(job, state);
        self.workers.give_up(job, state);
    }

    fn holds_back(&self, job: usize) -> bool {
        self.workers.holds_back(job)
    }

    fn round(&mut self, states: &[JobState]) -> Wish {
        for line in self.workers.attend() {
            self.progress.note(&line);
        }
        self.trouble = self.workers.trouble();
        if self.trouble.is_some() {
            return Wish::Leave;
        }
        std::thread::sleep(ROUND);
        for signal in self.signals.pending() {
            self.wish = match self.wish {
                // a terminal that closes or a login node that tidies up ends nobody's jobs
                _ if self.stays && signal != SIGINT => Wish::Leave,
                Wish::Go => Wish::Stop,
                _ => Wish::Kill,
            };
            self.progress.stopping(self.wish);
        }
        let waits = states.contains(&JobState::Waiting);
        if self.wish == Wish::Go && self.detach && !waits && self.workers.is_independent() {
            self.wish = Wish::Leave;
            self.progress.stopping(self.wish);
        }
        if let Some((trained, _)) = &mut self.limits.steps
            && trained.is_due(Instant::now())
        {
            for job in (0..states.len()).filter(|job| states[*job] == JobState::Running) {
                if let Some(beat) = self.workers.heartbeat(job) {
                    trained.look(job, &beat);
                }
            }
        }
        if self.wish == Wish::Go {
            // whatever else is started would fail as well
            let full = || "the disk is full: what cannot be written is not trained".to_owned();
            self.stopped = (self.workers.found_no_room().then(full))
                .or_else(|| self.limits.reached(states, Instant::now()));
            if self.stopped.is_some() {
                self.wish = Wish::Stop;
                self.progress.stopping(self.wish);
            }
        }
        self.indexing.poll();
        if self.progress.is_due() {
            let running = (0..states.len())
                .filter(|job| states[*job] == JobState::Running && !self.workers.is_queued(*job));
            let seen: Vec<Seen> = running
                .map(|job| Seen {
                    job,
                    beat: self.workers.heartbeat(job),
                    run: self.workers.run(job).cloned(),
                })
                .collect();
            self.progress.show(states, &seen);
        }
        self.wish
    }
}

fn ends(plan: &Plan) -> Result<Vec<CellEnd>, SweepError> {
    plan.cells
        .iter()
        .map(|cell| {
            Ok(CellEnd {
                arm: cell.arm.clone(),
                seed: cell.seed,
                state: cell.run.state()?,
                reason: cell.run.end()?.and_then(|end| end.reason),
                run: cell.run.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_say_why_they_stop() {
        let (now, hour) = (Instant::now(), Duration::from_hours(1));
        let failed = || JobState::Failed("x".into());
        let limits = |max_failures, until| {
            let is_run = vec![true, true, false];
            Limits { is_run, max_failures, until, steps: None }
        };
        let none = limits(None, None);
        assert_eq!(none.reached(&[failed(), failed()], now), None);
        let two = limits(Some(2), None);
        assert_eq!(two.reached(&[failed(), JobState::Done], now), None);
        assert_eq!(two.reached(&[failed(), JobState::Done, failed()], now), None, "a teacher");
        let reason = two.reached(&[failed(), JobState::Diverged("nan".into())], now);
        assert_eq!(reason.as_deref(), Some("2 failed or diverged and 2 was the limit"));
        let timed = limits(None, Some((now + hour, hour)));
        assert_eq!(timed.reached(&[failed()], now), None);
        assert_eq!(timed.reached(&[], now + hour).as_deref(), Some("60 min are over"));

        let mut trained = Trained::new(2);
        let beat = |phase: &str, step| Heartbeat { beat: 1, phase: phase.into(), step, of: 400 };
        for (job, phase, step) in
            [(0, "teacher", 900), (0, "training", 100), (0, "training", 150), (1, "training", 0)]
        {
            trained.look(job, &beat(phase, step));
        }
        assert_eq!(trained.steps(), 50, "what was there before and a teacher's steps do not count");
        trained.look(0, &beat("training", 120));
        trained.look(0, &beat("training", 160));
        assert_eq!(trained.steps(), 90, "30 steps were trained twice");
        let steps = Limits { steps: Some((trained, 90)), ..none };
        let reason = steps.reached(&[], now);
        assert_eq!(reason.as_deref(), Some("90 steps are trained and 90 was the limit"));
    }
}
