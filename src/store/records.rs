//! The records of a run folder: what a worker writes and everybody else reads. Plain serde types and
//! the spelling of non-finite numbers; opening, locking and tailing files live in `run_dir`, SQL never.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stages::StageKind;
use crate::spec::settings::Settings;
use crate::spec::{Adaptive, Prune};

/// In a run folder: how queries of each camera fared among the photos of each other one, a JSON list of
/// [`crate::stats::ranking::CameraPair`], written whole.
pub const CAMERAS: &str = "cameras.json";

/// What many records hold in memory once, and each writes out.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(to)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

/// `spec.yaml`: the whole resolved configuration of a run. A folder is complete by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Study that created the folder; other studies may point to the same run.
    pub study: String,
    /// Arm that created the folder.
    pub arm: String,
    /// Seed of everything random but the data.
    pub seed: u64,
    /// Identity: hash of active settings, seed, data fingerprint and recipe version (64 hex digits).
    pub uid: String,
    /// [`crate::spec::identity::RECIPE_VERSION`] at the time of planning.
    pub recipe: u32,
    /// Keys of the stages this run consists of.
    pub stages: StageKeys,
    /// Dotted overrides of the arm, for people; `settings` already holds them.
    #[serde(with = "shared")]
    pub overrides: Arc<BTreeMap<String, serde_json::Value>>,
    /// The resolved settings.
    #[serde(with = "shared")]
    pub settings: Arc<Settings>,
}

/// `study.json` in `runs/<study>/`: a study as it was planned last, so that the folders alone can
/// rebuild the database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Name.
    pub name: String,
    /// The question, free text.
    pub question: String,
    /// Name of the deciding metric.
    pub primary: String,
    /// Differences below this do not matter.
    pub equal_within: f64,
    /// Arm that the others are compared to.
    pub baseline: String,
    /// Arms of the corrected family.
    pub confirm: Vec<String>,
    /// Bounds of seeds that are added while a verdict is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// When exploratory arms are given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// Path of the study file as given.
    pub file: String,
    /// The study file, whole.
    pub source: String,
    /// Arms in the order of the study file.
    pub arms: Vec<ArmRecord>,
    /// Every cell of the study.
    pub cells: Vec<CellRecord>,
}

/// An arm of a [`StudyRecord`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmRecord {
    /// Name.
    pub name: String,
    /// Free text for people.
    pub label: String,
    /// Dotted overrides.
    #[serde(with = "shared")]
    pub overrides: Arc<BTreeMap<String, serde_json::Value>>,
}

/// A cell of a [`StudyRecord`]: which run answers an arm with a seed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellRecord {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// Identity of the run.
    pub uid: String,
}

