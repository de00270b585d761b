//! Studies whose cells followed from results. The corrected family where seeds were added as needed:
//! verdicts, p values and intervals that account for every look. Exploratory arms that were given up.

use super::compare::{Compared, SeedValue};
use super::measure::Measure;
use super::measure::{count, list, number};
use crate::spec::{Adaptive, Prune};
use crate::stats::sequential::{LAST_SHARE, differences, follow, paired_at};
use crate::stats::verdict::ALPHA;
use crate::stats::{self, Decision, Looks, Outcome, Verdict};

/// Decides the family anew, look by look, each arm on the pairs of its last look.
pub(super) fn decide(arms: &mut [Compared], adaptive: Adaptive, band: f64, higher: bool) {
    let seeds: Vec<u64> = (1..=adaptive.max as u64).collect();
    let Some(base) = arms.iter().find(|arm| arm.is_baseline).map(|arm| outcomes(arm, &seeds))
    else {
        return;
    };
    let family: Vec<usize> = (0..arms.len()).filter(|at| arms[*at].in_family).collect();
    let values: Vec<_> = family.iter().map(|at| outcomes(&arms[*at], &seeds)).collect();
    let looks = Looks::between(adaptive.min, adaptive.max);
    let course = follow(&looks, family.len(), band, |arm, n| {
        let pairs = differences(&values[arm], &base, n, higher)?;
        Some(if higher { pairs } else { pairs.iter().map(|pair| -pair).collect() })
    });
    for ((at, followed), values) in family.iter().zip(&course.arms).zip(&values) {
        let arm = &mut arms[*at];
        arm.p_holm = followed.p_holm;
        let look = followed.looks.saturating_sub(1);
        if followed.looks > 0 {
            let pairs = differences(values, &base, looks.at()[look], higher);
            arm.differences = pairs.unwrap_or_default();
        }
        arm.pairs = paired_at(&looks, look, &arm.differences);
        let Some(pairs) = &arm.pairs else {
            arm.verdict = None;
            continue;
        };
        let needed = pairs.sd.and_then(|sd| stats::seeds_for_band(sd, band));
        let more_seeds = needed.map(|needed| needed.saturating_sub(pairs.n as u32).max(1));
        arm.verdict = Some(Verdict {
            decision: followed.decision.unwrap_or(Decision::Inconclusive { more_seeds }),
            diverged: arm.seeds.iter().take(pairs.n).filter(|seed| seed.diverged).count(),
            of: pairs.n,
        });
    }
}

/// Places of the arms that were given up: hopeless by the rule, and without the seeds that others have.
#[must_use]
pub fn given_up(arms: &[Compared], rule: Prune, higher: bool) -> Vec<usize> {
    let Some(base) = arms.iter().find(|arm| arm.is_baseline) else { return Vec::new() };
    let first: Vec<u64> = base.seeds.iter().map(|value| value.seed).take(rule.after).collect();
    let of_base = outcomes(base, &first);
    let hopeless = |arm: &Compared| {
        let pairs = differences(&outcomes(arm, &first), &of_base, rule.after, higher);
        pairs.is_some_and(|pairs| {
            let sign = if higher { 1.0 } else { -1.0 };
            let better: Vec<f64> = pairs.iter().map(|pair| sign * pair).collect();
            stats::is_hopeless(&better, rule.behind)
        })
    };
    arms.iter()
        .filter(|arm| !arm.is_baseline && !arm.in_family && arm.seeds.len() < base.seeds.len())
        .filter(|arm| hopeless(arm))
        .map(|arm| arm.place)
        .collect()
}

/// The rule by which arms are given up and whom it met, in words; `names` are those of the arms by place.
#[must_use]
pub fn told_of_pruning(
    arms: &[Compared],
    names: &[&str],
    rule: Prune,
    primary: &Measure,
) -> String {
    let seeds = count(rule.after, "seed");
    let rule_told = format!(
        "Exploratory arms were looked at once, after {seeds}, and given up if the 95 % interval of their difference lay wholly more than {} on the worse side",
        primary.margin(rule.behind),
    );
    let gone = given_up(arms, rule, primary.higher != Some(false));
    let named: Vec<String> =
        gone.iter().filter_map(|place| names.get(*place)).map(|name| format!("`{name}`")).collect();
    match named.as_slice() {
        [] => format!("{rule_told}; that was none."),
        [one] => format!("{rule_told}: {one}. Its difference is a little exaggerated by that."),
        all => format!(
            "{rule_told}: {}. Their differences are a little exaggerated by that.",
            list(all)
        ),
    }
}

/// The runs of these seeds, as far as they are over and saw the baseline's data.
fn outcomes(arm: &Compared, seeds: &[u64]) -> Vec<Option<Outcome>> {
    let of = |&seed: &u64| -> Option<Outcome> {
        let found: &SeedValue = arm.seeds.iter().find(|value| value.seed == seed)?;
        let value = found.value.filter(|_| !arm.unlike.contains(&seed))?;
        Some(if found.diverged { Outcome::Diverged } else { Outcome::Value(value) })
    };
    seeds.iter().map(of).collect()
}

/// How seeds were added and what that does to p values and intervals, in words.
#[must_use]
pub fn told(adaptive: Adaptive) -> String {
    let looks = Looks::between(adaptive.min, adaptive.max);
    let at: Vec<String> = looks.at().iter().map(ToString::to_string).collect();
    let level = |look: usize| number(100.0 * (1.0 - ALPHA * looks.share(look)), 2);
    let last = looks.at().len() - 1;
    let shares = if last == 0 {
        String::new()
    } else {
        format!(
            " Each of the first {last} may spend {} % of the error rate and the last {} %, so that their intervals have the levels {} % and {} % and together cover with 95 %.",
            number(100.0 * looks.share(0), 1),
            number(100.0 * LAST_SHARE, 0),
            level(0),
            level(last),
        )
    };
    format!(
        "Seeds were added while a declared verdict was open, with looks at {} {}; its p is the smallest of the paired t tests so far, each divided by its look's share.{shares} Exploratory arms have the first {} only.",
        list(&at),
        if at.len() == 1 && adaptive.min == 1 { "pair" } else { "pairs" },
        count(adaptive.min, "seed"),
    )
}
