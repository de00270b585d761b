//! The evaluation and picture stages of a run, each published once per key, and the ranking that
//! training asks for on its way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::job::{Job, WorkerError};
use super::{quality, ranked};
use crate::eval::rank::{
    CameraPair, Evaluation, Features, by_both, by_cameras, evaluate, pooled, reranked,
};
use crate::eval::{features, pictures};
use crate::model::teacher::TeacherNet;
use crate::train::networks::Networks;
use dgnet::data::Photo;
use dgnet::data::loader::Images;
use dgnet::data::pixels::encode_png;
use dgnet::stats::ranking::Ranking;
use dgnet::stats::rerank::Rerank;
use dgnet::store::files::{read_json, write_atomic, write_json};
use dgnet::store::records::{ArtifactLine, CAMERAS, Number, QueryLine};
use dgnet::store::{RunWriter, StageKind};

const RESULT: &str = "result.json";
const GRID: &str = "swap_grid.png";
const LINES: &str = "pictures.json";

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

/// What an evaluation leaves for the pictures.
pub struct Judged {
    /// How every query was ranked.
    queries: Vec<QueryLine>,
    /// Features of queries and gallery, where they were just computed.
    features: Option<[Features; 2]>,
}

/// What the evaluation stage holds.
#[derive(Serialize, Deserialize)]
struct Evaluated {
    metrics: BTreeMap<String, Number>,
    queries: Vec<QueryLine>,
    /// By both halves, for every pair of cameras; empty in stages of earlier versions.
    #[serde(default)]
    cameras: Vec<CameraPair>,
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
    found.labelled(&images.photos)
}

/// Ranks the gallery for every query (single query, official protocol).
pub fn rank(job: &Job, model: &Model) -> Result<Ranked, WorkerError> {
    let [query, gallery] = searched(job, model)?;
    ranking(job, model, &query, &gallery)
}

/// Features of the queries and of the gallery.
fn searched(job: &Job, model: &Model) -> Result<[Features; 2], WorkerError> {
    Ok([extract(job, &*job.query()?, model), extract(job, &*job.gallery()?, model)])
}

fn ranking(
    job: &Job,
    model: &Model,
    query: &Features,
    gallery: &Features,
) -> Result<Ranked, WorkerError> {
    let settings = &job.spec.settings;
    let threads = settings.train.threads.max(1) as usize;
    let evaluation = evaluate(query, gallery, settings.eval.fine_weight as f32, threads)?;
    let heads = if matches!(model, Model::Joint(_)) { 2 } else { 1 };
    Ok(Ranked { queries: job.dataset.query.iter().map(Photo::name).collect(), evaluation, heads })
}

/// The evaluation stage: ranking, and for DG-Net the quality of generated images.
pub fn evaluation(
    job: &Job,
    model: &Model,
    step: u64,
    writer: &mut RunWriter,
) -> Result<Judged, WorkerError> {
    let key = &job.spec.stages.evaluation;
    writer.heartbeat("evaluation", step, step)?;
    let mut features = None;
    let stage = job.stage(StageKind::Evaluation, key, |folder| {
        let searched = searched(job, model)?;
        write_json(&folder.join(RESULT), &evaluate_all(job, model, step, &searched)?)?;
        features = Some(searched);
        Ok(())
    })?;
    let Some(evaluated) = read_json::<Evaluated>(&stage.join(RESULT))? else {
        return Err(WorkerError::Missing { kind: "evaluation", key: key.clone() });
    };
    let values: Vec<(&str, f64)> =
        evaluated.metrics.iter().map(|(name, value)| (name.as_str(), value.0)).collect();
    writer.metrics(step, &values)?;
    writer.queries(&evaluated.queries)?;
    if !evaluated.cameras.is_empty() {
        write_json(&writer.run().path().join(CAMERAS), &evaluated.cameras)?;
    }
    writer.flush()?;
    Ok(Judged { queries: evaluated.queries, features })
}

