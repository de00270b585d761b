//! Study -> what there is and what is to be done: every cell with its run, state and missing stages.
//! Looks at folders, starts nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::data_keys::DataKeys;
use super::error::SweepError;
use super::forks::{self, PlannedFork};
use super::looks::{self, Standing};
use super::pruning::{Pruning, Seen};
use crate::spec::devices::Slots;
use crate::spec::settings::{Mode, Settings, TeacherSource};
use crate::spec::{Arm, Study, identity};
use crate::store::records::{ArmRecord, CellRecord, RunSpec, StageKeys, StudyRecord};
use crate::store::run_dir::RunIndex;
use crate::store::{RunDir, RunState, StageKind, Stages};

/// Runs whose identities are worked out side by side.
const AT_ONCE: usize = 2_048;

/// A cell of a study and the run that answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedCell {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// The run's specification; of several cells with one run, all have the same uid.
    pub spec: RunSpec,
    /// Its folder, which may belong to another study and need not exist yet.
    pub run: RunDir,
    /// Where the run stands.
    pub state: RunState,
    /// Stages that are not there yet; empty for a run that is over.
    pub missing: Vec<StageKind>,
    /// Whether the generator that is to feed it offline has to be trained first.
    pub lacks_generator: bool,
    /// The earlier cell of this study that the run was planned for, if any.
    pub same_as: Option<(String, u64)>,
}

impl PlannedCell {
    /// Whether a sweep has work to do for it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, RunState::Done | RunState::Diverged)
    }

    /// What a sweep does about it, in a phrase.
    #[must_use]
    pub fn action(&self) -> String {
        if let (Some((arm, seed)), true) = (&self.same_as, self.is_open()) {
            return format!("shares the run of `{arm}` seed {seed}");
        }
        let generator = self.lacks_generator.then_some("generator");
        let kinds = self.missing.iter().map(|kind| kind.as_str());
        let stages: Vec<_> = generator.into_iter().chain(kinds).collect();
        let work = stages.join(", ");
        match self.state {
            RunState::Done => "nothing".into(),
            RunState::Diverged => "nothing: it diverged".into(),
            RunState::Running => "nothing: a worker is at it".into(),
            RunState::Planned => work,
            RunState::Failed => format!("tries again: {work}"),
            RunState::Stale | RunState::Interrupted => format!("resumes: {work}"),
        }
    }
}

/// A study laid over its runs folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the study.
    pub study: String,
    /// Cells by arm position, then seed.
    pub cells: Vec<PlannedCell>,
    /// Seeds per arm; those at first, where they are added as needed.
    pub seeds: usize,
    /// Where the looks stand, of a study whose seeds are added as needed.
    pub standing: Option<Standing>,
    /// Where the exploratory arms stand, of a study that gives them up.
    pub pruning: Option<Pruning>,
    /// Comparisons in the corrected family.
    pub confirm: usize,
    /// Stages that are missing and used by more than one open run: kind, key, runs.
    pub shared: Vec<(StageKind, String, usize)>,
    /// Beginnings of trainings that are made once for several runs.
    pub forks: Vec<PlannedFork>,
    /// Where its runs may train; empty for `train.device` of each.
    pub devices: Vec<Slots>,
    /// The study as its folder records it.
    pub record: StudyRecord,
    /// What is allowed but probably not meant.
    pub notes: Vec<String>,
}

impl Plan {
    /// Runs that a sweep has to train, each once.
    #[must_use]
    pub fn open_runs(&self) -> Vec<&PlannedCell> {
        self.cells.iter().filter(|cell| cell.is_open() && cell.same_as.is_none()).collect()
    }

    /// Training steps of the open runs, if each were trained alone.
    #[must_use]
    pub fn steps_alone(&self) -> u64 {
        let trained = |cell: &&&PlannedCell| {
            cell.spec.settings.train.mode == Mode::Joint
                && cell.missing.contains(&StageKind::Training)
        };
        let open = self.open_runs();
        let steps = |cell: &&PlannedCell| cell.spec.settings.train.steps;
        let runs: u64 = open.iter().filter(trained).map(steps).sum();
        runs + self
            .generators()
            .into_values()
            .map(|cell| cell.spec.settings.train.steps)
            .sum::<u64>()
    }

    /// Generators that have to be trained to feed open runs offline and that are no open run's own
    /// training: by key, with a cell that needs it.
    #[must_use]
    pub fn generators(&self) -> BTreeMap<&str, &PlannedCell> {
        let open = self.open_runs();
        let made: BTreeSet<&str> =
            open.iter().map(|cell| cell.spec.stages.training.as_str()).collect();
        open.into_iter()
            .filter(|cell| cell.lacks_generator)
            .map(|cell| (cell.spec.stages.generator.as_str(), cell))
            .filter(|(key, _)| !made.contains(key))
            .collect()
    }

