//! Layers of settings and how they become one: base files, the study, an arm, `--set`; the later one
//! wins. Every value keeps the place where it was written. What a value may be is in `fields`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::error::SpecError;
use super::fields::{PATHS, fields, sections};
use super::settings::Settings;
use super::yaml::{Entry, Node, Place, Source, Value, parse, shortened};

/// A value that fits its setting, and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub value: Json,
    pub at: Place,
}

/// Dotted name -> value, as one file, arm or group of arguments states them.
pub(crate) type Layer = BTreeMap<String, Setting>;

/// The one spelling of a dotted name: `loss.λ_img` is `loss.lambda_img`.
pub(crate) fn normal_name(name: &str) -> String {
    let plain = |part: &str| match part.strip_prefix("λ_") {
        Some(rest) => format!("lambda_{rest}"),
        None => part.to_owned(),
    };
    name.split('.').map(plain).collect::<Vec<_>>().join(".")
}

/// Whether a key can only be a setting or a map of settings.
pub(crate) fn is_setting(key: &str) -> bool {
    let name = normal_name(key);
    fields().contains_key(&name) || sections().contains(&name) || key.contains('.')
}

/// Adds what `entry` states, dotted or nested, to `layer`.
pub(crate) fn add(prefix: &str, entry: &Entry, layer: &mut Layer) -> Result<(), SpecError> {
    let written =
        if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
    let name = normal_name(&written);
    if let Some(kind) = fields().get(&name) {
        let mut value = kind.check(&name, &entry.node)?;
        if let (true, Some(path)) = (PATHS.contains(&name.as_str()), value.as_str()) {
            value = Json::from(absolute(path, &entry.node.at)?);
        }
        if let Some(first) = layer.get(&name) {
            return Err(entry.at.error(format!(
                "`{name}` is set twice here; the first time on line {}",
                first.at.line
            )));
        }
        layer.insert(name, Setting { value, at: entry.node.at.clone() });
        return Ok(());
    }
    if !sections().contains(&name) {
        let names = fields().keys().chain(sections()).map(String::as_str);
        return Err(entry
            .at
            .error(format!("unknown setting `{}`", shortened(&written)))
            .did_you_mean(&name, names));
    }
    match &entry.node.value {
        Value::Map(entries) => entries.iter().try_for_each(|inner| add(&name, inner, layer)),
        Value::Null => Ok(()),
        other => {
            let example = fields().keys().find(|field| field.starts_with(&format!("{name}.")));
            let hint = example.map_or(String::new(), |field| format!("for example `{field}: ...`"));
            Err(entry
                .node
                .at
                .error(format!("`{name}`: expected a map of settings, found {other}"))
                .hint(hint))
        }
    }
}

/// A path as the file that states it means it, made absolute.
fn absolute(path: &str, at: &Place) -> Result<String, SpecError> {
    let joined: PathBuf = at.source.dir.join(path);
    let whole = std::fs::canonicalize(&joined)
        .or_else(|_| std::path::absolute(&joined))
        .map_err(|error| at.error(format!("cannot resolve the path `{path}`: {error}")))?;
    whole
        .into_os_string()
        .into_string()
        .map_err(|_| at.error(format!("the path of `{path}` is not UTF-8")))
}

/// Reads `--set key=value` arguments; of two for one setting, the later wins.
pub(crate) fn read_sets(sets: &[String]) -> Result<Layer, SpecError> {
    let mut all = Layer::new();
    for set in sets {
        let argument = format!("--set {set}");
        let Some((key, value)) = set.split_once('=') else {
            return Err(SpecError::without_line(argument, "expected `key=value`")
                .hint("for example `--set loss.lambda_img=1`"));
        };
        let source = Arc::new(Source {
            name: argument,
            dir: Path::new("").to_path_buf(),
            text: value.to_owned(),
            has_lines: false,
        });
        let node: Node = parse(&source)?;
        let entry = Entry { key: key.trim().to_owned(), at: Place::start(&source), node };
        let mut one = Layer::new();
        add("", &entry, &mut one)?;
        all.append(&mut one);
    }
    Ok(all)
}

/// The layers of one arm, the strongest last.
pub(crate) struct Layers<'a>(pub [&'a Layer; 3]);

impl Layers<'_> {
    /// Where the strongest layer states one of these settings; the first of them counts most.
    pub fn place(&self, names: &[&str]) -> Option<&Place> {
        self.0.iter().rev().find_map(|layer| {
            names.iter().find_map(|name| layer.get(*name)).map(|setting| &setting.at)
        })
    }
}

/// Settings below the arms, ready to be overridden.
pub(crate) struct Base {
    tree: Json,
    settings: Settings,
}

impl Base {
    /// Defaults overridden by `layer`.
    pub fn new(layer: &Layer) -> Result<Self, SpecError> {
        let settings = Settings::default();
        let tree = serde_json::to_value(&settings).map_err(|error| internal(&error))?;
        let defaults = Self { tree, settings };
        let settings = defaults.resolve(&[layer])?;
        let mut tree = defaults.tree;
        put(&mut tree, "", layer);
        Ok(Self { tree, settings })
    }

