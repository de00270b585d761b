//! `prune: { after: 3, behind: 0.05 }`: exploratory arms that get no more seeds once they are far behind.
//! What far behind means is `stats::pruning`'s.

use serde::{Deserialize, Serialize};

use super::error::SpecError;
use super::yaml::{Entry, Place, Value, shortened};

/// Most seeds that may be waited for.
const MAX: i128 = 64;
const KEYS: [&str; 2] = ["after", "behind"];
pub(super) const HINT: &str = "for example `prune: { after: 3, behind: 0.05 }`";

/// When an exploratory arm is given up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prune {
    /// Seeds, the lowest ones, after which the arm is looked at; at least 2.
    pub after: usize,
    /// How far worse than the baseline all of its interval must be, in units of `primary`.
    pub behind: f64,
}

/// Reads the entries of the map; `at` is where it begins.
pub(super) fn read(entries: &[Entry], at: &Place) -> Result<Prune, SpecError> {
    let (mut after, mut behind) = (None, None);
    for entry in entries {
        let place = &entry.node.at;
        match (entry.key.as_str(), &entry.node.value) {
            ("after", Value::Integer(seeds)) if (2..=MAX).contains(seeds) => {
                after = Some(*seeds as usize);
            }
            ("after", other) => {
                let message = format!(
                    "`prune.after`: expected a whole number of seeds from 2 to {MAX}, found {other}"
                );
                return Err(place.error(message).hint("one seed shows no spread"));
            }
            ("behind", Value::Integer(margin)) if *margin >= 0 => behind = Some(*margin as f64),
            ("behind", Value::Number(margin)) if margin.is_finite() && *margin >= 0.0 => {
                behind = Some(*margin + 0.0);
            }
            ("behind", other) => {
                let message =
                    format!("`prune.behind`: expected a number of at least 0, found {other}");
                let hint = "in units of `primary`: 0.05 is five percent points of mAP";
                return Err(place.error(message).hint(hint));
            }
            (key, _) => {
                let message = format!("`prune`: unknown key `{}`", shortened(key));
                return Err(entry.at.error(message).hint(HINT).did_you_mean(key, KEYS));
            }
        }
    }
    match (after, behind) {
        (Some(after), Some(behind)) => Ok(Prune { after, behind }),
        (after, _) => {
            let missing = if after.is_none() { "after" } else { "behind" };
            Err(at.error(format!("`prune`: `{missing}` is missing")).hint(HINT))
        }
    }
}

/// Refuses a rule that could never do anything.
pub(super) fn check(
    prune: Option<(Prune, Place)>,
    seeds: usize,
    exploratory: usize,
) -> Result<Option<Prune>, SpecError> {
    let Some((prune, at)) = prune else { return Ok(None) };
    if prune.after >= seeds {
        let message = format!("`prune.after` is {} and an arm has {seeds} seeds", prune.after);
        return Err(at.error(message).hint("with fewer seeds, the others can be spared"));
    }
    if exploratory == 0 {
        let message =
            "`prune`: every arm is the baseline or in `confirm`, and those are never pruned";
        return Err(at.error(message).hint("a declared comparison needs all of its seeds"));
    }
    Ok(Some(prune))
}
