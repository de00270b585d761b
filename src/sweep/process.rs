//! Worker processes and the drawing of data: the executor behind the scheduler. Reads how a worker ended
//! from its exit status and its run folder; trains nothing itself.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::error::SweepError;
use super::scheduler::{Executor, Job, JobState, Outcome, Wish};
use crate::data::drawn;
use crate::spec::settings::Drawn;
use crate::store::records::{EndState, Heartbeat};
use crate::store::run_dir::read_heartbeat;
use crate::store::{RunDir, RunLock, RunState, StageKind, Stages};

/// The name of the executable that trains.
const WORKER: &str = "dgnet-worker";
/// Lines of a worker's standard error that a reason quotes.
const QUOTED_LINES: usize = 6;
/// Time between two looks at running jobs.
pub const ROUND: Duration = Duration::from_millis(100);

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
}

#[derive(Debug)]
enum Running {
    Process {
        child: Child,
        /// Length of its log when it started: what came before is of earlier attempts.
        log_from: u64,
    },
    /// Another sweep's worker is at it; wait for what becomes of it.
    Elsewhere,
    Thread {
        handle: Option<JoinHandle<Result<(), String>>>,
        drawn: Arc<(AtomicU64, AtomicU64)>,
    },
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
    /// An executor for these jobs.
    pub fn new(runs_root: &Path, executable: PathBuf, jobs: Vec<(Job, Work)>) -> Self {
        let running = jobs.iter().map(|_| None).collect();
        Self {
            runs_root: runs_root.to_owned(),
            executable,
            stages: Stages::new(runs_root),
            jobs,
            running,
        }
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
            Ok(false) => Some(Outcome::Died("another process was at it and went away".to_owned())),
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

    fn spawn(&self, job: usize) -> Result<Running, String> {
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
        Command::new(&self.executable)
            .args(arguments)
            // cuBLAS repeats its bits only with a workspace of a fixed size
            .env("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            .env("DGNET_PARENT", std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .map(|child| Running::Process { child, log_from })
            .map_err(refused)
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
                self.running[job] = Some(Running::Elsewhere);
                None
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
}

impl Executor for Workers {
    fn start(&mut self, job: usize) -> Result<(), String> {
        let started = match self.jobs[job].1.clone() {
            Work::Data(settings) => self.draw(job, &settings),
            Work::Teacher(_) | Work::Prefix(..) | Work::Generator(_) | Work::Run(_) => {
                self.spawn(job)?
            }
        };
        self.running[job] = Some(started);
        Ok(())
    }

    fn poll(&mut self, job: usize) -> Option<Outcome> {
        // let go of by `stop`
        let Some(running) = self.running[job].as_mut() else { return Some(Outcome::Interrupted) };
        let outcome = match running {
            Running::Process { child, log_from } => match (child.try_wait(), *log_from) {
                (Ok(None), _) => None,
                (Ok(Some(status)), log_from) => self.outcome(job, status.into(), log_from),
                (Err(error), _) => {
                    Some(Outcome::Died(format!("its worker cannot be watched: {error}")))
                }
            },
            Running::Elsewhere => match &self.jobs[job].1 {
                Work::Run(run) => elsewhere(run),
                _ => self.stage_elsewhere(job),
            },
            Running::Thread { handle, .. } => {
                if handle.as_ref().is_some_and(|handle| !handle.is_finished()) {
                    return None;
                }
                Some(match handle.take().map(JoinHandle::join) {
                    Some(Ok(Ok(()))) | None => Outcome::Done,
                    Some(Ok(Err(reason))) => Outcome::Failed(reason),
                    Some(Err(_)) => Outcome::Failed("internal error: the drawing panicked".into()),
                })
            }
        };
        if outcome.is_some() {
            self.running[job] = None;
        }
        outcome
    }

    fn stop(&mut self, job: usize, at_once: bool) {
        let signal = if at_once { Signal::KILL } else { Signal::TERM };
        if let Some(Running::Process { child, .. }) = &self.running[job] {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // a worker that is gone already needs no signal
            let _ = pid.map(|pid| kill_process_group(pid, signal));
        } else if at_once || matches!(self.running[job], Some(Running::Elsewhere)) {
            // a thread ends with this process, and leaves nothing that counts as a stage
            self.running[job] = None;
        }
    }

    fn round(&mut self, _states: &[JobState]) -> Wish {
        std::thread::sleep(ROUND);
        Wish::Go
    }

    fn give_up(&mut self, job: usize, reason: &str) {
        if let Work::Run(run) = &self.jobs[job].1
            && let Err(error) = run.give_up(reason)
        {
            tracing::warn!("{}: {error}", self.jobs[job].0.label);
        }
    }
}

/// What the terminal record says; `None` without one.
fn ended(run: &RunDir) -> Option<Outcome> {
    let end = match run.end() {
        Ok(end) => end?,
        Err(error) => return Some(Outcome::Failed(error.to_string())),
    };
    let reason = end.reason.unwrap_or_else(|| "no reason given".into());
    Some(match end.state {
        EndState::Done => Outcome::Done,
        EndState::Failed => Outcome::Failed(reason),
        EndState::Diverged => Outcome::Diverged(reason),
    })
}

fn elsewhere(run: &RunDir) -> Option<Outcome> {
    match run.state() {
        Ok(RunState::Running) => None,
        Ok(RunState::Interrupted) => Some(Outcome::Interrupted),
        Ok(_) => Some(ended(run).unwrap_or_else(|| {
            Outcome::Died("another process was at the run and went away".into())
        })),
        Err(error) => Some(Outcome::Failed(error.to_string())),
    }
}

/// How a process ended: by itself or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}

fn death(exit: Exit, quote: &str) -> String {
    let how = match (exit.signal, exit.code) {
        (Some(9), _) => {
            "its worker was killed by signal 9 (SIGKILL; often the system ran out of memory)".into()
        }
        (Some(signal), _) => format!("its worker was killed by signal {signal}"),
        (None, Some(code)) => {
            format!("its worker exited with code {code} without a terminal record")
        }
        (None, None) => "its worker went away".into(),
    };
    if quote.is_empty() { how } else { format!("{how}\n{quote}") }
}

/// The last lines of a file after an offset, as much of them as a reason needs.
fn last_lines(path: &Path, from: u64, lines: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096).max(from)))?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "process_tests.rs"]
mod tests;
