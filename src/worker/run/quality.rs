//! The quality of a finished run's generated images, one function a kind of measurement: against the
//! rendered truth, in diversity, and as a distance between distributions of features.

use std::collections::BTreeMap;
use std::path::Path;

use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::job::{Job, WorkerError};
use super::{teaching, training};
use crate::eval::effects::{ErrorShares, error_shares};
use crate::eval::features::tensor_of;
use crate::eval::frechet::{self, Moments};
use crate::eval::swap::{self, HeldOut, Pair};
use crate::eval::{diversity, pictures};
use crate::model::inception::{FEATURE, Inception};
use crate::train::checkpoint::CheckpointError;
use crate::train::networks::Networks;
use crate::train::weights::Weights;
use dgnet::data::DataError;
use dgnet::data::drawn::Truth;
use dgnet::data::pixels::{Rgb8, decode, encode_jpeg};
use dgnet::data::rng::Rng;

/// Rows and columns, at most, of the grid whose error is split into appearance and structure.
const ERROR_GRID: usize = 8;
/// Quality of the JPEGs that the FID is measured on.
const JPEG_QUALITY: u8 = 95;

type Named = BTreeMap<&'static str, f64>;

/// Every measurement that the settings ask for and the data allow, under its name.
pub fn metrics(job: &Job, networks: &Networks) -> Result<Named, WorkerError> {
    let held_out = job.held_out()?;
    let mut named = BTreeMap::from([("recon_l1_ratio", reconstruction(job, networks, &held_out))]);
    if job.spec.settings.eval.swap_pairs > 0 {
        if let Some(truth) = &job.truth {
            named.append(&mut against_truth(job, networks, &held_out, truth)?);
            named.append(&mut errors(job, networks, &held_out, truth)?);
        }
        named.append(&mut diversity(job, networks, &held_out));
    }
    named.extend(distance(job, networks)?);
    named.extend(fid(job, networks)?.map(|value| ("fid", value)));
    Ok(named)
}

fn reconstruction(job: &Job, networks: &Networks, held_out: &HeldOut) -> f64 {
    let mean = swap::mean_image(&job.train, job.device);
    let (encoder, generator) = (networks.code_encoder(), &networks.generator);
    let batch = job.spec.settings.eval.batch;
    swap::reconstruction_ratio(encoder, generator, &held_out.images, &mean, batch)
}

fn against_truth(
    job: &Job,
    networks: &Networks,
    held_out: &HeldOut,
    truth: &Truth,
) -> Result<Named, WorkerError> {
    let settings = &job.spec.settings.eval;
    let pairs = swap::pairs(&held_out.photos, settings.swap_pairs as usize);
    let swaps = swap::truths(held_out, truth, &pairs)?;
    let (encoder, generator) = (networks.code_encoder(), &networks.generator);
    let images = &held_out.images;
    Ok(swap::score(encoder, generator, images, &swaps, settings.batch, job.device).metrics())
}

/// Shares of the error over a grid of held-out photos, each of another person.
fn errors(
    job: &Job,
    networks: &Networks,
    held_out: &HeldOut,
    truth: &Truth,
) -> Result<Named, WorkerError> {
    let columns = pictures::spread(&held_out.photos, ERROR_GRID, "errors.appearance");
    let rows = pictures::spread(&held_out.photos, ERROR_GRID, "errors.structure");
    let (mut generated, mut true_grid) = (Vec::new(), Vec::new());
    for &j in &rows {
        let pairs: Vec<Pair> = columns.iter().map(|&i| Pair { i, j }).collect();
        let (encoder, generator) = (networks.code_encoder(), &networks.generator);
        let images = swap::generate(encoder, generator, &held_out.images, &pairs, job.device);
        generated.push(swap::pictures(&images));
        let row = swap::truths(held_out, truth, &pairs)?;
        true_grid.push(row.into_iter().map(|swap| swap.truth).collect());
    }
    let Some(ErrorShares { mean, appearance, structure, interaction }) =
        error_shares(&generated, &true_grid)
    else {
        return Ok(Named::new());
    };
    Ok(BTreeMap::from([
        ("swap_error_mean", mean),
        ("swap_error_appearance", appearance),
        ("swap_error_structure", structure),
        ("swap_error_interaction", interaction),
    ]))
}

fn diversity(job: &Job, networks: &Networks, held_out: &HeldOut) -> Named {
    let settings = &job.spec.settings.eval;
    let count = settings.swap_pairs as usize;
    let images = &held_out.images;
    let mut named = Named::new();
    let twins = diversity::twins(images.len(), count);
    if !twins.is_empty() {
        let (encoder, generator) = (networks.code_encoder(), &networks.generator);
        let (batch, device) = (settings.batch, job.device);
        let value = diversity::of_generated(encoder, generator, images, &twins, batch, device);
        named.insert("diversity", value);
    }
    let pairs = diversity::real_pairs(&held_out.photos, count);
    if !pairs.is_empty() {
        named.insert("diversity_real", diversity::of_photos(images, &pairs));
    }
    named
}

