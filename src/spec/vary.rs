//! Arms by rule: `vary` turns grids, lists that go together, parts taken away and random draws into
//! arms. What a setting may be is `fields`'; whether the arms make sense together is `validate`'s.

use std::collections::{BTreeMap, BTreeSet};

use super::error::SpecError;
use super::fields::{Kind, fields};
use super::resolve::{self, Layer, normal_name};
use super::written::{WrittenArm, check_name};
use super::yaml::{Entry, Node, Place, Value, shortened};

/// Most arms that rules may make.
const MAX_ARMS: usize = 1_000;
/// Longest name of an arm.
const MAX_NAME: usize = 64;
/// Parts that one rule may take away, at most.
const MAX_PARTS: usize = 16;
/// Factors of a full factorial, at most.
const MAX_FACTORS: usize = 9;

const RULES: [&str; 8] =
    ["grid", "zip", "random", "quasi_random", "leave_one_out", "add_one_in", "pairs", "factorial"];
const CHANGES: [&str; 4] = ["exclude", "when", "include", "prefix"];

/// Settings that an arm changes, in the order of the rule.
type Combination = Vec<(String, Node)>;

/// The arms that `vary` asks for, in the order of its rules.
pub(crate) fn arms(node: &Node) -> Result<Vec<WrittenArm>, SpecError> {
    let rules = match &node.value {
        Value::List(rules) => rules.as_slice(),
        Value::Map(_) => std::slice::from_ref(node),
        Value::Null => &[],
        other => {
            return Err(node.at.error(format!("`vary`: expected a list of rules, found {other}")));
        }
    };
    let mut arms: Vec<WrittenArm> = Vec::new();
    for rule in rules {
        for arm in rule_arms(rule)? {
            match arms.iter().find(|known| known.name.eq_ignore_ascii_case(&arm.name)) {
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
    Ok(arms)
}

/// Whether two arms change the same settings to the same values.
pub(crate) fn same(a: &Layer, b: &Layer) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((name, one), (other, two))| name == other && one.value == two.value)
}

fn rule_arms(rule: &Node) -> Result<Vec<WrittenArm>, SpecError> {
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
    let mut combinations = match kind.key.as_str() {
        "grid" => grid(&axes(kind)?, &kind.at)?,
        "zip" => zip(&axes(kind)?)?,
        "random" => draws(kind, random)?,
        "quasi_random" => draws(kind, quasi_random)?,
        "leave_one_out" => choose(&factors(kind)?, 1),
        "pairs" => choose(&factors(kind)?, 2),
        "add_one_in" => {
            let factors = factors(kind)?;
            let last = factors.len().saturating_sub(1);
            choose(&factors, last)
        }
        _ => factorial(&factors(kind)?, &kind.at)?,
    };
    if let Some(when) = changes.get("when") {
        combinations = conditional(combinations, when)?;
    }
    if let Some(exclude) = changes.get("exclude") {
        let patterns = patterns(exclude)?;
        combinations.retain(|one| !patterns.iter().any(|pattern| fits(one, pattern)));
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

/// Name -> values, as `grid` and `zip` state them.
fn axes(kind: &Entry) -> Result<Vec<(String, Vec<Node>)>, SpecError> {
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

fn grid(axes: &[(String, Vec<Node>)], at: &Place) -> Result<Vec<Combination>, SpecError> {
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

fn zip(axes: &[(String, Vec<Node>)]) -> Result<Vec<Combination>, SpecError> {
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

/// Parts that can be switched off: names, or `{ name: value that is off }`.
fn factors(kind: &Entry) -> Result<Vec<(String, Node)>, SpecError> {
    let Value::List(items) = &kind.node.value else {
        let message =
            format!("`{}`: expected a list of settings, found {}", kind.key, kind.node.value);
        return Err(kind.node.at.error(message));
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
                    "`{}`: expected a setting or `{{ setting: value }}`, found {other}",
                    kind.key
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
        let message = format!("`{}`: {} settings are too many", kind.key, found.len());
        return Err(kind.node.at.error(message).hint(format!("at most {MAX_PARTS} in one rule")));
    }
    if found.len() < 2 {
        let message = format!("`{}` needs at least two settings", kind.key);
        return Err(kind.node.at.error(message));
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

/// Every subset but the empty one, which is the base recipe.
fn factorial(factors: &[(String, Node)], at: &Place) -> Result<Vec<Combination>, SpecError> {
    if factors.len() > MAX_FACTORS {
        let message = format!(
            "`factorial`: {} settings make {} arms",
            factors.len(),
            1_u128 << factors.len().min(100)
        );
        return Err(at.error(message).hint(format!("at most {MAX_FACTORS} settings")));
    }
    Ok(subsets(factors).filter(|one| !one.is_empty()).collect())
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

/// A range to draw from.
enum Range {
    Between(f64, f64),
    Log(f64, f64),
    OneOf(Vec<Node>),
}

/// `n` points of a box; `place` gives coordinate `axis` of point `k`, in [0, 1).
fn draws(
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
fn random(seed: u64, k: usize, axis: usize, _axes: usize) -> f64 {
    let text = format!("dgnet vary {seed} {k} {axis}");
    let hash = blake3::hash(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The additive recurrence of the generalised golden ratio, which fills a box evenly; the seed shifts it.
fn quasi_random(seed: u64, k: usize, axis: usize, axes: usize) -> f64 {
    // the root above 1 of x^(axes + 1) = x + 1
    let power = 1.0 / (axes as f64 + 1.0);
    let ratio = (0..64).fold(2.0_f64, |x, _| (1.0 + x).powf(power));
    let step = ratio.powi(-(axis as i32 + 1));
    (random(seed, 0, axis, axes) + step * k as f64).fract()
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
    for mut one in all {
        let whole = one.clone();
        one.retain(|(name, _)| {
            conditions.iter().all(|(axis, needed)| axis != name || fits(&whole, needed))
        });
        let equal = |other: &Combination| other.len() == one.len() && fits(other, &one);
        if !kept.iter().any(equal) {
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
        // compared as the setting understands them: 0 is 0.0, gray is grey
        let value = |node: &Node| fields().get(name).and_then(|kind| kind.check(name, node).ok());
        one.iter().any(|(other, found)| {
            other == name && value(found).is_some() && value(found) == value(wanted)
        })
    })
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

/// `loss.lambda_fine` -> `fine`, unless two settings would be called alike.
fn short_names(names: &BTreeSet<String>) -> BTreeMap<String, String> {
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
struct Words<'a> {
    short: &'a BTreeMap<String, String>,
    /// Whether a combination lists parts that are off.
    parts: bool,
    /// Every part, where what is named is the one that is left.
    everything: Option<&'a BTreeSet<String>>,
}

fn arm(
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
        name = format!("{}-{}", &name[..MAX_NAME - 9], &hash[..8]);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
