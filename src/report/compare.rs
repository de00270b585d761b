//! Arms against the baseline: which values count, the pairs they form, and what `stats` says of
//! them. Numbers only; the words are made in `words`.

use std::collections::BTreeMap;

use super::facts;
use super::frames::Frames;
use super::looks;
use super::measure::Measure;
use crate::stats::{self, Family, Interval, Paired, Verdict};
use crate::store::rows::{CellRow, StudyData};

/// Recipe version of a run that has not begun.
pub const NOT_BEGUN: u32 = 0;

/// The primary metric of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedValue {
    /// Seed.
    pub seed: u64,
    /// Final value; a diverged run has the worst possible one, an unfinished or failed run none.
    pub value: Option<f64>,
    /// Whether it diverged.
    pub diverged: bool,
}

/// One arm, measured and compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Position in the study file.
    pub place: usize,
    /// Whether the others are compared with it.
    pub is_baseline: bool,
    /// Whether it belongs to the corrected family.
    pub in_family: bool,
    /// Per seed, ascending.
    pub seeds: Vec<SeedValue>,
    /// Mean over the seeds that have a value.
    pub mean: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// Paired differences `arm - baseline`, in the metric's own unit, by seed.
    pub differences: Vec<f64>,
    /// Their estimates.
    pub pairs: Option<Paired>,
    /// p after Holm's correction, for the family.
    pub p_holm: Option<f64>,
    /// The decision; `None` for the baseline and where there are no pairs.
    pub verdict: Option<Verdict>,
    /// Seeds left out because the two runs saw different data or recipes.
    pub unlike: Vec<u64>,
}

impl Compared {
    /// Seeds that have a value.
    #[must_use]
    pub fn n(&self) -> usize {
        self.seeds.iter().filter(|s| s.value.is_some()).count()
    }

    /// Runs that diverged.
    #[must_use]
    pub fn diverged(&self) -> usize {
        self.seeds.iter().filter(|s| s.diverged).count()
    }
}

/// The recipe whose runs count; those of an older one are never pooled with them.
pub(super) fn newest_recipe(data: &StudyData) -> u32 {
    data.cells.iter().map(|cell| cell.recipe).max().unwrap_or(NOT_BEGUN)
}

/// Compares every arm with the baseline on the study's primary metric.
#[must_use]
pub fn compare(data: &StudyData, frames: &Frames, primary: &Measure) -> Vec<Compared> {
    let worst = worst_value(data, frames, primary);
    let newest = newest_recipe(data);
    let cells: BTreeMap<(&str, u64), &CellRow> = data
        .cells
        .iter()
        .filter(|c| c.recipe == newest)
        .map(|c| ((c.arm.as_str(), c.seed), c))
        .collect();
    let base: Vec<SeedValue> = seed_values(data, frames, primary, &data.study.baseline, worst);
    let mut arms: Vec<Compared> = data
        .arms
        .iter()
        .enumerate()
        .map(|(place, arm)| {
            let seeds = seed_values(data, frames, primary, &arm.name, worst);
            let is_baseline = arm.name == data.study.baseline;
            let unlike = unlike_seeds(&seeds, &cells, &arm.name, &data.study.baseline);
            let differences =
                if is_baseline { Vec::new() } else { pair_up(&seeds, &base, &unlike) };
            let values: Vec<f64> = seeds.iter().filter_map(|s| s.value).collect();
            Compared {
                place,
                is_baseline,
                in_family: !is_baseline && data.study.confirm.contains(&arm.name),
                mean: stats::mean(&values),
                interval: stats::mean_interval(&values, 0.95),
                pairs: stats::paired(&differences),
                differences,
                seeds,
                p_holm: None,
                verdict: None,
                unlike,
            }
        })
        .collect();
    let higher = primary.higher != Some(false);
    decide(&mut arms, data.study.equal_within, higher);
    if let Some(adaptive) = data.study.adaptive {
        looks::decide(&mut arms, adaptive, data.study.equal_within, higher);
    }
    arms
}

/// A metric's values of the finished runs of an arm, those that are numbers.
#[must_use]
pub fn of_finished(data: &StudyData, frames: &Frames, place: usize, metric: &str) -> Vec<f64> {
    facts::finished(data, &data.arms[place].name)
        .iter()
        .filter_map(|seed| frames.finals.get(&(place, *seed))?.get(metric).copied())
        .filter(|value| value.is_finite())
        .collect()
}

