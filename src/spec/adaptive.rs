//! `seeds: { min: 4, max: 12, stop: decided }`: seeds that are added while a verdict is open. When the
//! study is looked at, and what a look may decide, is `stats::sequential`'s.

use serde::{Deserialize, Serialize};

use super::error::SpecError;
use super::yaml::{Entry, Place, Value, shortened};

/// Most seeds that may be added to.
const MAX: i128 = 64;
const KEYS: [&str; 3] = ["min", "max", "stop"];
const HINT: &str = "for example `seeds: { min: 4, max: 12, stop: decided }`";

/// Bounds of the seeds: 1 to `min` at first, up to 1 to `max` for what stays undecided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Seeds of every arm, at least 2.
    pub min: usize,
    /// Seeds of an arm that stays undecided, at most 64.
    pub max: usize,
}

/// Reads the entries of the map; `at` is where it begins.
pub(super) fn read(entries: &[Entry], at: &Place) -> Result<Adaptive, SpecError> {
    let (mut min, mut max) = (None, None);
    for entry in entries {
        let whole = match entry.node.value {
            Value::Integer(value) if (2..=MAX).contains(&value) => Some(value as usize),
            _ => None,
        };
        match (entry.key.as_str(), &entry.node.value) {
            ("min", _) if whole.is_some() => min = whole,
            ("max", _) if whole.is_some() => max = whole.map(|max| (max, &entry.node.at)),
            (key @ ("min" | "max"), value) => {
                let message = format!(
                    "`seeds.{key}`: expected a whole number from 2 to {MAX}, found {value}"
                );
                let why = "one seed shows no spread, and looks at more than 64 are not planned";
                return Err(entry.node.at.error(message).hint(why));
            }
            ("stop", Value::Text(text, _)) if text == "decided" => {}
            ("stop", value) => {
                let message = format!("`seeds.stop`: expected `decided`, found {value}");
                let error = entry.node.at.error(message).hint(
                    "an arm gets no more seeds once its verdict is in; there is no other rule",
                );
                return Err(error);
            }
            (key, _) => {
                let message = format!("`seeds`: unknown key `{}`", shortened(key));
                return Err(entry.at.error(message).hint(HINT).did_you_mean(key, KEYS));
            }
        }
    }
    match (min, max) {
        (Some(min), Some((max, _))) if min <= max => Ok(Adaptive { min, max }),
        (Some(min), Some((max, at))) => {
            let message = format!("`seeds.max`: {max} is less than `min`, {min}");
            Err(at.error(message).hint(HINT))
        }
        (min, _) => {
            let missing = if min.is_none() { "min" } else { "max" };
            Err(at.error(format!("`seeds`: `{missing}` is missing")).hint(HINT))
        }
    }
}
