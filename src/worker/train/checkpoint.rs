//! Weights and training state on disk: a safetensors file and, written after it, a record with its
//! checksum and class map. A file without a valid record does not exist. Nothing is executed on load.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{TchError, Tensor};

use super::optim::Savable;
use super::step::Trainer;
use super::weights::copy;
use crate::compute::class;
use dgnet::data::torch_file::TorchFileError;
use dgnet::store::error::io_hint;

/// Checkpoints kept of a running training; the older one serves when the newest is damaged.
const KEPT: usize = 2;

/// Why a checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file cannot be read or written.
    #[error("cannot use checkpoint `{path}`: {source}{hint}", path = path.display(), hint = io_hint(source, path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The checksum does not match or the record is unreadable.
    #[error(
        "checkpoint `{path}` is damaged: {reason}\n  \
         hint: `dgnet doctor --stages` lists what is damaged here and what to do; get a file from elsewhere anew",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not match.
        reason: String,
    },
    /// The file belongs to another architecture.
    #[error("`{path}` does not fit the network: {mismatches}\n  hint: {hint}", path = path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The first mismatching names and shapes.
        mismatches: String,
        /// What to do.
        hint: String,
    },
    /// A PyTorch file is refused.
    #[error(transparent)]
    Torch(#[from] TorchFileError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Libtorch(#[from] TchError),
}

impl CheckpointError {
    /// Whether the file is gone or not what was written, and will stay so.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::Damaged { .. } => true,
            Self::Mismatch { .. } | Self::Torch(_) | Self::Libtorch(_) => false,
        }
    }
}

/// The record beside a weights file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Steps finished.
    pub step: u64,
    /// blake3 of the weights file, hex.
    pub blake3: String,
    /// Person id of every class, in class order.
    pub people: Vec<i64>,
    /// Steps each optimizer has taken.
    pub counters: BTreeMap<String, i64>,
    /// Class of the device that trained, [`crate::compute::class`]; records of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// blake3 of the record without this, hex: a flipped digit of a step would be another training.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seal: String,
}

impl Record {
    fn sealed(mut self) -> Result<Self, serde_json::Error> {
        self.seal.clear();
        self.seal = blake3::hash(&serde_json::to_vec(&self)?).to_hex().to_string();
        Ok(self)
    }

    fn is_whole(&self) -> bool {
        self.seal.is_empty() || self.clone().sealed().is_ok_and(|again| again == *self)
    }
}

/// A checkpoint whose checksum was right: its record and its tensors by name.
pub type Whole = (Record, BTreeMap<String, Tensor>);

/// The step of a checkpoint that is damaged, and how.
pub type Damaged = (u64, CheckpointError);

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> CheckpointError + '_ {
    move |source| CheckpointError::Io { path: path.to_owned(), source }
}

/// Where the record of a weights file lies.
#[must_use]
pub fn record_path(weights: &Path) -> PathBuf {
    weights.with_extension("json")
}

/// The variables of a store under `prefix.`, sorted by name.
#[must_use]
pub fn variables(prefix: &str, store: &VarStore) -> Vec<(String, Tensor)> {
    let mut named: Vec<_> = store
        .variables()
        .into_iter()
        .map(|(name, tensor)| (format!("{prefix}.{name}"), tensor))
        .collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

/// Writes tensors and their record; each appears whole or not at all.
pub fn write(
    path: &Path,
    tensors: &[(String, Tensor)],
    step: u64,
    people: &[i64],
    counters: BTreeMap<String, i64>,
) -> Result<Record, CheckpointError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io(folder))?;
    }
    let temporary = path.with_extension("safetensors.tmp");
    let written = write_whole(path, &temporary, tensors, step, people, counters);
    if written.is_err() {
        // its room may be what the record of the failure needs
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_whole(
    path: &Path,
    temporary: &Path,
    tensors: &[(String, Tensor)],
    step: u64,
    people: &[i64],
    counters: BTreeMap<String, i64>,
) -> Result<Record, CheckpointError> {
    let plain: Vec<(&str, Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.detach().contiguous()))
        .collect();
    Tensor::write_safetensors(&plain, temporary).map_err(|error| refused(temporary, error))?;
    let file = fs::File::open(temporary).map_err(io(temporary))?;
    file.sync_all().map_err(io(temporary))?;
    let record = Record {
        step,
        blake3: checksum(temporary)?,
        people: people.to_vec(),
        counters,
        device: tensors.first().map(|(_, tensor)| class(tensor.device()).to_owned()),
        seal: String::new(),
    };
    let record = record.sealed().map_err(|error| io(path)(error.into()))?;
    fs::rename(temporary, path).map_err(io(path))?;
    let record_file = record_path(path);
    let temporary = record_file.with_extension("json.tmp");
    let json =
        serde_json::to_vec_pretty(&record).map_err(|error| io(&record_file)(error.into()))?;
    fs::write(&temporary, json).map_err(io(&temporary))?;
    fs::rename(&temporary, &record_file).map_err(io(&record_file))?;
    Ok(record)
}

/// libtorch's words for what the system refused, as the system's.
fn refused(path: &Path, error: TchError) -> CheckpointError {
    let text = error.to_string();
    let code = text.split_once("Os { code: ").and_then(|(_, rest)| rest.split_once(','));
    match code.and_then(|(code, _)| code.parse().ok()) {
        Some(code) => io(path)(std::io::Error::from_raw_os_error(code)),
        None => error.into(),
    }
}

