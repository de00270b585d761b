//! The evaluation and picture stages of a run, each published once per key, and the ranking that
//! training asks for on its way.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use super::job::{Job, WorkerError};
use crate::eval::rank::{Evaluation, Features, evaluate, pooled, reranked};
use crate::eval::{features, pictures, swap};
use crate::model::teacher::TeacherNet;
use crate::train::step::Networks;
use dgnet::data::Photo;
use dgnet::data::loader::Images;
use dgnet::data::pixels::encode_png;
use dgnet::stats::ranking::{Label, Ranking};
use dgnet::stats::rerank::Rerank;
use dgnet::store::files::{read_json, write_atomic, write_json};
use dgnet::store::records::{ArtifactLine, Number, QueryLine};
use dgnet::store::{RunWriter, StageKind};

const RESULT: &str = "result.json";
const GRID: &str = "swap_grid.png";

/// What is evaluated.
pub enum Model<'a> {
    /// DG-Net: two heads.
    Joint(&'a Networks),
    /// The baseline: one head.
    Teacher(&'a TeacherNet),
}

/// The rankings of one evaluation.
pub struct Ranked {
    /// Query file names, in the order of the rankings.
    queries: Vec<String>,
    /// By both halves, by each alone; for one head only `both` counts.
    evaluation: Evaluation,
    heads: usize,
}

/// What the evaluation stage holds.
#[derive(Serialize, Deserialize)]
struct Evaluated {
    metrics: BTreeMap<String, Number>,
    queries: Vec<QueryLine>,
}

impl Ranked {
    /// The ranking metrics under their names, as shares of 1.
    #[must_use]
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        let both = &self.evaluation.both;
        let mut values = vec![
            ("mAP", both.map()),
            ("mAP_standard", both.map_standard()),
            ("mINP", both.minp()),
            ("rank1", both.rank(1)),
            ("rank5", both.rank(5)),
            ("rank10", both.rank(10)),
        ];
        if self.heads == 2 {
            let of = |ranking: &Ranking| (ranking.map(), ranking.rank(1));
            let (primary, fine) = (of(&self.evaluation.primary), of(&self.evaluation.fine));
            values.extend([("mAP_primary", primary.0), ("rank1_primary", primary.1)]);
            values.extend([("mAP_fine", fine.0), ("rank1_fine", fine.1)]);
        }
        values
    }

    fn lines(&self, step: u64) -> Vec<QueryLine> {
        let ranked = self.queries.iter().zip(&self.evaluation.both.queries);
        ranked
            .map(|(query, ranked)| QueryLine {
                step,
                query: query.clone(),
                ap: ranked.map(|ranked| ranked.ap),
                first_hit: ranked.map(|ranked| ranked.first_hit),
            })
            .collect()
    }
}

fn extract(job: &Job, images: &Images, model: &Model) -> Features {
    let batch = job.spec.settings.eval.batch;
    let found = match model {
        Model::Joint(networks) => features::extract(images, batch, job.device, |x| {
            let (primary, fine) = networks.encoder.features(x);
            (primary, Some(fine))
        }),
        Model::Teacher(teacher) => {
            features::extract(images, batch, job.device, |x| (teacher.features(x), None))
        }
    };
    let label = |photo: &Photo| Label { person: photo.person, camera: photo.camera };
    // one head: its feature stands in for both halves, and the fine weight drops out of the ranking
    let fine = if found.fine.is_empty() { vec![0.0; found.primary.len()] } else { found.fine };
    Features {
        labels: images.photos.iter().map(label).collect(),
        primary: found.primary,
        fine,
        dims: found.dims,
    }
}

/// Ranks the gallery for every query (single query, official protocol).
pub fn rank(job: &Job, model: &Model) -> Result<Ranked, WorkerError> {
    let [query, gallery] = searched(job, model)?;
    ranked(job, model, &query, &gallery)
}

/// Features of the queries and of the gallery.
fn searched(job: &Job, model: &Model) -> Result<[Features; 2], WorkerError> {
    Ok([extract(job, &*job.query()?, model), extract(job, &*job.gallery()?, model)])
}

fn ranked(
    job: &Job,
    model: &Model,
    query: &Features,
    gallery: &Features,
) -> Result<Ranked, WorkerError> {
    let settings = &job.spec.settings;
    let threads = settings.train.threads.max(1) as usize;
    let evaluation = evaluate(query, gallery, settings.eval.fine_weight as f32, threads)
        .map_err(|error| WorkerError::Panic(error.to_string()))?;
    let heads = if matches!(model, Model::Joint(_)) { 2 } else { 1 };
    Ok(Ranked { queries: job.dataset.query.iter().map(Photo::name).collect(), evaluation, heads })
}

