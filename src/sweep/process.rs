//! Worker processes and the drawing of data: the executor behind the scheduler. Reads how a worker ended
//! from its exit status and its run folder; trains nothing itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::ending::{Exit, death, elsewhere, ended, last_lines, let_go};
use super::error::SweepError;
use super::hang::{self, Watch};
use super::progress::duration;
use super::scheduler::{Executor, Job, JobState, Outcome, Wish};
use super::slots::Places;
use crate::data::drawn;
use crate::spec::settings::{Device, Drawn};
use crate::store::error::no_room;
use crate::store::records::{EndState, Heartbeat};
use crate::store::run_dir::read_heartbeat;
use crate::store::{RunDir, RunLock, StageKind, Stages};

/// What a worker's libraries are told before they begin: cuBLAS repeats its bits only with a workspace of a fixed
/// size; mimalloc gives memory back to the system between steps, and a step takes it again.
pub const ENVIRONMENT: [(&str, &str); 2] =
    [("CUBLAS_WORKSPACE_CONFIG", ":4096:8"), ("MIMALLOC_PURGE_DELAY", "-1")];
/// The name of the executable that trains.
const WORKER: &str = "dgnet-worker";
/// Lines of a worker's standard error that a reason quotes.
const QUOTED_LINES: usize = 6;
/// Time between two looks at running jobs: short against a worker's start, long against a look.
pub const ROUND: Duration = Duration::from_millis(10);
/// Time between two looks at a folder that another process works in.
const LOOK_ELSEWHERE_EVERY: Duration = Duration::from_millis(250);

/// What a job works on.
#[derive(Debug, Clone)]
pub enum Work {
    /// Draws people into the stage.
    Data(Box<Drawn>),
    /// Trains the teacher that this run needs.
    Teacher(RunDir),
    /// Trains the first steps of this run, which others share.
    Prefix(RunDir, u64),
    /// Trains the generator that feeds this run offline.
    Generator(RunDir),
    /// Trains, evaluates and pictures a run.
    Run(RunDir),
}

/// Starts workers and threads for jobs and watches them.
#[derive(Debug)]
pub struct Workers {
    runs_root: PathBuf,
    executable: PathBuf,
    stages: Stages,
    jobs: Vec<(Job, Work)>,
    running: Vec<Option<Running>>,
    places: Places,
    /// The slot of every running job.
    slot_of: BTreeMap<usize, usize>,
    hang_after: Duration,
    no_room: bool,
}

#[derive(Debug)]
enum Running {
    Process(Box<Process>),
    /// Another sweep's worker is at it; wait for what becomes of it, looking now and then.
    Elsewhere(Instant),
    Thread {
        handle: Option<JoinHandle<Result<(), String>>>,
        drawn: Arc<(AtomicU64, AtomicU64)>,
    },
}

/// A worker of ours.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Length of its log when it started: what came before is of earlier attempts.
    log_from: u64,
    watch: Watch,
    hung: Option<Hung>,
}

/// A worker that was found hanging and asked to stop.
#[derive(Debug)]
struct Hung {
    reason: String,
    /// When it is ended.
    until: Instant,
}

/// The worker executable beside this one.
///
/// # Errors
/// [`SweepError::NoWorker`] when it is not there.
pub fn worker_executable() -> Result<PathBuf, SweepError> {
    let own = std::env::current_exe()
        .map_err(|source| SweepError::System { action: "find this program", source })?;
    let path = own.with_file_name(WORKER);
    if path.is_file() { Ok(path) } else { Err(SweepError::NoWorker { path }) }
}

impl Workers {
    /// An executor for these jobs, which run in these slots; a worker hangs after `hang_after` without a
    /// sign of life.
    pub fn new(
        runs_root: &Path,
        executable: PathBuf,
        jobs: Vec<(Job, Work)>,
        places: Places,
        hang_after: Duration,
    ) -> Self {
        let running = jobs.iter().map(|_| None).collect();
        Self {
            runs_root: runs_root.to_owned(),
            executable,
            stages: Stages::new(runs_root),
            jobs,
            running,
            places,
            slot_of: BTreeMap::new(),
            hang_after,
            no_room: false,
        }
    }

    /// Whether a job found the disk full.
    pub fn found_no_room(&self) -> bool {
        self.no_room
    }

