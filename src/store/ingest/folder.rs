//! A run folder at one moment, what the database knows of it, and which lines are new. No SQL.

use std::collections::BTreeMap;
use std::path::Path;

use super::lines::{Batch, Kind};
use crate::stats::ranking::CameraPair;
use crate::store::error::StoreError;
use crate::store::files::{check_name, read_optional, tail};
use crate::store::records::{Begin, CAMERAS, End, Pause, RunSpec};
use crate::store::run_dir::{RunDir, RunState};
use crate::store::stages::StageKind;

/// Bytes read of one file per transaction.
const CHUNK: usize = 4 << 20;

/// The records of a run folder at one moment.
pub struct Seen {
    pub spec: RunSpec,
    pub folder: String,
    pub state: RunState,
    pub begin: Option<Begin>,
    pub end: Option<End>,
    pub pause: Option<Pause>,
    /// Key of the shared beginning that its training was taken over from.
    pub prefix: Option<String>,
}

impl Seen {
    pub fn look(run: &RunDir, runs_root: &Path) -> Result<Self, StoreError> {
        // the state first: once it is terminal, every line is on disk
        let state = run.state()?;
        let begin = run.begin()?;
        let attempt = begin.as_ref().map(|begin| begin.attempt);
        let taken = begin.as_ref().map_or(0, |begin| begin.shared_steps);
        let prefix = run.forks()?.into_iter().find(|fork| taken > 0 && fork.steps == taken);
        Ok(Self {
            prefix: prefix.map(|fork| fork.key),
            spec: run.spec()?,
            folder: run.relative(runs_root),
            state,
            begin,
            end: run.end()?,
            pause: run.pause()?.filter(|pause| Some(pause.attempt) == attempt),
        })
    }

    /// The stages that the run consists of.
    pub fn stage_keys(&self) -> impl Iterator<Item = (StageKind, &str)> {
        let keys = &self.spec.stages;
        let pairs = [
            (StageKind::Data, keys.data.as_str()),
            (StageKind::Teacher, keys.teacher.as_str()),
            (StageKind::Prefix, self.prefix.as_deref().unwrap_or_default()),
            (StageKind::Training, keys.training.as_str()),
            (StageKind::Evaluation, keys.evaluation.as_str()),
            (StageKind::Pictures, keys.pictures.as_str()),
        ];
        pairs.into_iter().filter(|(_, key)| !key.is_empty())
    }

    pub fn attempt(&self) -> u32 {
        let begun = self.begin.as_ref().map_or(0, |begin| begin.attempt);
        self.end.as_ref().map_or(begun, |end| end.attempt.max(begun))
    }

    pub fn started_at(&self) -> Option<f64> {
        self.begin.as_ref().map(|begin| begin.started_at)
    }
}

pub type KnownTuple = (String, i64, Option<f64>, Option<f64>, String);

/// What the database knows of a run.
pub struct Known {
    pub state: String,
    pub attempt: u32,
    pub started_at: Option<f64>,
    pub ended_at: Option<f64>,
    pub folder: String,
    /// Offset and lines by file.
    pub read: BTreeMap<String, (u64, u64)>,
}

impl Known {
    pub fn is_current(&self, seen: &Seen, run: &RunDir) -> bool {
        self.state == seen.state.as_str()
            && self.attempt == seen.attempt()
            && self.started_at == seen.started_at()
            && self.ended_at == seen.end.as_ref().map(|end| end.ended_at)
            && self.folder == seen.folder
            && files_of(run).is_ok_and(|files| {
                let mut files = files.iter().map(|(file, _)| file.as_str()).chain([CAMERAS]);
                files.all(|file| {
                    let offset = self.read.get(file).map_or(0, |read| read.0);
                    length(&run.path().join(file)) == offset
                })
            })
    }