    /// Training steps that shared beginnings save.
    #[must_use]
    pub fn steps_saved(&self) -> u64 {
        self.forks.iter().map(PlannedFork::saves).sum()
    }

    /// Smallest two-sided p that a sign-flip test with these seeds can reach.
    #[must_use]
    pub fn smallest_p(&self) -> f64 {
        (2.0 * 0.5_f64.powi(self.seeds as i32)).min(1.0)
    }

    /// Seeds that Holm's correction needs over the `confirm` family at 5 %.
    #[must_use]
    pub fn seeds_needed(&self) -> u32 {
        seeds_for_family(self.confirm)
    }

    /// Opens diverged runs again; the sweep takes their ends back once it holds the study.
    #[must_use]
    pub fn retry_diverged(mut self, runs_root: &Path) -> Self {
        let stages = Stages::new(runs_root);
        for cell in self.cells.iter_mut().filter(|cell| cell.state == RunState::Diverged) {
            cell.state = RunState::Failed;
            cell.missing = missing(&stages, cell.state, &cell.spec);
            cell.lacks_generator = lacks_generator(&stages, &cell.missing, &cell.spec);
        }
        self
    }

    /// Keeps one cell only.
    ///
    /// # Errors
    /// [`SweepError::NoCell`] for an arm or seed that the study does not have.
    pub fn only(self, arm: &str, seed: u64) -> Result<Self, SweepError> {
        if !self.cells.iter().any(|cell| cell.seed == seed) {
            let seeds = self.cells.iter().map(|cell| cell.seed.to_string());
            return Err(self.no_cell("seed", &seed.to_string(), seeds));
        }
        let mut plan = self.only_arms(&[arm.to_owned()])?;
        plan.cells.retain(|cell| cell.seed == seed);
        plan.forks.clear();
        Ok(plan)
    }

    /// Keeps the cells of these arms.
    ///
    /// # Errors
    /// [`SweepError::NoCell`] for an arm that the study does not have.
    pub fn only_arms(mut self, arms: &[String]) -> Result<Self, SweepError> {
        for arm in arms {
            if !self.cells.iter().any(|cell| cell.arm == *arm) {
                let known = self.cells.iter().map(|cell| cell.arm.clone());
                return Err(self.no_cell("arm", arm, known));
            }
        }
        let kept: Vec<usize> =
            (0..self.cells.len()).filter(|&at| arms.contains(&self.cells[at].arm)).collect();
        self.keep(&kept);
        Ok(self)
    }

    /// Leaves these cells out: arm and seed.
    #[must_use]
    pub(super) fn without(mut self, cells: &BTreeSet<(String, u64)>) -> Self {
        let stays = |cell: &PlannedCell| !cells.contains(&(cell.arm.clone(), cell.seed));
        let kept: Vec<usize> = (0..self.cells.len()).filter(|&at| stays(&self.cells[at])).collect();
        self.keep(&kept);
        self
    }

    /// Keeps the cells at these positions, ascending.
    fn keep(&mut self, kept: &[usize]) {
        let mut at = 0..;
        self.cells.retain(|_| at.next().is_some_and(|at: usize| kept.binary_search(&at).is_ok()));
        // a cell may have been the shadow of one that is gone
        let mut first: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for cell in &mut self.cells {
            cell.same_as = first.get(&cell.spec.uid).cloned();
            first.entry(cell.spec.uid.clone()).or_insert_with(|| (cell.arm.clone(), cell.seed));
        }
        self.forks = forks::only(std::mem::take(&mut self.forks), kept);
    }

    fn no_cell(
        &self,
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = String>,
    ) -> SweepError {
        let known = known.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
        SweepError::NoCell { study: self.study.clone(), what, name: name.to_owned(), known }
    }
}

/// Smallest n with `family * 2 / 2^n <= 0.05`: 6, 7, 8, 9, 10 for 1, 3, 6, 12, 25 comparisons.
#[must_use]
pub fn seeds_for_family(family: usize) -> u32 {
    let family = family.max(1) as f64;
    (1..64).find(|n| family * 2.0 * 0.5_f64.powi(*n) <= 0.05).map_or(64, |n| n as u32)
}

/// Whether the run trains the teacher that its key names.
#[must_use]
pub fn trains_teacher(settings: &Settings) -> bool {
    settings.teacher.source == TeacherSource::Train
}

/// Lays a study over a runs folder.
///
/// # Errors
/// A data set that cannot be read, a damaged record, names that would leave the folder.
pub fn plan(study: &Study, runs_root: &Path) -> Result<Plan, SweepError> {
    plan_again(study, runs_root, &mut DataKeys::default())
}

