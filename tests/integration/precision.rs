//! Whether training in bfloat16 finds people as well as in float32, by the program's own means.

use dgnet::stats;
use serde_json::Value;

use crate::support::Place;

/// Half the default study: the recipe of base/small.yaml, long enough that people are found.
fn study() -> String {
    format!(
        "\
study: tiny
question: Does bfloat16 find people as well as float32?
extends: {}/experiments/base/small.yaml
seeds: 4
primary: mAP
baseline: float32
data: {{ drawn: {{ ids: 96 }} }}
teacher: {{ epochs: 20, decay_epoch: 14 }}
train: {{ steps: 240, decay_at: [168, 216], checkpoint_every: 240 }}
loss: {{ ramp_start: 96, ramp_steps: 20, ramp_steps_code: 20 }}
eval: {{ every: 240, swap_pairs: 0 }}
pictures: {{ grid: 0 }}
arms:
  float32: {{}}
  bf16: {{ train.precision: bf16 }}
",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
#[ignore = "trains for minutes, and needs a CPU with bfloat16: just test-precision"]
fn bf16_finds_people_as_well_as_float32_within_twice_what_seeds_differ_by() {
    let place = Place::new();
    place.study(&study());
    place.succeed(&["sweep", "tiny.yaml", "--no-report"]);
    let rows = place.succeed(&[
        "query",
        "select arm, seed, value from last_values where metric = 'mAP' order by arm desc, seed",
        "--format",
        "json",
    ]);
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let of = |arm: &str| -> Vec<f64> {
        rows.iter()
            .filter(|row| row["arm"] == arm)
            .map(|row| row["value"].as_f64().unwrap())
            .collect()
    };
    let (wide, narrow) = (of("float32"), of("bf16"));
    eprintln!("mAP in float32 {wide:.3?}, in bf16 {narrow:.3?}");
    assert_eq!((wide.len(), narrow.len()), (4, 4), "every run has a value");
    let (mean_wide, mean_narrow) = (stats::mean(&wide).unwrap(), stats::mean(&narrow).unwrap());
    // chance is below 0.15 here; a recipe that learns nothing would agree with anything
    assert!(mean_wide > 0.3, "float32 itself finds nobody");
    assert_ne!(wide, narrow, "the setting changes nothing");
    // float32's own: a seed that collapsed in bf16 must not widen what is allowed
    let noise = stats::sd(&wide).unwrap();
    let difference = mean_narrow - mean_wide;
    let worst = narrow.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(worst > mean_wide - 4.0 * noise, "a seed of bf16 found {worst}");
    assert!(
        difference.abs() < 2.0 * noise,
        "{difference} is more than twice what seeds differ by, {noise}"
    );
}
