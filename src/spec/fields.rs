//! The table of settings, derived from the types: for every dotted name its kind and range. It turns a
//! YAML value into a JSON value that is certain to fit, or says what was expected. Rules between
//! settings are in `validate`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Number, Value as Json};

use super::error::SpecError;
use super::settings::Settings;
use super::yaml::{Node, Value};

/// Dotted name -> what may be written there.
pub(crate) type Fields = BTreeMap<String, Kind>;

/// What a setting may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Integer {
        min: i128,
        max: i128,
        multiple_of: i128,
    },
    Number {
        min: Option<f64>,
        max: Option<f64>,
        above: Option<f64>,
        below: Option<f64>,
    },
    Choice(Vec<String>),
    /// True or false.
    Flag,
    /// A text that may be absent.
    Text,
    List {
        item: Box<Kind>,
        len: Option<usize>,
    },
}

/// Other spellings of choices, accepted for both settings and schema.
pub(crate) const CHOICE_ALIASES: [(&str, &str); 1] = [("gray", "grey")];

/// Settings that hold a path, which is relative to the file that states it.
pub(crate) const PATHS: [&str; 6] = [
    "data.path",
    "appearance.weights",
    "teacher.path",
    "teacher.weights",
    "loss.perceptual_weights",
    "eval.inception_weights",
];

/// The JSON schema of the settings, without references.
pub(crate) fn settings_schema() -> Json {
    let mut generator =
        SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    generator.root_schema_for::<Settings>().to_value()
}

/// The table, made once.
pub(crate) fn fields() -> &'static Fields {
    static FIELDS: OnceLock<Fields> = OnceLock::new();
    FIELDS.get_or_init(|| {
        let mut fields = Fields::new();
        collect("", &settings_schema(), &mut fields);
        fields
    })
}

/// The names of maps of settings: `loss`, `data.drawn`, ...
pub(crate) fn sections() -> &'static Vec<String> {
    static SECTIONS: OnceLock<Vec<String>> = OnceLock::new();
    SECTIONS.get_or_init(|| {
        let mut names: Vec<String> = fields()
            .keys()
            .flat_map(|name| name.match_indices('.').map(|(at, _)| name[..at].to_owned()))
            .collect();
        names.sort();
        names.dedup();
        names
    })
}

fn collect(name: &str, schema: &Json, fields: &mut Fields) {
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
        if let Some(kind) = kind(schema) {
            fields.insert(name.to_owned(), kind);
        }
        return;
    };
    for (key, inner) in properties {
        let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        collect(&dotted, inner, fields);
    }
}

/// Reads a kind out of a schema.
fn kind(schema: &Json) -> Option<Kind> {
    let number = |key: &str| schema.get(key).and_then(Json::as_f64);
    let whole = |key: &str| number(key).map(|value| value as i128);
    if let Some(variants) = schema.get("oneOf").and_then(Json::as_array) {
        let names = |v: &Json| v.get("const").and_then(Json::as_str).map(str::to_owned);
        return Some(Kind::Choice(variants.iter().filter_map(names).collect()));
    }
    match schema.get("type")? {
        Json::String(name) if name == "integer" => {
            let widest = match schema.get("format").and_then(Json::as_str) {
                Some("uint32") => i128::from(u32::MAX),
                _ => i128::from(u64::MAX),
            };
            Some(Kind::Integer {
                min: whole("minimum").unwrap_or(0),
                max: whole("maximum").map_or(widest, |max| max.min(widest)),
                multiple_of: whole("multipleOf").unwrap_or(1),
            })
        }
        Json::String(name) if name == "number" => Some(Kind::Number {
            min: number("minimum"),
            max: number("maximum"),
            above: number("exclusiveMinimum"),
            below: number("exclusiveMaximum"),
        }),
        Json::String(name) if name == "array" => Some(Kind::List {
            item: Box::new(kind(schema.get("items")?)?),
            len: whole("minItems").map(|len| len as usize),
        }),
        Json::String(name) if name == "boolean" => Some(Kind::Flag),
        _ => Some(Kind::Text),
    }
}

