//! A run folder as others see it: where it lies, what its records say, which state follows from them.
//! Writing during a run is `run_writer`'s; nothing here trains or touches the database.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::StoreError;
use super::files::{check_name, create_folder, read_json, read_optional, write_atomic, write_json};
use super::records::{Begin, End, EndState, Fork, Heartbeat, Pause, RunSpec, Usage};
pub use super::run_lock::RunLock;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunState {
    /// The folder is there; no attempt has begun.
    Planned,
    /// A worker holds the lock.
    Running,
    /// `end.json` says done.
    Done,
    /// `end.json` says failed.
    Failed,
    /// `end.json` says diverged.
    Diverged,
    /// It began, nobody holds the lock, and there is no terminal record: killed, or the machine went down.
    Stale,
    /// It stopped on request and can go on.
    Interrupted,
}

impl RunState {
    /// The word used in the database and on the terminal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Diverged => "diverged",
            Self::Stale => "stale",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether nothing goes on in a run, nor will before somebody makes a file in its folder: nobody began it, or it is over.
    #[must_use]
    pub(crate) fn rests(self) -> bool {
        matches!(self, Self::Planned | Self::Done | Self::Failed | Self::Diverged)
    }
}

impl From<EndState> for RunState {
    fn from(end: EndState) -> Self {
        match end {
            EndState::Done => Self::Done,
            EndState::Failed => Self::Failed,
            EndState::Diverged => Self::Diverged,
        }
    }
}

