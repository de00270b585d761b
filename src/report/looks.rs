//! The corrected family of a study whose seeds were added as needed: verdicts, p values and intervals
//! that account for every look.

use super::compare::{Compared, SeedValue};
use super::measure::{count, list, number};
use crate::spec::Adaptive;
use crate::stats::sequential::{LAST_SHARE, differences, follow, paired_at};
use crate::stats::verdict::ALPHA;
use crate::stats::{self, Decision, Looks, Outcome, Verdict};

/// Decides the family anew, look by look, each arm on the pairs of its last look.
pub(super) fn decide(arms: &mut [Compared], adaptive: Adaptive, band: f64, higher: bool) {
    let Some(base) = arms.iter().find(|arm| arm.is_baseline).map(|arm| outcomes(arm, adaptive))
    else {
        return;
    };
    let family: Vec<usize> = (0..arms.len()).filter(|at| arms[*at].in_family).collect();
    let values: Vec<_> = family.iter().map(|at| outcomes(&arms[*at], adaptive)).collect();
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

/// The runs of seeds 1 to the most, as far as they are over and saw the baseline's data.
fn outcomes(arm: &Compared, adaptive: Adaptive) -> Vec<Option<Outcome>> {
    let of = |seed: u64| -> Option<Outcome> {
        let found: &SeedValue = arm.seeds.iter().find(|value| value.seed == seed)?;
        let value = found.value.filter(|_| !arm.unlike.contains(&seed))?;
        Some(if found.diverged { Outcome::Diverged } else { Outcome::Value(value) })
    };
    (1..=adaptive.max as u64).map(of).collect()
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
