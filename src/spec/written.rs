//! A study file as written: its keys read and checked one by one, each with its place where later
//! errors need it. What the keys mean together is in `study`.

use std::collections::{BTreeMap, BTreeSet};

use super::adaptive::{self, Adaptive};
use super::devices::{self, Slots};
use super::error::SpecError;
use super::fields::{fields, sections};
use super::metrics::{self, Direction};
use super::prune::{self, Prune};
use super::resolve::{self, Layer};
use super::schema::study_keys;
use super::slurm::{self, Slurm};
use super::vary;
use super::yaml::{Entry, Node, Place, Value, shortened};

/// Most seeds that a count may ask for.
const MAX_SEEDS: i128 = 10_000;

/// What a study file says beside settings, with the places that errors may have to name.
#[derive(Default)]
pub(crate) struct Keys {
    pub study: Option<String>,
    pub question: String,
    pub seeds: Option<Vec<u64>>,
    /// Seeds that are added while a verdict is open, and where that is said.
    pub adaptive: Option<(Adaptive, Place)>,
    /// When exploratory arms are given up, and where that is said.
    pub prune: Option<(Prune, Place)>,
    pub primary: Option<String>,
    pub equal_within: Option<f64>,
    pub baseline: Option<(String, Place)>,
    pub confirm: Vec<(String, Place)>,
    pub devices: Option<(Vec<Slots>, Place)>,
    pub arms: Vec<WrittenArm>,
    pub arms_at: Option<Place>,
    /// Arms that `vary` makes.
    pub varied: Vec<WrittenArm>,
    /// What jobs ask of a cluster.
    pub slurm: Slurm,
    /// What should be known of its rules.
    pub notes: Vec<String>,
}

/// An arm as written.
pub(crate) struct WrittenArm {
    pub name: String,
    pub at: Place,
    pub label: Option<String>,
    pub layer: Layer,
}

impl Keys {
    /// Takes one top-level entry.
    pub fn read(&mut self, entry: &Entry, own: &mut Layer) -> Result<(), SpecError> {
        let at = &entry.node.at;
        match entry.key.as_str() {
            "study" => {
                let name = text(entry)?;
                check_name("study", &name, at)?;
                self.study = Some(name);
            }
            "question" => text(entry)?.trim().clone_into(&mut self.question),
            "seeds" => match &entry.node.value {
                Value::Map(inner) => {
                    self.adaptive = Some((adaptive::read(inner, at)?, entry.at.clone()));
                }
                _ => self.seeds = Some(read_seeds(&entry.node)?),
            },
            "prune" => match &entry.node.value {
                Value::Map(inner) => self.prune = Some((prune::read(inner, at)?, entry.at.clone())),
                other => {
                    let message = format!("`prune`: expected a map, found {other}");
                    return Err(at.error(message).hint(prune::HINT));
                }
            },
            "primary" => self.primary = Some(read_primary(entry)?),
            "equal_within" => self.equal_within = Some(read_equal_within(&entry.node)?),
            "baseline" => self.baseline = Some((text(entry)?, at.clone())),
            "confirm" => self.confirm = read_confirm(entry)?,
            "devices" => {
                let slots = devices::read(&entry.node)?;
                self.devices = Some((slots, entry.at.clone()));
            }
            "arms" => {
                self.arms_at = Some(entry.at.clone());
                self.arms = read_arms(&entry.node)?;
            }
            "vary" => (self.varied, self.notes) = vary::arms(&entry.node)?,
            "slurm" => self.slurm = slurm::read(&entry.node)?,
            key if !resolve::is_setting(key) => {
                let settings = fields().keys().chain(sections());
                let known = study_keys().iter().chain(settings).map(String::as_str);
                return Err(entry
                    .at
                    .error(format!("unknown key `{}`", shortened(key)))
                    .did_you_mean(key, known));
            }
            _ => resolve::add("", entry, own)?,
        }
        Ok(())
    }
}

/// The text of an entry.
fn text(entry: &Entry) -> Result<String, SpecError> {
    match &entry.node.value {
        Value::Text(text, _) => Ok(text.clone()),
        // A name may look like a number; its digits are what was meant.
        Value::Integer(number) => Ok(number.to_string()),
        other => {
            Err(entry.node.at.error(format!("`{}`: expected a text, found {other}", entry.key)))
        }
    }
}

/// Refuses names that could not be a folder everywhere.
pub(crate) fn check_name(what: &str, name: &str, at: &Place) -> Result<(), SpecError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = if name.is_empty() || name.len() > 64 {
        "must have 1 to 64 characters"
    } else if name.starts_with('.') {
        "must not begin with a dot"
    } else if !name.chars().all(allowed) {
        "may only have the letters A-Z, a-z, digits and `.`, `_`, `-`"
    } else {
        return Ok(());
    };
    let plain: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).take(64).collect();
    let plain = plain.trim_start_matches('.');
    let hint = if plain.chars().any(|c| c.is_ascii_alphanumeric()) {
        let free = if what == "arm" { "; free text goes in `label`" } else { "" };
        format!("for example `{plain}`{free}")
    } else {
        String::new()
    };
    Err(at.error(format!("{what} name `{}` {why}", shortened(name))).hint(hint))
}

