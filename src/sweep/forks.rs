//! Which beginnings of trainings a sweep trains once for several runs: the stretches that
//! `spec::prefix` finds, laid over what is there already. Starts nothing.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::plan::PlannedCell;
use crate::spec::prefix::{Course, Shared, shared};
use crate::spec::settings::Mode;
use crate::store::records::Fork;
use crate::store::{StageKind, Stages};

/// Courses that are made side by side.
const AT_ONCE: usize = 2_048;

/// The beginning of a training that open runs of a study have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFork {
    /// Steps from the first one on.
    pub steps: u64,
    /// Steps that it adds to the shorter fork it continues.
    pub adds: u64,
    /// Key of its stage.
    pub key: String,
    /// Positions, among the cells, of the open runs that begin with it.
    pub cells: Vec<usize>,
    /// Position of the shorter fork that it continues.
    pub after: Option<usize>,
    /// Whether it is there already.
    pub published: bool,
    /// Whether its steps ask the teacher.
    pub asks_teacher: bool,
}

impl PlannedFork {
    /// Training steps that it saves.
    #[must_use]
    pub fn saves(&self) -> u64 {
        let others = self.cells.len() as u64 - u64::from(!self.published);
        self.adds * others
    }

    /// What the run folders are told.
    #[must_use]
    pub fn record(&self) -> Fork {
        Fork { steps: self.steps, key: self.key.clone() }
    }
}

/// The forks of a study, shorter ones first; `begun` tells which cells have a run folder.
pub(super) fn forks(cells: &[PlannedCell], begun: &[bool], stages: &Stages) -> Vec<PlannedFork> {
    // a run that has a checkpoint goes on from there
    let fresh = |at: usize| {
        let cell = &cells[at];
        let trains = cell.missing.contains(&StageKind::Training);
        cell.is_open() && trains && !(begun[at] && cell.run.checkpoints().is_dir())
    };
    if !(0..cells.len()).any(fresh) {
        return Vec::new();
    }
    let joint: Vec<usize> = (0..cells.len())
        .filter(|&at| cells[at].same_as.is_none())
        .filter(|&at| cells[at].spec.settings.train.mode == Mode::Joint)
        .collect();
    let course = |&at: &usize| {
        // the worker reads the folder's own spec, which may be older in what changes no result
        let own = begun[at].then(|| cells[at].run.spec().ok()).flatten();
        let spec = own.as_ref().unwrap_or(&cells[at].spec);
        Course::new(&spec.settings, spec.seed, &spec.stages.data, &spec.stages.teacher)
    };
    let mut texts = BTreeSet::new();
    let mut courses: Vec<Course> = Vec::with_capacity(joint.len());
    // not all at once: the texts that they share are then never all in memory
    for some in joint.chunks(AT_ONCE) {
        let made: Vec<Course> = some.par_iter().map(course).collect();
        courses.extend(made.into_iter().map(|course| course.sharing(&mut texts)));
    }
    let fork = |stretch: Shared| {
        let course = &courses[stretch.courses[0]];
        let key = course.key(stretch.steps);
        PlannedFork {
            steps: stretch.steps,
            adds: 0,
            published: stages.published(StageKind::Prefix, &key).is_some(),
            key,
            cells: stretch.courses.iter().map(|&at| joint[at]).filter(|&at| fresh(at)).collect(),
            after: stretch.after,
            asks_teacher: course.asks_teacher_before(stretch.steps),
        }
    };
    useful(shared(&courses).into_iter().map(fork))
}

/// The forks that are left when only the cells at `kept` stay, with their new positions.
pub(super) fn only(all: Vec<PlannedFork>, kept: &[usize]) -> Vec<PlannedFork> {
    useful(all.into_iter().map(|mut fork| {
        fork.cells = fork.cells.iter().filter_map(|at| kept.binary_search(at).ok()).collect();
        fork
    }))
}

/// Drops the forks that help nobody; what would have continued one continues what it continued.
fn useful(all: impl Iterator<Item = PlannedFork>) -> Vec<PlannedFork> {
    let mut left: Vec<PlannedFork> = Vec::new();
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    for (nth, mut fork) in all.enumerate() {
        let after = fork.after.and_then(|shorter| places.get(&shorter)).copied();
        if fork.cells.len() < 2 && !(fork.published && fork.cells.len() == 1) {
            if let Some(shorter) = after {
                places.insert(nth, shorter);
            }
            continue;
        }
        fork.adds = fork.steps - after.map_or(0, |at| left[at].steps);
        fork.after = after;
        places.insert(nth, left.len());
        left.push(fork);
    }
    left
}