    /// The last sign of life of a running job.
    pub fn heartbeat(&self, job: usize) -> Option<Heartbeat> {
        if let Some(Running::Thread { drawn, .. }) = &self.running[job] {
            let (step, of) = (drawn.0.load(Ordering::Relaxed), drawn.1.load(Ordering::Relaxed));
            return Some(Heartbeat { beat: step, phase: "drawing people".into(), step, of });
        }
        match &self.jobs[job].1 {
            Work::Run(run) => run.heartbeat(),
            Work::Teacher(_) | Work::Prefix(..) | Work::Generator(_) | Work::Data(_) => {
                let (kind, key) = self.stage(job);
                read_heartbeat(&self.stages.resume_dir(kind, key))
            }
        }
    }

    /// The folder of a job that is a run.
    pub fn run(&self, job: usize) -> Option<&RunDir> {
        match &self.jobs[job].1 {
            Work::Run(run) => Some(run),
            Work::Teacher(_) | Work::Prefix(..) | Work::Generator(_) | Work::Data(_) => None,
        }
    }

    /// The stage that a job builds; for a run, its last.
    pub(super) fn stage(&self, job: usize) -> (StageKind, &str) {
        let (job, work) = &self.jobs[job];
        let kind = match work {
            Work::Data(_) => StageKind::Data,
            Work::Teacher(_) => StageKind::Teacher,
            Work::Prefix(..) => StageKind::Prefix,
            Work::Generator(_) | Work::Run(_) => StageKind::Training,
        };
        (kind, &job.key)
    }

    /// What became of a stage that another process builds.
    fn stage_elsewhere(&self, job: usize) -> Option<Outcome> {
        let (kind, key) = self.stage(job);
        if self.stages.published(kind, key).is_some() {
            return Some(Outcome::Done);
        }
        match RunLock::is_held(&self.stages.resume_dir(kind, key)) {
            Ok(true) => None,
            // it may have published between the two looks
            Ok(false) if self.stages.published(kind, key).is_some() => Some(Outcome::Done),
            Ok(false) => Some(let_go()),
            Err(error) => Some(Outcome::Failed(error.to_string())),
        }
    }

    /// The job of an index.
    pub(super) fn job(&self, job: usize) -> &Job {
        &self.jobs[job].0
    }

    /// Whether this process itself does the job.
    pub(super) fn is_own(&self, job: usize) -> bool {
        matches!(self.jobs[job].1, Work::Data(_))
    }

    /// What a job has left for good: the terminal record of a run, or the stage.
    pub(super) fn truth(&self, job: usize) -> Option<Outcome> {
        if let Work::Run(run) = &self.jobs[job].1 {
            return ended(run);
        }
        let (kind, key) = self.stage(job);
        self.stages.published(kind, key).map(|_| Outcome::Done)
    }

    /// Arguments of the worker that does a job.
    pub(super) fn arguments(&self, job: usize) -> Result<Vec<OsString>, String> {
        let by_spec = |run: &RunDir| vec!["--job".into(), run.spec_file().into_os_string()];
        let (verb, target): (&str, Vec<OsString>) = match &self.jobs[job].1 {
            Work::Run(run) => ("run", vec![run.path().into()]),
            Work::Teacher(run) => ("teacher", by_spec(run)),
            Work::Generator(run) => ("generator", by_spec(run)),
            Work::Prefix(run, steps) => {
                let steps = ["--steps".into(), steps.to_string().into()];
                ("prefix", by_spec(run).into_iter().chain(steps).collect())
            }
            Work::Data(_) => return Err("a data set is drawn by a thread".into()),
        };
        let place = ["--runs".into(), self.runs_root.clone().into_os_string(), verb.into()];
        Ok(place.into_iter().chain(target).collect())
    }