impl Kind {
    /// What fits, for messages.
    fn expected(&self) -> String {
        match self {
            Self::Integer { min, max, multiple_of } => {
                let divisible = match multiple_of {
                    1 => String::new(),
                    n => format!(" divisible by {n}"),
                };
                let range = match (*min, *max) {
                    (0, max) if max >= i128::from(u32::MAX) => " that is not negative".to_owned(),
                    (min, max) if max >= i128::from(u32::MAX) => format!(" of at least {min}"),
                    (min, max) => format!(" from {min} to {max}"),
                };
                format!("a whole number{divisible}{range}")
            }
            Self::Number { min, max, above, below } => {
                let low = match (min, above) {
                    (_, Some(low)) => Some(format!("above {low}")),
                    (Some(low), _) => Some(format!("of at least {low}")),
                    _ => None,
                };
                let high = match (max, below) {
                    (_, Some(high)) => Some(format!("below {high}")),
                    (Some(high), _) => Some(format!("at most {high}")),
                    _ => None,
                };
                let bounds: Vec<String> = low.into_iter().chain(high).collect();
                match bounds.len() {
                    0 => "a number".to_owned(),
                    _ => format!("a number {}", bounds.join(" and ")),
                }
            }
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::Flag => "true or false".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::List { item, len: Some(len) } => {
                format!("a list of {len} values, each {}", item.expected())
            }
            Self::List { item, len: None } => format!("a list of values, each {}", item.expected()),
        }
    }

    /// What type fits, without its range.
    fn expected_type(&self) -> &'static str {
        match self {
            Self::Integer { .. } => "a whole number",
            Self::Number { .. } => "a number",
            Self::Choice(_) => "a word",
            Self::Flag => "true or false",
            Self::Text => "a text",
            Self::List { .. } => "a list",
        }
    }

    /// Why a value is out of range, where the range itself does not say it.
    fn reason(&self, name: &str, value: &Value) -> String {
        match (self, value) {
            (Self::Integer { min: 2, .. }, Value::Integer(1))
                if name.split('.').next_back() == Some("batch") =>
            {
                "a batch of 1 cannot pass the heads' batch norm".to_owned()
            }
            (Self::Integer { max, .. }, Value::Integer(value)) if value > max => {
                format!("at most {max}")
            }
            _ => String::new(),
        }
    }

    /// The value as JSON, or why `name` cannot have it.
    pub fn check(&self, name: &str, node: &Node) -> Result<Json, SpecError> {
        let at = &node.at;
        let wrong_type = || {
            at.error(format!("`{name}`: expected {}, found {}", self.expected_type(), node.value))
        };
        let out_of_range = || {
            at.error(format!("`{name}`: expected {}, found {}", self.expected(), node.value))
                .hint(self.reason(name, &node.value))
        };
        match (self, &node.value) {
            (Self::Integer { min, max, multiple_of }, Value::Integer(value)) => {
                if value < min || value > max || value % multiple_of != 0 {
                    return Err(out_of_range());
                }
                Ok(Json::from(*value as u64))
            }
            (Self::Number { .. }, Value::Integer(value)) => {
                self.check_number(*value as f64).ok_or_else(out_of_range)
            }
            (Self::Number { .. }, Value::Number(value)) => {
                if !value.is_finite() {
                    return Err(at.error(format!(
                        "`{name}`: expected a finite number, found {}",
                        node.value
                    )));
                }
                self.check_number(*value).ok_or_else(out_of_range)
            }
            (Self::Integer { .. } | Self::Number { .. }, Value::Text(text, _)) => {
                Err(wrong_type().hint(plain_number(text)))
            }
            (Self::Integer { .. }, Value::Number(value)) if value.fract() == 0.0 => {
                Err(wrong_type().hint(format!("write it without a point or an exponent: {value}")))
            }
            (Self::Choice(names), Value::Text(text, _)) => {
                let text = CHOICE_ALIASES
                    .iter()
                    .find(|(other, name)| other == text && names.iter().any(|n| n == name))
                    .map_or(text.as_str(), |(_, name)| name);
                if names.iter().any(|name| name == text) {
                    return Ok(Json::from(text));
                }
                Err(out_of_range().did_you_mean(text, names.iter().map(String::as_str)))
            }
            (Self::Choice(names), Value::Null) if names.iter().any(|name| name == "none") => {
                Ok(Json::from("none"))
            }
            (Self::Choice(_), _) => Err(out_of_range()),
            (Self::Flag, Value::Bool(value)) => Ok(Json::from(*value)),
            (Self::Text, Value::Null) => Ok(Json::Null),
            (Self::Text, Value::Text(text, _)) if text.is_empty() => {
                Err(at.error(format!("`{name}`: expected a text, found an empty one")))
            }
            (Self::Text, Value::Text(text, _)) => Ok(Json::from(text.as_str())),
            (Self::Text, Value::Bool(_) | Value::Integer(_) | Value::Number(_)) => {
                Err(wrong_type().hint("put it in quotes"))
            }
            (Self::List { item, len }, Value::List(items)) => {
                if len.is_some_and(|len| len != items.len()) {
                    return Err(at.error(format!(
                        "`{name}`: expected {}, found {}",
                        self.expected(),
                        items.len()
                    )));
                }
                items.iter().map(|node| item.check(name, node)).collect()
            }
            (Self::List { len: None, .. }, Value::Null) => {
                Err(wrong_type().hint("an empty list is `[]`"))
            }
            _ => Err(wrong_type()),
        }
    }

    fn check_number(&self, value: f64) -> Option<Json> {
        let Self::Number { min, max, above, below } = self else { return None };
        let fits = min.is_none_or(|min| value >= min)
            && max.is_none_or(|max| value <= max)
            && above.is_none_or(|above| value > above)
            && below.is_none_or(|below| value < below);
        // Adding zero turns -0 into 0, which must not be another identity.
        if fits { Number::from_f64(value + 0.0).map(Json::Number) } else { None }
    }
}

