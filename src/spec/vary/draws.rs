//! `random` and `quasi_random`: points of a box, by a seed of their own.

use super::{Combination, MAX_ARMS, known, map};
use crate::spec::error::SpecError;
use crate::spec::fields::{Kind, fields};
use crate::spec::yaml::{Entry, Node, Place, Value};

/// A range to draw from.
enum Range {
    Between(f64, f64),
    Log(f64, f64),
    OneOf(Vec<Node>),
}

/// `n` points of a box; `place` gives coordinate `axis` of point `k`, in [0, 1).
pub(super) fn draws(
    kind: &Entry,
    place: fn(seed: u64, k: usize, axis: usize, axes: usize) -> f64,
) -> Result<Vec<Combination>, SpecError> {
    let (mut count, mut seed) = (None, 0);
    let mut ranges: Vec<(String, Range, Place)> = Vec::new();
    for entry in map(&kind.key, &kind.node)? {
        let whole = match entry.node.value {
            Value::Integer(value) => u64::try_from(value).ok(),
            _ => None,
        };
        match (entry.key.as_str(), whole) {
            ("n", Some(n)) if (1..=MAX_ARMS as u64).contains(&n) => count = Some(n as usize),
            ("seed", Some(value)) => seed = value,
            ("n" | "seed", _) => {
                let message = format!(
                    "`{}`: {} is not a whole number that fits",
                    entry.key, entry.node.value
                );
                return Err(entry.node.at.error(message));
            }
            (name, _) => {
                ranges.push((known(name, &entry.at)?, range(entry)?, entry.node.at.clone()));
            }
        }
    }
    let Some(count) = count else {
        let message = format!("`{}` needs `n`, the number of arms to draw", kind.key);
        return Err(kind.node.at.error(message));
    };
    if ranges.is_empty() {
        return Err(kind.node.at.error(format!("`{}` has no setting to draw", kind.key)));
    }
    let axes = ranges.len();
    let point = |k: usize| {
        ranges
            .iter()
            .enumerate()
            .map(|(axis, (name, range, at))| {
                let value = drawn(range, place(seed, k, axis, axes), name);
                (name.clone(), value.unwrap_or_else(|value| Node { value, at: at.clone() }))
            })
            .collect()
    };
    Ok((0..count).map(point).collect())
}

/// The value at `u` of a range: one of the listed nodes, or a number.
fn drawn(range: &Range, u: f64, name: &str) -> Result<Node, Value> {
    let number = match range {
        Range::OneOf(nodes) => {
            return Ok(nodes[((u * nodes.len() as f64) as usize).min(nodes.len() - 1)].clone());
        }
        Range::Between(low, high) => low + (high - low) * u,
        Range::Log(low, high) => (low.ln() + (high.ln() - low.ln()) * u).exp(),
    };
    Err(match fields().get(name) {
        Some(Kind::Integer { .. }) => Value::Integer(number.round() as i128),
        // four digits: enough to tell points apart, few enough for a name
        _ => Value::Number(format!("{number:.3e}").parse().unwrap_or(number)),
    })
}

fn range(entry: &Entry) -> Result<Range, SpecError> {
    let refuse = || {
        entry
            .node
            .at
            .error(format!("`{}`: expected a range, found {}", entry.key, entry.node.value))
            .hint("`[low, high]`, `{ log: [low, high] }` or `{ one_of: [a, b, c] }`")
    };
    let bounds = |node: &Node| match &node.value {
        Value::List(items) => match items.as_slice() {
            [low, high] => {
                let number = |node: &Node| match node.value {
                    Value::Integer(value) => Some(value as f64),
                    Value::Number(value) => Some(value),
                    _ => None,
                };
                number(low).zip(number(high)).filter(|(low, high)| low < high)
            }
            _ => None,
        },
        _ => None,
    };
    if let Some((low, high)) = bounds(&entry.node) {
        return Ok(Range::Between(low, high));
    }
    let Value::Map(inner) = &entry.node.value else { return Err(refuse()) };
    let [only] = inner.as_slice() else { return Err(refuse()) };
    match (only.key.as_str(), &only.node.value) {
        ("log", _) => bounds(&only.node)
            .filter(|(low, _)| *low > 0.0)
            .map(|(low, high)| Range::Log(low, high))
            .ok_or_else(refuse),
        ("one_of", Value::List(items)) if !items.is_empty() => Ok(Range::OneOf(items.clone())),
        _ => Err(refuse()),
    }
}

/// Independent uniform draws; every coordinate has a stream of its own.
pub(super) fn random(seed: u64, k: usize, axis: usize, _axes: usize) -> f64 {
    let text = format!("dgnet vary {seed} {k} {axis}");
    let hash = blake3::hash(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The additive recurrence of the generalised golden ratio, which fills a box evenly; the seed shifts it.
pub(super) fn quasi_random(seed: u64, k: usize, axis: usize, axes: usize) -> f64 {
    // the root above 1 of x^(axes + 1) = x + 1
    let power = 1.0 / (axes as f64 + 1.0);
    let ratio = (0..64).fold(2.0_f64, |x, _| (1.0 + x).powf(power));
    let step = ratio.powi(-(axis as i32 + 1));
    (random(seed, 0, axis, axes) + step * k as f64).fract()
}
