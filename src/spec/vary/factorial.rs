//! `factorial`: every way to leave settings out, or a fraction of them that still tells them apart.

use super::fraction::{Fraction, MAX_SETTINGS};
use super::{Combination, Made, factors_of, map, subsets};
use crate::spec::error::SpecError;
use crate::spec::yaml::{Entry, Node, Place, Value, shortened};

/// Settings of a full factorial, at most.
const MAX_FULL: usize = 12;
const HINT: &str = "for example `factorial: { settings: [loss.lambda_prim, ...], fraction: 1/2 }`";

/// The arms of a list of settings, or of `{ settings: [...], fraction: 1/2 }`.
pub(super) fn factorial(kind: &Entry) -> Result<Made, SpecError> {
    let Value::Map(_) = kind.node.value else {
        return full(&factors_of(&kind.key, &kind.node)?, &kind.at);
    };
    let (mut settings, mut halvings) = (None, None);
    for entry in map(&kind.key, &kind.node)? {
        match entry.key.as_str() {
            "settings" => settings = Some(&entry.node),
            "fraction" => halvings = Some((fraction(&entry.node)?, &entry.node.at)),
            key => {
                let message = format!("`factorial`: unknown key `{}`", shortened(key));
                let known = ["settings", "fraction"];
                return Err(entry.at.error(message).hint(HINT).did_you_mean(key, known));
            }
        }
    }
    let Some(settings) = settings else {
        return Err(kind.node.at.error("`factorial`: `settings` is missing").hint(HINT));
    };
    let factors = factors_of(&kind.key, settings)?;
    match halvings {
        Some((halvings, at)) => fractional(&factors, halvings, at),
        None => full(&factors, &kind.at),
    }
}

/// How many times the full design is halved.
fn fraction(node: &Node) -> Result<usize, SpecError> {
    let halvings = match &node.value {
        Value::Text(text, _) => {
            let parts = text.split_once('/').filter(|(one, _)| one.trim() == "1");
            parts.and_then(|(_, of)| of.trim().parse::<u32>().ok())
        }
        _ => None,
    };
    match halvings {
        Some(of) if of.is_power_of_two() && (2..=64).contains(&of) => {
            Ok(of.trailing_zeros() as usize)
        }
        _ => {
            let message =
                format!("`factorial.fraction`: expected 1/2, 1/4, 1/8, ..., found {}", node.value);
            Err(node.at.error(message).hint(HINT))
        }
    }
}

/// Every subset but the empty one, which is the base recipe.
fn full(factors: &[(String, Node)], at: &Place) -> Result<Made, SpecError> {
    if factors.len() > MAX_FULL {
        let message = format!(
            "`factorial`: {} settings make {} arms",
            factors.len(),
            1_u128 << factors.len().min(100)
        );
        let hint = format!("at most {MAX_FULL} settings, or a `fraction`");
        return Err(at.error(message).hint(hint));
    }
    let arms = subsets(factors).filter(|one| !one.is_empty()).collect();
    Ok(Made { arms, notes: Vec::new() })
}

fn fractional(factors: &[(String, Node)], halvings: usize, at: &Place) -> Result<Made, SpecError> {
    let count = factors.len();
    let share = 1_u32 << halvings;
    if count > MAX_SETTINGS {
        let message = format!("`factorial`: {count} settings are too many for a fraction");
        return Err(at.error(message).hint(format!("at most {MAX_SETTINGS} in one rule")));
    }
    let Some(fraction) = Fraction::best(count, halvings) else {
        let message =
            format!("`factorial.fraction`: 1/{share} of {count} settings cannot tell them apart");
        return Err(at.error(message).hint("take a larger fraction"));
    };
    let members = |set: u32| (0..count).filter(move |k| set >> k & 1 == 1);
    let mut runs = fraction.runs();
    // the order of the full design
    runs.sort_by_key(|set| (set.count_ones(), set.reverse_bits().wrapping_neg()));
    let arms: Vec<Combination> =
        runs.iter().map(|set| members(*set).map(|k| factors[k].clone()).collect()).collect();
    let names: Vec<&str> = factors.iter().map(|(name, _)| name.as_str()).collect();
    let notes = vec![told(&fraction, &names, share)];
    Ok(Made { arms, notes })
}

/// The design and what is confounded in it.
fn told(fraction: &Fraction, names: &[&str], share: u32) -> String {
    let short = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let effect = |set: u32| {
        let members = (0..names.len()).filter(|k| set >> k & 1 == 1);
        members.map(|k| short(names[k])).collect::<Vec<_>>().join(" x ")
    };
    let count = names.len();
    let resolution = fraction.resolution();
    let mains = (0..count).map(|k| 1_u32 << k);
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| 1_u32 << a | 1 << b));
    // of a set of effects that cannot be told apart, the first names all
    let confounded: Vec<String> = mains
        .chain(pairs)
        .filter_map(|set| {
            let others = fraction.aliases(set);
            let first = others
                .first()
                .is_some_and(|other| (set.count_ones(), set) < (other.count_ones(), *other));
            let all = std::iter::once(set).chain(others);
            first.then(|| all.map(effect).collect::<Vec<_>>().join(" = "))
        })
        .collect();
    let what = match resolution {
        ..=3 => "single settings are confounded with pairs of others",
        4 => "single settings are free of pairs, pairs are confounded with each other",
        _ => "single settings and pairs are free of each other",
    };
    let confounded = match confounded.as_slice() {
        [] => String::new(),
        sets => format!(": {}", sets.join("; ")),
    };
    format!(
        "`factorial`: 1/{share} of {count} settings, {} runs a seed with the base recipe, resolution {}: {what}{confounded}",
        fraction.runs().len() + 1,
        roman(resolution),
    )
}

fn roman(number: u32) -> String {
    let numerals = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"];
    let known = number.checked_sub(1).and_then(|at| numerals.get(at as usize));
    known.map_or_else(|| number.to_string(), |numeral| (*numeral).to_owned())
}
