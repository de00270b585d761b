//! Two arms against each other, of one study or of two: what `dgnet compare` says, and `dgnet report
//! --against` of every arm. The same values, pairs and words as the report's, and for a single seed what
//! its queries tell.

mod pairs;

pub use pairs::{Met, Pair, Side, is_diverged, meet, refusal};

use std::collections::BTreeMap;
use std::path::Path;

use pairs::uid;

use super::ReportError;
use super::compare::{Compared, SeedValue};
use super::measure::{Measure, count};
use super::words::{Speaker, p_value};
use crate::stats::verdict::ALPHA;
use crate::stats::{self, Clustered, Decision, Paired, Verdict, Wilcoxon};
use crate::store::Db;
use crate::store::find::{QueryRow, SettingPair};
use crate::store::rows::{ArmRow, StudyRow};

/// What every comparison outside a family has to say.
pub const ALONE: &str = "One comparison by itself, not corrected for others.";

/// The comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairwise {
    /// The metric.
    pub measure: Measure,
    /// The first arm, and the second.
    pub sides: [Side; 2],
    /// Every seed of either.
    pub pairs: Vec<Pair>,
    /// Estimates of `second - first`.
    pub estimate: Option<Paired>,
    /// Second opinion.
    pub wilcoxon: Option<Wilcoxon>,
    /// How often a run of the second beats one of the first.
    pub improvement: Option<f64>,
    /// The decision, uncorrected.
    pub verdict: Option<Verdict>,
    /// Differences below this do not matter; 0 where nothing says so.
    pub band: f64,
    /// Of a single pair: its queries, persons resampled.
    pub persons: Option<Clustered>,
    /// Settings in which the runs of the first pair differ, with both JSON values.
    pub differ: Vec<SettingPair>,
    /// What is decided and what stands against it, sentence by sentence.
    pub sentences: Vec<String>,
}

/// Compares the arms that two names (`ARM` or `STUDY/ARM`) give, on a metric or the first study's own.
///
/// # Errors
/// [`ReportError::Unlike`] where no seed of the two saw the same data and recipe; unknown names.
pub fn pairwise(
    file: &Path,
    names: [&str; 2],
    metric: Option<&str>,
    band: Option<f64>,
) -> Result<Pairwise, ReportError> {
    let mut db = Db::open_read(file)?;
    let found = [db.find_arm(names[0])?, db.find_arm(names[1])?];
    let study = db.study(&found[0].0)?;
    let metric = metric.unwrap_or(&study.primary).to_owned();
    db.check_metric(&metric)?;
    let measure = Measure::of(&metric, &db.metric_defs()?);
    // the band is of the primary metric; another one has none unless it is given
    let band = band.unwrap_or(if metric == study.primary { study.equal_within } else { 0.0 });
    let met = meet(&mut db, found, &measure, false)?;
    if let Some(reason) = refusal(&met, &measure) {
        return Err(ReportError::Unlike(reason));
    }
    if measure.higher.is_none() {
        return Err(ReportError::Unlike(format!(
            "`{metric}` has no better or worse: nothing is decided on it\n  hint: for example `--metric mAP`; `dgnet query` shows its values"
        )));
    }
    judge(&mut db, study, measure, met, band)
}

/// What the pairs of two arms say; the first arm's study gives the band's meaning.
///
/// # Errors
/// An unreadable database.
pub fn judge(
    db: &mut Db,
    study: StudyRow,
    measure: Measure,
    met: Met,
    band: f64,
) -> Result<Pairwise, ReportError> {
    let Met { sides, pairs } = met;
    let (mut differ, mut persons) = (Vec::new(), None);
    let counted: Vec<&Pair> = pairs.iter().filter(|p| p.left_out.is_none()).collect();
    if let Some(pair) = counted.first() {
        let uids = sides.each_ref().map(|side| uid(side, pair.seed));
        differ = db.settings_between(uids[0], uids[1])?;
        differ.retain(|(key, ..)| key != "data.path");
        if counted.len() == 1 {
            let [one, other] = [db.query_results(uids[0])?, db.query_results(uids[1])?];
            persons = by_person(&measure.name, &one, &other);
        }
    }
    Ok(conclude(study, measure, sides, pairs, band, differ, persons))
}

