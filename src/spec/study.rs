//! The study file: what it asks, its arms and seeds, and the files it extends. Everything is expanded
//! and validated here, before anything runs; nothing here trains, stores or prints.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::adaptive::Adaptive;
use super::devices::Slots;
use super::error::SpecError;
use super::identity;
use super::prune::{self, Prune};
use super::resolve::{self, Base, Layer, Layers, Setting};
use super::schema::study_keys;
use super::settings::{Device, Settings};
use super::slurm::Slurm;
use super::validate;
use super::vary;
use super::written::{Keys, WrittenArm};
use super::yaml::{self, Entry, Place, Source, Value, shortened};

/// Longest chain of `extends`.
const MAX_CHAIN: usize = 16;
/// Seeds of a study that does not say.
const DEFAULT_SEEDS: u64 = 3;
/// Band inside which differences do not matter, for a study that does not say.
const DEFAULT_EQUAL_WITHIN: f64 = 0.005;
/// Metric that decides, for a study that does not say.
const DEFAULT_PRIMARY: &str = "mAP";

/// A study, expanded and validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Its name, also of its folders.
    pub name: String,
    /// What it asks, in words; may be empty.
    pub question: String,
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The file's text.
    pub source: String,
    /// Metric that decides, at the last step.
    pub primary: String,
    /// Differences of `primary` below this do not matter.
    pub equal_within: f64,
    /// Seeds of every arm, distinct, in the order of the file.
    pub seeds: Vec<u64>,
    /// Bounds of the seeds where they are added as needed; `seeds` are then those at first.
    pub adaptive: Option<Adaptive>,
    /// When exploratory arms are given up, if ever.
    pub prune: Option<Prune>,
    /// Arm that the others are compared with.
    pub baseline: String,
    /// Arms whose comparisons form the corrected family.
    pub confirm: Vec<String>,
    /// Where its runs may train; empty for `train.device` of each.
    pub devices: Vec<Slots>,
    /// Arms in the order of the file; never empty.
    pub arms: Vec<Arm>,
    /// What a job asks of a cluster.
    pub slurm: Slurm,
    /// What is allowed but probably not meant, for `plan` to show.
    pub notes: Vec<String>,
}

/// A named configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name, unique in the study, also of its folder.
    pub name: String,
    /// Its name in tables and figures.
    pub label: String,
    /// Dotted name -> value of what the arm changes, as it came out.
    pub overrides: Arc<BTreeMap<String, Json>>,
    /// The resolved settings.
    pub settings: Arc<Settings>,
    /// Where settings are stated; the others have defaults.
    pub origins: Origins,
}

/// Dotted name -> `file:line` of every setting that is stated somewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origins {
    /// In the study and what it extends.
    study: Arc<BTreeMap<String, String>>,
    /// In the arm and by `--set`; few.
    own: Vec<(String, String)>,
}

impl Origins {
    /// Where the value of a setting comes from.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&String> {
        // the last one wins
        let own = self.own.iter().rev().find(|(known, _)| known == name);
        own.map(|(_, at)| at).or_else(|| self.study.get(name))
    }
}

impl Study {
    /// Reads, expands and validates a study; `sets` are `key=value` arguments, which win over its arms.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, SpecError> {
        let source = yaml::read(path, None)?;
        Self::from_source(path, &source, sets)
    }

    fn from_source(path: &Path, source: &Arc<Source>, sets: &[String]) -> Result<Self, SpecError> {
        let sets = resolve::read_sets(sets)?;
        let entries = top_level(source)?;
        let mut keys = Keys::default();
        let mut own = Layer::new();
        let mut layer = Layer::new();
        for entry in &entries {
            match entry.key.as_str() {
                "extends" => layer = read_extended(entry, path)?,
                _ => keys.read(entry, &mut own)?,
            }
        }
        layer.append(&mut own);
        if let Some((slots, at)) = &keys.devices
            && let Device::Cuda(_) = slots[0].device
        {
            let class = Setting { value: Json::from("cuda"), at: at.clone() };
            layer.entry("train.device".to_owned()).or_insert(class);
        }
        finish(keys, path, source, &layer, &sets)
    }

    /// Settings without a study: those of a base file, or the defaults, with `key=value` arguments on
    /// top. Rules between settings are not asked: no run is made of them.
    pub fn settings(base: Option<&Path>, sets: &[String]) -> Result<Settings, SpecError> {
        let sets = resolve::read_sets(sets)?;
        let mut layer = Layer::new();
        if let Some(path) = base {
            let source = Arc::new(Source {
                name: path.display().to_string(),
                dir: PathBuf::new(),
                text: format!("extends: {}\n", Json::from(path.to_string_lossy())),
                has_lines: false,
            });
            if let Some(entry) = top_level(&source)?.first() {
                layer = read_extended(entry, Path::new(""))?;
            }
        }
        Base::new(&layer)?.resolve(&[&sets])
    }

    /// The arm of that name.
    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == name)
    }
}

