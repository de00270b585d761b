//! A second study beside the report's: arms of the same name against each other, as `dgnet compare` does
//! it, and the settings in which they differ. Numbers and words come from `pairwise`; no markup.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ReportError;
use super::figures::forest::Tone;
use super::measure::Measure;
use super::pairwise::{ALONE, Met, Pairwise, Side, is_diverged, judge, meet, refusal};
use super::view;
use super::words::p_value;
use crate::stats::{self, Decision, Interval};
use crate::store::Db;
use crate::store::rows::StudyRow;

/// Two studies, arm by arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Against {
    /// The study of the report.
    pub study: String,
    /// The other one.
    pub other: String,
    /// The metric with its unit: that which decides the report's study.
    pub metric: String,
    /// Unit of a difference.
    pub difference_unit: String,
    /// The other study's own deciding metric, where it is not this one.
    pub other_primary: Option<String>,
    /// Arms that both have, in the order of the report's study.
    pub arms: Vec<ArmAgainst>,
    /// Arms that only the report's study has.
    pub only_here: Vec<String>,
    /// Arms that only the other one has.
    pub only_there: Vec<String>,
}

/// One arm in both studies. Differences are the report's study minus the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmAgainst {
    /// Name.
    pub arm: String,
    /// In the report's study.
    pub here: Mean,
    /// In the other one.
    pub there: Mean,
    /// Paired difference.
    pub difference: String,
    /// Its 95 % t interval.
    pub difference_interval: String,
    /// p of the sign-flip test, uncorrected.
    pub p: String,
    /// Verdict in a few words, or `not compared`.
    pub verdict: String,
    /// worse | better | same | open | none.
    pub tone: &'static str,
    /// The verdict as sentences, or why there is none.
    pub sentences: Vec<String>,
    /// Settings that differ: `loss.lambda_prim: 2 there, 0 here`.
    pub differ: Vec<String>,
    /// Pairs.
    pub pairs: usize,
    /// Tone of its mark in the chart.
    #[serde(skip)]
    pub mark: Tone,
    /// Pairs of which one or both runs diverged.
    pub diverged: usize,
    /// Mean paired difference, in the metric's own unit.
    pub raw_difference: Option<f64>,
    /// Its 95 % t interval, unrounded.
    pub raw_interval95: Option<[f64; 2]>,
    /// Its 90 % t interval, unrounded.
    pub raw_interval90: Option<[f64; 2]>,
    /// The difference of each pair, by seed.
    pub raw_pairs: Vec<f64>,
}

/// A mean over seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mean {
    /// Seeds with a value.
    pub seeds: usize,
    /// Mean.
    pub mean: String,
    /// Its 95 % interval.
    pub interval: String,
    /// Mean, unrounded.
    pub raw: Option<f64>,
}

/// Compares the arms that two studies of a database share, on the first one's deciding metric.
///
/// # Errors
/// [`ReportError::Unlike`] for a study beside itself, an unknown study, an unreadable database.
pub fn against(
    db: &mut Db,
    name: &str,
    other: &str,
    archived: bool,
) -> Result<Against, ReportError> {
    let (study, beside) = (db.study(name)?, db.study(other)?);
    if name == other {
        return Err(ReportError::Unlike(format!(
            "`{name}` cannot stand beside itself\n  hint: `--against` takes another study of the same database"
        )));
    }
    let measure = Measure::of(&study.primary, &db.metric_defs()?);
    let names = |rows: Vec<crate::store::rows::ArmRow>| -> Vec<String> {
        rows.into_iter().map(|row| row.name).collect()
    };
    let (here, there) = (names(db.arms(name)?), names(db.arms(other)?));
    let without = |all: &[String], of: &[String]| -> Vec<String> {
        let of: BTreeSet<&String> = of.iter().collect();
        all.iter().filter(|arm| !of.contains(arm)).cloned().collect()
    };
    let (only_here, only_there) = (without(&here, &there), without(&there, &here));
    let mut arms = Vec::new();
    for arm in here.iter().filter(|arm| there.contains(arm)) {
        // the other study is what this one is compared with
        let both = [(other.to_owned(), arm.clone()), (name.to_owned(), arm.clone())];
        let met = meet(db, both, &measure, archived)?;
        arms.push(arm_against(db, &study, &measure, met)?);
    }
    Ok(Against {
        study: name.to_owned(),
        other: other.to_owned(),
        metric: measure.heading(),
        difference_unit: measure.difference_unit().to_owned(),
        other_primary: (beside.primary != study.primary).then_some(beside.primary),
        arms,
        only_here,
        only_there,
    })
}

