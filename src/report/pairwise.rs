//! Two arms against each other, of one study or of two: what `dgnet compare` says. The same values,
//! pairs and words as the report's, and what it leaves out: a second test, the probability of
//! improvement, and for a single seed what its queries tell.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::ReportError;
use super::compare::{Compared, SeedValue};
use super::measure::{Measure, count};
use super::words::{Speaker, p_value};
use crate::stats::{self, Clustered, Paired, Verdict, Wilcoxon};
use crate::store::Db;
use crate::store::find::{ArmRun, QueryRow};
use crate::store::rows::{ArmRow, StudyRow};

/// One arm of the two.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// Study.
    pub study: String,
    /// Arm.
    pub arm: String,
    /// Its name in sentences: the arm, or `study/arm` where both arms are called alike.
    pub name: String,
    /// Its runs, by seed; archived ones are left out.
    pub runs: Vec<ArmRun>,
    /// Values of the seeds that have one: diverged runs as the worst possible.
    pub values: Vec<f64>,
}

/// A seed that either arm has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Seed.
    pub seed: u64,
    /// Value of the first arm.
    pub one: Option<f64>,
    /// Value of the second.
    pub other: Option<f64>,
    /// Why it does not count; `None` for a pair.
    pub left_out: Option<String>,
}

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
    let same = found[0].1 == found[1].1;
    let mut sides = found.map(|(study, arm)| Side {
        name: if same { format!("{study}/{arm}") } else { arm.clone() },
        study,
        arm,
        runs: Vec::new(),
        values: Vec::new(),
    });
    for side in &mut sides {
        side.runs = db.arm_runs(&side.study, &side.arm, &metric)?;
        side.runs.retain(|run| !run.archived);
    }
    // the band is of the primary metric; another one has none unless it is given
    let band = band.unwrap_or(if metric == study.primary { study.equal_within } else { 0.0 });
    let pairs = pair_up(&mut sides, &measure);
    if let Some(reason) = refusal(&sides, &pairs) {
        return Err(ReportError::Unlike(reason));
    }
    let mut differ = BTreeMap::new();
    let mut persons = None;
    let counted: Vec<&Pair> = pairs.iter().filter(|p| p.left_out.is_none()).collect();
    if let Some(pair) = counted.first() {
        let uids = sides.each_ref().map(|side| uid(side, pair.seed));
        differ = db
            .settings_between(uids[0], uids[1])?
            .into_iter()
            .filter(|(key, ..)| key != "data.path")
            .map(|(key, _, other)| (key, other.unwrap_or_default()))
            .collect();
        if counted.len() == 1 {
            let [one, other] = [db.query_results(uids[0])?, db.query_results(uids[1])?];
            persons = by_person(&metric, &one, &other);
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
    differ: BTreeMap<String, String>,
    persons: Option<Clustered>,
) -> Pairwise {
    let differences: Vec<f64> = pairs
        .iter()
        .filter(|p| p.left_out.is_none())
        .filter_map(|p| Some(p.other? - p.one?))
        .collect();
    let estimate = stats::paired(&differences);
    let sign = if measure.higher == Some(false) { -1.0 } else { 1.0 };
    let diverged =
        pairs.iter().filter(|p| p.left_out.is_none() && is_diverged(&sides[1], p.seed)).count();
    let verdict = estimate.clone().map(|mut pairs| {
        pairs.mean *= sign; // verdicts read positive as better
        stats::verdict(&pairs, band, None, diverged)
    });
    let [one, other] = &sides;
    let improvement = if sign > 0.0 {
        stats::probability_of_improvement(&other.values, &one.values)
    } else {
        stats::probability_of_improvement(&one.values, &other.values)
    };
    let mut told = Pairwise {
        wilcoxon: stats::wilcoxon(&differences),
        estimate,
        improvement,
        verdict,
        band,
        persons,
        sentences: Vec::new(),
        measure,
        pairs,
        sides,
    };
    told.sentences = sentences(&told, study, differ, differences);
    told
}

fn sentences(
    told: &Pairwise,
    study: StudyRow,
    differ: BTreeMap<String, String>,
    differences: Vec<f64>,
) -> Vec<String> {
    let adaptive = study.adaptive.is_some();
    let arm = |side: &Side, overrides| ArmRow {
        name: side.name.clone(),
        label: side.name.clone(),
        overrides,
    };
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
        sentences.push("One comparison by itself, not corrected for others.".to_owned());
    }
    sentences
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

/// Pairs by seed; fills the sides' values.
fn pair_up(sides: &mut [Side; 2], measure: &Measure) -> Vec<Pair> {
    let worst = worst(sides, measure);
    let value = |run: &ArmRun| match (run.state.as_str(), run.value) {
        ("diverged", _) => Some(worst),
        ("done", Some(v)) if !v.is_finite() => Some(worst),
        ("done", value) => value,
        _ => None,
    };
    for side in sides.iter_mut() {
        side.values = side.runs.iter().filter_map(value).collect();
    }
    let of = |side: &Side| -> BTreeMap<u64, ArmRun> {
        side.runs.iter().map(|run| (run.seed, run.clone())).collect()
    };
    let (one, other) = (of(&sides[0]), of(&sides[1]));
    let mut seeds: Vec<u64> = one.keys().chain(other.keys()).copied().collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
        .into_iter()
        .map(|seed| {
            let runs = (one.get(&seed), other.get(&seed));
            let (a, b) = (runs.0.and_then(value), runs.1.and_then(value));
            let missing = |name: &str, run: Option<&ArmRun>| match run {
                None => format!("{name} has no such seed"),
                Some(run) => format!("{name} is {}", run.state),
            };
            let left_out = match runs {
                (Some(x), Some(y)) if a.is_some() && b.is_some() => unlike(x, y),
                (x, _) if a.is_none() => Some(missing(&sides[0].name, x)),
                (_, y) => Some(missing(&sides[1].name, y)),
            };
            Pair { seed, one: a, other: b, left_out }
        })
        .collect()
}

/// Why two runs may not be paired.
fn unlike(one: &ArmRun, other: &ArmRun) -> Option<String> {
    if one.data_key != other.data_key {
        return Some("other data".to_owned());
    }
    (one.recipe != other.recipe)
        .then(|| format!("other recipe ({} and {})", one.recipe, other.recipe))
}

/// Why nothing can be compared at all, though values are there.
fn refusal(sides: &[Side; 2], pairs: &[Pair]) -> Option<String> {
    let both = |p: &&Pair| p.one.is_some() && p.other.is_some();
    if pairs.iter().any(|p| p.left_out.is_none()) {
        return None;
    }
    let names = format!("`{}` and `{}`", sides[0].name, sides[1].name);
    Some(match pairs.iter().find(both).and_then(|p| p.left_out.clone()) {
        Some(reason) => format!(
            "{names} saw {reason}: they are never pooled\n  hint: a difference would be that of the data or the recipe, not of the arms"
        ),
        None => format!(
            "{names} have no seed that both have finished\n  hint: `dgnet runs` shows where they stand"
        ),
    })
}

/// What a diverged run counts as: 0 where higher is better, else the largest finite value of either.
fn worst(sides: &[Side; 2], measure: &Measure) -> f64 {
    if measure.higher != Some(false) {
        return 0.0;
    }
    let values = sides.iter().flat_map(|side| &side.runs);
    let done = values.filter(|run| run.state == "done").filter_map(|run| run.value);
    done.filter(|v| v.is_finite()).fold(0.0, f64::max)
}

fn is_diverged(side: &Side, seed: u64) -> bool {
    let run = side.runs.iter().find(|run| run.seed == seed);
    run.is_some_and(|run| {
        run.state == "diverged"
            || (run.state == "done" && run.value.is_some_and(|v| !v.is_finite()))
    })
}

fn uid(side: &Side, seed: u64) -> &str {
    side.runs.iter().find(|run| run.seed == seed).map_or("", |run| &run.uid)
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
