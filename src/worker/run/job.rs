//! What every phase of a worker needs: the spec, the data at the networks' size, the stages, and the
//! wish to stop. No training and no evaluation here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tch::Device;

use super::energy;
use super::provenance::cpu_seconds;
use crate::compute::{self, ClassChanged, DeviceError};
use crate::eval::rank::ShapeError;
use crate::eval::swap::HeldOut;
use crate::train::checkpoint::CheckpointError;
use dgnet::data::drawn::Truth;
use dgnet::data::loader::Images;
use dgnet::data::{DataError, Dataset, Photo, fingerprint, layout};
use dgnet::spec::prefix::Course;
use dgnet::spec::settings::Mode;
use dgnet::store::files::write_json;
use dgnet::store::records::{RunSpec, Usage};
use dgnet::store::stages::StageWork;
use dgnet::store::{RunDir, StageKind, Stages, StoreError};

/// Why a worker cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The run folder or a stage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data set or a photo.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device is of another class than that of the training so far.
    #[error(transparent)]
    Class(#[from] ClassChanged),
    /// A stage that should be there is not.
    #[error("the {kind} `{key}` is not there\n  hint: `dgnet sweep` makes what a run needs")]
    Missing {
        /// data, teacher.
        kind: &'static str,
        /// Its key.
        key: String,
    },
    /// The teacher does not fit the data.
    #[error("{0}")]
    Teacher(String),
    /// What was asked for cannot be done as it is.
    #[error("{0}")]
    Refused(String),
    /// Features that do not fit together.
    #[error("internal error: {0}")]
    Shape(#[from] ShapeError),
    /// A panic, most often an error of libtorch.
    #[error("internal error: {0}")]
    Panic(String),
}

/// The wish to stop: a signal, or the death of the process that started this one.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Set by the signal handler.
    pub asked: Arc<AtomicBool>,
    /// Process that started this one and whose death stops it. It is known by being the parent: a dead
    /// one may stay as a zombie, and its number may come to another process.
    pub parent: Option<u32>,
}

impl Stop {
    /// Whether to stop after the current step.
    #[must_use]
    pub fn requested(&self) -> bool {
        let parent =
            || rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
        self.asked.load(Ordering::Relaxed) || self.parent.is_some_and(|pid| parent() != Some(pid))
    }
}

/// One run's spec with its data at hand.
#[derive(Debug)]
pub struct Job {
    /// What to do.
    pub spec: RunSpec,
    /// Stages of the runs folder.
    pub stages: Stages,
    /// The data set.
    pub dataset: Dataset,
    /// Factors of drawn people; `None` for photos.
    pub truth: Option<Truth>,
    /// Training photos at the networks' size.
    pub train: Arc<Images>,
    /// Class of every training person.
    pub classes: BTreeMap<i64, i64>,
    /// Where to compute.
    pub device: Device,
    /// When to stop.
    pub stop: Stop,
    query: Kept,
    gallery: Kept,
    held_out: OnceLock<Arc<HeldOut>>,
}

/// Photos that are decoded once and kept while they are few.
type Kept = OnceLock<Arc<Images>>;

/// Decoded photos of one kind that are kept between evaluations, at most; more are decoded again.
const KEPT_BYTES: usize = 1 << 30;

impl Job {
    /// Reads the data of a run and sets the number of threads.
    pub fn open(runs: &Path, spec: RunSpec, stop: &Stop) -> Result<Self, WorkerError> {
        let settings = &spec.settings;
        let device = compute::device(settings.train.device)?;
        compute::configure(&settings.train, device);
        let stages = Stages::new(runs);
        let root = data_root(&spec, &stages)?;
        if settings.data.path.is_some() {
            check_data(&root, &spec.stages.data)?;
        }
        let dataset = layout::read(&root)?;
        let truth = Truth::open(&root)?;
        let classes = dataset.classes();
        let mut job = Self {
            train: Arc::new(Images::empty(1, 1)),
            spec,
            stages,
            truth,
            classes,
            device,
            stop: stop.clone(),
            dataset,
            query: OnceLock::new(),
            gallery: OnceLock::new(),
            held_out: OnceLock::new(),
        };
        job.train = Arc::new(job.load(&job.dataset.train)?);
        Ok(job)
    }

    /// Decodes photos at the networks' size.
    pub fn load(&self, photos: &[Photo]) -> Result<Images, DataError> {
        let settings = &self.spec.settings;
        let (height, width) = (settings.image.height as usize, settings.image.width as usize);
        let workers = settings.train.loader_workers.max(1) as usize;
        Images::load(photos, height, width, workers, &|_, _| {})
    }

    /// The query photos at the networks' size.
    pub fn query(&self) -> Result<Arc<Images>, DataError> {
        self.kept(&self.query, &self.dataset.query)
    }

    /// The gallery photos at the networks' size.
    pub fn gallery(&self) -> Result<Arc<Images>, DataError> {
        self.kept(&self.gallery, &self.dataset.gallery)
    }

