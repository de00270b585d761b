//! The golden numbers: what the public release of DG-Net computes, reproduced by the code that the
//! worker runs. One named test per file in `tests/golden/` and in the folder named by `DGNET_GOLDEN`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dgnet::data::rng::name_key;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

#[path = "golden/ranking.rs"]
mod ranking;
#[path = "golden/training.rs"]
mod training;

/// `u(name, i)`: the i-th number of the stream that a name stands for, in [0, 1).
pub fn unit(name: &str, i: u64) -> f64 {
    let mut z = name_key(name).wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / 16_777_216.0
}

/// Collects what does not match, so that one run names every difference.
#[derive(Default)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Notes a value that is further from the expected one than `tolerance` times `scale`.
    pub fn check(&mut self, what: &str, got: f64, want: f64, scale: f64, tolerance: f64) {
        let error = (got - want).abs() / scale.max(1e-300);
        if !(error <= tolerance || (got - want).abs() == 0.0) {
            self.0.push(format!(
                "{what}: {got} is not {want} (off by {error:.2e}, allowed {tolerance:.0e})"
            ));
        }
    }

    /// The verdict.
    pub fn verdict(self) -> Result<(), Failed> {
        if self.0.is_empty() {
            return Ok(());
        }
        let total = self.0.len();
        let shown: Vec<String> = self.0.into_iter().take(40).collect();
        Err(format!("{total} differences\n{}", shown.join("\n")).into())
    }
}

/// The golden files by name; those of `DGNET_GOLDEN` come on top under their own names.
fn files() -> BTreeMap<String, PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let mut folders = vec![(String::new(), own)];
    if let Some(extra) = std::env::var_os("DGNET_GOLDEN") {
        folders.push(("extra::".into(), PathBuf::from(extra)));
    }
    let mut found = BTreeMap::new();
    for (prefix, folder) in folders {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("cannot list golden folder {}: {error}", folder.display())
        });
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(stem) = name.strip_suffix(".json") {
                found.insert(format!("{prefix}{stem}"), path);
            }
        }
    }
    found
}

fn load(path: &Path) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn main() {
    // cases run side by side, one thread each
    tch::set_num_threads(1);
    // what libtorch has asked about its GPU half before that is loaded, it never asks again
    training::device();
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("golden::fill", fill_matches_the_published_values)];
    for (name, path) in files() {
        let bare = name.rsplit("::").next().unwrap_or_default().to_owned();
        let case: fn(&Value) -> Result<(), Failed> = match bare.split('_').next() {
            Some("step") => training::steps,
            Some("eval") => ranking::evaluation,
            _ if bare.starts_with("eval") => ranking::evaluation,
            _ if bare.starts_with("rerank") => ranking::reranking,
            _ if bare == "state_dict_names" => training::names,
            _ => continue,
        };
        trials.push(Trial::test(format!("golden::{name}"), move || case(&load(&path)?)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn fill_matches_the_published_values() -> Result<(), Failed> {
    let mut differences = Differences::default();
    let published = [
        (
            "input.x_a.0",
            [0.118_190_050_125_122_07, 0.039_445_221_424_102_78, 0.954_961_657_524_108_9],
        ),
        (
            "eval.small.ql",
            [0.592_790_901_660_919_2, 0.152_063_965_797_424_32, 0.445_656_538_009_643_55],
        ),
    ];
    for (name, values) in published {
        for (i, value) in (0..).zip(values) {
            differences.check(&format!("u({name}, {i})"), unit(name, i), value, 1.0, 1e-15);
        }
    }
    differences.verdict()
}
