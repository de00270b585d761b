//! Arms by rule: `vary` turns grids, lists that go together, parts taken away and random draws into
//! arms. What a setting may be is `fields`'; whether the arms make sense together is `validate`'s.

mod axes;
mod draws;
mod factorial;
mod fraction;
mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::error::SpecError;
use super::fields::{Kind, fields};
use super::resolve::{Layer, normal_name};
use super::written::WrittenArm;
use super::yaml::{Entry, Node, Place, Value, shortened};
use axes::{axes, grid, zip};
use draws::{draws, quasi_random, random};
use factorial::factorial;
use names::{Words, arm, short_names};

/// Most arms that rules may make.
const MAX_ARMS: usize = 200_000;
/// Parts that one rule may take away, at most.
const MAX_PARTS: usize = 16;

const RULES: [&str; 8] =
    ["grid", "zip", "random", "quasi_random", "leave_one_out", "add_one_in", "pairs", "factorial"];
const CHANGES: [&str; 4] = ["exclude", "when", "include", "prefix"];

/// Settings that an arm changes, in the order of the rule.
type Combination = Vec<(String, Node)>;

/// What a rule makes, and what should be known of it.
struct Made {
    arms: Vec<Combination>,
    notes: Vec<String>,
}

impl From<Vec<Combination>> for Made {
    fn from(arms: Vec<Combination>) -> Self {
        Self { arms, notes: Vec::new() }
    }
}

/// The arms that `vary` asks for, in the order of its rules, and what should be known of them.
pub(crate) fn arms(node: &Node) -> Result<(Vec<WrittenArm>, Vec<String>), SpecError> {
    let rules = match &node.value {
        Value::List(rules) => rules.as_slice(),
        Value::Map(_) => std::slice::from_ref(node),
        Value::Null => &[],
        other => {
            return Err(node.at.error(format!("`vary`: expected a list of rules, found {other}")));
        }
    };
    let (mut arms, mut notes): (Vec<WrittenArm>, Vec<String>) = (Vec::new(), Vec::new());
    let mut named: HashMap<String, usize> = HashMap::new();
    for rule in rules {
        for arm in rule_arms(rule, &mut notes)? {
            let at = *named.entry(arm.name.to_ascii_lowercase()).or_insert(arms.len());
            match arms.get(at) {
                Some(known) if same(&known.layer, &arm.layer) => {}
                Some(_) => {
                    let message =
                        format!("two rules make an arm `{}`, and not the same one", arm.name);
                    return Err(arm.at.error(message).hint("give one of them a `prefix`"));
                }
                None => arms.push(arm),
            }
        }
        if arms.len() > MAX_ARMS {
            let message = format!("the rules make more than {MAX_ARMS} arms");
            return Err(rule.at.error(message));
        }
    }
    Ok((arms, notes))
}

/// Whether two arms change the same settings to the same values.
pub(crate) fn same(a: &Layer, b: &Layer) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((name, one), (other, two))| name == other && one.value == two.value)
}