fn evaluate_all(
    job: &Job,
    model: &Model,
    step: u64,
    [query, gallery]: &[Features; 2],
) -> Result<Evaluated, WorkerError> {
    let ranked = ranking(job, model, query, gallery)?;
    let mut values = ranked.metrics();
    values.extend(other_protocols(job, model, query, gallery)?);
    if let Model::Joint(networks) = model {
        values.extend(quality::metrics(job, networks)?);
    }
    let metrics =
        values.into_iter().map(|(name, value)| (name.to_owned(), Number(value))).collect();
    let settings = &job.spec.settings;
    let (weight, threads) =
        (settings.eval.fine_weight as f32, settings.train.threads.max(1) as usize);
    let cameras = by_cameras(query, gallery, weight, threads)?;
    Ok(Evaluated { metrics, queries: ranked.lines(step), cameras })
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
        let both = by_both(&pooled(query, &photos), gallery, weight, threads)?;
        values.extend([("mAP_multi", both.map()), ("rank1_multi", both.rank(1))]);
    }
    if settings.eval.rerank {
        let both = reranked(query, gallery, weight, Rerank::default(), threads);
        values.extend([("mAP_reranked", both.map()), ("rank1_reranked", both.rank(1))]);
    }
    Ok(values)
}

/// The picture stage: ranked lists, and for DG-Net the swap grid.
pub fn pictures(
    job: &Job,
    model: &Model,
    step: u64,
    judged: &Judged,
    writer: &mut RunWriter,
) -> Result<(), WorkerError> {
    let settings = &job.spec.settings.pictures;
    let (grid, lists) = (settings.grid as usize, settings.ranked as usize);
    let networks = match model {
        Model::Joint(networks) if grid > 0 => Some(networks),
        _ => None,
    };
    if networks.is_none() && lists == 0 {
        return Ok(());
    }
    let key = &job.spec.stages.pictures;
    let there = job.stages.published(StageKind::Pictures, key);
    if there.is_some_and(|stage| !stage.join(LINES).is_file()) {
        // an earlier version drew it, without a list of what there is
        job.stages.set_aside(StageKind::Pictures, key);
    }
    let stage = job.stage(StageKind::Pictures, key, |folder| {
        let mut lines = Vec::new();
        if let Some(networks) = networks {
            lines.push(swap_grid(job, networks, grid, step, folder)?);
        }
        if lists > 0 {
            let again = if judged.features.is_none() { Some(searched(job, model)?) } else { None };
            if let Some(features) = judged.features.as_ref().or(again.as_ref()) {
                lines.extend(ranked::draw(job, features, &judged.queries, (lists, step), folder)?);
            }
        }
        Ok(write_json(&folder.join(LINES), &lines)?)
    })?;
    let Some(lines) = read_json::<Vec<ArtifactLine>>(&stage.join(LINES))? else {
        return Err(WorkerError::Missing { kind: "pictures", key: key.clone() });
    };
    for line in lines {
        let path = stage.join(&line.name);
        let bytes = fs::read(&path).map_err(dgnet::store::StoreError::io("read", &path))?;
        writer.artifact(&line, &bytes)?;
    }
    Ok(())
}

fn swap_grid(
    job: &Job,
    networks: &Networks,
    size: usize,
    step: u64,
    folder: &Path,
) -> Result<ArtifactLine, WorkerError> {
    let (encoder, generator) = (networks.code_encoder(), &networks.generator);
    let held_out = job.held_out()?;
    let truth = job.truth.as_ref();
    let grid = pictures::swap_grid(encoder, generator, &held_out, truth, size, job.device)?;
    write_atomic(&folder.join(GRID), &encode_png(&grid)?)?;
    let beside =
        if truth.is_some() { "; to the right the same pairs as they would truly look" } else { "" };
    Ok(ArtifactLine {
        name: GRID.to_owned(),
        kind: "swap_grid".to_owned(),
        step,
        media_type: "image/png".to_owned(),
        caption: format!(
            "generated images of held-out persons: columns give the appearance, rows the structure{beside}"
        ),
    })
}