    fn spawn(&self, job: usize, device: Option<Device>) -> Result<Running, String> {
        let arguments = self.arguments(job)?;
        let log = self.log(job);
        let refused = |error: std::io::Error| {
            format!("cannot start `{}`: {error}", self.executable.display())
        };
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder).map_err(refused)?;
        }
        let log_from = std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let stderr = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| format!("cannot write `{}`: {error}", log.display()))?;
        let device = device.map(|device| format!("--device={device}"));
        Command::new(&self.executable)
            .args(device)
            .args(arguments)
            .envs(ENVIRONMENT)
            .env("DGNET_PARENT", std::process::id().to_string())
            .env("DGNET_COMMAND", command())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .map(|child| {
                let watch = Watch::new(self.hang_after);
                Running::Process(Box::new(Process { child, log_from, watch, hung: None }))
            })
            .map_err(refused)
    }

    /// Looks whether a running worker hangs; one that does is asked to stop, and ended if it does not.
    fn watch(&mut self, job: usize) {
        let now = Instant::now();
        let beat = match &self.running[job] {
            Some(Running::Process(process)) if process.watch.is_due(now) => self.heartbeat(job),
            _ => return,
        };
        let Some(Running::Process(process)) = &mut self.running[job] else { return };
        let pid = process.child.id();
        let silent = process.watch.look(now, beat, hang::ticks(pid));
        match (&process.hung, silent) {
            (Some(hung), _) if now >= hung.until => signal(pid, Signal::KILL),
            (None, Some(silent)) => {
                let reason = format!(
                    "its worker hung {}, without a sign of life for {}",
                    process.watch.last_words(),
                    duration(silent.as_secs_f64())
                );
                tracing::warn!("{}: {reason}; it is stopped", self.jobs[job].0.label);
                signal(pid, Signal::TERM);
                process.hung = Some(Hung { reason, until: now + process.watch.grace() });
            }
            _ => {}
        }
    }

    /// Where the worker of a job complains.
    pub(super) fn log(&self, job: usize) -> PathBuf {
        match &self.jobs[job].1 {
            Work::Run(run) => run.path().join("worker.log"),
            Work::Teacher(_) | Work::Prefix(..) | Work::Generator(_) | Work::Data(_) => {
                let (kind, key) = self.stage(job);
                self.stages.dir(kind, key).with_file_name(format!("{key}.log"))
            }
        }
    }

    fn draw(&self, job: usize, settings: &Drawn) -> Running {
        let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let (stages, key) = (self.stages.clone(), self.jobs[job].0.key.clone());
        let (settings, seen) = (settings.clone(), Arc::clone(&counts));
        let handle = std::thread::spawn(move || {
            let work = stages.work(StageKind::Data, &key).map_err(|error| error.to_string())?;
            drawn::draw(&settings, work.path(), &|done, total| {
                seen.0.store(done, Ordering::Relaxed);
                seen.1.store(total, Ordering::Relaxed);
            })
            .map_err(|error| error.to_string())?;
            stages.publish(work).map(drop).map_err(|error| error.to_string())
        });
        Running::Thread { handle: Some(handle), drawn: counts }
    }

    /// How a worker that has exited ended its job; `None` where another process is at it, which is then
    /// waited for.
    pub(super) fn outcome(&mut self, job: usize, exit: Exit, log_from: u64) -> Option<Outcome> {
        let log = self.log(job);
        let quote = || last_lines(&log, log_from, QUOTED_LINES);
        match (&self.jobs[job].1, exit.code) {
            (_, Some(130)) => Some(Outcome::Interrupted),
            (_, Some(4)) => {
                self.running[job] = Some(Running::Elsewhere(Instant::now()));
                None
            }
            (work, Some(5)) => {
                // perhaps nothing could be written, not even the reason
                self.no_room = true;
                let told = match work {
                    Work::Run(run) => ended(run),
                    _ => Some(Outcome::Failed(quote())),
                };
                let silent = || Outcome::Failed(format!("the disk is full\n{}", quote()));
                Some(told.unwrap_or_else(silent))
            }
            (Work::Run(run), _) => {
                Some(ended(run).unwrap_or_else(|| Outcome::Died(death(exit, &quote()))))
            }
            (_, Some(0)) => {
                let (kind, key) = self.stage(job);
                Some(match self.stages.published(kind, key) {
                    Some(_) => Outcome::Done,
                    None => Outcome::Failed(format!(
                        "the worker left no {}\n{}",
                        kind.as_str(),
                        quote()
                    )),
                })
            }
            (_, Some(3)) => Some(Outcome::Diverged(quote())),
            (_, Some(1 | 2)) => Some(Outcome::Failed(quote())),
            _ => Some(Outcome::Died(death(exit, &quote()))),
        }
    }

    /// How a job ended, if it did.
    fn look(&mut self, job: usize) -> Option<Outcome> {
        // let go of by `stop`
        let Some(running) = self.running[job].as_mut() else { return Some(Outcome::Interrupted) };
        match running {
            Running::Process(process) => match process.child.try_wait() {
                Ok(None) => {
                    self.watch(job);
                    None
                }
                Ok(Some(status)) => {
                    let (log_from, hung) = (process.log_from, process.hung.take());
                    let outcome = self.outcome(job, status.into(), log_from);
                    match (outcome, hung) {
                        (Some(Outcome::Interrupted | Outcome::Died(_)), Some(hung)) => {
                            Some(Outcome::Died(hung.reason))
                        }
                        (outcome, _) => outcome,
                    }
                }
                Err(error) => Some(Outcome::Died(format!("its worker cannot be watched: {error}"))),
            },
            Running::Elsewhere(looked) if looked.elapsed() < LOOK_ELSEWHERE_EVERY => None,
            Running::Elsewhere(looked) => {
                *looked = Instant::now();
                match &self.jobs[job].1 {
                    Work::Run(run) => elsewhere(run),
                    _ => self.stage_elsewhere(job),
                }
            }
            Running::Thread { handle, .. } => {
                if handle.as_ref().is_some_and(|handle| !handle.is_finished()) {
                    return None;
                }
                Some(match handle.take().map(JoinHandle::join) {
                    Some(Ok(Ok(()))) | None => Outcome::Done,
                    Some(Ok(Err(reason))) => {
                        self.no_room |= no_room(&reason);
                        Outcome::Failed(reason)
                    }
                    Some(Err(_)) => Outcome::Failed("internal error: the drawing panicked".into()),
                })
            }
        }
    }
}

