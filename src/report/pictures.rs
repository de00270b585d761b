//! What the report shows of single pictures and single queries: swap grids and their quality in numbers,
//! ranked lists, queries that an arm improves and hurts. Rows in, ready strings out; no markup.

use serde::Serialize;

use super::compare::mean_of_finished;
use super::frames::Frames;
use super::measure::{Measure, count, number};
use crate::store::rows::{ArtifactRow, StudyData};

/// A picture with its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PictureView {
    /// Arm.
    pub arm: String,
    /// Seed and step.
    pub origin: String,
    /// What it shows.
    pub caption: String,
    /// Media type, one that a page may show.
    pub media_type: String,
    /// The file.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// The ranked lists of an arm's first seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedView {
    /// Arm.
    pub arm: String,
    /// Seed and step.
    pub origin: String,
    /// A list each, from the best query to the worst.
    pub lists: Vec<PictureView>,
}

/// Quality of generated pictures: a row an arm, a column a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    /// Metrics with their units.
    pub headings: Vec<String>,
    /// What each metric is, in a phrase.
    pub about: Vec<String>,
    /// Arm and its means over finished runs, in the order of the headings.
    pub rows: Vec<(String, Vec<String>)>,
}

/// Queries that an arm ranks most otherwise than the baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeView {
    /// Arm.
    pub arm: String,
    /// `3 seeds`.
    pub seeds: String,
    /// Largest gains first.
    pub improved: Vec<ChangedQuery>,
    /// Largest losses first.
    pub hurt: Vec<ChangedQuery>,
}

/// A query before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangedQuery {
    /// File name.
    pub query: String,
    /// Mean average precision of the baseline, per cent.
    pub baseline: String,
    /// The arm's.
    pub value: String,
    /// Difference in points, with its sign.
    pub difference: String,
}

/// Metrics of generated pictures, in the order in which they are shown.
const QUALITY: [&str; 12] = [
    "swap_nearer",
    "swap_psnr",
    "swap_ssim",
    "recon_l1_ratio",
    "swap_error_mean",
    "swap_error_appearance",
    "swap_error_structure",
    "swap_error_interaction",
    "diversity",
    "diversity_real",
    "frechet_teacher",
    "fid",
];

/// Swap grids of each arm's first seed that has any.
pub fn grids(data: &StudyData) -> Vec<PictureView> {
    data.arms.iter().flat_map(|arm| of_kind(data, &arm.name, "swap_grid")).map(view).collect()
}

/// Ranked lists of each arm's first seed that has any.
pub fn ranked(data: &StudyData) -> Vec<RankedView> {
    let lists = |arm: &str| -> Vec<PictureView> {
        of_kind(data, arm, "ranked").into_iter().map(view).collect()
    };
    data.arms
        .iter()
        .map(|arm| (arm, lists(&arm.name)))
        .filter_map(|(arm, lists)| {
            let origin = lists.first()?.origin.clone();
            Some(RankedView { arm: arm.name.clone(), origin, lists })
        })
        .collect()
}

/// Means of the metrics of generated pictures over finished runs; `None` where nobody has any.
pub fn quality(data: &StudyData, frames: &Frames) -> Option<Quality> {
    let mean = |place: usize, metric: &str| mean_of_finished(data, frames, place, metric);
    let places = 0..data.arms.len();
    let seen = |metric: &&str| places.clone().any(|place| mean(place, metric).is_some());
    let metrics: Vec<&str> = QUALITY.into_iter().filter(seen).collect();
    let measures: Vec<Measure> = metrics.iter().map(|name| Measure::of(name, &data.defs)).collect();
    let rows: Vec<(String, Vec<String>)> = places
        .clone()
        .filter(|place| metrics.iter().any(|metric| mean(*place, metric).is_some()))
        .map(|place| {
            let values = metrics.iter().zip(&measures).map(|(metric, measure)| {
                mean(place, metric).map_or("\u{2013}".to_owned(), |value| measure.value(value))
            });
            (data.arms[place].name.clone(), values.collect())
        })
        .collect();
    let about = |name: &&str| {
        crate::spec::metrics::lookup(name).map_or(String::new(), |info| info.about.to_owned())
    };
    (!rows.is_empty()).then(|| Quality {
        headings: measures.iter().map(Measure::heading).collect(),
        about: metrics.iter().map(about).collect(),
        rows,
    })
}

/// Gains and losses of single queries, arm by arm.
pub fn changes(data: &StudyData) -> Vec<ChangeView> {
    let mut views = Vec::new();
    for arm in &data.arms {
        let own: Vec<_> = data.changes.iter().filter(|row| row.arm == arm.name).collect();
        let Some(first) = own.first() else { continue };
        let query = |row: &&crate::store::rows::ChangeRow| {
            let percent = |share: f64| number(100.0 * share, 1);
            let points = 100.0 * (row.value - row.baseline);
            let sign = if points > 0.0 { "+" } else { "" };
            ChangedQuery {
                query: row.query.clone(),
                baseline: percent(row.baseline),
                value: percent(row.value),
                difference: format!("{sign}{}", number(points, 1)),
            }
        };
        let improved = own.iter().copied().filter(|row| row.value > row.baseline);
        let hurt = own.iter().copied().rev().filter(|row| row.value < row.baseline);
        views.push(ChangeView {
            arm: arm.name.clone(),
            seeds: count(first.seeds as usize, "seed"),
            improved: improved.map(|row| query(&row)).collect(),
            hurt: hurt.map(|row| query(&row)).collect(),
        });
    }
    views
}

/// Pictures of a kind of the first seed of an arm that has any.
fn of_kind<'a>(data: &'a StudyData, arm: &str, kind: &str) -> Vec<&'a ArtifactRow> {
    let shown = |a: &&ArtifactRow| a.arm == arm && a.kind == kind && web_picture(&a.media_type);
    let first = data.artifacts.iter().filter(shown).map(|a| a.seed).min();
    data.artifacts.iter().filter(shown).filter(|a| Some(a.seed) == first).collect()
}

fn view(picture: &ArtifactRow) -> PictureView {
    PictureView {
        arm: picture.arm.clone(),
        origin: format!("seed {}, step {}", picture.seed, picture.step),
        caption: picture.caption.clone(),
        media_type: picture.media_type.clone(),
        bytes: picture.bytes.clone(),
    }
}

/// Raster types only: an SVG may carry scripts.
fn web_picture(media_type: &str) -> bool {
    ["image/png", "image/jpeg", "image/webp", "image/gif"].contains(&media_type)
}