/// The entries of a file's top-level map.
fn top_level(source: &Arc<Source>) -> Result<Vec<Entry>, SpecError> {
    let root = yaml::parse(source)?;
    match root.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Err(root.at.error("the file is empty")),
        other => Err(root.at.error(format!("expected `key: value` lines, found {other}"))),
    }
}

/// Reads the chain of base files that begins with an `extends` entry; the nearest file wins.
fn read_extended(entry: &Entry, from: &Path) -> Result<Layer, SpecError> {
    let mut seen = BTreeSet::new();
    seen.extend(std::fs::canonicalize(from));
    let mut merged = Layer::new();
    let mut next = Some(entry.clone());
    while let Some(entry) = next.take() {
        let at = &entry.node.at;
        let Value::Text(file, _) = &entry.node.value else {
            let message = format!("`extends`: expected a file, found {}", entry.node.value);
            return Err(at.error(message).hint("for example `extends: base/small.yaml`"));
        };
        let path = at.source.dir.join(file);
        let source = yaml::read(&path, Some(at))?;
        if std::fs::canonicalize(&path).is_ok_and(|real| !seen.insert(real)) {
            return Err(at.error(format!("`extends` goes in a circle: `{file}` extends this file")));
        }
        if seen.len() > MAX_CHAIN {
            return Err(at.error(format!("`extends` is more than {MAX_CHAIN} files deep")));
        }
        let mut layer = Layer::new();
        for inner in top_level(&source)? {
            if inner.key == "extends" {
                next = Some(inner);
            } else if study_keys().contains(&inner.key) {
                let message = format!("`{}` belongs in a study, not in a base file", inner.key);
                return Err(inner.at.error(message));
            } else {
                resolve::add("", &inner, &mut layer)?;
            }
        }
        // What is merged already comes from a nearer file.
        layer.append(&mut merged);
        merged = layer;
    }
    Ok(merged)
}

/// Puts what was read together; `layer` holds the settings below the arms.
fn finish(
    keys: Keys,
    path: &Path,
    source: &Arc<Source>,
    layer: &Layer,
    sets: &Layer,
) -> Result<Study, SpecError> {
    let start = Place::start(source);
    let Some(name) = keys.study else {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("name");
        return Err(start
            .error("the study has no name")
            .hint(format!("add a line `study: {stem}`")));
    };
    let (written, came_twice) = all_arms(keys.arms, keys.varied)?;
    let mut notes = keys.notes;
    notes.extend(came_twice);
    let Some(first) = written.first() else {
        let place = keys.arms_at.unwrap_or(start);
        return Err(place
            .error("the study has no arms")
            .hint("add `arms:` with at least one line such as `  full: {}`"));
    };
    let names: Vec<&str> = written.iter().map(|arm| arm.name.as_str()).collect();
    let baseline = match keys.baseline {
        Some((name, at)) => known_arm("baseline", name, &at, &names)?,
        None => first.name.clone(),
    };
    let mut confirm = Vec::new();
    for (name, at) in keys.confirm {
        let name = known_arm("confirm", name, &at, &names)?;
        if name == baseline {
            let message = format!("`confirm`: `{name}` is the baseline, nothing to compare");
            return Err(at.error(message));
        }
        if confirm.contains(&name) {
            return Err(at.error(format!("`confirm`: `{name}` is listed twice")));
        }
        confirm.push(name);
    }
    if let Some((_, at)) = keys.adaptive.as_ref().filter(|_| confirm.is_empty()) {
        return Err(at.error("`seeds`: nothing is to be decided, `confirm` is empty").hint(
            "name the arms whose verdicts count, `confirm: [...]`, or give a number of seeds",
        ));
    }
    let adaptive = keys.adaptive.map(|(adaptive, _)| adaptive);
    let first = adaptive.map_or(DEFAULT_SEEDS, |adaptive| adaptive.min as u64);
    let seeds = keys.seeds.unwrap_or_else(|| (1..=first).collect());
    let prune = prune::check(keys.prune, seeds.len(), names.len() - 1 - confirm.len())?;
    let (arms, suspicions) = expand(written, layer, sets)?;
    notes.extend(suspicions);
    Ok(Study {
        name,
        question: keys.question,
        file: path.to_path_buf(),
        source: source.text.clone(),
        primary: keys.primary.unwrap_or_else(|| DEFAULT_PRIMARY.to_owned()),
        equal_within: keys.equal_within.unwrap_or(DEFAULT_EQUAL_WITHIN),
        seeds,
        adaptive,
        prune,
        baseline,
        confirm,
        devices: keys.devices.map(|(slots, _)| slots).unwrap_or_default(),
        arms,
        slurm: keys.slurm,
        notes,
    })
}