/// The Frechet distance on the teacher's feature; where the run asks no teacher, on its own primary one.
fn distance(job: &Job, networks: &Networks) -> Result<Option<(&'static str, f64)>, WorkerError> {
    let settings = &job.spec.settings;
    let pairs = shuffled(job.train.len(), settings.eval.frechet_images as usize);
    let asked = training::asks_teacher(settings);
    let teachers = if asked { teaching::load(job)?.nets } else { Vec::new() };
    let (name, dims) = match teachers.first() {
        Some(_) => ("frechet_teacher", settings.teacher.feature),
        None => ("frechet_primary", settings.appearance.feature),
    };
    let value = between(job, networks, &pairs, dims.into(), &|_| Ok(None), &|photos| {
        let x = tensor_of(photos, job.device);
        match teachers.first() {
            Some(teacher) => teacher.features(&x),
            None => networks.encoder.features(&x).0,
        }
    })?;
    Ok(value.map(|value| (name, value)))
}

/// Inception-v3 with the weights that the settings name; `None` where they name none.
///
/// # Errors
/// A file that cannot be read or holds another network: the first names and shapes that do not fit.
pub fn inception(job: &Job) -> Result<Option<Inception>, WorkerError> {
    let Some(weights) = &job.spec.settings.eval.inception_weights else { return Ok(None) };
    let path = Path::new(weights);
    let mut vars = VarStore::new(job.device);
    let network = Inception::new(&vars.root());
    vars.freeze();
    Weights::read(path)?.fill_within(&vars).map_err(|error| match error {
        CheckpointError::Mismatch { path, mismatches, .. } => CheckpointError::Mismatch {
            path,
            mismatches,
            hint: "the file must hold Inception-v3 under torchvision's names, as `eval.inception_weights` says".to_owned(),
        },
        other => other,
    })?;
    Ok(Some(network))
}

/// The FID (dgnet.md, section 7): a generated JPEG for every training photo, its own appearance in a
/// shuffled structure, at the networks' size; the photos at that size too. `None` without weights.
fn fid(job: &Job, networks: &Networks) -> Result<Option<f64>, WorkerError> {
    let Some(inception) = inception(job)? else { return Ok(None) };
    let pairs = shuffled(job.train.len(), job.train.len());
    let as_file = |picture: &Rgb8| {
        decode(&encode_jpeg(picture, JPEG_QUALITY)?, Path::new("<generated>")).map(Some)
    };
    between(job, networks, &pairs, FEATURE, &as_file, &|photos| {
        inception.features(&pixels(photos).to_device(job.device))
    })
}

/// Pictures with values from 0 to 1.
///
/// # Shapes
/// -> (N, 3, H, W)
fn pixels(pictures: &[Rgb8]) -> Tensor {
    let Some(first) = pictures.first() else { return Tensor::empty([0], tch::kind::FLOAT_CPU) };
    let dims = [pictures.len() as i64, first.height as i64, first.width as i64, 3];
    let bytes: Vec<u8> = pictures.iter().flat_map(|picture| picture.data.iter().copied()).collect();
    let values = Tensor::from_slice(&bytes).view(dims).permute([0, 3, 1, 2]);
    values.to_kind(Kind::Float).contiguous() / 255.0
}

/// `count` of the training photos, each with another one's structure: a shuffle, the same for all runs.
fn shuffled(photos: usize, count: usize) -> Vec<Pair> {
    let order = |stream| {
        let mut order: Vec<usize> = (0..photos).collect();
        Rng::new(0, stream, 0).shuffle(&mut order);
        order
    };
    let (appearances, structures) = (order("frechet.appearance"), order("frechet.structure"));
    let pairs = appearances.into_iter().zip(structures).map(|(i, j)| Pair { i, j });
    pairs.take(count).collect()
}

/// The Frechet distance between the photos that give the appearances and the images generated of the
/// pairs, 8 bits a channel, as `stored` gives them back; `None` of fewer than two.
fn between(
    job: &Job,
    networks: &Networks,
    pairs: &[Pair],
    dims: i64,
    stored: &dyn Fn(&Rgb8) -> Result<Option<Rgb8>, DataError>,
    features: &dyn Fn(&[Rgb8]) -> Tensor,
) -> Result<Option<f64>, WorkerError> {
    let (mut real, mut generated) = (Moments::new(dims), Moments::new(dims));
    for chunk in pairs.chunks(job.spec.settings.eval.batch.max(1) as usize) {
        let photos: Vec<Rgb8> = chunk.iter().map(|pair| job.train.picture(pair.i)).collect();
        real.add(&features(&photos));
        let (encoder, generator) = (networks.code_encoder(), &networks.generator);
        let images = swap::generate(encoder, generator, &job.train, chunk, job.device);
        let made: Result<Vec<Rgb8>, DataError> = swap::pictures(&images)
            .into_iter()
            .map(|picture| Ok(stored(&picture)?.unwrap_or(picture)))
            .collect();
        generated.add(&features(&made?));
    }
    Ok(real.fit().zip(generated.fit()).map(|(real, made)| frechet::distance(&real, &made)))
}
