//! Photos on their way to the step: decoded once at the networks' size, batched and augmented as a pure
//! function of (seed, step), made ahead of time by worker threads. No tensor and no order dependence.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::augment::{augment, erase};
use super::pixels::{self, Rgb8};
use super::rng::Rng;
use super::sampler::{People, epoch_batch};
use super::{DataError, Photo};
use crate::spec::settings::Augment;

mod prefetch;

pub use prefetch::{Make, Prefetch};

/// Photos decoded once and kept at one size, 8 bits a channel.
#[derive(Debug, Clone)]
pub struct Images {
    /// Rows of every picture.
    pub height: usize,
    /// Columns of every picture.
    pub width: usize,
    /// The photos, in the order they were given.
    pub photos: Vec<Photo>,
    /// The pictures, in the same order.
    pub pictures: Vec<Rgb8>,
}

impl Images {
    /// Decodes and resizes photos on `workers` threads; `progress(done, total)` is called on this one.
    ///
    /// # Errors
    /// The first photo, in the given order, that cannot be read or decoded.
    pub fn load(
        photos: &[Photo],
        height: usize,
        width: usize,
        workers: usize,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Self, DataError> {
        let load = |photo: &Photo| {
            pixels::read(&photo.path).and_then(|picture| pixels::resize(&picture, height, width))
        };
        let mut slots: Vec<Option<Result<Rgb8, DataError>>> = Vec::new();
        slots.resize_with(photos.len(), || None);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..workers.clamp(1, photos.len().max(1)) {
                let (sender, next, stop) = (sender.clone(), &next, &stop);
                scope.spawn(move || {
                    // Photos are taken in order, so every photo before a damaged one is always read.
                    while !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(photo) = photos.get(at) else { break };
                        let picture = load(photo);
                        stop.fetch_or(picture.is_err(), Ordering::Relaxed);
                        if sender.send((at, picture)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for (done, (at, picture)) in (1..).zip(&receiver) {
                slots[at] = Some(picture);
                progress(done, photos.len() as u64);
            }
        });
        let pictures = slots.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
        if pictures.len() < photos.len() {
            return Err(DataError::Worker("photos are missing after decoding".to_owned()));
        }
        Ok(Self { height, width, photos: photos.to_vec(), pictures })
    }

    /// No photos, of this size.
    #[must_use]
    pub fn empty(height: usize, width: usize) -> Self {
        Self { height, width, photos: Vec::new(), pictures: Vec::new() }
    }

    /// (rows, columns) of every picture.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// A copy of picture `index`, which must exist.
    #[must_use]
    pub fn picture(&self, index: usize) -> Rgb8 {
        self.pictures[index].clone()
    }

    /// The pictures at `indices`, which must exist, unaugmented and normalised.
    ///
    /// # Shapes
    /// `indices.len() * 3 * height * width`.
    #[must_use]
    pub fn normalised(&self, indices: &[usize]) -> Vec<f32> {
        let mut all = Vec::with_capacity(indices.len() * 3 * self.height * self.width);
        for &index in indices {
            all.extend(pixels::normalise(&self.pictures[index]));
        }
        all
    }

    /// Photos held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// The person on every photo.
    #[must_use]
    pub fn people(&self) -> Vec<i64> {
        self.photos.iter().map(|photo| photo.person).collect()
    }

    /// The mean picture, normalised: the best constant guess of a photo.
    ///
    /// # Shapes
    /// `3 * height * width`; empty where no photo is held.
    #[must_use]
    pub fn mean(&self) -> Vec<f32> {
        let mut sums =
            vec![0.0_f64; if self.is_empty() { 0 } else { 3 * self.height * self.width }];
        for picture in &self.pictures {
            for (sum, value) in sums.iter_mut().zip(pixels::normalise(picture)) {
                *sum += f64::from(value);
            }
        }
        sums.iter().map(|sum| (sum / self.len() as f64) as f32).collect()
    }

    /// Class of every photo.
    ///
    /// # Errors
    /// `DataError::Layout` for a person without a class.
    pub fn labels(&self, classes: &BTreeMap<i64, i64>) -> Result<Vec<i64>, DataError> {
        self.photos
            .iter()
            .map(|photo| {
                classes.get(&photo.person).copied().ok_or_else(|| DataError::Layout {
                    path: photo.path.clone(),
                    reason: format!("person {} has no class", photo.person),
                    hint: "classes are the ranks of the training persons' ids".to_owned(),
                })
            })
            .collect()
    }
}

/// What one joint step sees: two batches and a positive of every photo.
///
/// # Shapes
/// Every picture field is N x 3 x height x width, row-major; labels are N.
#[derive(Debug, Clone, PartialEq)]
pub struct JointBatch {
    /// The step.
    pub step: u64,
    /// Batch a.
    pub x_a: Vec<f32>,
    /// Batch b.
    pub x_b: Vec<f32>,
    /// Another photo of each person of batch a.
    pub xp_a: Vec<f32>,
    /// Another photo of each person of batch b.
    pub xp_b: Vec<f32>,
    /// The same four after random erasing, in that order; `None` with erasing off.
    pub erased: Option<[Vec<f32>; 4]>,
    /// Classes of batch a and its positives.
    pub labels_a: Vec<i64>,
    /// Classes of batch b and its positives.
    pub labels_b: Vec<i64>,
}

/// Makes the batches of the joint training.
#[derive(Debug, Clone)]
pub struct JointLoader {
    source: Source,
    people: People,
}

impl JointLoader {
    /// # Errors
    /// `DataError::Layout` when there are fewer photos than a batch takes, or a person without a class.
    pub fn new(
        images: Arc<Images>,
        classes: &BTreeMap<i64, i64>,
        augment: Augment,
        batch: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        let people = People::new(&images.people());
        let source = Source::new(images, classes, augment, batch, seed)?;
        source.enough(source.images.len(), "train.batch")?;
        Ok(Self { source, people })
    }

    /// Steps of one pass over the photos.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.source.images.len() / self.source.batch) as u64
    }

    /// The batch of a step: a pure function of (seed, step).
    #[must_use]
    pub fn joint_batch(&self, step: u64) -> JointBatch {
        let Source { images, batch, seed, .. } = &self.source;
        let a = epoch_batch(images.len(), *batch, *seed, "a", step);
        let b = epoch_batch(images.len(), *batch, *seed, "b", step);
        let (positives_a, positives_b) =
            (self.positives(&a, "a", step), self.positives(&b, "b", step));
        let source = &self.source;
        let clean = [(&a, "a"), (&b, "b"), (&positives_a, "pa"), (&positives_b, "pb")]
            .map(|(photos, stream)| source.augmented(photos, stream, step));
        let erased = (source.augment.erasing > 0.0).then(|| {
            let mut erased = clean.clone();
            for (pictures, stream) in erased.iter_mut().zip(["a", "b", "pa", "pb"]) {
                source.erase(pictures, stream, step);
            }
            erased
        });
        let [x_a, x_b, xp_a, xp_b] = clean;
        let (labels_a, labels_b) = (source.labels_of(&a), source.labels_of(&b));
        JointBatch { step, x_a, x_b, xp_a, xp_b, erased, labels_a, labels_b }
    }

    fn positives(&self, photos: &[usize], stream: &str, step: u64) -> Vec<usize> {
        let stream = format!("positive.{stream}");
        (self.source.first(step)..)
            .zip(photos)
            .map(|(index, &photo)| {
                self.people.positive(photo, &mut Rng::new(self.source.seed, &stream, index))
            })
            .collect()
    }
}

/// What one step of the teacher sees.
///
/// # Shapes
/// `x` is N x 3 x height x width, row-major; labels are N.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherBatch {
    /// The step.
    pub step: u64,
    /// The photos, augmented and erased.
    pub x: Vec<f32>,
    /// Their classes.
    pub labels: Vec<i64>,
}

/// Makes the batches of the teacher's training.
#[derive(Debug, Clone)]
pub struct TeacherLoader {
    source: Source,
    kept: Vec<usize>,
}

impl TeacherLoader {
    /// Trains on the photos whose indices are `kept` (see `sampler::hold_out`).
    ///
    /// # Errors
    /// As for [`JointLoader::new`], and for an index without a photo.
    pub fn new(
        images: Arc<Images>,
        kept: Vec<usize>,
        classes: &BTreeMap<i64, i64>,
        augment: Augment,
        batch: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        let source = Source::new(images, classes, augment, batch, seed)?;
        let kept: Vec<usize> = kept.into_iter().filter(|at| *at < source.images.len()).collect();
        source.enough(kept.len(), "teacher.batch")?;
        Ok(Self { source, kept })
    }