/// `stage.json` inside a published stage: what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// data | teacher | prefix | training | evaluation | pictures.
    pub kind: String,
    /// Input-addressed key.
    pub key: String,
    /// Wall seconds from its beginning to its publication.
    pub wall_s: f64,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Stages that it was made from, `<kind>/<key>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// Checksum of its files, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// Input-addressed keys of a run's stages, each a hash of what goes in (32 hex digits).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageKeys {
    /// The data set; for a folder on disk, its fingerprint.
    pub data: String,
    /// The trained teacher; empty where none is needed.
    pub teacher: String,
    /// With offline feeding, the training of the generator that feeds; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generator: String,
    /// The trained weights; equal to the teacher's for `teacher_only`.
    pub training: String,
    /// Ranking and swap scores of the final weights.
    pub evaluation: String,
    /// Pictures of the final weights.
    pub pictures: String,
}

impl StageKeys {
    /// Every stage that the keys name, in the order in which a run needs them.
    pub fn all(&self) -> impl Iterator<Item = (StageKind, &str)> {
        [
            (StageKind::Data, self.data.as_str()),
            (StageKind::Teacher, self.teacher.as_str()),
            (StageKind::Training, self.generator.as_str()),
            (StageKind::Training, self.training.as_str()),
            (StageKind::Evaluation, self.evaluation.as_str()),
            (StageKind::Pictures, self.pictures.as_str()),
        ]
        .into_iter()
        .filter(|(_, key)| !key.is_empty())
    }
}

/// An entry of `forks.json` in a run folder: the beginning of its training, up to `steps`, is that of
/// other runs too and may be taken over from a stage. The worker derives the key again before it
/// believes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// Steps in common.
    pub steps: u64,
    /// Key of the stage.
    pub key: String,
}

/// `begin.json`: provenance of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// From 1.
    pub attempt: u32,
    /// First step this attempt trains (0, or the checkpoint it resumed from).
    pub from_step: u64,
    /// Steps planned.
    pub steps: u64,
    /// Steps before `from_step` or after that were taken over from a training shared with other runs.
    #[serde(default)]
    pub shared_steps: u64,
    /// Seconds since 1970.
    pub started_at: f64,
    /// The command line of the worker.
    pub command: Vec<String>,
    /// The command line that it was started by, if a person's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started_by: Vec<String>,
    /// Class of the device: cpu or cuda. A run goes on only on its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device_class: String,
    /// Version of this program.
    pub version: String,
    /// Commit of the working directory, if it is a git checkout.
    pub git_commit: Option<String>,
    /// Hash of the uncommitted difference; none when clean.
    pub git_dirty: Option<String>,
    /// libtorch version.
    pub libtorch: String,
    /// cpu, ...
    pub device: String,
    /// Processor name.
    pub processor: String,
    /// Instruction sets that numerical kernels choose by.
    pub instruction_set: String,
    /// Machine name.
    pub host: String,
    /// Process id of the worker.
    pub pid: u32,
}

/// `end.json`: the terminal record; only its presence means that a run is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// done | failed | diverged.
    pub state: EndState,
    /// What went wrong, for people; `None` for `done`.
    pub reason: Option<String>,
    /// Attempt that ended.
    pub attempt: u32,
    /// Last step finished.
    pub step: u64,
    /// Seconds since 1970.
    pub ended_at: f64,
    /// Wall seconds over all attempts.
    pub wall_s: f64,
    /// CPU seconds over all attempts.
    pub cpu_s: f64,
    /// Energy over all attempts, see [`Usage::energy_j`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_j: Option<f64>,
    /// Largest resident set of the last attempt, bytes.
    pub peak_bytes: u64,
}

/// `usage-<attempt>.json`: what an attempt has taken so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall seconds, by a clock that nobody can set.
    pub wall_s: f64,
    /// CPU seconds.
    pub cpu_s: f64,
    /// Joules that the processor packages took meanwhile, for whatever else ran on them too; `None` where
    /// the machine does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_j: Option<f64>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndState {
    /// All steps, evaluations and pictures are there.
    Done,
    /// The worker met an error or was found dead too often.
    Failed,
    /// A loss or weight was not finite.
    Diverged,
}

/// `pause.json`: an attempt that stopped on request and can go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Attempt that stopped.
    pub attempt: u32,
    /// Last step finished.
    pub step: u64,
    /// Seconds since 1970.
    pub at: f64,
}

/// First line of `metrics-<attempt>.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricHeader {
    /// Attempt that writes the file.
    pub attempt: u32,
    /// Lines of earlier attempts at steps greater than this are void.
    pub from_step: u64,
}

/// Every other line of it: the values of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricLine {
    /// Steps finished when the values were taken; 0 is before the first.
    pub step: u64,
    /// Metric name -> value.
    pub values: BTreeMap<String, Number>,
}

/// A line of `queries.jsonl`: how one query was ranked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryLine {
    /// Step of the evaluation.
    pub step: u64,
    /// File name of the query.
    pub query: String,
    /// Trapezoidal average precision; `None` where no true match exists.
    pub ap: Option<f64>,
    /// Rank of the first true match after junk removal, from 1.
    pub first_hit: Option<u32>,
}

/// A line of `artifacts.jsonl`: a picture in `images/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactLine {
    /// File name inside `images/`.
    pub name: String,
    /// `swap_grid`, ...
    pub kind: String,
    /// Step of the weights that made it.
    pub step: u64,
    /// image/png, ...
    pub media_type: String,
    /// What it shows, in words.
    pub caption: String,
}

/// A line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// Attempt that wrote it.
    pub attempt: u32,
    /// Seconds since 1970.
    pub at: f64,
    /// info | warn | error.
    pub level: String,
    /// What happened.
    pub message: String,
}

/// `heartbeat`: rewritten in place; readers judge by their own clock whether it moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Grows with every beat.
    pub beat: u64,
    /// What the worker is at: teacher, training, evaluation, pictures.
    pub phase: String,
    /// Last step finished of the phase.
    pub step: u64,
    /// Steps of the phase.
    pub of: u64,
}

/// A float that JSON can carry: non-finite values are spelled "nan", "inf", "-inf".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

impl Number {
    /// The spelling of a non-finite value; `None` for a finite one.
    #[must_use]
    pub fn nonfinite(self) -> Option<&'static str> {
        match self.0 {
            v if v.is_finite() => None,
            v if v.is_nan() => Some("nan"),
            v if v > 0.0 => Some("inf"),
            _ => Some("-inf"),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.nonfinite() {
            None => to.serialize_f64(self.0),
            Some(word) => to.serialize_str(word),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelled {
            Finite(f64),
            Word(String),
        }
        match Spelled::deserialize(from)? {
            Spelled::Finite(value) => Ok(Self(value)),
            Spelled::Word(word) => match word.as_str() {
                "nan" => Ok(Self(f64::NAN)),
                "inf" => Ok(Self(f64::INFINITY)),
                "-inf" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(serde::de::Error::custom(format!("`{word}` is not a number"))),
            },
        }
    }
}
