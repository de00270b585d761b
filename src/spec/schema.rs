//! The JSON schema of a study file, made from the types so that it cannot drift: editors complete and
//! check with it. The program itself does not validate by it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value as Json, json};

use super::fields::{CHOICE_ALIASES, settings_schema};
use super::metrics::{Direction, METRICS};
use super::resolve::normal_name;

/// The keys of a study file that are not settings.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used; `study` reads the keys with their places")]
struct StudyKeys {
    /// Name of the study, also of its folders: letters, digits and `.`, `_`, `-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"))]
    study: String,
    /// What the study asks, in words.
    question: Option<String>,
    /// A base file with settings, relative to this file.
    extends: Option<String>,
    /// A count (3 means 1, 2, 3), a list of distinct seeds, or bounds between which seeds are added while
    /// a verdict of `confirm` is open; 3 by default.
    seeds: Option<Seeds>,
    /// Give up exploratory arms that are far behind the baseline after their first seeds.
    prune: Option<PruneRule>,
    /// The metric that decides, at the last step; mAP by default.
    primary: Option<String>,
    /// Differences of `primary` below this do not matter; 0.005 by default.
    #[schemars(range(min = 0))]
    equal_within: Option<f64>,
    /// The arm that the others are compared with; the first by default.
    baseline: Option<String>,
    /// Arms whose comparisons form the corrected family; the others are exploratory.
    confirm: Option<Vec<String>>,
    /// Where runs may train: GPUs, or a map from each to its number of runs; where no number is stated it is
    /// one, with NVIDIA's MPS as many as memory holds, eight at most. Without it: `train.device`, cores / `train.threads` runs at a time.
    devices: Option<Devices>,
    /// Name -> what the arm changes, as dotted names or nested maps.
    arms: Option<Map<String, Json>>,
    /// Rules that make more arms.
    vary: Option<Vec<Rule>>,
    /// What a job asks of the cluster (`dgnet sweep --launcher slurm`); changes no result.
    slurm: Option<SlurmKeys>,
}

/// The `slurm` block.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used; `slurm` reads the keys with their places")]
struct SlurmKeys {
    /// Partition; the cluster's default without it.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.,+-]+$"))]
    partition: Option<String>,
    /// GPUs of a task; 0 by default.
    #[schemars(range(max = 100_000))]
    gpus: Option<u32>,
    /// Cores of a task; `train.threads` by default.
    #[schemars(range(min = 1, max = 100_000))]
    cpus: Option<u32>,
    /// Time limit of a task, after which it goes on in another: 90m, 8h, 2d or 8:00:00, 2-12:00:00.
    #[schemars(regex(pattern = r"^([0-9]+(m|min|h|d)|([0-9]+-)?[0-9]+:[0-9]{1,2}:[0-9]{1,2})$"))]
    time: Option<String>,
    /// Memory of a task: 16G.
    #[schemars(regex(pattern = r"^[0-9]*[1-9][0-9]*[KMGT]$"))]
    memory: Option<String>,
    /// Tasks of an array that may run at the same time.
    #[schemars(range(min = 1, max = 100_000))]
    parallel: Option<u32>,
    /// More options of `sbatch`, a line each: --account=vision.
    extra: Option<Vec<String>>,
}

/// A rule of `vary`: one of its kinds, and what changes what it makes.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used; `vary` reads rules with their places")]
struct Rule {
    /// Setting -> values: an arm for every combination.
    grid: Option<Map<String, Json>>,
    /// Setting -> values, all of one length: an arm for every position.
    zip: Option<Map<String, Json>>,
    /// `n` arms at random: setting -> [low, high], { log: [low, high] } or { one_of: [...] }.
    random: Option<Map<String, Json>>,
    /// The same, spread evenly.
    quasi_random: Option<Map<String, Json>>,
    /// Settings (or { setting: value that is off }): an arm without each.
    leave_one_out: Option<Vec<Json>>,
    /// An arm with each of them alone.
    add_one_in: Option<Vec<Json>>,
    /// An arm without each two of them.
    pairs: Option<Vec<Json>>,
    /// An arm for every way to leave some of them out, or a fraction of them that still tells them apart.
    factorial: Option<Factorial>,
    /// Combinations to leave out: all with these values.
    exclude: Option<Json>,
    /// Axis -> { other setting: value }: the axis varies only there.
    when: Option<Map<String, Json>>,
    /// Combinations to add.
    include: Option<Json>,
    /// Put before the names of the arms.
    prefix: Option<String>,
}