fn arm_against(
    db: &mut Db,
    study: &StudyRow,
    measure: &Measure,
    met: Met,
) -> Result<ArmAgainst, ReportError> {
    let [there, here] = met.sides.each_ref().map(|side| mean(side, measure));
    let arm = met.sides[1].arm.clone();
    let refused = refusal(&met, measure);
    let Some(reason) = refused else {
        let told = judge(db, study.clone(), measure.clone(), met, study.equal_within)?;
        return Ok(judged(arm, here, there, measure, told));
    };
    // the hint is for the command line
    let reason = reason.lines().next().unwrap_or_default();
    Ok(ArmAgainst {
        arm,
        here,
        there,
        difference: String::new(),
        difference_interval: String::new(),
        p: String::new(),
        verdict: "not compared".to_owned(),
        tone: "none",
        sentences: vec![format!("{reason}.")],
        differ: Vec::new(),
        pairs: 0,
        mark: view::tone(None),
        diverged: 0,
        raw_difference: None,
        raw_interval95: None,
        raw_interval90: None,
        raw_pairs: Vec::new(),
    })
}

fn judged(arm: String, here: Mean, there: Mean, measure: &Measure, told: Pairwise) -> ArmAgainst {
    let estimate = told.estimate.as_ref();
    let bounds = |interval: Option<Interval>| interval.map(|i| [i.low, i.high]);
    let counted = || told.pairs.iter().filter(|pair| pair.left_out.is_none());
    let diverged = |seed| told.sides.iter().any(|side| is_diverged(side, seed));
    let (verdict, tone) = match told.verdict.map(|verdict| verdict.decision) {
        Some(Decision::Worse) => ("worse", "worse"),
        Some(Decision::Better) => ("better", "better"),
        Some(Decision::NoDifference) => ("no difference that matters", "same"),
        Some(Decision::Inconclusive { .. }) => ("inconclusive", "open"),
        None => ("no pairs yet", "none"),
    };
    let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "not set".to_owned());
    let differ = told
        .differ
        .iter()
        .map(|(key, there, here)| format!("`{key}`: {} there, {} here", value(there), value(here)))
        .collect();
    ArmAgainst {
        arm,
        here,
        there,
        difference: estimate.map_or_else(String::new, |e| measure.difference(e.mean)),
        difference_interval: span(estimate.and_then(|e| e.t95), &|v| measure.difference(v)),
        p: estimate.filter(|e| e.n > 1).map_or_else(String::new, |e| p_value(e.test.p)),
        verdict: verdict.to_owned(),
        tone,
        differ,
        pairs: estimate.map_or(0, |e| e.n),
        mark: view::tone(told.verdict),
        diverged: counted().filter(|pair| diverged(pair.seed)).count(),
        raw_difference: estimate.map(|e| e.mean),
        raw_interval95: bounds(estimate.and_then(|e| e.t95)),
        raw_interval90: bounds(estimate.and_then(|e| e.t90)),
        raw_pairs: counted().filter_map(|pair| Some(pair.other? - pair.one?)).collect(),
        sentences: told.sentences.into_iter().filter(|sentence| sentence != ALONE).collect(),
    }
}

fn mean(side: &Side, measure: &Measure) -> Mean {
    let raw = stats::mean(&side.values);
    Mean {
        seeds: side.values.len(),
        mean: raw.map_or_else(|| "\u{2013}".to_owned(), |v| measure.value(v)),
        interval: span(stats::mean_interval(&side.values, 0.95), &|v| measure.bound(v)),
        raw,
    }
}

fn span(interval: Option<Interval>, show: &dyn Fn(f64) -> String) -> String {
    interval.map_or_else(String::new, |i| format!("{} to {}", show(i.low), show(i.high)))
}