/// As [`plan`], where the data's keys may be known from the last time.
///
/// # Errors
/// Those of [`plan`].
pub fn plan_again(
    study: &Study,
    runs_root: &Path,
    data: &mut DataKeys,
) -> Result<Plan, SweepError> {
    let index = RunIndex::scan(runs_root)?;
    let stages = Stages::listed(runs_root);
    let standing = standing(study, &index, data)?;
    let pruning = pruning(study, &index, data)?;
    let mut cells: Vec<PlannedCell> = Vec::new();
    let mut first_of: HashMap<String, usize> = HashMap::new();
    let mut begun: Vec<bool> = Vec::new();
    let wanted = wanted(study, standing.as_ref(), data)?;
    for spec in wanted.chunks(AT_ONCE).flat_map(|some| specs(study, some)) {
        let earlier = first_of.get(&spec.uid).map(|at| &cells[*at]);
        let same_as = earlier.map(|cell| (cell.arm.clone(), cell.seed));
        let found = index.find(&spec.uid)?;
        let begins = found.is_some();
        let (run, state) = match (earlier, found) {
            (_, Some(run)) => {
                let state = run.state()?;
                (run, state)
            }
            (Some(cell), None) => (cell.run.clone(), cell.state),
            // no folder has its spec, so none has anything else of it
            (None, None) => (RunDir::of(runs_root, &spec)?, RunState::Planned),
        };
        // what is over is no cost any more, and nothing that was measured is left out
        let over = matches!(state, RunState::Done | RunState::Diverged);
        if !over && !pruning.as_ref().is_none_or(|it| it.admits(&spec.arm, spec.seed)) {
            continue;
        }
        begun.push(begins);
        let missing = missing(&stages, state, &spec);
        let lacks_generator = lacks_generator(&stages, &missing, &spec);
        first_of.entry(spec.uid.clone()).or_insert(cells.len());
        let (arm, seed) = (spec.arm.clone(), spec.seed);
        cells.push(PlannedCell { arm, seed, spec, run, state, missing, lacks_generator, same_as });
    }
    Ok(Plan {
        study: study.name.clone(),
        seeds: study.seeds.len(),
        standing,
        pruning,
        confirm: study.confirm.len(),
        shared: shared(&cells),
        forks: forks::forks(&cells, &begun, &stages),
        record: record(study, &cells),
        devices: study.devices.clone(),
        notes: study.notes.clone(),
        cells,
    })
}

/// An arm, a seed, and the key of the data.
type Wanted<'a> = (&'a Arm, u64, Arc<str>);

/// Every run that the study may have, by arm position, then seed.
fn wanted<'a>(
    study: &'a Study,
    standing: Option<&Standing>,
    data: &mut DataKeys,
) -> Result<Vec<Wanted<'a>>, SweepError> {
    let mut wanted = Vec::new();
    for arm in &study.arms {
        let key: Arc<str> = data.of(&arm.name, &arm.settings)?.into();
        let added = standing.map(|standing| 1..=standing.seeds(&arm.name, &study.baseline));
        let seeds = added.map_or_else(|| study.seeds.clone(), Iterator::collect);
        wanted.extend(seeds.into_iter().map(|seed| (arm, seed, Arc::clone(&key))));
    }
    Ok(wanted)
}

/// Their specifications. Hashing them is most of a large plan's work, so all cores take part.
fn specs(study: &Study, wanted: &[Wanted]) -> Vec<RunSpec> {
    wanted.par_iter().map(|(arm, seed, data)| spec(study, arm, *seed, data)).collect()
}

fn spec(study: &Study, arm: &Arm, seed: u64, data_key: &str) -> RunSpec {
    let (uid, keys) = identity::run_keys(&arm.settings, seed, data_key);
    RunSpec {
        study: study.name.clone(),
        arm: arm.name.clone(),
        seed,
        uid,
        recipe: identity::RECIPE_VERSION,
        stages: StageKeys {
            data: keys.data,
            teacher: keys.teacher,
            generator: keys.generator,
            training: keys.training,
            evaluation: keys.evaluation,
            pictures: keys.pictures,
        },
        overrides: Arc::clone(&arm.overrides),
        settings: Arc::clone(&arm.settings),
    }
}

/// What the runs that are over say of a study whose seeds are added as needed.
fn standing(
    study: &Study,
    index: &RunIndex,
    data: &mut DataKeys,
) -> Result<Option<Standing>, SweepError> {
    let Some(adaptive) = study.adaptive else { return Ok(None) };
    let outcome = |arm: &str, seed: u64| match known_run(study, index, data, arm, seed)? {
        Some(run) => looks::outcome(&run, &study.primary),
        None => Ok(None),
    };
    Standing::of(study, adaptive, outcome).map(Some)
}

