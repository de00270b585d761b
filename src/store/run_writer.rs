//! The worker's side of a run folder: begins an attempt, appends lines, keeps the heartbeat, ends it.
//! Knows the formats of `records` and nothing of training.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::StoreError;
use super::files::{check_name, create_folder, open_lines, write_atomic, write_json};
use super::records::{
    ArtifactLine, Begin, End, EventLine, Heartbeat, MetricHeader, MetricLine, Number, Pause,
    QueryLine,
};
use super::run_dir::{RunDir, now};

/// Buffered lines go to disk when they are this old or this many bytes.
const FLUSH_AFTER: Duration = Duration::from_millis(500);
const FLUSH_BYTES: usize = 64 << 10;
/// Two beats of one phase are at least this far apart.
const BEAT_EVERY: Duration = Duration::from_millis(250);
/// The heartbeat is rewritten in place with one write of this many bytes, so that readers never see half.
const BEAT_BYTES: usize = 160;

/// Writes one attempt of a run. Its owner must hold the [`super::RunLock`] of the folder.
#[derive(Debug)]
pub struct RunWriter {
    run: RunDir,
    attempt: u32,
    metrics: Lines,
    queries: Lines,
    artifacts: Lines,
    log: Lines,
    pulse: Pulse,
}

impl RunWriter {
    /// Begins the attempt `begin.attempt` (see [`RunDir::next_attempt`]): writes `begin.json`, opens its
    /// metrics file with the header line, and cuts unfinished lines that a killed attempt left behind.
    ///
    /// # Errors
    /// When the folder cannot be written, or the attempt has a metrics file already.
    pub fn begin(dir: &Path, begin: &Begin) -> Result<Self, StoreError> {
        let run = RunDir::new(dir);
        create_folder(&run.images())?;
        let path = run.metrics_file(begin.attempt);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        let mut metrics = Lines::new(path, file)?;
        let header = MetricHeader { attempt: begin.attempt, from_step: begin.from_step };
        metrics.push(&header)?;
        metrics.flush()?;
        write_json(&dir.join("begin.json"), begin)?;
        Ok(Self {
            attempt: begin.attempt,
            metrics,
            queries: Lines::open(dir.join("queries.jsonl"))?,
            artifacts: Lines::open(dir.join("artifacts.jsonl"))?,
            log: Lines::open(dir.join("log.jsonl"))?,
            pulse: Pulse::new(dir)?,
            run,
        })
    }

    /// The folder.
    #[must_use]
    pub fn run(&self) -> &RunDir {
        &self.run
    }

    /// Number of this attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Values taken when `step` steps are finished; any float, non-finite ones included.
    pub fn metrics(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), StoreError> {
        let values =
            values.iter().map(|(name, value)| ((*name).to_owned(), Number(*value))).collect();
        self.metrics.push(&MetricLine { step, values })
    }

    /// Tells that the worker lives and where it is.
    pub fn heartbeat(&mut self, phase: &str, step: u64, of: u64) -> Result<(), StoreError> {
        self.pulse.beat(phase, step, of)
    }

    /// Something worth knowing later; `level` is info, warn or error.
    pub fn event(&mut self, level: &str, message: &str) -> Result<(), StoreError> {
        let line = EventLine {
            attempt: self.attempt,
            at: now(),
            level: level.to_owned(),
            message: message.to_owned(),
        };
        self.log.push(&line)?;
        self.log.flush()
    }

    /// How an evaluation ranked its queries.
    pub fn queries(&mut self, lines: &[QueryLine]) -> Result<(), StoreError> {
        lines.iter().try_for_each(|line| self.queries.push(line))
    }

    /// A picture: its file in `images/` first, then its line.
    pub fn artifact(&mut self, line: &ArtifactLine, bytes: &[u8]) -> Result<(), StoreError> {
        check_name("picture", &line.name)?;
        write_atomic(&self.run.images().join(&line.name), bytes)?;
        self.artifacts.push(line)?;
        self.artifacts.flush()
    }

    /// Hands buffered lines to the system, where readers see them and a killed process leaves them.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        for lines in [&mut self.metrics, &mut self.queries, &mut self.artifacts, &mut self.log] {
            lines.flush()?;
        }
        Ok(())
    }

    /// [`Self::flush`], and down to the disk. Call it *before* a checkpoint is written: a run that
    /// resumes from there takes the earlier lines from these files.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        for lines in [&self.metrics, &self.queries, &self.artifacts, &self.log] {
            lines.file.sync_data().map_err(StoreError::io("write", &lines.path))?;
        }
        Ok(())
    }

    /// The terminal record: after it the run is over.
    pub fn end(mut self, end: &End) -> Result<(), StoreError> {
        self.sync()?;
        write_json(&self.run.path().join("end.json"), end)
    }

    /// Stops on request; the next attempt goes on from the last checkpoint.
    pub fn pause(mut self, pause: &Pause) -> Result<(), StoreError> {
        self.sync()?;
        write_json(&self.run.path().join("pause.json"), pause)
    }
}

/// The `heartbeat` file of a folder: for a run, and for a stage while it is being built.
#[derive(Debug)]
pub struct Pulse {
    path: PathBuf,
    file: File,
    beat: u64,
    phase: String,
    last: Option<Instant>,
}

impl Pulse {
    /// Opens `dir/heartbeat`.
    pub fn new(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("heartbeat");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        Ok(Self { path, file, beat: 0, phase: String::new(), last: None })
    }

    /// Rewrites the file, unless it was rewritten a moment ago for the same phase.
    pub fn beat(&mut self, phase: &str, step: u64, of: u64) -> Result<(), StoreError> {
        let fresh = self.last.is_some_and(|last| last.elapsed() < BEAT_EVERY);
        if fresh && phase == self.phase && step < of {
            return Ok(());
        }
        self.beat += 1;
        phase.clone_into(&mut self.phase);
        self.last = Some(Instant::now());
        let record = Heartbeat { beat: self.beat, phase: self.phase.clone(), step, of };
        let text = json(&record, &self.path)?;
        let padded = format!("{text:<width$}\n", width = BEAT_BYTES - 1);
        self.file.write_all_at(padded.as_bytes(), 0).map_err(StoreError::io("write", &self.path))
    }
}

/// A JSONL file that grows by whole lines.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    buffer: Vec<u8>,
    since: Instant,
}

impl Lines {
    fn new(path: PathBuf, file: File) -> Result<Self, StoreError> {
        let length = file.metadata().map_err(StoreError::io("read", &path))?.len();
        Ok(Self { path, file, length, buffer: Vec::new(), since: Instant::now() })
    }

    fn open(path: PathBuf) -> Result<Self, StoreError> {
        let file = open_lines(&path)?;
        Self::new(path, file)
    }

    fn push<T: Serialize>(&mut self, line: &T) -> Result<(), StoreError> {
        self.buffer.extend_from_slice(json(line, &self.path)?.as_bytes());
        self.buffer.push(b'\n');
        if self.buffer.len() >= FLUSH_BYTES || self.since.elapsed() >= FLUSH_AFTER {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.since = Instant::now();
        if !self.buffer.is_empty() {
            if let Err(source) = self.file.write_all(&self.buffer) {
                // what a full disk still took of a line would spoil the next one
                let _ = self.file.set_len(self.length);
                return Err(StoreError::io("write", &self.path)(source));
            }
            self.length += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // an unwinding worker has an error to report already; what can be saved is saved
        let _ = self.flush();
    }
}

fn json<T: Serialize>(record: &T, path: &Path) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::io("write", path)(error.into()))
}
