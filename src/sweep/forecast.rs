//! What the open runs of a plan will cost and why they are not there yet, judged by the finished run
//! that is most like each. Reads run folders; starts nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::error::SweepError;
use super::plan::{Plan, PlannedCell};
use crate::spec::identity::active;
use crate::spec::settings::{Mode, Settings};
use crate::store::records::EndState;
use crate::store::{RunDir, StageKind, Stages};

/// What is known beforehand of one open run.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Position of the cell in the plan.
    pub cell: usize,
    /// The finished run that is most like it.
    pub nearest: Option<Nearest>,
}

/// A finished run that is like an open one.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// Study, arm and seed.
    pub name: String,
    /// What differs, `setting: there -> here`; never empty, or the run would be done.
    pub differs: Vec<String>,
    /// Wall seconds that the open run will take, if steps take as long.
    pub seconds: f64,
    /// Bytes that its weights, pictures and records will take.
    pub bytes: u64,
}

/// What the whole plan will cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Seconds of all open runs one after the other, shared beginnings counted once.
    pub seconds: f64,
    /// Seconds that shared beginnings save.
    pub saved_seconds: f64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Open runs of which nothing like them is finished.
    pub unknown: usize,
}

/// A finished run.
struct Known {
    name: String,
    mode: Mode,
    steps: u64,
    facts: BTreeMap<String, String>,
    seconds: f64,
    bytes: u64,
}

/// Compares every open run with every finished one.
///
/// # Errors
/// A runs folder that cannot be listed.
pub fn forecast(plan: &Plan, runs_root: &Path) -> Result<Vec<Forecast>, SweepError> {
    let stages = Stages::new(runs_root);
    let known: Vec<Known> = RunDir::list(runs_root)?
        .iter()
        // a folder that cannot be read says nothing; `dgnet runs` complains about it
        .filter_map(|run| known(run, &stages))
        .collect();
    let open =
        plan.cells.iter().enumerate().filter(|(_, cell)| cell.is_open() && cell.same_as.is_none());
    Ok(open.map(|(at, cell)| Forecast { cell: at, nearest: nearest(cell, &known) }).collect())
}

/// The cost of everything that is open.
#[must_use]
pub fn cost(plan: &Plan, forecasts: &[Forecast]) -> Cost {
    let mut cost = Cost::default();
    let (mut steps, mut seconds) = (0, 0.0);
    for forecast in forecasts {
        let Some(nearest) = &forecast.nearest else {
            cost.unknown += 1;
            continue;
        };
        let settings = &plan.cells[forecast.cell].spec.settings;
        cost.seconds += nearest.seconds;
        cost.bytes += nearest.bytes;
        if settings.train.mode == Mode::Joint {
            steps += settings.train.steps;
            seconds += nearest.seconds;
        }
    }
    if steps > 0 {
        cost.saved_seconds = seconds / steps as f64 * plan.steps_saved() as f64;
        cost.seconds -= cost.saved_seconds;
    }
    cost
}

fn known(run: &RunDir, stages: &Stages) -> Option<Known> {
    let end = run.end().ok()?.filter(|end| end.state == EndState::Done)?;
    let spec = run.spec().ok()?;
    let shared = run.begin().ok()?.map_or(0, |begin| begin.shared_steps);
    let steps = length(&spec.settings);
    // the run has not paid for what others trained
    let seconds = end.wall_s * steps as f64 / (steps.saturating_sub(shared)).max(1) as f64;
    let keys = &spec.stages;
    let size = |kind, key: &str| stages.record(kind, key).ok().flatten().map_or(0, |r| r.bytes);
    let bytes = size(StageKind::Training, &keys.training)
        + size(StageKind::Evaluation, &keys.evaluation)
        + 2 * size(StageKind::Pictures, &keys.pictures);
    Some(Known {
        name: format!("{}/{}/{}", spec.study, spec.arm, spec.seed),
        mode: spec.settings.train.mode,
        steps,
        facts: facts(&spec.settings, spec.seed, &spec.stages.data),
        seconds,
        bytes,
    })
}

fn length(settings: &Settings) -> u64 {
    match settings.train.mode {
        Mode::Joint => settings.train.steps,
        Mode::TeacherOnly => u64::from(settings.teacher.epochs),
    }
}

