//! The plain facts of a study: cost, failures, stages, commands, provenance. Rows in, strings out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compare::{Compared, NOT_BEGUN, newest_recipe, strangers};
use super::looks;
use super::measure::{Measure, bytes, count, duration, list, number};
use crate::stats;
use crate::store::rows::{CellRow, StudyData};

/// Finished seeds of an arm that count: those on other data than its first or of an older recipe are never
/// pooled with it.
pub fn finished(data: &StudyData, arm: &str) -> Vec<u64> {
    let others = strangers(data, arm);
    let newest = newest_recipe(data);
    let done = data.cells.iter().filter(|cell| cell.arm == arm && cell.state == "done");
    let done = done.filter(|cell| cell.recipe == newest);
    done.map(|cell| cell.seed).filter(|seed| !others.contains(seed)).collect()
}

/// A label and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Label.
    pub label: String,
    /// Value.
    pub value: String,
}

/// What the runs of an arm took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Arm.
    pub arm: String,
    /// Runs with a known cost.
    pub runs: usize,
    /// Median wall time of a run.
    pub wall: String,
    /// Median CPU time of a run.
    pub cpu: String,
    /// Largest memory of any run.
    pub memory: String,
    /// Wall time of all its runs.
    pub total: String,
}

/// A run that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// failed, diverged, stale or interrupted.
    pub state: String,
    /// Last step and steps planned.
    pub at: String,
    /// Why, as recorded.
    pub reason: String,
}

/// A kind of stage and how far it was shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageLine {
    /// Kind.
    pub kind: String,
    /// Pieces of work.
    pub pieces: usize,
    /// Uses of them by runs.
    pub uses: u32,
    /// Wall time, where known.
    pub wall: String,
    /// Wall time that sharing saved, where known.
    pub saved: String,
}

/// A run and how to repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// State.
    pub state: String,
    /// First digits of its identity.
    pub uid: String,
    /// Folder, relative to the runs folder.
    pub folder: String,
    /// The command that trains it again.
    pub command: String,
}

/// A fact.
pub(super) fn fact(label: &str, value: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value: value.into() }
}