impl Executor for Workers {
    fn admits(&mut self, slot: usize) -> bool {
        self.places.admits(slot, Instant::now())
    }

    fn start(&mut self, job: usize, slot: usize) -> Result<(), String> {
        let started = match self.jobs[job].1.clone() {
            Work::Data(settings) => Ok(self.draw(job, &settings)),
            Work::Teacher(_) | Work::Prefix(..) | Work::Generator(_) | Work::Run(_) => {
                self.spawn(job, self.places.device(slot))
            }
        };
        self.no_room |= started.as_ref().is_err_and(|reason| no_room(reason));
        self.running[job] = Some(started?);
        self.slot_of.insert(job, slot);
        self.places.started(slot, Instant::now());
        Ok(())
    }

    fn poll(&mut self, job: usize) -> Option<Outcome> {
        let outcome = self.look(job);
        if outcome.is_some() {
            self.running[job] = None;
            if let Some(slot) = self.slot_of.remove(&job) {
                self.places.ended(slot);
            }
        }
        outcome
    }

    fn stop(&mut self, job: usize, at_once: bool) {
        if let Some(Running::Process(process)) = &self.running[job] {
            signal(process.child.id(), if at_once { Signal::KILL } else { Signal::TERM });
        } else if at_once || matches!(self.running[job], Some(Running::Elsewhere(_))) {
            // a thread ends with this process, and leaves nothing that counts as a stage
            self.running[job] = None;
        }
    }

    fn round(&mut self, _states: &[JobState]) -> Wish {
        std::thread::sleep(ROUND);
        Wish::Go
    }

    fn give_up(&mut self, job: usize, state: &JobState) {
        let (end, reason) = match state {
            JobState::Failed(reason) => (EndState::Failed, reason),
            JobState::Diverged(reason) => (EndState::Diverged, reason),
            _ => return,
        };
        if let Work::Run(run) = &self.jobs[job].1
            && let Err(error) = run.give_up(end, reason)
        {
            tracing::warn!("{}: {error}", self.jobs[job].0.label);
        }
    }
}

/// The command line of this process, as JSON.
fn command() -> String {
    let arguments: Vec<_> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    serde_json::to_string(&arguments).unwrap_or_default()
}

/// Signals a worker and whatever it started; one that is gone already needs none.
fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process_group(pid, signal));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "process_tests.rs"]
mod tests;