/// Settings of a factorial design.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum Factorial {
    /// All combinations.
    Full(Vec<Json>),
    /// A fraction with minimum aberration.
    Fraction(FractionOf),
}

/// A fraction of a factorial design.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct FractionOf {
    /// Settings (or { setting: value that is off }).
    settings: Vec<Json>,
    /// 1/2, 1/4, 1/8, ...
    #[schemars(regex(pattern = r"^1/(2|4|8|16|32|64)$"))]
    fraction: Option<String>,
}

/// Seeds as written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum Seeds {
    /// A count.
    Count(#[schemars(range(min = 1, max = 10_000))] u32),
    /// A list.
    List(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<u64>),
    /// Seeds 1 to `min` at first, up to 1 to `max` where a verdict is open.
    Adaptive(AdaptiveSeeds),
}

/// Bounds of seeds that are added as needed.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used; `adaptive` reads the keys with their places")]
struct AdaptiveSeeds {
    /// Seeds of every arm.
    #[schemars(range(min = 2, max = 64))]
    min: u32,
    /// Seeds of an arm that stays undecided.
    #[schemars(range(min = 2, max = 64))]
    max: u32,
    /// When an arm gets no more seeds: once its verdict is in.
    stop: Option<Stop>,
}

/// When to stop adding seeds.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Stop {
    /// The arm is worse, better, or makes no difference that matters.
    Decided,
}

/// When an exploratory arm gets no more seeds.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used; `prune` reads the keys with their places")]
struct PruneRule {
    /// Seeds, the lowest ones, after which arms are looked at.
    #[schemars(range(min = 2, max = 64))]
    after: u32,
    /// The arm is given up if the 95 % interval of its paired difference is wholly worse than this, in
    /// units of `primary`.
    #[schemars(range(min = 0))]
    behind: f64,
}

/// Devices as written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used; `devices` reads them with their places")]
enum Devices {
    /// One.
    One(String),
    /// Several.
    List(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<String>),
    /// Device -> runs at a time.
    Counted(BTreeMap<String, u32>),
}

/// The keys of a study file that are not settings.
pub(crate) fn study_keys() -> &'static Vec<String> {
    static KEYS: OnceLock<Vec<String>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let schema = schema_for!(StudyKeys).to_value();
        let properties = schema.get("properties").and_then(Json::as_object);
        properties.map(|p| p.keys().cloned().collect()).unwrap_or_default()
    })
}

/// The JSON schema of a study file.
pub fn study_schema() -> Json {
    let mut sections = settings_schema()["properties"].take();
    spell_alike(&mut sections);
    let mut schema = schema_for!(StudyKeys).to_value();
    let mut dotted = Map::new();
    point_to_leaves("", "#/$defs/settings/properties", &sections, &mut dotted);
    let mut overrides = dotted.clone();
    let mut top = schema["properties"].take();
    if let (Json::Object(sections), Json::Object(top)) = (&sections, &mut top) {
        for name in sections.keys() {
            let reference = json!({ "$ref": format!("#/$defs/settings/properties/{name}") });
            top.insert(name.clone(), reference.clone());
            overrides.insert(name.clone(), reference);
        }
        top.extend(dotted);
    }
    overrides.insert(
        "label".to_owned(),
        json!({ "type": "string", "description": "The arm's name in tables and figures." }),
    );
    top["primary"] = json!({
        "description": top["primary"]["description"],
        "enum": METRICS.iter().filter(|m| m.direction != Direction::None).map(|m| m.name)
            .collect::<Vec<_>>(),
    });
    top["arms"] = json!({
        "description": top["arms"]["description"],
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": top["study"]["pattern"] },
        "additionalProperties": { "$ref": "#/$defs/arm" },
    });
    schema["title"] = json!("A study of dgnet");
    schema["description"] =
        json!("One question: a base recipe, named arms, seeds, and the metric that decides.");
    schema["properties"] = top;
    schema["additionalProperties"] = json!(false);
    schema["$defs"]["arm"] = json!({
        "type": ["object", "null"],
        "properties": overrides,
        "additionalProperties": false,
    });
    schema["$defs"]["settings"] = json!({ "type": "object", "properties": sections });
    schema
}

