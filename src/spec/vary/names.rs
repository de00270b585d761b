//! What the arms of a rule are called, and the settings that they change.

use std::collections::{BTreeMap, BTreeSet};

use super::Combination;
use crate::spec::error::SpecError;
use crate::spec::resolve::{self, Layer};
use crate::spec::written::{WrittenArm, check_name};
use crate::spec::yaml::{Entry, Place, Value};

/// Longest name of an arm.
const MAX_NAME: usize = 64;

/// `loss.lambda_fine` -> `fine`, unless two settings would be called alike.
pub(super) fn short_names(names: &BTreeSet<String>) -> BTreeMap<String, String> {
    let last = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or(name);
        last.strip_prefix("lambda_").unwrap_or(last).to_owned()
    };
    names
        .iter()
        .map(|name| {
            let alike = names.iter().filter(|other| last(other) == last(name)).count();
            (name.clone(), if alike > 1 { name.clone() } else { last(name) })
        })
        .collect()
}

/// What the arms of a rule are called by.
pub(super) struct Words<'a> {
    pub short: &'a BTreeMap<String, String>,
    /// Whether a combination lists parts that are off.
    pub parts: bool,
    /// Every part, where what is named is the one that is left.
    pub everything: Option<&'a BTreeSet<String>>,
}

pub(super) fn arm(
    one: &Combination,
    words: &Words,
    prefix: &str,
    at: &Place,
) -> Result<WrittenArm, SpecError> {
    let greek = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or(name);
        last.strip_prefix("lambda_").map_or_else(|| last.to_owned(), |rest| format!("λ_{rest}"))
    };
    let (mut names, mut labels) = (Vec::new(), Vec::new());
    if let Some(everything) = words.everything {
        for left in everything.iter().filter(|name| !one.iter().any(|(off, _)| off == *name)) {
            names.push(format!("only_{}", words.short[left]));
            labels.push(format!("only {}", greek(left)));
        }
    } else {
        for (name, node) in one {
            let short = &words.short[name];
            if words.parts {
                names.push(format!("no_{short}"));
                labels.push(greek(name));
            } else {
                names.push(format!("{short}-{}", in_name(&node.value)));
                labels.push(format!("{} {}", greek(name), in_label(&node.value)));
            }
        }
    }
    let mut name = format!("{prefix}{}", names.join("_"));
    if name.len() > MAX_NAME {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        name = format!("{}-{}", &name[..name.floor_char_boundary(MAX_NAME - 9)], &hash[..8]);
    }
    check_name("arm", &name, at)?;
    let label = match (words.parts, words.everything) {
        (true, None) => format!("without {}", labels.join(", ")),
        _ => labels.join(", "),
    };
    let mut layer = Layer::new();
    for (name, node) in one {
        let entry = Entry { key: name.clone(), at: node.at.clone(), node: node.clone() };
        resolve::add("", &entry, &mut layer)?;
    }
    Ok(WrittenArm { name, at: at.clone(), label: Some(label), layer })
}

fn in_label(value: &Value) -> String {
    match value {
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Text(text, _) => text.clone(),
        Value::List(items) => {
            items.iter().map(|item| in_label(&item.value)).collect::<Vec<_>>().join(" ")
        }
        _ => "none".to_owned(),
    }
}

fn in_name(value: &Value) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    in_label(value).chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}