fn rule_arms(rule: &Node, notes: &mut Vec<String>) -> Result<Vec<WrittenArm>, SpecError> {
    let Value::Map(entries) = &rule.value else {
        let message =
            format!("`vary`: expected a rule such as `grid: {{ ... }}`, found {}", rule.value);
        return Err(rule.at.error(message));
    };
    let mut kind: Option<&Entry> = None;
    let mut changes: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in entries {
        match entry.key.as_str() {
            key if RULES.contains(&key) => {
                if let Some(first) = kind {
                    let message = format!("a rule is `{}` or `{key}`, not both", first.key);
                    return Err(entry.at.error(message).hint("begin another rule with `- `"));
                }
                kind = Some(entry);
            }
            key if CHANGES.contains(&key) => {
                changes.insert(key, entry);
            }
            key => {
                let known = RULES.iter().chain(&CHANGES).copied();
                let message = format!("`vary`: unknown key `{}`", shortened(key));
                return Err(entry.at.error(message).did_you_mean(key, known));
            }
        }
    }
    let Some(kind) = kind else {
        let message = format!("the rule says nothing; it may be {}", RULES.join(", "));
        return Err(rule.at.error(message));
    };
    let parts = !matches!(kind.key.as_str(), "grid" | "zip" | "random" | "quasi_random");
    let made: Made = match kind.key.as_str() {
        "grid" => grid(&axes(kind)?, &kind.at)?.into(),
        "zip" => zip(&axes(kind)?)?.into(),
        "random" => draws(kind, random)?.into(),
        "quasi_random" => draws(kind, quasi_random)?.into(),
        "leave_one_out" => choose(&factors(kind)?, 1).into(),
        "pairs" => choose(&factors(kind)?, 2).into(),
        "add_one_in" => {
            let factors = factors(kind)?;
            let last = factors.len().saturating_sub(1);
            choose(&factors, last).into()
        }
        _ => factorial(kind)?,
    };
    let mut combinations = made.arms;
    let whole = combinations.len();
    if let Some(when) = changes.get("when") {
        combinations = conditional(combinations, when)?;
    }
    if let Some(exclude) = changes.get("exclude") {
        let patterns = patterns(exclude)?;
        combinations.retain(|one| !patterns.iter().any(|pattern| fits(one, pattern)));
    }
    // what is confounded is said of the whole design
    if combinations.len() == whole {
        notes.extend(made.notes);
    }
    let prefix = match changes.get("prefix").map(|entry| &entry.node) {
        Some(Node { value: Value::Text(text, _), .. }) => text.clone(),
        Some(other) => {
            let message = format!("`prefix`: expected a text, found {}", other.value);
            return Err(other.at.error(message));
        }
        None => String::new(),
    };
    let included = match changes.get("include") {
        Some(include) => patterns(include)?,
        None => Vec::new(),
    };
    let names = |all: &[Combination]| -> BTreeSet<String> {
        all.iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let everything = names(&combinations);
    let short = short_names(&everything.union(&names(&included)).cloned().collect());
    let left = (kind.key == "add_one_in").then_some(&everything);
    let made = Words { short: &short, parts, everything: left };
    let given = Words { short: &short, parts: false, everything: None };
    let made = combinations.iter().map(|one| arm(one, &made, &prefix, &kind.at));
    made.chain(included.iter().map(|one| arm(one, &given, &prefix, &kind.at))).collect()
}

/// Parts that can be switched off: names, or `{ name: value that is off }`.
fn factors(kind: &Entry) -> Result<Vec<(String, Node)>, SpecError> {
    factors_of(&kind.key, &kind.node)
}

fn factors_of(rule: &str, node: &Node) -> Result<Vec<(String, Node)>, SpecError> {
    let Value::List(items) = &node.value else {
        let message = format!("`{rule}`: expected a list of settings, found {}", node.value);
        return Err(node.at.error(message));
    };
    let mut found: Vec<(String, Node)> = Vec::new();
    for item in items {
        let factor = match &item.value {
            Value::Text(name, _) => off(name, &item.at)?,
            Value::Map(entries) if entries.len() == 1 => {
                (known(&entries[0].key, &entries[0].at)?, entries[0].node.clone())
            }
            other => {
                let message = format!(
                    "`{rule}`: expected a setting or `{{ setting: value }}`, found {other}"
                );
                return Err(item.at.error(message));
            }
        };
        if found.iter().any(|(name, _)| *name == factor.0) {
            return Err(item.at.error(format!("`{}` is listed twice", factor.0)));
        }
        found.push(factor);
    }
    if found.len() > MAX_PARTS {
        let message = format!("`{rule}`: {} settings are too many", found.len());
        return Err(node.at.error(message).hint(format!("at most {MAX_PARTS} in one rule")));
    }
    if found.len() < 2 {
        let message = format!("`{rule}` needs at least two settings");
        return Err(node.at.error(message));
    }
    Ok(found)
}

/// A setting with the value that takes it away.
fn off(name: &str, at: &Place) -> Result<(String, Node), SpecError> {
    let name = known(name, at)?;
    let value = match fields().get(&name) {
        Some(Kind::Integer { .. } | Kind::Number { .. }) => Value::Integer(0),
        Some(Kind::Flag) => Value::Bool(false),
        _ => {
            let message = format!("`{name}` has no value that is plainly off");
            return Err(at.error(message).hint(format!("say which: `{{ {name}: value }}`")));
        }
    };
    Ok((name, Node { value, at: at.clone() }))
}

/// Every choice of `count` factors, in order.
fn choose(factors: &[(String, Node)], count: usize) -> Vec<Combination> {
    subsets(factors).filter(|one| one.len() == count).collect()
}

/// Every subset, the small ones first and each in the order of the factors.
fn subsets(factors: &[(String, Node)]) -> impl Iterator<Item = Combination> {
    let count = factors.len();
    let mut all: Vec<u32> = (0..1_u32 << count).collect();
    all.sort_by_key(|set| (set.count_ones(), set.reverse_bits().wrapping_neg()));
    all.into_iter().map(move |set| {
        (0..count).filter(|k| set >> k & 1 == 1).map(|k| factors[k].clone()).collect()
    })
}

/// `when: { axis: { other: value } }`: the axis varies only where the other setting has that value;
/// elsewhere it is left as it is, and what becomes equal by that is one arm.
fn conditional(all: Vec<Combination>, when: &Entry) -> Result<Vec<Combination>, SpecError> {
    let mut conditions = Vec::new();
    for entry in map("when", &when.node)? {
        let axis = known(&entry.key, &entry.at)?;
        if !all.iter().flatten().any(|(name, _)| *name == axis) {
            return Err(entry.at.error(format!("`when`: the rule does not vary `{axis}`")));
        }
        conditions.push((axis, pattern(&entry.key, &entry.node)?));
    }
    let mut kept: Vec<Combination> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    for mut one in all {
        let whole = one.clone();
        one.retain(|(name, _)| {
            conditions.iter().all(|(axis, needed)| axis != name || fits(&whole, needed))
        });
        let values = one.iter().map(|(name, node)| (name, understood(name, node)));
        if seen.insert(format!("{:?}", values.collect::<Vec<_>>())) {
            kept.push(one);
        }
    }
    Ok(kept)
}

fn patterns(entry: &Entry) -> Result<Vec<Combination>, SpecError> {
    let items = match &entry.node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.node),
    };
    items.iter().map(|item| pattern(&entry.key, item)).collect()
}

