//! `grid` and `zip`: settings with lists of values, combined or in step.

use super::{Combination, MAX_ARMS, is_list, known, map};
use crate::spec::error::SpecError;
use crate::spec::yaml::{Entry, Node, Place, Value};

/// Name -> values, as `grid` and `zip` state them.
pub(super) fn axes(kind: &Entry) -> Result<Vec<(String, Vec<Node>)>, SpecError> {
    let entries = map(&kind.key, &kind.node)?;
    entries
        .iter()
        .map(|entry| {
            let values = match &entry.node.value {
                // the values of a setting that is a list itself are lists
                Value::List(items)
                    if !is_list(&entry.key)
                        || items.iter().any(|item| matches!(item.value, Value::List(_))) =>
                {
                    items.clone()
                }
                _ => vec![entry.node.clone()],
            };
            if values.is_empty() {
                return Err(entry.node.at.error(format!("`{}`: the list is empty", entry.key)));
            }
            Ok((known(&entry.key, &entry.at)?, values))
        })
        .collect()
}

pub(super) fn grid(
    axes: &[(String, Vec<Node>)],
    at: &Place,
) -> Result<Vec<Combination>, SpecError> {
    let size = axes.iter().try_fold(1_usize, |size, (_, values)| size.checked_mul(values.len()));
    if size.is_none_or(|size| size > MAX_ARMS) {
        return Err(at.error(format!("the grid has more than {MAX_ARMS} points")));
    }
    let mut all: Vec<Combination> = vec![Vec::new()];
    for (name, values) in axes {
        all = all
            .into_iter()
            .flat_map(|before| {
                values.iter().map(move |value| {
                    let mut one = before.clone();
                    one.push((name.clone(), value.clone()));
                    one
                })
            })
            .collect();
    }
    Ok(all)
}

pub(super) fn zip(axes: &[(String, Vec<Node>)]) -> Result<Vec<Combination>, SpecError> {
    let length = axes.first().map_or(0, |(_, values)| values.len());
    for (name, values) in axes {
        if values.len() != length {
            let at = &values[0].at;
            let message = format!(
                "`zip`: `{name}` has {} values, `{}` has {length}",
                values.len(),
                axes[0].0
            );
            return Err(at
                .error(message)
                .hint("`zip` goes through its lists in step; `grid` combines them"));
        }
    }
    let at =
        |k: usize| axes.iter().map(|(name, values)| (name.clone(), values[k].clone())).collect();
    Ok((0..length).map(at).collect())
}