/// What the first runs say of the exploratory arms of a study that gives them up.
fn pruning(
    study: &Study,
    index: &RunIndex,
    data: &mut DataKeys,
) -> Result<Option<Pruning>, SweepError> {
    let Some(rule) = study.prune else { return Ok(None) };
    let seen = |arm: &str, seed: u64| {
        let Some(run) = known_run(study, index, data, arm, seed)? else {
            return Ok(Seen::NotYet);
        };
        Ok(match (run.state()?, looks::outcome(&run, &study.primary)?) {
            (_, Some(outcome)) => Seen::Over(outcome),
            (RunState::Failed | RunState::Done, None) => Seen::Mute,
            (_, None) => Seen::NotYet,
        })
    };
    Pruning::of(study, rule, seen).map(Some)
}

/// The run of an arm and seed, if it was ever begun.
fn known_run(
    study: &Study,
    index: &RunIndex,
    data: &mut DataKeys,
    arm: &str,
    seed: u64,
) -> Result<Option<RunDir>, SweepError> {
    let Some(arm) = study.arm(arm) else { return Ok(None) };
    let key = data.of(&arm.name, &arm.settings)?;
    Ok(index.find(&identity::run_uid(&arm.settings, seed, &key))?)
}

fn lacks_generator(stages: &Stages, missing: &[StageKind], spec: &RunSpec) -> bool {
    let key = &spec.stages.generator;
    missing.contains(&StageKind::Training)
        && !key.is_empty()
        && stages.published(StageKind::Training, key).is_none()
}

fn missing(stages: &Stages, state: RunState, spec: &RunSpec) -> Vec<StageKind> {
    if matches!(state, RunState::Done | RunState::Diverged) {
        return Vec::new();
    }
    let settings = &spec.settings;
    let mut found = Vec::new();
    let there = |kind, key: &str| stages.published(kind, key).is_some();
    if settings.data.path.is_none() && !there(StageKind::Data, &spec.stages.data) {
        found.push(StageKind::Data);
    }
    if needs_teacher(spec) && !there(StageKind::Teacher, &spec.stages.teacher) {
        found.push(StageKind::Teacher);
    }
    let joint = settings.train.mode == Mode::Joint;
    if joint && !there(StageKind::Training, &spec.stages.training) {
        found.push(StageKind::Training);
    }
    if !there(StageKind::Evaluation, &spec.stages.evaluation) {
        found.push(StageKind::Evaluation);
    }
    let drawn = settings.pictures.ranked > 0 || joint && settings.pictures.grid > 0;
    if drawn && !there(StageKind::Pictures, &spec.stages.pictures) {
        found.push(StageKind::Pictures);
    }
    found
}

/// Whether a teacher has to be trained before the run can.
#[must_use]
pub fn needs_teacher(spec: &RunSpec) -> bool {
    !spec.stages.teacher.is_empty() && trains_teacher(&spec.settings)
}

fn shared(cells: &[PlannedCell]) -> Vec<(StageKind, String, usize)> {
    let mut uses: Vec<(StageKind, &str, &str)> = Vec::new();
    for cell in cells {
        let keys = &cell.spec.stages;
        uses.extend(cell.missing.iter().map(|kind| {
            let key = match kind {
                StageKind::Data => &keys.data,
                StageKind::Teacher => &keys.teacher,
                StageKind::Training | StageKind::Prefix => &keys.training,
                StageKind::Evaluation => &keys.evaluation,
                StageKind::Pictures => &keys.pictures,
            };
            (*kind, key.as_str(), cell.spec.uid.as_str())
        }));
    }
    uses.sort_unstable();
    uses.dedup();
    let alike = uses.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1));
    let several = alike.filter(|runs| runs.len() > 1);
    several.map(|runs| (runs[0].0, runs[0].1.to_owned(), runs.len())).collect()
}

fn record(study: &Study, cells: &[PlannedCell]) -> StudyRecord {
    StudyRecord {
        name: study.name.clone(),
        question: study.question.clone(),
        primary: study.primary.clone(),
        equal_within: study.equal_within,
        baseline: study.baseline.clone(),
        confirm: study.confirm.clone(),
        adaptive: study.adaptive,
        prune: study.prune,
        file: study.file.display().to_string(),
        source: study.source.clone(),
        arms: study
            .arms
            .iter()
            .map(|arm| ArmRecord {
                name: arm.name.clone(),
                label: arm.label.clone(),
                overrides: Arc::clone(&arm.overrides),
            })
            .collect(),
        cells: cells
            .iter()
            .map(|cell| CellRecord {
                arm: cell.arm.clone(),
                seed: cell.seed,
                uid: cell.spec.uid.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
#[path = "plan_tests.rs"]
mod tests;