/// The evaluation stage: ranking, and for DG-Net the quality of generated images.
pub fn evaluation(
    job: &Job,
    model: &Model,
    step: u64,
    writer: &mut RunWriter,
) -> Result<(), WorkerError> {
    let key = &job.spec.stages.evaluation;
    writer.heartbeat("evaluation", step, step)?;
    let stage = job.stage(StageKind::Evaluation, key, |folder| {
        Ok(write_json(&folder.join(RESULT), &evaluate_all(job, model, step)?)?)
    })?;
    let Some(evaluated) = read_json::<Evaluated>(&stage.join(RESULT))? else {
        return Err(WorkerError::Missing { kind: "evaluation", key: key.clone() });
    };
    let values: Vec<(&str, f64)> =
        evaluated.metrics.iter().map(|(name, value)| (name.as_str(), value.0)).collect();
    writer.metrics(step, &values)?;
    writer.queries(&evaluated.queries)?;
    Ok(writer.flush()?)
}

fn evaluate_all(job: &Job, model: &Model, step: u64) -> Result<Evaluated, WorkerError> {
    let [query, gallery] = searched(job, model)?;
    let ranked = ranked(job, model, &query, &gallery)?;
    let mut values = ranked.metrics();
    values.extend(other_protocols(job, model, &query, &gallery)?);
    if let Model::Joint(networks) = model {
        values.extend(swap_metrics(job, networks)?);
    }
    let metrics =
        values.into_iter().map(|(name, value)| (name.to_owned(), Number(value))).collect();
    Ok(Evaluated { metrics, queries: ranked.lines(step) })
}

/// The protocols that are asked for beside the official one: multi-query, re-ranking.
fn other_protocols(
    job: &Job,
    model: &Model,
    query: &Features,
    gallery: &Features,
) -> Result<Vec<(&'static str, f64)>, WorkerError> {
    let settings = &job.spec.settings;
    let (weight, threads) =
        (settings.eval.fine_weight as f32, settings.train.threads.max(1) as usize);
    let mut values = Vec::new();
    if settings.eval.multi_query && !job.dataset.multi_query.is_empty() {
        let photos = extract(job, &job.load(&job.dataset.multi_query)?, model);
        let both = evaluate(&pooled(query, &photos), gallery, weight, threads)
            .map_err(|error| WorkerError::Panic(error.to_string()))?
            .both;
        values.extend([("mAP_multi", both.map()), ("rank1_multi", both.rank(1))]);
    }
    if settings.eval.rerank {
        let both = reranked(query, gallery, weight, Rerank::default(), threads);
        values.extend([("mAP_reranked", both.map()), ("rank1_reranked", both.rank(1))]);
    }
    Ok(values)
}

fn swap_metrics(
    job: &Job,
    networks: &Networks,
) -> Result<BTreeMap<&'static str, f64>, WorkerError> {
    let settings = &job.spec.settings.eval;
    let (encoder, generator) = (networks.code_encoder(), &networks.generator);
    let held_out = job.held_out()?;
    let scores = match &job.truth {
        Some(truth) if settings.swap_pairs > 0 => {
            let pairs = swap::pairs(&held_out.photos, settings.swap_pairs as usize);
            let swaps = swap::truths(&held_out, truth, &pairs)?;
            Some(swap::score(
                encoder,
                generator,
                &held_out.images,
                &swaps,
                settings.batch,
                job.device,
            ))
        }
        _ => None,
    };
    let mean = swap::mean_image(&job.train, job.device);
    let ratio =
        swap::reconstruction_ratio(encoder, generator, &held_out.images, &mean, settings.batch);
    Ok(swap::metrics(scores, ratio))
}

/// The picture stage: the swap grid.
pub fn pictures(
    job: &Job,
    networks: &Networks,
    step: u64,
    writer: &mut RunWriter,
) -> Result<(), WorkerError> {
    let size = job.spec.settings.pictures.grid as usize;
    if size == 0 {
        return Ok(());
    }
    let key = &job.spec.stages.pictures;
    let stage = job.stage(StageKind::Pictures, key, |folder| {
        let (encoder, generator) = (networks.code_encoder(), &networks.generator);
        let held_out = job.held_out()?;
        let grid = pictures::swap_grid(
            encoder,
            generator,
            &held_out,
            job.truth.as_ref(),
            size,
            job.device,
        )?;
        Ok(write_atomic(&folder.join(GRID), &encode_png(&grid)?)?)
    })?;
    let truth = if job.truth.is_some() {
        "; to the right the same pairs as they would truly look"
    } else {
        ""
    };
    let line = ArtifactLine {
        name: GRID.to_owned(),
        kind: "swap_grid".to_owned(),
        step,
        media_type: "image/png".to_owned(),
        caption: format!(
            "generated images of held-out persons: columns give the appearance, rows the structure{truth}"
        ),
    };
    let path = stage.join(GRID);
    let bytes = fs::read(&path).map_err(dgnet::store::StoreError::io("read", &path))?;
    Ok(writer.artifact(&line, &bytes)?)
}