/// Estimates, verdict and words.
fn conclude(
    study: StudyRow,
    measure: Measure,
    sides: [Side; 2],
    pairs: Vec<Pair>,
    band: f64,
    differ: Vec<SettingPair>,
    persons: Option<Clustered>,
) -> Pairwise {
    let counted = pairs.iter().filter(|p| p.left_out.is_none());
    // values of other seeds may be of other data: nothing is estimated across
    let (one, other): (Vec<f64>, Vec<f64>) = counted.filter_map(|p| p.one.zip(p.other)).unzip();
    let differences: Vec<f64> = one.iter().zip(&other).map(|(one, other)| other - one).collect();
    let estimate = stats::paired(&differences);
    let sign = if measure.higher == Some(false) { -1.0 } else { 1.0 };
    let diverged =
        pairs.iter().filter(|p| p.left_out.is_none() && is_diverged(&sides[1], p.seed)).count();
    let verdict = estimate.clone().map(|mut pairs| {
        pairs.mean *= sign; // verdicts read positive as better
        stats::verdict(&pairs, band, None, diverged)
    });
    let improvement = if sign > 0.0 {
        stats::probability_of_improvement(&other, &one)
    } else {
        stats::probability_of_improvement(&one, &other)
    };
    let mut told = Pairwise {
        wilcoxon: stats::wilcoxon(&differences),
        estimate,
        improvement,
        verdict,
        band,
        persons,
        differ,
        sentences: Vec::new(),
        measure,
        pairs,
        sides,
    };
    told.sentences = sentences(&told, study, differences);
    told
}

fn sentences(told: &Pairwise, study: StudyRow, differences: Vec<f64>) -> Vec<String> {
    let adaptive = study.adaptive.is_some();
    let arm = |side: &Side, overrides| ArmRow {
        name: side.name.clone(),
        label: side.name.clone(),
        overrides,
    };
    let differ = told.differ.iter().cloned();
    let differ = differ.map(|(key, _, other)| (key, other.unwrap_or_default())).collect();
    let arms = [arm(&told.sides[0], BTreeMap::new()), arm(&told.sides[1], differ)];
    let row = StudyRow {
        baseline: told.sides[0].name.clone(),
        confirm: Vec::new(),
        equal_within: told.band,
        ..study
    };
    let compared = Compared {
        place: 1,
        is_baseline: false,
        in_family: false,
        seeds: told
            .pairs
            .iter()
            .filter(|p| p.left_out.is_none())
            .map(|p| SeedValue {
                seed: p.seed,
                value: p.other,
                diverged: is_diverged(&told.sides[1], p.seed),
            })
            .collect(),
        mean: stats::mean(&told.sides[1].values),
        interval: None,
        differences,
        pairs: told.estimate.clone(),
        p_holm: None,
        verdict: told.verdict,
        unlike: Vec::new(),
    };
    let speaker = Speaker { study: &row, arms: &arms, primary: &told.measure };
    let mut sentences = vec![speaker.arm(&compared)];
    sentences.extend(rule(told));
    sentences.extend(single_seed(told));
    let missing = told.pairs.iter().filter(|p| p.left_out.is_some()).count();
    if missing > 0 {
        sentences.push(format!(
            "{} of {} {} no pair and {} left out.",
            missing,
            count(told.pairs.len(), "seed"),
            if missing == 1 { "is" } else { "are" },
            if missing == 1 { "is" } else { "are" },
        ));
    }
    if told.band <= 0.0 {
        sentences.push(
            "Nothing says which differences of this metric do not matter, so equality cannot be found: give `--equal-within`."
                .to_owned(),
        );
    }
    if adaptive && told.estimate.as_ref().is_some_and(|e| e.n > 1) {
        sentences.push(
            "Seeds were added while a verdict was open, which this interval knows nothing of: the report's does."
                .to_owned(),
        );
    }
    if told.estimate.as_ref().is_some_and(|e| e.n > 1) {
        sentences.push(ALONE.to_owned());
    }
    sentences
}