    fn kept(&self, place: &Kept, photos: &[Photo]) -> Result<Arc<Images>, DataError> {
        if let Some(images) = place.get() {
            return Ok(Arc::clone(images));
        }
        let images = Arc::new(self.load(photos)?);
        if bytes(&images) <= KEPT_BYTES {
            let _ = place.set(Arc::clone(&images));
        }
        Ok(images)
    }

    /// Query and gallery photos of known persons: what training never saw.
    pub fn held_out(&self) -> Result<Arc<HeldOut>, DataError> {
        if let Some(held_out) = self.held_out.get() {
            return Ok(Arc::clone(held_out));
        }
        let known = |photo: &&Photo| photo.person > 0;
        let all = self.dataset.query.iter().chain(&self.dataset.gallery);
        let photos: Vec<Photo> = all.filter(known).cloned().collect();
        let held_out = Arc::new(HeldOut { images: self.load(&photos)?, photos });
        if bytes(&held_out.images) <= KEPT_BYTES {
            let _ = self.held_out.set(Arc::clone(&held_out));
        }
        Ok(held_out)
    }

    /// The folder of a stage; where it is not there yet, `build` fills it and it is published.
    pub fn stage(
        &self,
        kind: StageKind,
        key: &str,
        build: impl FnOnce(&Path) -> Result<(), WorkerError>,
    ) -> Result<PathBuf, WorkerError> {
        match self.stages.verified(kind, key) {
            Ok(Some(stage)) => return Ok(stage),
            Ok(None) => {}
            // set aside; nothing is lost that cannot be made from what went into it
            Err(error @ StoreError::Damaged { .. }) => tracing::warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
        let work = self.work(kind, key)?;
        build(work.path())?;
        Ok(self.stages.publish(work)?)
    }

    /// A folder to build a stage in that knows what it is made from.
    pub fn work(&self, kind: StageKind, key: &str) -> Result<StageWork, StoreError> {
        let keys = &self.spec.stages;
        let teaches = |wanted: bool| if wanted { keys.teacher.as_str() } else { "" };
        let weights = match self.spec.settings.train.mode {
            Mode::Joint => (StageKind::Training, keys.training.as_str()),
            Mode::TeacherOnly => (StageKind::Teacher, keys.teacher.as_str()),
        };
        let trained = matches!(kind, StageKind::Training | StageKind::Prefix);
        let parents = match kind {
            StageKind::Data => vec![],
            StageKind::Teacher | StageKind::Prefix | StageKind::Training => vec![
                (StageKind::Data, keys.data.as_str()),
                (StageKind::Teacher, teaches(trained)),
                (StageKind::Training, if trained { keys.generator.as_str() } else { "" }),
            ],
            StageKind::Evaluation => vec![(StageKind::Data, keys.data.as_str()), weights],
            StageKind::Pictures => vec![
                (StageKind::Data, keys.data.as_str()),
                weights,
                (StageKind::Evaluation, keys.evaluation.as_str()),
            ],
        };
        Ok(self.stages.work(kind, key)?.made_from(parents))
    }

    /// The course of this run's training, by which it is known which steps others share.
    #[must_use]
    pub fn course(&self) -> Course {
        let stages = &self.spec.stages;
        Course::new(&self.spec.settings, self.spec.seed, &stages.data, &stages.teacher)
    }

    /// Number of classes.
    #[must_use]
    pub fn class_count(&self) -> i64 {
        self.classes.len() as i64
    }

    /// Person id of every class, in class order: stored with every checkpoint.
    #[must_use]
    pub fn people(&self) -> Vec<i64> {
        self.classes.keys().copied().collect()
    }
}

/// Where the photos of a run lie.
pub fn data_root(spec: &RunSpec, stages: &Stages) -> Result<PathBuf, WorkerError> {
    if let Some(path) = &spec.settings.data.path {
        return Ok(PathBuf::from(path));
    }
    let key = &spec.stages.data;
    let missing = || WorkerError::Missing { kind: "data set", key: key.clone() };
    stages.verified(StageKind::Data, key)?.ok_or_else(missing)
}

/// Refuses a folder of photos that is no longer the one that the run was planned with.
fn check_data(root: &Path, planned: &str) -> Result<(), WorkerError> {
    let now = fingerprint::of_folder(root)?;
    if now == planned {
        return Ok(());
    }
    Err(WorkerError::Refused(format!(
        "the data set `{}` is not the one that this run was planned with (fingerprint {planned}, now {now})\n  \
         hint: restore it, or plan again: with other data it is another run",
        root.display()
    )))
}

fn bytes(images: &Images) -> usize {
    let (height, width) = images.size();
    images.len() * 3 * height * width
}

/// Notes what this attempt, which began at `began`, has taken so far.
pub fn add_usage(run: &RunDir, attempt: u32, began: Instant) -> Result<(), StoreError> {
    let wall_s = began.elapsed().as_secs_f64();
    let usage = Usage { wall_s, cpu_s: cpu_seconds(), energy_j: energy::taken() };
    write_json(&run.usage_file(attempt), &usage)
}
