//! The runs of two arms and the pairs that they form by seed. Estimates nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::ReportError;
use super::super::measure::Measure;
use crate::store::Db;
use crate::store::find::ArmRun;

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

/// Two arms and their pairs, before anything is estimated.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// The first arm, and the second.
    pub sides: [Side; 2],
    /// Every seed of either.
    pub pairs: Vec<Pair>,
}

/// The runs of two arms (study, arm), paired by seed; archived ones count where `archived` says so.
///
/// # Errors
/// An unreadable database.
pub fn meet(
    db: &mut Db,
    arms: [(String, String); 2],
    measure: &Measure,
    archived: bool,
) -> Result<Met, ReportError> {
    let same = arms[0].1 == arms[1].1;
    let mut sides = arms.map(|(study, arm)| Side {
        name: if same { format!("{study}/{arm}") } else { arm.clone() },
        study,
        arm,
        runs: Vec::new(),
        values: Vec::new(),
    });
    for side in &mut sides {
        side.runs = db.arm_runs(&side.study, &side.arm, &measure.name)?;
        side.runs.retain(|run| archived || !run.archived);
    }
    let pairs = pair_up(&mut sides, measure);
    Ok(Met { sides, pairs })
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
        // other data and older recipes are never pooled, as in the report
        let newest = side.runs.iter().map(|run| run.recipe).max();
        let mut counted = side.runs.iter().filter(|run| Some(run.recipe) == newest).peekable();
        let data = counted.peek().map(|run| run.data_key.clone());
        let counted = counted.filter(|run| Some(&run.data_key) == data.as_ref());
        side.values = counted.filter_map(value).collect();
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
                Some(run) if run.state == "done" => format!("{name} has no {}", measure.name),
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
#[must_use]
pub fn refusal(Met { sides, pairs }: &Met, measure: &Measure) -> Option<String> {
    let both = |p: &&Pair| p.one.is_some() && p.other.is_some();
    if pairs.iter().any(|p| p.left_out.is_none()) {
        return None;
    }
    let [one, other] = sides.each_ref().map(|side| format!("`{}`", side.name));
    let names = format!("{one} and {other}");
    if let Some(reason) = pairs.iter().find(both).and_then(|p| p.left_out.clone()) {
        return Some(format!(
            "{names} saw {reason}: they are never pooled\n  hint: a difference would be that of the data or the recipe, not of the arms"
        ));
    }
    let metric = &measure.name;
    let lacking: Vec<&Side> = sides.iter().filter(|side| lacks(side)).collect();
    let Some(side) = lacking.first() else {
        return Some(if pairs.iter().any(|p| sides.iter().all(|side| is_over(side, p.seed))) {
            format!(
                "{names} have no seed on which both have `{metric}`\n  hint: leave `--metric` out, or choose one that `dgnet query \"select * from last_values\"` shows of both"
            )
        } else {
            format!(
                "{names} have no seed that both have finished\n  hint: `dgnet runs --archived` shows where they stand; archived ones are left out"
            )
        });
    };
    let lead = if lacking.len() > 1 {
        format!("neither {one} nor {other} has `{metric}`: none of their finished runs measured it")
    } else {
        format!("`{}` has no `{metric}`: none of its finished runs measured it", side.name)
    };
    Some(format!(
        "{lead}\n  hint: `dgnet query \"select distinct metric from last_values where study = '{}' and arm = '{}'\"` lists what `{}` has",
        side.study, side.arm, side.name
    ))
}

/// Whether runs of a side are done and none of them has the metric.
fn lacks(side: &Side) -> bool {
    let done = || side.runs.iter().filter(|run| run.state == "done");
    done().next().is_some() && done().all(|run| run.value.is_none())
}

/// Whether the run of a seed is done or diverged.
fn is_over(side: &Side, seed: u64) -> bool {
    let run = side.runs.iter().find(|run| run.seed == seed);
    run.is_some_and(|run| run.state == "done" || run.state == "diverged")
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

/// Whether the run of a seed diverged.
pub fn is_diverged(side: &Side, seed: u64) -> bool {
    let run = side.runs.iter().find(|run| run.seed == seed);
    run.is_some_and(|run| {
        run.state == "diverged"
            || (run.state == "done" && run.value.is_some_and(|v| !v.is_finite()))
    })
}

/// Identity of the run of a seed; empty where there is none.
pub fn uid(side: &Side, seed: u64) -> &str {
    side.runs.iter().find(|run| run.seed == seed).map_or("", |run| &run.uid)
}