/// Adds the other spellings that a study may use: `λ_img`, `gray`.
fn spell_alike(properties: &mut Json) {
    let Some(map) = properties.as_object_mut() else { return };
    let greek = |(key, value): (&String, &Json)| {
        key.strip_prefix("lambda_").map(|rest| (format!("λ_{rest}"), value.clone()))
    };
    let greek: Vec<(String, Json)> = map.iter().filter_map(greek).collect();
    map.extend(greek);
    for schema in map.values_mut() {
        if let Some(inner) = schema.get_mut("properties") {
            spell_alike(inner);
        }
        let Some(variants) = schema.get_mut("oneOf").and_then(Json::as_array_mut) else { continue };
        for (other, name) in CHOICE_ALIASES {
            if variants.iter().any(|variant| variant["const"] == name) {
                let about = format!("The same as {name}.");
                variants.push(json!({ "type": "string", "const": other, "description": about }));
            }
        }
    }
}

/// For every dotted name a reference to the definition of its setting.
fn point_to_leaves(name: &str, pointer: &str, properties: &Json, out: &mut Map<String, Json>) {
    let Some(properties) = properties.as_object() else { return };
    for (key, schema) in properties {
        let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        // A pointer in `$ref` is a URI, which has no room for Greek.
        let here = format!("{pointer}/{}", normal_name(key));
        if schema.get("properties").is_some() {
            let inner = format!("{here}/properties");
            point_to_leaves(&dotted, &inner, &schema["properties"], out);
        }
        if dotted.contains('.') {
            out.insert(dotted, json!({ "$ref": here }));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_loads_is_in_the_schema() {
        let schema = study_schema();
        let arm = schema["$defs"]["arm"]["properties"].as_object().unwrap();
        for name in
            ["label", "loss", "loss.lambda_img", "loss.λ_img", "data.drawn", "data.drawn.ids"]
        {
            assert!(arm.contains_key(name), "{name}");
        }
        assert!(!arm.contains_key("seeds"));
        let top = schema["properties"].as_object().unwrap();
        for name in ["study", "arms", "extends", "train", "train.steps"] {
            assert!(top.contains_key(name), "{name}");
        }
        assert_eq!(schema["required"], json!(["study"]));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn visit(root: &Json, json: &Json, seen: &mut usize) {
            match json {
                Json::Object(map) => {
                    if let Some(Json::String(reference)) = map.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(root.pointer(pointer).is_some(), "{reference}");
                        *seen += 1;
                    }
                    map.values().for_each(|inner| visit(root, inner, seen));
                }
                Json::Array(items) => items.iter().for_each(|inner| visit(root, inner, seen)),
                _ => {}
            }
        }
        let (schema, mut seen) = (study_schema(), 0);
        visit(&schema, &schema, &mut seen);
        assert!(seen > 100);
    }

    #[test]
    fn ranges_and_choices_are_in_the_schema() {
        let schema = study_schema();
        let settings = &schema["$defs"]["settings"]["properties"];
        assert_eq!(settings["image"]["properties"]["height"]["multipleOf"], json!(4));
        assert_eq!(settings["augment"]["properties"]["flip"]["maximum"], json!(1));
        let input = settings["structure"]["properties"]["input"]["oneOf"].as_array().unwrap();
        let names: Vec<_> =
            input.iter().map(|variant| variant["const"].as_str().unwrap()).collect();
        assert_eq!(names, ["grey", "rgb", "edges", "gray"]);
    }
}
