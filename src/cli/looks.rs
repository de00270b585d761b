//! What `plan` and `sweep` say of a study whose cells follow from results: seeds that are added as needed,
//! arms that are given up.

use serde_json::{Value as Json, json};

use super::plan::counted;
use crate::stats::Decision;
use crate::stats::verdict::ALPHA;
use crate::sweep::Plan;
use crate::sweep::looks::Standing;
use crate::sweep::pruning::Pruning;

/// The rule, what it can decide, and where the study stands.
pub fn remarks(plan: &Plan, standing: &Standing) -> Vec<String> {
    let (looks, family) = (&standing.looks, standing.family.len());
    let at = joined(looks.at().iter().map(ToString::to_string));
    let most = looks.at().last().copied().unwrap_or(0);
    let reach =
        joined((0..looks.at().len()).map(|look| format!("{:.1}", looks.reach(look, family))));
    let mut remarks = vec![
        format!(
            "seeds are added while a verdict of {} is open: {} at first, {most} at most, looks at {at}",
            counted(family, "comparison"),
            plan.seeds,
        ),
        format!(
            "a mean difference of at least {reach} standard deviations of the pairs is decided there (paired t test, {} % over all looks and Holm)",
            ALPHA * 100.0,
        ),
    ];
    let more = standing.more(plan);
    if more > 0 {
        remarks.push(format!("at most {} may be added", counted(more, "run")));
    }
    remarks.extend(verdicts(plan));
    remarks
}

/// What the looks have said so far, a line each.
pub fn said(plan: &Plan) -> Vec<String> {
    let pruned = plan.pruning.as_ref().and_then(given_up);
    verdicts(plan).into_iter().chain(pruned).collect()
}

/// The rule that gives arms up, and where the study stands.
pub fn pruning_remarks(pruning: &Pruning) -> Vec<String> {
    let rule = pruning.rule;
    let mut remarks = vec![format!(
        "an exploratory arm gets its other seeds unless the 95 % interval of its first {} says that it is more than {} worse than the baseline",
        rule.after, rule.behind,
    )];
    if pruning.more() > 0 {
        let waiting = counted(pruning.waiting.len(), "arm");
        let more = counted(pruning.more(), "run");
        remarks.push(format!("{waiting} not looked at yet: {more} more at most"));
    }
    remarks.extend(given_up(pruning));
    remarks
}

/// Arms that are given up; nothing where there is none.
fn given_up(pruning: &Pruning) -> Option<String> {
    let arms = pruning.pruned.iter().map(|(arm, mean)| format!("`{arm}` ({mean:+.3})"));
    let arms = joined(arms);
    let seeds = counted(pruning.first.len(), "seed");
    (!arms.is_empty()).then(|| format!("given up after {seeds}, too far behind: {arms}"))
}

/// What the last look at the family said; nothing before the first.
fn verdicts(plan: &Plan) -> Option<String> {
    let standing = plan.standing.as_ref().filter(|standing| standing.course.looks > 0)?;
    let seeds = standing.looks.at()[standing.course.looks - 1];
    let arms = standing.family.iter().zip(&standing.course.arms).map(|(name, arm)| {
        let p = arm.p_holm.map_or_else(String::new, |p| format!(" (p = {p:.2})"));
        match word(arm.decision) {
            "open" => format!("`{name}` is open{p}"),
            word => {
                format!("`{name}` is decided at {}: {word}", standing.looks.at()[arm.looks - 1])
            }
        }
    });
    let next = match standing.course.next {
        Some(next) => format!("; the next look is at {next}"),
        None => "; no seeds are added".to_owned(),
    };
    Some(format!("look at {}: {}{next}", counted(seeds, "seed"), joined(arms)))
}

/// The same for programs.
pub fn as_json(plan: &Plan, standing: &Standing) -> Json {
    let arms = standing.family.iter().zip(&standing.course.arms).map(|(name, arm)| {
        json!({ "arm": name, "looks": arm.looks, "p": arm.p, "p_holm": arm.p_holm,
                "verdict": word(arm.decision) })
    });
    json!({
        "at": standing.looks.at(),
        "looks": standing.course.looks,
        "next": standing.course.next,
        "arms": arms.collect::<Vec<_>>(),
        "runs_at_most_added": standing.more(plan),
    })
}

/// The rule that gives arms up, for programs.
pub fn pruning_as_json(pruning: &Pruning) -> Json {
    let pruned = pruning.pruned.iter().map(|(arm, mean)| json!({ "arm": arm, "difference": mean }));
    json!({
        "after": pruning.rule.after,
        "behind": pruning.rule.behind,
        "seeds": pruning.first,
        "waiting": pruning.waiting,
        "pruned": pruned.collect::<Vec<_>>(),
        "runs_at_most_added": pruning.more(),
    })
}

fn word(decision: Option<Decision>) -> &'static str {
    match decision {
        Some(Decision::Worse) => "worse",
        Some(Decision::Better) => "better",
        Some(Decision::NoDifference) => "no difference that matters",
        Some(Decision::Inconclusive { .. }) | None => "open",
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
