//! A finished run read back for use: its networks with their final weights, and the data it was trained
//! on. Trains nothing and writes nothing.

use std::path::Path;

use tch::Device;

use super::job::{WorkerError, data_root};
use crate::train::checkpoint::{self, Checkpoints};
use crate::train::networks::Networks;
use dgnet::data::{Dataset, layout};
use dgnet::spec::settings::{Mode, Settings};
use dgnet::store::records::RunSpec;
use dgnet::store::{RunDir, RunLock, StageKind, Stages};

/// Networks with trained weights.
#[derive(Debug)]
pub struct Trained {
    /// The run.
    pub spec: RunSpec,
    /// Its networks; D keeps its first weights.
    pub networks: Networks,
    /// Steps trained.
    pub step: u64,
    /// blake3 of the weights file, hex.
    pub checksum: String,
    /// Where to compute.
    pub device: Device,
    stages: Stages,
}

impl Trained {
    /// Reads the final weights of a run; of one that is not over, those of its newest checkpoint.
    ///
    /// # Errors
    /// [`WorkerError::Refused`] for a run without a generator or without any weights yet.
    pub fn open(runs: &Path, dir: &RunDir) -> Result<Self, WorkerError> {
        let spec = dir.spec()?;
        let name = dir.path().display();
        if spec.settings.train.mode == Mode::TeacherOnly {
            return Err(WorkerError::Refused(format!(
                "the run `{name}` trains a teacher only: it has no generator\n  hint: name a run whose `train.mode` is joint"
            )));
        }
        tch::set_num_threads(i32::try_from(spec.settings.train.threads).unwrap_or(1));
        let stages = Stages::new(runs);
        let stage = stages.published(StageKind::Training, &spec.stages.training);
        let (path, (record, tensors)) = if let Some(stage) = stage {
            let path = stage.join("weights.safetensors");
            let whole = checkpoint::read(&path)?;
            (path, whole)
        } else {
            // its checkpoints belong to the worker that is at it
            if RunLock::is_held(dir.path())? {
                return Err(WorkerError::Refused(format!(
                    "the run `{name}` is being trained\n  hint: wait for it, or stop it: it goes on later"
                )));
            }
            let (newest, _) = Checkpoints::new(dir.checkpoints()).newest()?;
            let whole = newest.ok_or_else(|| {
                WorkerError::Refused(format!(
                    "the run `{name}` has no weights yet\n  hint: `dgnet run` or `dgnet sweep` trains it"
                ))
            })?;
            (dir.checkpoints(), whole)
        };
        let device = Device::Cpu;
        let classes = record.people.len() as i64;
        let networks = Networks::new(&spec.settings, classes, spec.seed, device);
        for (prefix, store) in networks.stores() {
            checkpoint::fill(&path, prefix, store, &tensors)?;
        }
        let (step, checksum) = (record.step, record.blake3);
        Ok(Self { spec, networks, step, checksum, device, stages })
    }

    /// The resolved settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.spec.settings
    }

    /// Rows and columns of the networks' photos.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let image = &self.settings().image;
        (image.height as usize, image.width as usize)
    }

    /// The data set of the run.
    pub fn dataset(&self) -> Result<Dataset, WorkerError> {
        Ok(layout::read(&data_root(&self.spec, &self.stages)?)?)
    }
}