/// The strip under the answer.
#[must_use]
pub fn strip(data: &StudyData, primary: &Measure) -> Vec<Fact> {
    let total = data.cells.len();
    let in_state = |state: &str| data.cells.iter().filter(|c| c.state == state).count();
    let seeds = {
        let mut seeds: Vec<u64> = data.cells.iter().map(|c| c.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds.len()
    };
    // arms may have been given up, or seeds added where a verdict was open
    let of = |arm: &str| data.cells.iter().filter(|cell| cell.arm == arm).count();
    let least = data.arms.iter().map(|arm| of(&arm.name)).min().unwrap_or(0);
    let follows = data.study.adaptive.is_some() || data.study.prune.is_some();
    let least = if follows && least < seeds { format!("{least} to ") } else { String::new() };
    let mut runs = vec![format!("{} of {total} done", in_state("done"))];
    for state in ["diverged", "failed", "running", "interrupted", "stale"] {
        match in_state(state) {
            0 => {}
            n => runs.push(format!("{n} {state}")),
        }
    }
    let direction = primary.direction();
    let comma = if direction.is_empty() { "" } else { ", " };
    vec![
        fact(
            "Arms and seeds",
            format!("{} \u{d7} {least}{}", count(data.arms.len(), "arm"), count(seeds, "seed")),
        ),
        fact("Runs", runs.join(", ")),
        fact("Decides", format!("{} at the last step{comma}{direction}", primary.title())),
        fact(
            "Does not matter",
            format!("differences up to {}", primary.margin(data.study.equal_within)),
        ),
        fact("Baseline", data.study.baseline.clone()),
    ]
}

/// What is said of the comparisons outside the corrected family, and how many of them chance alone would
/// decide: an expectation, which holds although all share a baseline.
fn by_chance(arms: &[Compared]) -> String {
    let has_interval = |arm: &Compared| arm.pairs.as_ref().is_some_and(|pairs| pairs.t95.is_some());
    let is_explored =
        |arm: &&Compared| arm.verdict.is_some() && !arm.in_family && has_interval(arm);
    let explored = arms.iter().filter(is_explored).count();
    let expected = stats::verdict::ALPHA * explored as f64;
    let told = match explored {
        0 | 1 => String::new(),
        _ => format!(
            "; chance alone would call up to {} of these {explored} worse or better, on average, if none of them were",
            number(expected, usize::from(expected < 1.0) + usize::from(expected < 10.0))
        ),
    };
    format!("exploratory and uncorrected{told}")
}

/// What the verdicts depend on.
#[must_use]
pub fn conditions(data: &StudyData, primary: &Measure, arms: &[Compared]) -> Vec<String> {
    let mut keys: Vec<&str> =
        data.cells.iter().map(|c| c.data_key.as_str()).filter(|key| !key.is_empty()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut conditions = vec![match keys.as_slice() {
        [key] => format!(
            "Verdicts are conditional on one data set (`{}`): seeds repeat everything random but the data.",
            short(key)
        ),
        [] => "Verdicts will be conditional on one data set.".to_owned(),
        _ => "Verdicts are conditional on the data: runs on different data are never paired."
            .to_owned(),
    }];
    let family = data.study.confirm.len();
    let mut confirmed: Vec<String> =
        data.study.confirm.iter().take(4).map(|a| format!("`{a}`")).collect();
    if family > 4 {
        confirmed.truncate(3);
        confirmed.push(format!("{} more", family - 3));
    }
    let others = by_chance(arms);
    let declared = match family {
        0 => format!("No comparison was declared in advance, so all are {others}."),
        _ if data.study.adaptive.is_some() => format!(
            "Declared in advance and corrected by Holm: {}; the others are {others}.",
            list(&confirmed),
        ),
        n => format!(
            "Declared in advance and corrected by Holm: {} (can be decided from {} on); the others are {others}.",
            list(&confirmed),
            count(stats::seeds_for_family(n, stats::verdict::ALPHA) as usize, "seed"),
        ),
    };
    if arms.len() > 1 {
        conditions.push(declared);
        conditions.extend(data.study.adaptive.map(looks::told));
        let names: Vec<&str> = data.arms.iter().map(|arm| arm.name.as_str()).collect();
        let pruned = |rule| looks::told_of_pruning(arms, &names, rule, primary);
        conditions.extend(data.study.prune.map(pruned));
    }
    let diverged: usize = arms.iter().map(Compared::diverged).sum();
    if diverged > 0 {
        let worst = if primary.higher == Some(false) {
            "the worst value of any finished run".to_owned()
        } else {
            format!("{} {}", primary.value(0.0), primary.unit).trim().to_owned()
        };
        let stay = if diverged == 1 { "stays" } else { "stay" };
        conditions.push(format!(
            "{} diverged and {stay} in the pairs as {worst}.",
            count(diverged, "run")
        ));
    }
    let newest = newest_recipe(data);
    let old = data.cells.iter().filter(|c| c.recipe != newest && c.recipe != NOT_BEGUN).count();
    if old > 0 {
        conditions.push(format!("{} of an older recipe left out.", count(old, "run")));
    }
    let strange: usize = data.arms.iter().map(|arm| strangers(data, &arm.name).len()).sum();
    if strange > 0 {
        conditions.push(format!(
            "{} left out, on other data than the arm's other runs.",
            count(strange, "run")
        ));
    }
    if data.archived > 0 {
        conditions.push(format!(
            "{} archived and left out (`dgnet report --archived` counts them).",
            count(data.archived, "run")
        ));
    }
    conditions
}

/// Cost per arm, for arms with any known cost.
#[must_use]
pub fn costs(data: &StudyData) -> Vec<Cost> {
    let of = |arm: &str| -> Vec<&CellRow> {
        data.cells.iter().filter(|c| c.arm == arm && c.wall_s.is_some()).collect()
    };
    // one run that was held up must not make its arm look dear
    let median = |values: Vec<f64>| stats::median(&values).map_or("\u{2013}".to_owned(), duration);
    data.arms
        .iter()
        .map(|arm| (arm, of(&arm.name)))
        .filter(|(_, cells)| !cells.is_empty())
        .map(|(arm, cells)| Cost {
            arm: arm.name.clone(),
            runs: cells.len(),
            wall: median(cells.iter().filter_map(|c| c.wall_s).collect()),
            cpu: median(cells.iter().filter_map(|c| c.cpu_s).collect()),
            memory: cells
                .iter()
                .filter_map(|c| c.peak_bytes)
                .max()
                .map_or("\u{2013}".to_owned(), bytes),
            total: duration(cells.iter().filter_map(|c| c.wall_s).sum()),
        })
        .collect()
}

/// Runs that did not end well, with reasons.
#[must_use]
pub fn failures(data: &StudyData) -> Vec<Failure> {
    data.cells
        .iter()
        .filter(|c| ["failed", "diverged", "stale", "interrupted"].contains(&c.state.as_str()))
        .map(|c| Failure {
            arm: c.arm.clone(),
            seed: c.seed,
            state: c.state.clone(),
            at: format!("{} of {}", number(c.step.0 as f64, 0), number(c.step.1 as f64, 0)),
            reason: c.failure.clone().unwrap_or_else(|| match c.state.as_str() {
                "stale" => {
                    "its worker is gone without a record; the next sweep resumes it".to_owned()
                }
                "interrupted" => "stopped on request; the next sweep resumes it".to_owned(),
                _ => "no reason was recorded".to_owned(),
            }),
        })
        .collect()
}

/// Stages by kind, in the order of the work.
#[must_use]
pub fn stages(data: &StudyData) -> Vec<StageLine> {
    ["data", "teacher", "prefix", "training", "evaluation", "pictures"]
        .into_iter()
        .filter_map(|kind| {
            let mut of: Vec<_> = data.stages.iter().filter(|s| s.kind == kind).collect();
            if of.is_empty() {
                return None;
            }
            let known = of.iter().any(|s| s.wall_s.is_some());
            // a run of the teacher alone trains and draws nothing: it names stages that nobody makes
            of.retain(|s| !known || s.wall_s.is_some());
            let wall: f64 = of.iter().filter_map(|s| s.wall_s).sum();
            let saved: f64 = of
                .iter()
                .filter_map(|s| s.wall_s.map(|w| w * f64::from(s.used_by.saturating_sub(1))))
                .sum();
            let told = |seconds: f64| if known { duration(seconds) } else { "\u{2013}".to_owned() };
            Some(StageLine {
                kind: kind.to_owned(),
                pieces: of.len(),
                uses: of.iter().map(|s| s.used_by).sum(),
                wall: told(wall),
                saved: if known && saved > 0.0 { duration(saved) } else { "\u{2013}".to_owned() },
            })
        })
        .collect()
}

/// Every run with the command that repeats it.
#[must_use]
pub fn runs(data: &StudyData) -> Vec<RunLine> {
    let file = quoted(&data.study.file);
    data.cells
        .iter()
        .map(|c| RunLine {
            arm: c.arm.clone(),
            seed: c.seed,
            state: c.state.clone(),
            uid: short(&c.uid).to_owned(),
            folder: c.folder.clone(),
            command: format!("dgnet run {file} --arm {} --seed {}", quoted(&c.arm), c.seed),
        })
        .collect()
}

/// Versions, processors and commits over all runs; where runs differ, how many have which.
#[must_use]
pub fn provenance(data: &StudyData) -> Vec<Fact> {
    let begins: Vec<serde_json::Value> = data
        .cells
        .iter()
        .filter_map(|c| serde_json::from_str::<serde_json::Value>(&c.begin).ok())
        .filter(|v| v.as_object().is_some_and(|o| !o.is_empty()))
        .collect();
    let mut facts = Vec::new();
    for (label, key) in [
        ("dgnet", "version"),
        ("libtorch", "libtorch"),
        ("Device", "device"),
        ("Processor", "processor"),
        ("Instruction set", "instruction_set"),
        ("Machine", "host"),
        ("Commit", "git_commit"),
        ("Uncommitted changes", "git_dirty"),
    ] {
        let values = begins.iter().filter_map(|b| b.get(key)?.as_str()).map(str::to_owned);
        if let Some(value) = tally(values) {
            facts.push(fact(label, value));
        }
    }
    let begun = data.cells.iter().filter(|c| c.recipe != NOT_BEGUN);
    if let Some(value) = tally(begun.map(|c| c.recipe.to_string())) {
        facts.push(fact("Recipe version", value));
    }
    if let Some(value) = tally(data.cells.iter().map(|c| c.data_key.clone())) {
        facts.push(fact("Data", value));
    }
    let starts: Vec<f64> = begins
        .iter()
        .filter_map(|b| b.get("started_at")?.as_f64())
        .filter(|s| s.is_finite())
        .collect();
    if let Some(first) = starts.iter().copied().min_by(f64::total_cmp) {
        let last = starts.iter().copied().fold(first, f64::max);
        facts.push(fact("Runs started", format!("{} to {}", utc(first), utc(last))));
    }
    facts.push(fact("Study file", data.study.file.clone()));
    facts
}

/// Distinct values, by value; with counts where there are several.
fn tally(values: impl Iterator<Item = String>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in values.filter(|v| !v.is_empty()) {
        *counts.entry(value).or_default() += 1;
    }
    match counts.len() {
        0 => None,
        1 => counts.into_keys().next(),
        _ => {
            let told: Vec<String> =
                counts.into_iter().map(|(v, n)| format!("{v} ({})", count(n, "run"))).collect();
            Some(told.join("; "))
        }
    }
}

fn short(key: &str) -> &str {
    key.char_indices().nth(12).map_or(key, |(end, _)| &key[..end])
}

/// A word for a POSIX shell.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+=@:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Seconds since 1970 as `2026-11-24 06:17 UTC` (proleptic Gregorian calendar).
#[must_use]
pub fn utc(seconds: f64) -> String {
    let whole = seconds.clamp(0.0, 253_402_300_799.0) as i64;
    let (days, rest) = (whole.div_euclid(86_400), whole.rem_euclid(86_400));
    // days since 0000-03-01, in eras of 400 years, so that leap days end the year
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (d, m) =
        (day_of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year_of_era + era * 400 + i64::from(m <= 2);
    format!("{year:04}-{m:02}-{d:02} {:02}:{:02} UTC", rest / 3_600, rest % 3_600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0.0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400.0), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_795_501_020.0), "2026-11-24 06:17 UTC");
    }

    #[test]
    fn commands_survive_a_shell() {
        assert_eq!(quoted("experiments/a.yaml"), "experiments/a.yaml");
        assert_eq!(quoted("my study's.yaml"), r"'my study'\''s.yaml'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn runs_that_differ_are_counted() {
        let values = ["b", "a", "b", ""].map(str::to_owned).into_iter();
        assert_eq!(tally(values).as_deref(), Some("a (1 run); b (2 runs)"));
    }
}