fn checksum(path: &Path) -> Result<String, CheckpointError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = fs::File::open(path).map_err(io(path))?;
    std::io::copy(&mut file, &mut hasher).map_err(io(path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Reads tensors whose checksum matches their record.
pub fn read(path: &Path) -> Result<Whole, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
    let record_file = record_path(path);
    let json = fs::read(&record_file).map_err(io(&record_file))?;
    let record: Record =
        serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
    if !record.is_whole() {
        return Err(damaged("its record was changed".into()));
    }
    if checksum(path)? != record.blake3 {
        return Err(damaged("its checksum does not match its record".into()));
    }
    let tensors = Tensor::read_safetensors(path).map_err(|error| damaged(error.to_string()))?;
    Ok((record, tensors.into_iter().collect()))
}

/// Copies `tensors` under `prefix.` into the variables of a store, which they must fit exactly; the
/// first mismatches are named.
pub fn fill(
    path: &Path,
    prefix: &str,
    store: &VarStore,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), CheckpointError> {
    let below = format!("{prefix}.");
    let found = tensors
        .iter()
        .filter_map(|(name, x)| Some((name.strip_prefix(&below)?.to_owned(), x.shallow_clone())))
        .collect();
    copy(path, prefix, &store.variables().into_iter().collect(), &found)
}

/// The checkpoints of one training in a folder of their own.
#[derive(Debug, Clone)]
pub struct Checkpoints(PathBuf);

impl Checkpoints {
    /// In this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn file(&self, step: u64) -> PathBuf {
        self.0.join(format!("step-{step:09}.safetensors"))
    }

    fn steps(&self) -> Vec<u64> {
        let names = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut steps: Vec<u64> = names
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_prefix("step-")?.strip_suffix(".json")?.parse().ok()
            })
            .collect();
        steps.sort_unstable();
        steps
    }

    /// Saves everything that `tensors` holds after `step` steps and forgets all but the last two.
    pub fn save(
        &self,
        tensors: &[(String, Tensor)],
        step: u64,
        people: &[i64],
        counters: BTreeMap<String, i64>,
    ) -> Result<(), CheckpointError> {
        write(&self.file(step), tensors, step, people, counters)?;
        let steps = self.steps();
        for &old in &steps[..steps.len().saturating_sub(KEPT)] {
            self.forget(old);
        }
        Ok(())
    }

    fn forget(&self, step: u64) {
        let file = self.file(step);
        // the record goes first: a file without one does not count
        let _ = fs::remove_file(record_path(&file));
        let _ = fs::remove_file(file);
    }

    /// The newest checkpoint that is whole, to go on from, with the complaints about newer ones that are not: they are removed.
    ///
    /// # Errors
    /// Where the system does not let one be read: it may be whole all the same.
    pub fn recover(&self) -> Result<(Option<Whole>, Vec<CheckpointError>), CheckpointError> {
        let (newest, damaged) = self.newest()?;
        let complaint = |(step, error)| {
            self.forget(step);
            error
        };
        Ok((newest, damaged.into_iter().map(complaint).collect()))
    }

    /// The newest checkpoint that is whole, with the steps of newer ones that are not, and why.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub fn newest(&self) -> Result<(Option<Whole>, Vec<Damaged>), CheckpointError> {
        let mut damaged = Vec::new();
        for step in self.steps().into_iter().rev() {
            match read(&self.file(step)) {
                Ok(found) => return Ok((Some(found), damaged)),
                Err(error) if error.is_damage() => damaged.push((step, error)),
                Err(error) => return Err(error),
            }
        }
        Ok((None, damaged))
    }

    /// Removes all of them, once the final weights are published.
    pub fn clear(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Everything a training needs to go on: variables and optimizer state, under stable names.
#[must_use]
pub fn training_state(trainer: &Trainer) -> (Vec<(String, Tensor)>, BTreeMap<String, i64>) {
    let mut tensors: Vec<(String, Tensor)> =
        trainer.networks.stores().iter().flat_map(|(name, store)| variables(name, store)).collect();
    let mut counters = BTreeMap::new();
    for (name, optim) in optimizers(trainer) {
        counters.insert(name.to_owned(), optim.steps());
        tensors.extend(
            optim
                .state()
                .into_iter()
                .map(|(part, tensor)| (format!("optim.{name}.{part}"), tensor)),
        );
    }
    (tensors, counters)
}

fn optimizers(trainer: &Trainer) -> [(&'static str, &dyn Savable); 3] {
    [("gen", &trainer.gen_optim), ("dis", &trainer.dis_optim), ("id", &trainer.id_optim)]
}

/// Puts a training back to where `training_state` was taken.
pub fn restore_training(
    trainer: &mut Trainer,
    path: &Path,
    record: &Record,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), CheckpointError> {
    for (name, store) in trainer.networks.stores() {
        fill(path, name, store, tensors)?;
    }
    for (name, optim) in optimizers(trainer) {
        restore_optimizer(path, name, optim, tensors)?;
    }
    let steps = |name: &str| record.counters.get(name).copied().unwrap_or_default();
    trainer.gen_optim.set_steps(steps("gen"));
    trainer.dis_optim.set_steps(steps("dis"));
    trainer.id_optim.set_steps(steps("id"));
    Ok(())
}

/// Copies an optimizer's tensors back from `optim.<name>.*`.
pub fn restore_optimizer(
    path: &Path,
    name: &str,
    optim: &dyn Savable,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), CheckpointError> {
    for (part, mut tensor) in optim.state() {
        let key = format!("optim.{name}.{part}");
        let found =
            tensors.get(&key).filter(|found| found.size() == tensor.size()).ok_or_else(|| {
                CheckpointError::Damaged {
                    path: path.to_owned(),
                    reason: format!("`{key}` is missing or misshapen"),
                }
            })?;
        tch::no_grad(|| tensor.copy_(found));
    }
    Ok(())
}