/// A folder `runs/<study>/<arm>/seed-<n>-<uid8>/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// The folder at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the run of a spec lies below the runs folder.
    ///
    /// # Errors
    /// [`StoreError::Name`] when study, arm or uid could lead out of it.
    pub fn of(runs_root: &Path, spec: &RunSpec) -> Result<Self, StoreError> {
        check_name("study", &spec.study)?;
        check_name("arm", &spec.arm)?;
        let short = spec
            .uid
            .get(..8)
            .filter(|_| spec.uid.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or_else(|| StoreError::Name { what: "run", name: spec.uid.clone() })?;
        let name = format!("seed-{}-{short}", spec.seed);
        Ok(Self::new(runs_root.join(&spec.study).join(&spec.arm).join(name)))
    }

    /// Creates the folder and its `spec.yaml`; a folder that is there already keeps its own.
    pub fn create(runs_root: &Path, spec: &RunSpec) -> Result<Self, StoreError> {
        let run = Self::of(runs_root, spec)?;
        create_folder(&run.path)?;
        let file = run.spec_file();
        if !file.exists() {
            let text = serde_yaml::to_string(spec).map_err(|error| StoreError::Damaged {
                path: file.clone(),
                reason: format!("the resolved settings cannot be written as YAML: {error}"),
                hint: "report this together with the study file".into(),
            })?;
            write_atomic(&file, text.as_bytes())?;
        }
        Ok(run)
    }

    /// Every run folder below the runs folder, sorted by path.
    pub fn list(runs_root: &Path) -> Result<Vec<Self>, StoreError> {
        let mut found = Vec::new();
        for study in folders(runs_root)? {
            for arm in folders(&study)? {
                let seeds =
                    folders(&arm)?.into_iter().filter(|path| file_name(path).starts_with("seed-"));
                found.extend(seeds.filter(|path| path.join("spec.yaml").is_file()).map(Self::new));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The run of a uid, whichever study created it.
    pub fn find(runs_root: &Path, uid: &str) -> Result<Option<Self>, StoreError> {
        RunIndex::scan(runs_root)?.find(uid)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder is here: a database may have come without it. One that cannot be looked at is.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.path.try_exists().unwrap_or(true)
    }

    /// The folder relative to the runs folder, with `/` between its parts.
    #[must_use]
    pub fn relative(&self, runs_root: &Path) -> String {
        let path = self.path.strip_prefix(runs_root).unwrap_or(&self.path);
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    }

    /// `spec.yaml`.
    #[must_use]
    pub fn spec_file(&self) -> PathBuf {
        self.path.join("spec.yaml")
    }

    /// `images/`, where artifacts lie.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    /// `checkpoints/`, whose content belongs to training.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `metrics-<attempt>.jsonl`.
    #[must_use]
    pub fn metrics_file(&self, attempt: u32) -> PathBuf {
        self.path.join(format!("metrics-{attempt}.jsonl"))
    }

    /// Attempts that have a metrics file, ascending.
    pub fn attempts(&self) -> Result<Vec<u32>, StoreError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("list", &self.path)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io("list", &self.path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix("metrics-").and_then(|rest| rest.strip_suffix(".jsonl"));
            found.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The number of the attempt to start now, from 1.
    pub fn next_attempt(&self) -> Result<u32, StoreError> {
        let begun = self.begin()?.map_or(0, |begin| begin.attempt);
        let written = self.attempts()?.last().copied().unwrap_or(0);
        Ok(begun.max(written) + 1)
    }

    /// `spec.yaml`.
    pub fn spec(&self) -> Result<RunSpec, StoreError> {
        let path = self.spec_file();
        let damaged = |reason: String| StoreError::Damaged {
            path: path.clone(),
            reason,
            hint:
                "the folder was changed by hand or by another version; move it away and plan again"
                    .into(),
        };
        let bytes = read_optional(&path)?.ok_or_else(|| damaged("the file is missing".into()))?;
        serde_yaml::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
    }

    /// `forks.json`: beginnings of the training that may be taken over, shortest first.
    pub fn forks(&self) -> Result<Vec<Fork>, StoreError> {
        Ok(read_json(&self.path.join("forks.json"))?.unwrap_or_default())
    }

    /// Says which beginnings of the training may be taken over.
    pub fn set_forks(&self, forks: &[Fork]) -> Result<(), StoreError> {
        write_json(&self.path.join("forks.json"), &forks)
    }

    /// `begin.json` of the last attempt.
    pub fn begin(&self) -> Result<Option<Begin>, StoreError> {
        read_json(&self.path.join("begin.json"))
    }

    /// `end.json`.
    pub fn end(&self) -> Result<Option<End>, StoreError> {
        read_json(&self.path.join("end.json"))
    }

    /// `pause.json`.
    pub fn pause(&self) -> Result<Option<Pause>, StoreError> {
        read_json(&self.path.join("pause.json"))
    }

    /// The last heartbeat; `None` before the first.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        read_heartbeat(&self.path)
    }

    /// Where the run stands, from its records and its lock.
    pub fn state(&self) -> Result<RunState, StoreError> {
        if let Some(end) = self.end()? {
            return Ok(end.state.into());
        }
        if RunLock::is_held(&self.path)? {
            return Ok(RunState::Running);
        }
        // it may have ended between the two looks
        if let Some(end) = self.end()? {
            return Ok(end.state.into());
        }
        let last = self.begin()?.map(|begin| begin.attempt);
        let paused = self.pause()?.map(|pause| pause.attempt);
        Ok(match last {
            None => RunState::Planned,
            Some(_) if paused == last => RunState::Interrupted,
            Some(_) => RunState::Stale,
        })
    }

    /// Declares a run failed or diverged from outside, because it has no worker that could: nobody may
    /// hold its lock.
    pub fn give_up(&self, state: EndState, reason: &str) -> Result<(), StoreError> {
        create_folder(&self.path)?;
        let _lock = self.exclusive()?;
        if self.end()?.is_some() {
            return Ok(());
        }
        let usage = self.usage()?;
        write_json(
            &self.path.join("end.json"),
            &End {
                state,
                reason: Some(reason.to_owned()),
                attempt: self.begin()?.map_or(0, |begin| begin.attempt),
                step: self.heartbeat().map_or(0, |beat| beat.step),
                ended_at: now(),
                wall_s: usage.wall_s,
                cpu_s: usage.cpu_s,
                energy_j: usage.energy_j,
                peak_bytes: 0,
            },
        )
    }

    /// Where an attempt notes what it has taken so far; a file of its own, so that a crash loses only its own.
    #[must_use]
    pub fn usage_file(&self, attempt: u32) -> PathBuf {
        self.path.join(format!("usage-{attempt}.json"))
    }

    /// What all attempts have taken, as far as they noted it. No clock is asked: it may have been set
    /// since.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let mut total = Usage::default();
        for attempt in self.attempts()? {
            let usage: Usage = read_json(&self.usage_file(attempt))?.unwrap_or_default();
            total.wall_s += usage.wall_s;
            total.cpu_s += usage.cpu_s;
            if let Some(energy) = usage.energy_j {
                *total.energy_j.get_or_insert(0.0) += energy;
            }
        }
        Ok(total)
    }

    /// Lets a failed or diverged run go on: its terminal record is kept as `end-<attempt>.json`. A run that is done stays so:
    /// whoever saw it failed saw it before another sweep tried again.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let _lock = self.exclusive()?;
        let end = self.end()?.filter(|end| end.state != EndState::Done);
        let Some(end) = end else { return Ok(()) };
        let from = self.path.join("end.json");
        fs::rename(&from, self.path.join(format!("end-{}.json", end.attempt)))
            .map_err(StoreError::io("rename", from))
    }

    pub(super) fn exclusive(&self) -> Result<RunLock, StoreError> {
        RunLock::acquire(&self.path)?.ok_or_else(|| StoreError::Locked {
            what: format!("the run `{}`", self.path.display()),
            path: self.path.join("lock"),
            hint: "a worker is at it; wait for it or stop it".into(),
        })
    }
}

/// All run folders by the short uid in their names, for many look-ups in one scan.
#[derive(Debug, Default)]
pub struct RunIndex {
    by_short: BTreeMap<String, Vec<RunDir>>,
}

impl RunIndex {
    /// Lists the runs folder once.
    pub fn scan(runs_root: &Path) -> Result<Self, StoreError> {
        let mut by_short: BTreeMap<String, Vec<RunDir>> = BTreeMap::new();
        for run in RunDir::list(runs_root)? {
            let name = file_name(run.path());
            if let Some((_, short)) = name.rsplit_once('-') {
                by_short.entry(short.to_owned()).or_default().push(run);
            }
        }
        Ok(Self { by_short })
    }

    /// The run whose spec carries the whole uid.
    pub fn find(&self, uid: &str) -> Result<Option<RunDir>, StoreError> {
        for run in uid.get(..8).and_then(|short| self.by_short.get(short)).into_iter().flatten() {
            if run.spec()?.uid == uid {
                return Ok(Some(run.clone()));
            }
        }
        Ok(None)
    }
}

/// The heartbeat in a folder; `None` when there is none or it is being written right now.
#[must_use]
pub fn read_heartbeat(dir: &Path) -> Option<Heartbeat> {
    // whatever lies there, a heartbeat is short
    let mut text = String::new();
    File::open(dir.join("heartbeat")).ok()?.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", path)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(StoreError::io("list", path))?.path();
        if !file_name(&path).starts_with('.') && path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "run_dir_tests.rs"]
pub(crate) mod tests;