/// How a number that YAML took for a text is to be written.
fn plain_number(text: &str) -> String {
    let digits: String = text.chars().filter(|c| !matches!(c, '_' | ' ')).collect();
    let digits = if digits.contains('.') { digits } else { digits.replace(',', ".") };
    if digits != text && digits.parse::<f64>().is_ok_and(f64::is_finite) {
        return format!("write `{digits}`");
    }
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        return "write it without quotes".to_owned();
    }
    String::new()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_setting_and_its_range() {
        assert_eq!(fields()["image.height"], Kind::Integer { min: 8, max: 4096, multiple_of: 4 });
        assert_eq!(
            fields()["structure.input"],
            Kind::Choice(["grey", "rgb", "edges"].map(str::to_owned).into())
        );
        assert_eq!(fields()["teacher.path"], Kind::Text);
        assert!(matches!(&fields()["train.decay_at"], Kind::List { len: None, .. }));
        assert!(matches!(&fields()["augment.erasing_area"], Kind::List { len: Some(2), .. }));
        assert!(sections().contains(&"data.drawn".to_owned()));
        for path in PATHS {
            assert_eq!(fields()[path], Kind::Text);
        }
    }

    /// A default that its own range refuses could not be written out in a base file.
    #[test]
    fn defaults_fit_their_own_ranges() {
        let defaults = serde_yaml::to_string(&Settings::default()).unwrap();
        let source = std::sync::Arc::new(crate::spec::yaml::Source {
            name: "defaults".into(),
            dir: std::path::PathBuf::new(),
            text: defaults,
            has_lines: true,
        });
        let mut seen = 0;
        let mut stack = vec![(String::new(), crate::spec::yaml::parse(&source).unwrap())];
        while let Some((name, node)) = stack.pop() {
            if let Some(kind) = fields().get(&name) {
                kind.check(&name, &node).unwrap();
                seen += 1;
            } else if let Value::Map(entries) = node.value {
                for entry in entries {
                    let dotted = format!("{name}.{}", entry.key);
                    stack.push((dotted.trim_start_matches('.').to_owned(), entry.node));
                }
            } else {
                panic!("no field for {name}");
            }
        }
        assert_eq!(seen, fields().len());
    }
}