    /// Steps of one pass over the photos.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.kept.len() / self.source.batch) as u64
    }

    /// The batch of a step: a pure function of (seed, step).
    #[must_use]
    pub fn batch(&self, step: u64) -> TeacherBatch {
        let Source { batch, seed, .. } = self.source;
        let photos: Vec<usize> = epoch_batch(self.kept.len(), batch, seed, "teacher", step)
            .into_iter()
            .map(|at| self.kept[at])
            .collect();
        let mut x = self.source.augmented(&photos, "teacher", step);
        self.source.erase(&mut x, "teacher", step);
        TeacherBatch { step, x, labels: self.source.labels_of(&photos) }
    }
}

/// What both loaders share. Every picture has a generator of its own, so none depends on another.
#[derive(Debug, Clone)]
struct Source {
    images: Arc<Images>,
    labels: Vec<i64>,
    augment: Augment,
    batch: usize,
    seed: u64,
}

impl Source {
    fn new(
        images: Arc<Images>,
        classes: &BTreeMap<i64, i64>,
        augment: Augment,
        batch: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        let labels = images.labels(classes)?;
        Ok(Self { images, labels, augment, batch, seed })
    }

    fn enough(&self, photos: usize, setting: &str) -> Result<(), DataError> {
        if self.batch > 0 && photos >= self.batch {
            return Ok(());
        }
        let first = self.images.photos.first().and_then(|photo| photo.path.parent());
        Err(DataError::Layout {
            path: first.unwrap_or(Path::new("training photos")).to_owned(),
            reason: format!("{photos} training photos do not fill a batch of {}", self.batch),
            hint: format!("set `{setting}` between 1 and {photos}, or use more photos"),
        })
    }

    fn first(&self, step: u64) -> u64 {
        step.wrapping_mul(self.batch as u64)
    }

    fn labels_of(&self, photos: &[usize]) -> Vec<i64> {
        photos.iter().map(|&photo| self.labels[photo]).collect()
    }

    fn augmented(&self, photos: &[usize], stream: &str, step: u64) -> Vec<f32> {
        let stream = format!("augment.{stream}");
        let mut all = Vec::with_capacity(photos.len() * 3 * self.images.height * self.images.width);
        for (index, &photo) in (self.first(step)..).zip(photos) {
            let mut rng = Rng::new(self.seed, &stream, index);
            all.extend(augment(&self.images.pictures[photo], &self.augment, &mut rng));
        }
        all
    }

    fn erase(&self, pictures: &mut [f32], stream: &str, step: u64) {
        let stream = format!("erase.{stream}");
        let (height, width) = (self.images.height, self.images.width);
        for (index, picture) in
            (self.first(step)..).zip(pictures.chunks_exact_mut(3 * height * width))
        {
            let mut rng = Rng::new(self.seed, &stream, index);
            erase(picture, height, width, &self.augment, &mut rng);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