    /// Somebody removed the folder and trained again: what was read is of another training.
    pub fn is_of_another_life(&self, seen: &Seen, run: &RunDir) -> bool {
        let attempt = seen.begin.as_ref().map_or(0, |begin| begin.attempt);
        // the pairs of cameras are written anew as a whole, and may get shorter
        let mut lines = self.read.iter().filter(|(file, _)| *file != CAMERAS);
        let shorter = lines.any(|(file, (offset, _))| length(&run.path().join(file)) < *offset);
        let other = self.attempt == attempt && self.started_at != seen.started_at();
        attempt < self.attempt || other || shorter
    }
}

/// New lines of one file.
pub struct Part {
    pub file: String,
    pub batch: Batch,
    pub next: u64,
    pub lines: u64,
    /// Artifacts with their bytes.
    pub pictures: Vec<Vec<u8>>,
}

/// The growing files of a run in the order in which they must be read: attempts ascending.
fn files_of(run: &RunDir) -> Result<Vec<(String, Kind)>, StoreError> {
    let metrics = run.attempts()?.into_iter();
    let mut files: Vec<_> =
        metrics.map(|attempt| (format!("metrics-{attempt}.jsonl"), Kind::Metrics)).collect();
    for (name, kind) in
        [("queries", Kind::Queries), ("artifacts", Kind::Artifacts), ("log", Kind::Log)]
    {
        files.push((format!("{name}.jsonl"), kind));
    }
    Ok(files)
}

pub fn new_parts(
    run: &RunDir,
    read: &mut BTreeMap<String, (u64, u64)>,
) -> Result<Vec<Part>, StoreError> {
    let mut parts = Vec::new();
    for (file, kind) in files_of(run)? {
        let (offset, before) = read.get(&file).copied().unwrap_or_default();
        let chunk = tail(&run.path().join(&file), offset, CHUNK)?;
        if chunk.bytes.is_empty() {
            continue;
        }
        let mut batch = Batch::read(kind, &chunk.bytes, before);
        let pictures = pictures(run, &mut batch)?;
        let lines = before + batch.lines;
        read.insert(file.clone(), (chunk.next, lines));
        // more of this file first: the next attempt's header must find all of it
        let path = run.path().join(&file);
        if chunk.bytes.len() > CHUNK / 2 && !tail(&path, chunk.next, CHUNK)?.bytes.is_empty() {
            parts.push(Part { file, batch, next: chunk.next, lines, pictures });
            break;
        }
        parts.push(Part { file, batch, next: chunk.next, lines, pictures });
    }
    Ok(parts)
}

/// How a run fares between its cameras, read whole.
#[derive(Debug, Default)]
pub struct Cameras {
    pub pairs: Vec<CameraPair>,
    /// Length of the file.
    pub bytes: u64,
    /// Whether it says nothing this program understands.
    pub damaged: bool,
}

/// `None` before the run is evaluated, and where an earlier version evaluated it.
pub fn cameras(run: &RunDir) -> Result<Option<Cameras>, StoreError> {
    let path = run.path().join(CAMERAS);
    let Some(text) = read_optional(&path)? else { return Ok(None) };
    let pairs: Option<Vec<CameraPair>> = serde_json::from_slice(&text).ok();
    if pairs.is_none() {
        tracing::warn!("`{}` is damaged and was left out", path.display());
    }
    let (bytes, damaged) = (text.len() as u64, pairs.is_none());
    Ok(Some(Cameras { pairs: pairs.unwrap_or_default(), bytes, damaged }))
}

fn pictures(run: &RunDir, batch: &mut Batch) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut found = Vec::new();
    let mut kept = Vec::new();
    for line in std::mem::take(&mut batch.artifacts) {
        let path = run.images().join(&line.name);
        let bytes = match check_name("picture", &line.name) {
            Ok(()) => read_optional(&path)?,
            Err(_) => None,
        };
        if let Some(bytes) = bytes {
            found.push(bytes);
            kept.push(line);
        } else {
            tracing::warn!("`{}` is listed as a picture but is none", path.display());
        }
    }
    batch.artifacts = kept;
    Ok(found)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
