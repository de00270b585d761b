//! Speed of the store, measured: `benches/bench.sh store` runs it and reads its lines. Asserts nothing
//! about time.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::store::query::query;
use crate::store::records::{ArmRecord, CellRecord, EndState, RunSpec, StudyRecord};
use crate::store::run_dir::tests::{begin, end, spec};
use crate::store::run_writer::RunWriter;

/// Values of one long series, and metrics beside it.
const POINTS: u64 = 100_000;
const METRICS: usize = 10;
/// Runs of the crowded folder.
const RUNS: u64 = 10_000;

/// Middle of five.
fn milliseconds(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[2]
}

fn long_run(root: &Path) -> RunDir {
    let run = RunDir::create(root, &spec("long", "full", 1, "aaaaaaaa")).unwrap();
    let mut lines = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
    let names: Vec<String> = (0..METRICS).map(|k| format!("loss_{k}")).collect();
    for step in 0..POINTS {
        let value = |k: usize| (step as f64 * 0.001 + k as f64).sin();
        let values: Vec<(&str, f64)> =
            names.iter().enumerate().map(|(k, name)| (name.as_str(), value(k))).collect();
        lines.metrics(step, &values).unwrap();
    }
    lines.end(&end(EndState::Done, 1, POINTS)).unwrap();
    study(root, "long", &[spec("long", "full", 1, "aaaaaaaa")]);
    run
}

fn study(root: &Path, name: &str, specs: &[RunSpec]) {
    let cells = specs.iter().map(|spec| CellRecord {
        arm: spec.arm.clone(),
        seed: spec.seed,
        uid: spec.uid.clone(),
    });
    let record = StudyRecord {
        name: name.into(),
        primary: "mAP".into(),
        baseline: "full".into(),
        arms: vec![ArmRecord { name: "full".into(), label: "full".into(), ..ArmRecord::default() }],
        cells: cells.collect(),
        ..StudyRecord::default()
    };
    study_dir::write(root, &record).unwrap();
}

/// Run folders as workers leave them, written without waiting for the disk.
fn crowd(root: &Path) {
    let mut specs = Vec::new();
    let ended = serde_json::to_string(&end(EndState::Done, 1, 10)).unwrap();
    let began = serde_json::to_string(&begin(1, 0)).unwrap();
    for seed in 1..=RUNS {
        let spec = spec("crowd", "full", seed, &format!("{seed:08x}"));
        let run = RunDir::of(root, &spec).unwrap();
        std::fs::create_dir_all(run.path()).unwrap();
        let put = |name: &str, text: &str| std::fs::write(run.path().join(name), text).unwrap();
        put("spec.yaml", &serde_yaml::to_string(&spec).unwrap());
        put("begin.json", &began);
        put("end.json", &ended);
        put(
            "metrics-1.jsonl",
            "{\"attempt\":1,\"from_step\":0}\n{\"step\":10,\"values\":{\"mAP\":0.5}}\n",
        );
        specs.push(spec);
    }
    study(root, "crowd", &specs);
}

#[test]
#[ignore = "measures speed: benches/bench.sh store"]
fn figures() {
    let Some(out) = std::env::var_os("DGNET_BENCH").map(std::path::PathBuf::from) else { return };
    let root = out.join("long");
    let began = Instant::now();
    let run = long_run(&root);
    let written = began.elapsed().as_secs_f64();
    let mut writer = Writer::open(&root).unwrap().unwrap();
    let began = Instant::now();
    let lines = writer.tail(&run).unwrap().lines;
    let seconds = began.elapsed().as_secs_f64();
    writer.study("long").unwrap();
    writer.close().unwrap();
    assert!(lines >= POINTS, "{lines}");
    let values = (POINTS as f64) * METRICS as f64;
    let file = Db::file(&root);
    let bytes = std::fs::metadata(&file).unwrap().len() as f64;
    let binned = "select step / 800 as bin, avg(value), min(value), max(value) from curves
                  where arm = 'full' and seed = 1 and metric = 'loss_3' group by bin";
    let series = milliseconds(|| assert_eq!(query(&file, binned).unwrap().rows.len(), 125));
    let mut told = String::new();
    let mut line = |what: &str, value: f64, unit: &str| {
        let _ = writeln!(told, "{what},{value:.1},{unit}");
    };
    line("values into a run folder", values / written, "values/s");
    line("values into SQLite from a run folder", values / seconds, "values/s");
    line("values logged and readable by queries", values / (written + seconds), "values/s");
    line("database", bytes / values, "bytes/value");
    line("series of 100000 points read and binned to 125", series, "ms");
    let crowded = out.join("crowd");
    crowd(&crowded);
    let began = Instant::now();
    assert_eq!(reindex(&crowded).unwrap().runs as u64, RUNS);
    line("reindex of 10000 small runs", began.elapsed().as_secs_f64() * 1e3, "ms");
    std::fs::write(out.join("figures.csv"), told).unwrap();
}
