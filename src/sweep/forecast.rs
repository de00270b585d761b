//! What the open runs of a plan will cost and why they are not there yet, judged by the finished run
//! that is most like each. Reads run folders; starts nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::error::SweepError;
use super::plan::{Plan, PlannedCell};
use crate::spec::identity::{active, flatten};
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
    seed: u64,
    data: String,
    facts: Vec<u32>,
    seconds: f64,
    bytes: u64,
}

/// Settings as numbers, one a name, equal exactly where values are.
#[derive(Default)]
struct Facts {
    names: Vec<String>,
    places: HashMap<String, usize>,
    /// Values of every name; number k stands for the k-th, from 1, and 0 for none.
    values: Vec<Vec<String>>,
    numbers: Vec<HashMap<String, u32>>,
}

impl Facts {
    fn of(&mut self, settings: &Settings) -> Vec<u32> {
        let mut all = Vec::new();
        flatten("", &serde_json::to_value(active(settings)).unwrap_or(Json::Null), &mut all);
        let mut facts = vec![0; self.names.len()];
        for (name, value) in all {
            let text = match value {
                Json::String(text) => text,
                value => value.to_string(),
            };
            let place = *self.places.entry(name.clone()).or_insert_with(|| {
                self.names.push(name);
                self.values.push(Vec::new());
                self.numbers.push(HashMap::new());
                self.names.len() - 1
            });
            facts.resize(self.names.len(), 0);
            facts[place] = *self.numbers[place].entry(text.clone()).or_insert_with(|| {
                self.values[place].push(text);
                self.values[place].len() as u32
            });
        }
        facts
    }

    /// Places in which `mine` has something that `other` has not.
    fn differing<'a>(mine: &'a [u32], other: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
        let there = |at: usize| other.get(at).copied().unwrap_or(0);
        (0..mine.len()).filter(move |&at| mine[at] != 0 && mine[at] != there(at))
    }

    fn text(&self, place: usize, number: u32) -> &str {
        let known = (number as usize).checked_sub(1).and_then(|at| self.values[place].get(at));
        known.map_or("nothing", String::as_str)
    }
}

/// The finished runs, and how far the settings asked for last are from each.
struct Search {
    facts: Facts,
    /// By name.
    known: Vec<Known>,
    last: Option<(Arc<Settings>, Vec<u32>, Vec<usize>)>,
}

/// Compares every open run with every finished one.
///
/// # Errors
/// A runs folder that cannot be listed.
pub fn forecast(plan: &Plan, runs_root: &Path) -> Result<Vec<Forecast>, SweepError> {
    let mut search = Search::new(runs_root)?;
    let open =
        plan.cells.iter().enumerate().filter(|(_, cell)| cell.is_open() && cell.same_as.is_none());
    Ok(open.map(|(at, cell)| Forecast { cell: at, nearest: search.nearest(cell) }).collect())
}

impl Search {
    fn new(runs_root: &Path) -> Result<Self, SweepError> {
        let (stages, mut facts) = (Stages::new(runs_root), Facts::default());
        let runs = RunDir::list(runs_root)?;
        // a folder that cannot be read says nothing; `dgnet runs` complains about it
        let known = runs.iter().filter_map(|run| known(run, &stages, &mut facts));
        let mut known: Vec<Known> = known.collect();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { facts, known, last: None })
    }

    fn nearest(&mut self, cell: &PlannedCell) -> Option<Nearest> {
        if self.known.is_empty() {
            return None;
        }
        let spec = &cell.spec;
        // seeds of an arm come one after the other
        let (_, mine, distances) = match self.last.take() {
            Some(last) if Arc::ptr_eq(&last.0, &spec.settings) => self.last.insert(last),
            _ => {
                let mine = self.facts.of(&spec.settings);
                let far = |other: &Known| Facts::differing(&mine, &other.facts).count();
                let distances = self.known.iter().map(far).collect();
                self.last.insert((Arc::clone(&spec.settings), mine, distances))
            }
        };
        let data = spec.stages.data.as_str();
        let (_, best) = distances
            .iter()
            .zip(&self.known)
            .filter(|(_, other)| other.mode == spec.settings.train.mode)
            .min_by_key(|(distance, other)| {
                *distance + usize::from(other.seed != spec.seed) + usize::from(other.data != data)
            })?;
        let mut differs: Vec<String> = Facts::differing(mine, &best.facts)
            .map(|at| {
                let there = best.facts.get(at).copied().unwrap_or(0);
                let (there, here) = (self.facts.text(at, there), self.facts.text(at, mine[at]));
                format!("{}: {there} -> {here}", self.facts.names[at])
            })
            .collect();
        if best.seed != spec.seed {
            differs.push(format!("seed: {} -> {}", best.seed, spec.seed));
        }
        if best.data != data {
            let short = |key: &str| key.get(..8).unwrap_or(key).to_owned();
            differs.push(format!("the data: {} -> {}", short(&best.data), short(data)));
        }
        differs.sort();
        if differs.is_empty() {
            differs.push("the recipe of the program".into());
        }
        let seconds = best.seconds * length(&spec.settings) as f64 / best.steps.max(1) as f64;
        Some(Nearest { name: best.name.clone(), differs, seconds, bytes: best.bytes })
    }
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

fn known(run: &RunDir, stages: &Stages, facts: &mut Facts) -> Option<Known> {
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
        seed: spec.seed,
        facts: facts.of(&spec.settings),
        data: spec.stages.data,
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
            uid: format!("{:064x}", arm.len() as u64 * 100 + seed),
            recipe: 1,
            stages: StageKeys { data: "d".repeat(32), ..StageKeys::default() },
            overrides: Arc::default(),
            settings: Arc::new(settings),
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
        let nearest = Search::new(runs.path()).unwrap().nearest(&cell).unwrap();
        assert_eq!(nearest.name, "s/full/1");
        let differs = ["loss.lambda_img: 5.0 -> 1.0", "train.steps: 100 -> 200"];
        assert!(
            differs.iter().all(|text| nearest.differs.contains(&(*text).to_owned())),
            "{nearest:?}"
        );
        assert_eq!(nearest.seconds, 100.0);
    }
}