/// The arms of the file, then those that its rules add.
fn all_arms(
    mut arms: Vec<WrittenArm>,
    varied: Vec<WrittenArm>,
) -> Result<(Vec<WrittenArm>, Vec<String>), SpecError> {
    let mut left_out = Vec::new();
    let named: HashMap<String, usize> =
        arms.iter().enumerate().map(|(at, arm)| (arm.name.to_ascii_lowercase(), at)).collect();
    for arm in varied {
        // the rules' arms differ among themselves already
        match named.get(&arm.name.to_ascii_lowercase()).map(|at| &arms[*at]) {
            None => arms.push(arm),
            Some(known) if vary::same(&known.layer, &arm.layer) => left_out.push(arm.name),
            Some(known) => {
                let message = format!(
                    "`vary` makes an arm `{}` that differs from the one of that name",
                    known.name
                );
                return Err(arm.at.error(message).hint("give the rule a `prefix`"));
            }
        }
    }
    let notes = match left_out.as_slice() {
        [] => Vec::new(),
        names => vec![format!("{} came out of `vary` once more and stay one each", listed(names))],
    };
    Ok((arms, notes))
}

/// Resolves and validates every arm; also says what looks like a mistake.
fn expand(
    written: Vec<WrittenArm>,
    layer: &Layer,
    sets: &Layer,
) -> Result<(Vec<Arm>, Vec<String>), SpecError> {
    let base = Base::new(layer)?;
    let mut checker = validate::Checker::default();
    let mut arms = Vec::with_capacity(written.len());
    let stated = |layer: &Layer| -> Vec<(String, String)> {
        layer.iter().map(|(name, setting)| (name.clone(), setting.at.short())).collect()
    };
    let in_study = Arc::new(stated(layer).into_iter().collect());
    // settings -> the first arm that has them; that arm -> all of them
    let mut known: HashMap<[u8; 32], usize> = HashMap::new();
    let mut twins: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    // What is said -> the arms it is said of.
    let mut suspicions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for arm in written {
        let settings = base.resolve(&[&arm.layer, sets])?;
        checker.check(&settings, &Layers([layer, &arm.layer, sets]), &arm.at)?;
        let first =
            *known.entry(identity::comparable(&identity::active(&settings))).or_insert(arms.len());
        if first < arms.len() {
            twins.entry(first).or_insert_with(|| vec![first]).push(arms.len());
        }
        if let Some(what) = validate::suspicion(&settings) {
            suspicions.entry(what).or_default().push(arm.name.clone());
        }
        let mut overrides = BTreeMap::new();
        for (name, setting) in &arm.layer {
            let set = sets.get(name);
            if set.is_some() {
                let what = format!("`--set` replaces its `{name}`");
                suspicions.entry(what).or_default().push(arm.name.clone());
            }
            overrides.insert(name.clone(), set.unwrap_or(setting).value.clone());
        }
        let label = arm.label.unwrap_or_else(|| arm.name.clone());
        let own = [stated(&arm.layer), stated(sets)].concat();
        let origins = Origins { study: Arc::clone(&in_study), own };
        let (overrides, settings) = (Arc::new(overrides), Arc::new(settings));
        arms.push(Arm { name: arm.name, label, overrides, settings, origins });
    }
    let twins = twins.values().map(|places| {
        let names: Vec<String> = places.iter().map(|at| arms[*at].name.clone()).collect();
        format!("{} come out as the same settings and share their runs", listed(&names))
    });
    let twins: Vec<String> = twins.collect();
    let suspicions = suspicions.iter().map(|(what, names)| format!("{}: {what}", listed(names)));
    let notes = twins.into_iter().chain(suspicions).collect();
    Ok((arms, notes))
}

/// "arm `a`", "arms `a`, `b`", "arms `a`, `b`, `c` and 7 more".
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("arm{} {}{more}", if names.len() == 1 { "" } else { "s" }, shown.join(", "))
}

fn known_arm(key: &str, name: String, at: &Place, arms: &[&str]) -> Result<String, SpecError> {
    if arms.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(at
        .error(format!("`{key}`: no arm is named `{}`", shortened(&name)))
        .did_you_mean(&name, arms.iter().copied()))
}