/// Which rule decides, where the interval and the test beside it would decide otherwise.
fn rule(told: &Pairwise) -> Option<String> {
    let (estimate, verdict) = (told.estimate.as_ref()?, told.verdict?);
    let leaves_out = estimate.t95?.excludes_zero();
    let is_same = verdict.decision == Decision::NoDifference; // decided by the band
    if is_same || leaves_out == (estimate.test.p <= ALPHA) {
        return None;
    }
    Some(format!(
        "The 95 % t interval decides about what no study declared in advance (`confirm`), and it {}; the sign-flip test has p = {}.",
        if leaves_out { "leaves zero out" } else { "holds zero" },
        p_value(estimate.test.p),
    ))
}

/// What the queries of a single pair tell, and what they cannot.
fn single_seed(told: &Pairwise) -> Option<String> {
    let estimate = told.estimate.as_ref().filter(|e| e.n == 1)?;
    let seed = told.pairs.iter().find(|p| p.left_out.is_none())?.seed;
    let Some(persons) = &told.persons else {
        return Some(format!(
            "There is one seed, {seed}, and its queries do not tell persons apart: seeds are not sampled, and nothing can be said beyond {}.",
            told.measure.amount(estimate.mean),
        ));
    };
    let interval = match persons.interval {
        Some(i) => format!(
            "95 % interval {} to {}, ",
            told.measure.difference(i.low),
            told.measure.difference(i.high)
        ),
        None => format!("no interval below {}, ", count(stats::clusters::CLUSTERS_FROM, "person")),
    };
    Some(format!(
        "Over the {} of seed {seed}, with {} resampled, the difference is {} ({interval}p = {}): this tells how far it depends on who is searched for. Seeds are not sampled: another seed may turn it.",
        count(persons.queries, "query").replace("querys", "queries"),
        count(persons.clusters, "person"),
        told.measure.difference(persons.mean),
        p_value(persons.test.p),
    ))
}

/// Differences of the queries that both have, grouped by the person that the file name begins with;
/// `None` for a metric that is no mean over queries, or names that tell no person.
fn by_person(metric: &str, one: &[QueryRow], other: &[QueryRow]) -> Option<Clustered> {
    let value = |row: &QueryRow| -> Option<f64> {
        let within = |k: u32| row.first_hit.map(|hit| f64::from(u8::from(hit <= k)));
        match metric {
            "mAP" => row.ap,
            "rank1" => within(1),
            "rank5" => within(5),
            "rank10" => within(10),
            _ => None,
        }
    };
    let others: BTreeMap<&str, f64> =
        other.iter().filter_map(|row| Some((row.query.as_str(), value(row)?))).collect();
    let (mut differences, mut persons) = (Vec::new(), Vec::new());
    for row in one {
        let (Some(value), Some(other)) = (value(row), others.get(row.query.as_str())) else {
            continue;
        };
        differences.push(other - value);
        persons.push(person(&row.query)?);
    }
    stats::clustered(&stats::clusters(&differences, &persons))
}

/// The person of a photo named in the manner of Market-1501 or MSMT17: digits before the first `_`.
fn person(query: &str) -> Option<&str> {
    let (person, _) = query.split_once('_')?;
    (!person.is_empty() && person.bytes().all(|b| b.is_ascii_digit())).then_some(person)
}

#[cfg(test)]
#[path = "pairwise_tests.rs"]
mod tests;