    /// The settings with further layers on top. Only sections that a layer touches are read again.
    pub fn resolve(&self, layers: &[&Layer]) -> Result<Settings, SpecError> {
        let mut settings = self.settings.clone();
        let top = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let touched: BTreeSet<String> =
            layers.iter().flat_map(|layer| layer.keys().map(|name| top(name))).collect();
        for section in touched {
            let mut tree = self.tree.get(&section).cloned().unwrap_or(Json::Null);
            for layer in layers {
                put(&mut tree, &section, layer);
            }
            read_section(&mut settings, &section, &tree).map_err(|error| {
                // `fields` has checked every value, so this is a mistake of ours; it still says where.
                let name = format!("{section}.{}", error.path());
                let stated = layers.iter().rev().find_map(|layer| layer.get(&name));
                match stated {
                    Some(setting) => setting.at.error(format!("`{name}`: {}", error.inner())),
                    None => internal(&format!("`{name}`: {}", error.inner())),
                }
            })?;
        }
        Ok(settings)
    }
}

type Unfit = serde_path_to_error::Error<serde_json::Error>;

/// A section; the path to what does not fit is looked for only where something does not.
fn read<T: DeserializeOwned>(tree: &Json) -> Result<T, Unfit> {
    T::deserialize(tree).or_else(|_| serde_path_to_error::deserialize(tree))
}

/// Replaces one section of the settings.
fn read_section(settings: &mut Settings, section: &str, tree: &Json) -> Result<(), Unfit> {
    match section {
        "data" => settings.data = read(tree)?,
        "image" => settings.image = read(tree)?,
        "structure" => settings.structure = read(tree)?,
        "appearance" => settings.appearance = read(tree)?,
        "decoder" => settings.decoder = read(tree)?,
        "discriminator" => settings.discriminator = read(tree)?,
        "teacher" => settings.teacher = read(tree)?,
        "loss" => settings.loss = read(tree)?,
        "augment" => settings.augment = read(tree)?,
        "train" => settings.train = read(tree)?,
        "eval" => settings.eval = read(tree)?,
        "pictures" => settings.pictures = read(tree)?,
        // Names come from the same types; a test holds this list against them.
        _ => {}
    }
    Ok(())
}

fn internal(error: &dyn std::fmt::Display) -> SpecError {
    SpecError::without_line("settings", error.to_string())
}

/// Writes what a layer says about `section` (everything, if empty) into that section's tree.
fn put(tree: &mut Json, section: &str, layer: &Layer) {
    for (name, setting) in layer {
        let below = match section {
            "" => Some(name.as_str()),
            section => name.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(below) = below else { continue };
        let place = below.split('.').try_fold(&mut *tree, |inner, part| inner.get_mut(part));
        if let Some(place) = place {
            *place = setting.value.clone();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn layer(text: &str) -> Result<Layer, SpecError> {
        let source = Arc::new(Source {
            name: "t.yaml".into(),
            dir: PathBuf::new(),
            text: text.into(),
            has_lines: true,
        });
        let Value::Map(entries) = parse(&source)?.value else { panic!() };
        let mut layer = Layer::new();
        entries.iter().try_for_each(|entry| add("", entry, &mut layer))?;
        Ok(layer)
    }

    #[test]
    fn dotted_nested_and_greek_are_one() {
        for text in [
            "loss.lambda_img: 1",
            "loss: { lambda_img: 1.0 }",
            "loss.λ_img: 1",
            "loss:\n  λ_img: 1e0",
        ] {
            let layer = layer(text).unwrap();
            assert_eq!(layer["loss.lambda_img"].value, Json::from(1.0), "{text}");
            let settings = Base::new(&layer).unwrap().resolve(&[]).unwrap();
            assert!((settings.loss.lambda_img - 1.0).abs() < f64::EPSILON);
        }
        let deep = layer("data: { drawn.ids: 9, drawn: { cameras: 3 } }").unwrap();
        assert_eq!(deep.len(), 2);
    }

    #[test]
    fn the_same_setting_twice_is_a_conflict() {
        let error = layer("loss.lambda_img: 1\nloss:\n  λ_img: 2\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "t.yaml:3:3: `loss.lambda_img` is set twice here; the first time on line 1\n    3 |   λ_img: 2\n      |   ^"
        );
    }

    #[test]
    fn arguments_name_themselves_in_errors() {
        let refused = |set: &str| read_sets(&[set.to_owned()]).unwrap_err().to_string();
        assert_eq!(
            refused("loss.lambda_imgg=1"),
            "--set loss.lambda_imgg=1: unknown setting `loss.lambda_imgg`\n  hint: did you mean `loss.lambda_img`?"
        );
        assert_eq!(
            refused("train.steps=abc"),
            "--set train.steps=abc: `train.steps`: expected a whole number, found `abc`"
        );
        assert!(refused("train.steps").contains("expected `key=value`"));
        assert!(refused("train.steps=[1").starts_with("--set train.steps=[1: not valid YAML"));
    }

    #[test]
    fn the_later_argument_wins() {
        let sets = ["loss.λ_img=1".to_owned(), "loss.lambda_img=2".to_owned()];
        assert_eq!(read_sets(&sets).unwrap()["loss.lambda_img"].value, Json::from(2.0));
    }

    #[test]
    fn every_section_of_the_settings_can_be_overridden() {
        let mut sections: Vec<&str> =
            fields().keys().filter_map(|name| name.split('.').next()).collect();
        sections.dedup();
        for section in sections {
            // Nothing of a map fits an empty list, so a section that is read must refuse it.
            let refused = read_section(&mut Settings::default(), section, &Json::from(true));
            assert!(refused.is_err(), "{section}");
        }
    }
}