/// Everything that makes a run what it is, by name.
fn facts(settings: &Settings, seed: u64, data_key: &str) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    flatten("", &serde_json::to_value(active(settings)).unwrap_or(Json::Null), &mut facts);
    facts.insert("seed".into(), seed.to_string());
    facts.insert("the data".into(), data_key.get(..8).unwrap_or(data_key).to_owned());
    facts
}

fn flatten(name: &str, value: &Json, into: &mut BTreeMap<String, String>) {
    match value {
        Json::Object(map) => {
            for (key, inner) in map {
                let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&dotted, inner, into);
            }
        }
        Json::String(text) => {
            into.insert(name.to_owned(), text.clone());
        }
        value => {
            into.insert(name.to_owned(), value.to_string());
        }
    }
}

fn nearest(cell: &PlannedCell, known: &[Known]) -> Option<Nearest> {
    let spec = &cell.spec;
    let mine = facts(&spec.settings, spec.seed, &spec.stages.data);
    let differs = |other: &Known| -> usize {
        mine.iter().filter(|(name, value)| other.facts.get(*name) != Some(value)).count()
    };
    let like = known.iter().filter(|other| other.mode == spec.settings.train.mode);
    let best = like.min_by_key(|other| (differs(other), other.name.clone()))?;
    let changes = mine.iter().filter_map(|(name, here)| {
        let there = best.facts.get(name).map_or("nothing", String::as_str);
        (there != here).then(|| format!("{name}: {there} -> {here}"))
    });
    let mut differs: Vec<String> = changes.collect();
    if differs.is_empty() {
        differs.push("the recipe of the program".into());
    }
    let seconds = best.seconds * length(&spec.settings) as f64 / best.steps.max(1) as f64;
    Some(Nearest { name: best.name.clone(), differs, seconds, bytes: best.bytes })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;
    use crate::store::RunState;
    use crate::store::records::{RunSpec, StageKeys};

    fn spec(arm: &str, seed: u64, change: impl FnOnce(&mut Settings)) -> RunSpec {
        let mut settings = Settings::default();
        settings.train.steps = 100;
        change(&mut settings);
        RunSpec {
            study: "s".into(),
            arm: arm.into(),
            seed,
            uid: format!("{arm:0<40}{seed:0>24}"),
            recipe: 1,
            stages: StageKeys { data: "d".repeat(32), ..StageKeys::default() },
            overrides: BTreeMap::new(),
            settings,
        }
    }

    fn finished(runs: &Path, spec: &RunSpec, wall_s: f64) {
        let run = RunDir::create(runs, spec).unwrap();
        let end = format!(
            r#"{{"state":"done","reason":null,"attempt":1,"step":1,"ended_at":1,"wall_s":{wall_s},"cpu_s":1,"peak_bytes":1}}"#
        );
        std::fs::write(run.path().join("end.json"), end).unwrap();
    }

    #[test]
    fn the_nearest_run_says_why_and_how_long() {
        let runs = tempfile::tempdir().unwrap();
        finished(runs.path(), &spec("full", 1, |_| {}), 50.0);
        finished(runs.path(), &spec("wide", 1, |s| s.structure.width = 99), 500.0);
        let open = spec("less", 1, |s| {
            s.loss.lambda_img = 1.0;
            s.train.steps = 200;
        });
        let known: Vec<_> = RunDir::list(runs.path())
            .unwrap()
            .iter()
            .filter_map(|run| known(run, &Stages::new(runs.path())))
            .collect();
        let cell = PlannedCell {
            arm: "less".into(),
            seed: 1,
            run: RunDir::of(runs.path(), &open).unwrap(),
            spec: open,
            state: RunState::Planned,
            missing: vec![],
            lacks_generator: false,
            same_as: None,
        };
        let nearest = nearest(&cell, &known).unwrap();
        assert_eq!(nearest.name, "s/full/1");
        let differs = ["loss.lambda_img: 5.0 -> 1.0", "train.steps: 100 -> 200"];
        assert!(
            differs.iter().all(|text| nearest.differs.contains(&(*text).to_owned())),
            "{nearest:?}"
        );
        assert_eq!(nearest.seconds, 100.0);
    }
}