/// `seeds: 3` means 1, 2, 3; a list is taken as it is.
fn read_seeds(node: &Node) -> Result<Vec<u64>, SpecError> {
    let refuse = |found: &Node| {
        found
            .at
            .error(format!(
                "`seeds`: expected a count from 1 to {MAX_SEEDS} or a list of whole numbers, found {}",
                found.value
            ))
            .hint("`seeds: 3` means 1, 2, 3; `{ min: 4, max: 12, stop: decided }` adds them as needed")
    };
    let items = match &node.value {
        Value::Integer(count) if (1..=MAX_SEEDS).contains(count) => {
            return Ok((1..=*count as u64).collect());
        }
        Value::List(items) if !items.is_empty() => items,
        Value::List(_) => return Err(node.at.error("`seeds`: the list is empty")),
        _ => return Err(refuse(node)),
    };
    let mut seen = BTreeSet::new();
    let mut seeds = Vec::with_capacity(items.len());
    for item in items {
        let Value::Integer(seed) = item.value else { return Err(refuse(item)) };
        // databases keep whole numbers up to 2^63 - 1
        let seed = i64::try_from(seed).ok().and_then(|seed| u64::try_from(seed).ok());
        let seed = seed.ok_or_else(|| refuse(item))?;
        if !seen.insert(seed) {
            return Err(item
                .at
                .error(format!("`seeds`: {seed} is listed twice"))
                .hint("the same seed gives the same run, not another replicate"));
        }
        seeds.push(seed);
    }
    Ok(seeds)
}

fn read_primary(entry: &Entry) -> Result<String, SpecError> {
    let name = text(entry)?;
    let at = &entry.node.at;
    let decisive = || metrics::METRICS.iter().filter(|metric| metric.direction != Direction::None);
    match metrics::lookup(&name) {
        Some(metric) if metric.direction != Direction::None => Ok(name),
        Some(_) => Err(at
            .error(format!("`primary`: `{name}` has no better or worse, it cannot decide"))
            .hint("for example `primary: mAP`")),
        None => Err(at
            .error(format!("`primary`: unknown metric `{}`", shortened(&name)))
            .hint("for example `primary: mAP`")
            .did_you_mean(&name, decisive().map(|metric| metric.name))),
    }
}

fn read_equal_within(node: &Node) -> Result<f64, SpecError> {
    let value = match node.value {
        Value::Integer(value) => value as f64,
        Value::Number(value) => value,
        _ => f64::NAN,
    };
    if value.is_finite() && value >= 0.0 {
        return Ok(value + 0.0);
    }
    let message = format!("`equal_within`: expected a number of at least 0, found {}", node.value);
    Err(node.at.error(message).hint("in units of `primary`: 0.005 is half a percent point of mAP"))
}

fn read_confirm(entry: &Entry) -> Result<Vec<(String, Place)>, SpecError> {
    let items = match &entry.node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        _ => std::slice::from_ref(&entry.node),
    };
    items
        .iter()
        .map(|item| match &item.value {
            Value::Text(name, _) => Ok((name.clone(), item.at.clone())),
            Value::Integer(name) => Ok((name.to_string(), item.at.clone())),
            other => {
                Err(item.at.error(format!("`confirm`: expected the name of an arm, found {other}")))
            }
        })
        .collect()
}

fn read_arms(node: &Node) -> Result<Vec<WrittenArm>, SpecError> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => &[],
        other => {
            return Err(node
                .at
                .error(format!("`arms`: expected lines `name: {{ overrides }}`, found {other}")));
        }
    };
    // Folders of arms must stay apart where a file system ignores case.
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    let mut arms = Vec::with_capacity(entries.len());
    for entry in entries {
        check_name("arm", &entry.key, &entry.at)?;
        if let Some(first) = folded.insert(entry.key.to_ascii_lowercase(), &entry.key) {
            let message = format!("arms `{first}` and `{}` differ in case alone", entry.key);
            return Err(entry.at.error(message));
        }
        let mut arm = WrittenArm {
            name: entry.key.clone(),
            at: entry.at.clone(),
            label: None,
            layer: Layer::new(),
        };
        let overrides = match &entry.node.value {
            Value::Map(overrides) => overrides.as_slice(),
            Value::Null => &[],
            other => {
                return Err(entry.node.at.error(format!(
                    "arm `{}`: expected overrides such as `{{ loss.lambda_id: 0 }}`, found {other}",
                    arm.name
                )));
            }
        };
        for inner in overrides {
            match inner.key.as_str() {
                "label" => arm.label = Some(text(inner)?),
                key if study_keys().iter().any(|known| known == key) => {
                    let message = format!("`{key}` is a key of the study, arms cannot change it");
                    return Err(inner.at.error(message));
                }
                _ => resolve::add("", inner, &mut arm.layer)?,
            }
        }
        arms.push(arm);
    }
    Ok(arms)
}