/// Mean of a metric over the finished runs of an arm.
#[must_use]
pub fn mean_of_finished(
    data: &StudyData,
    frames: &Frames,
    place: usize,
    metric: &str,
) -> Option<f64> {
    stats::mean(&of_finished(data, frames, place, metric))
}

/// Holm over the family, then the verdicts.
fn decide(arms: &mut [Compared], band: f64, higher: bool) {
    let family: Vec<usize> = (0..arms.len()).filter(|i| arms[*i].in_family).collect();
    let raw: Vec<Option<f64>> =
        family.iter().map(|i| arms[*i].pairs.as_ref().map(|p| p.test.p)).collect();
    for (place, p) in family.iter().zip(stats::holm(&raw)) {
        arms[*place].p_holm = p;
    }
    for arm in arms.iter_mut().filter(|a| !a.is_baseline) {
        let Some(mut pairs) = arm.pairs.clone() else { continue };
        if !higher {
            pairs.mean = -pairs.mean; // verdicts read positive as better
        }
        let family = arm.in_family.then_some(Family { size: family.len(), p: arm.p_holm });
        arm.verdict = Some(stats::verdict(&pairs, band, family, arm.diverged()));
    }
}

fn seed_values(
    data: &StudyData,
    frames: &Frames,
    primary: &Measure,
    arm: &str,
    worst: f64,
) -> Vec<SeedValue> {
    let newest = newest_recipe(data);
    let place = data.arms.iter().position(|a| a.name == arm).unwrap_or(usize::MAX);
    let strangers = strangers(data, arm);
    let mut seeds: Vec<SeedValue> = data
        .cells
        .iter()
        .filter(|c| c.arm == arm && (c.recipe == newest || c.recipe == NOT_BEGUN))
        .map(|cell| {
            let last = frames.finals.get(&(place, cell.seed)).and_then(|m| m.get(&primary.name));
            let broken = cell.state == "done" && last.is_some_and(|v| !v.is_finite());
            let diverged = cell.state == "diverged" || broken;
            let value = match cell.state.as_str() {
                _ if strangers.contains(&cell.seed) => None,
                _ if diverged => Some(worst),
                "done" => last.copied(),
                _ => None,
            };
            SeedValue { seed: cell.seed, value, diverged }
        })
        .collect();
    seeds.sort_by_key(|s| s.seed);
    seeds
}

/// Seeds of an arm whose run saw other data than the run of its lowest seed: their values are never
/// pooled with the others.
#[must_use]
pub fn strangers(data: &StudyData, arm: &str) -> Vec<u64> {
    let mut begun: Vec<&CellRow> =
        data.cells.iter().filter(|c| c.arm == arm && !c.data_key.is_empty()).collect();
    begun.sort_by_key(|c| c.seed);
    let Some(first) = begun.first() else { return Vec::new() };
    begun.iter().filter(|c| c.data_key != first.data_key).map(|c| c.seed).collect()
}

/// The value that a diverged run counts as: 0 where higher is better (mAP, rank-k, dB); where lower is
/// better there is no natural worst, so the largest value that any finished run of the study has.
fn worst_value(data: &StudyData, frames: &Frames, primary: &Measure) -> f64 {
    if primary.higher != Some(false) {
        return 0.0;
    }
    let done = |place: usize, seed: u64| {
        data.arms.get(place).is_some_and(|arm| {
            data.cells.iter().any(|c| c.arm == arm.name && c.seed == seed && c.state == "done")
        })
    };
    frames
        .finals
        .iter()
        .filter(|((place, seed), _)| done(*place, *seed))
        .filter_map(|(_, metrics)| metrics.get(&primary.name).copied())
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max)
}

fn unlike_seeds(
    seeds: &[SeedValue],
    cells: &BTreeMap<(&str, u64), &CellRow>,
    arm: &str,
    baseline: &str,
) -> Vec<u64> {
    seeds
        .iter()
        .map(|s| s.seed)
        .filter(|seed| match (cells.get(&(arm, *seed)), cells.get(&(baseline, *seed))) {
            (Some(a), Some(b)) => {
                a.data_key != b.data_key && !a.data_key.is_empty() && !b.data_key.is_empty()
            }
            _ => false,
        })
        .collect()
}

fn pair_up(arm: &[SeedValue], base: &[SeedValue], unlike: &[u64]) -> Vec<f64> {
    let base: BTreeMap<u64, f64> =
        base.iter().filter_map(|s| s.value.map(|v| (s.seed, v))).collect();
    arm.iter()
        .filter(|s| !unlike.contains(&s.seed))
        .filter_map(|s| Some(s.value? - base.get(&s.seed)?))
        .collect()
}