fn pattern(key: &str, node: &Node) -> Result<Combination, SpecError> {
    let entries = map(key, node)?;
    entries.iter().map(|entry| Ok((known(&entry.key, &entry.at)?, entry.node.clone()))).collect()
}

/// Whether a combination has all values of a pattern.
fn fits(one: &Combination, pattern: &Combination) -> bool {
    pattern.iter().all(|(name, wanted)| {
        let wanted = understood(name, wanted);
        one.iter().any(|(other, found)| {
            other == name && wanted.is_some() && understood(name, found) == wanted
        })
    })
}

/// A value as its setting understands it: 0 is 0.0, gray is grey.
fn understood(name: &str, node: &Node) -> Option<serde_json::Value> {
    fields().get(name).and_then(|kind| kind.check(name, node).ok())
}

fn map<'a>(key: &str, node: &'a Node) -> Result<&'a [Entry], SpecError> {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => Ok(entries),
        other => Err(node.at.error(format!("`{key}`: expected `setting: ...`, found {other}"))),
    }
}

/// The one spelling of a setting that exists.
fn known(name: &str, at: &Place) -> Result<String, SpecError> {
    let normal = normal_name(name);
    if fields().contains_key(&normal) {
        return Ok(normal);
    }
    let message = format!("unknown setting `{}`", shortened(name));
    Err(at.error(message).did_you_mean(name, fields().keys().map(String::as_str)))
}

fn is_list(name: &str) -> bool {
    matches!(fields().get(&normal_name(name)), Some(Kind::List { .. }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
