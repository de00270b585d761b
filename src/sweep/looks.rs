//! Studies whose seeds are added as needed: which seeds every arm has by what is recorded so far, and the
//! sweep that goes on from look to look, also those of `pruning`. The rule itself is `stats::sequential`'s.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use super::error::SweepError;
use super::plan::Plan;
use super::study_run::{CellEnd, Ending, Options, Summary, sweep};
use crate::spec::metrics::{self, Direction};
use crate::spec::{Adaptive, Study};
use crate::stats::sequential::{differences, follow};
use crate::stats::{Course, Looks, Outcome};
use crate::store::finals::last_value;
use crate::store::{RunDir, RunState};

/// Where a study stands whose seeds are added as needed.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The planned looks.
    pub looks: Looks,
    /// Arms of the family, in the order of `confirm`.
    pub family: Vec<String>,
    /// What the looks have said of them.
    pub course: Course,
}

impl Standing {
    /// Follows the family through what is recorded; `outcome` gives the run of an arm and seed that is over.
    ///
    /// # Errors
    /// What `outcome` reports.
    pub(super) fn of(
        study: &Study,
        adaptive: Adaptive,
        mut outcome: impl FnMut(&str, u64) -> Result<Option<Outcome>, SweepError>,
    ) -> Result<Self, SweepError> {
        let mut outcomes = |arm: &str| -> Result<Vec<Option<Outcome>>, SweepError> {
            (1..=adaptive.max as u64).map(|seed| outcome(arm, seed)).collect()
        };
        let base = outcomes(&study.baseline)?;
        let arms = study.confirm.iter().map(|arm| outcomes(arm)).collect::<Result<Vec<_>, _>>()?;
        let looks = Looks::between(adaptive.min, adaptive.max);
        let course = follow(&looks, arms.len(), study.equal_within, |arm, n| {
            Some(oriented(&study.primary, &arms[arm], &base, n)?.better)
        });
        Ok(Self { looks, family: study.confirm.clone(), course })
    }

    /// Seeds of an arm: the first ones for exploratory arms, and for the family and its baseline as many as
    /// the looks have asked for.
    #[must_use]
    pub fn seeds(&self, arm: &str, baseline: &str) -> u64 {
        let at = self.looks.at();
        let of = |place: usize| {
            let arm = &self.course.arms[place];
            let last = at[arm.looks.saturating_sub(1)];
            if arm.decision.is_some() { last } else { self.course.next.unwrap_or(last) }
        };
        let needed = match self.family.iter().position(|other| other == arm) {
            Some(place) => of(place),
            None if arm == baseline => (0..self.family.len()).map(of).max().unwrap_or(at[0]),
            None => at[0],
        };
        needed as u64
    }

    /// Runs beyond those of `plan` that may be added, at most.
    #[must_use]
    pub fn more(&self, plan: &Plan) -> usize {
        let most = self.looks.at().last().copied().unwrap_or(0);
        let left = |arm: &str| {
            most.saturating_sub(plan.cells.iter().filter(|cell| cell.arm == arm).count())
        };
        let open = (0..self.family.len())
            .filter(|place| self.course.arms[*place].decision.is_none())
            .map(|place| left(&self.family[place]));
        if self.course.next.is_none() {
            return 0;
        }
        let open: Vec<usize> = open.collect();
        open.iter().sum::<usize>() + left(&plan.record.baseline)
    }
}

/// Differences `arm - baseline` of the same seeds.
pub(super) struct Pairs {
    /// In the metric's own unit.
    pub own_unit: Vec<f64>,
    /// With positive as the better side.
    pub better: Vec<f64>,
}

/// The differences of the first `n` seeds; `None` while one of them is missing.
pub(super) fn oriented(
    metric: &str,
    arm: &[Option<Outcome>],
    base: &[Option<Outcome>],
    n: usize,
) -> Option<Pairs> {
    let metric = metrics::lookup(metric);
    let higher = metric.is_none_or(|metric| metric.direction != Direction::Lower);
    let own_unit = differences(arm, base, n, higher)?;
    let sign = if higher { 1.0 } else { -1.0 };
    let better = own_unit.iter().map(|pair| sign * pair).collect();
    Some(Pairs { own_unit, better })
}

/// What a finished run says of a metric; `None` for one that is not over or has no value.
pub(super) fn outcome(run: &RunDir, metric: &str) -> Result<Option<Outcome>, SweepError> {
    Ok(match run.state()? {
        RunState::Diverged => Some(Outcome::Diverged),
        RunState::Done => last_value(run, metric)?
            .map(|value| if value.is_finite() { Outcome::Value(value) } else { Outcome::Diverged }),
        _ => None,
    })
}

/// Sweeps, and goes on with the cells that `again`, the plan by what is recorded then, asks for. What has
/// failed is not tried again before the next sweep. `say` hears the plan of every further round.
///
/// # Errors
/// Those of [`sweep`] and of `again`.
pub fn sweep_on(
    first: Plan,
    mut again: impl FnMut() -> Result<Plan, SweepError>,
    runs_root: &Path,
    options: &Options,
    mut say: impl FnMut(&Plan),
) -> Result<Summary, SweepError> {
    let began = Instant::now();
    let before = first.cells.iter().filter(|cell| cell.state == RunState::Diverged).count();
    let mut summary = sweep(&first, runs_root, options)?;
    let mut plan = first;
    while (plan.standing.is_some() || plan.pruning.is_some()) && summary.ending == Ending::Complete
    {
        let next = again()?;
        let known: BTreeSet<(&str, u64)> =
            plan.cells.iter().map(|cell| (cell.arm.as_str(), cell.seed)).collect();
        if next.cells.iter().all(|cell| known.contains(&(cell.arm.as_str(), cell.seed))) {
            break;
        }
        say(&next);
        let failed: BTreeSet<(String, u64)> = summary
            .cells
            .iter()
            .filter(|cell| cell.state == RunState::Failed)
            .map(|cell| (cell.arm.clone(), cell.seed))
            .collect();
        let bad = (summary.count(RunState::Failed) + summary.count(RunState::Diverged))
            .saturating_sub(before);
        let left = Options {
            steps: options.steps.map(|steps| steps.saturating_sub(summary.trained)),
            max_failures: options.max_failures.map(|most| most.saturating_sub(bad).max(1)),
            time: options.time.map(|time| time.saturating_sub(began.elapsed())),
            ..options.clone()
        };
        let round = sweep(&next.clone().without(&failed), runs_root, &left)?;
        summary = joined(&summary, round);
        plan = next;
    }
    Ok(summary)
}

/// Both rounds told as one sweep; of a cell, the later round knows more.
fn joined(earlier: &Summary, later: Summary) -> Summary {
    let newer = |cell: &&CellEnd| {
        !later.cells.iter().any(|other| other.arm == cell.arm && other.seed == cell.seed)
    };
    let mut cells: Vec<CellEnd> = earlier.cells.iter().filter(newer).cloned().collect();
    cells.extend(later.cells);
    Summary {
        cells,
        made: earlier.made + later.made,
        trained: earlier.trained + later.trained,
        ending: later.ending,
        stopped: later.stopped,
        indexed: later.indexed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "looks_tests.rs"]
mod tests;
