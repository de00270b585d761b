//! Studies that give up exploratory arms: which cells every arm has by what is recorded so far. The rule
//! itself is `stats::pruning`'s, and the rounds of a sweep are those of `looks`.

use super::error::SweepError;
use super::looks::oriented;
use crate::spec::{Prune, Study};
use crate::stats::{self, Outcome, is_hopeless};

/// What is known of a run that a look asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Seen {
    /// It is not over.
    NotYet,
    /// It failed or has no such metric: no look waits for it.
    Mute,
    /// It is over.
    Over(Outcome),
}

/// Where the exploratory arms of a study stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruning {
    /// The rule.
    pub rule: Prune,
    /// Every seed of an arm that is not given up.
    pub seeds: usize,
    /// The seeds of the look, ascending.
    pub first: Vec<u64>,
    /// Arms that wait for the look.
    pub waiting: Vec<String>,
    /// Arms that were given up, with their mean difference to the baseline in the metric's own unit.
    pub pruned: Vec<(String, f64)>,
}

impl Pruning {
    /// Looks at the exploratory arms; `seen` tells of the run of an arm and seed.
    ///
    /// # Errors
    /// What `seen` reports.
    pub(super) fn of(
        study: &Study,
        rule: Prune,
        mut seen: impl FnMut(&str, u64) -> Result<Seen, SweepError>,
    ) -> Result<Self, SweepError> {
        let mut first = study.seeds.clone();
        first.sort_unstable();
        first.truncate(rule.after);
        let mut runs = |arm: &str| -> Result<Vec<Seen>, SweepError> {
            first.iter().map(|&seed| seen(arm, seed)).collect()
        };
        let base = runs(&study.baseline)?;
        let exploratory = study
            .arms
            .iter()
            .filter(|arm| arm.name != study.baseline && !study.confirm.contains(&arm.name));
        let (mut waiting, mut pruned) = (Vec::new(), Vec::new());
        for arm in exploratory {
            let own = runs(&arm.name)?;
            let all = || own.iter().chain(&base);
            if all().any(|run| *run == Seen::Mute) {
                continue;
            }
            if all().any(|run| *run == Seen::NotYet) {
                waiting.push(arm.name.clone());
                continue;
            }
            let Some(pairs) =
                oriented(&study.primary, &outcomes(&own), &outcomes(&base), rule.after)
            else {
                continue;
            };
            if is_hopeless(&pairs.better, rule.behind) {
                pruned.push((arm.name.clone(), stats::mean(&pairs.own_unit).unwrap_or(0.0)));
            }
        }
        Ok(Self { rule, seeds: study.seeds.len(), first, waiting, pruned })
    }

    /// Whether a run that is not over is to be trained.
    #[must_use]
    pub fn admits(&self, arm: &str, seed: u64) -> bool {
        let held = self.waiting.iter().chain(self.pruned.iter().map(|(arm, _)| arm));
        self.first.contains(&seed) || !held.into_iter().any(|name| name == arm)
    }

    /// Runs that wait for the look and may be trained after it, at most.
    #[must_use]
    pub fn more(&self) -> usize {
        self.waiting.len() * (self.seeds - self.first.len())
    }
}

fn outcomes(runs: &[Seen]) -> Vec<Option<Outcome>> {
    let over = |run: &Seen| match run {
        Seen::Over(outcome) => Some(*outcome),
        Seen::NotYet | Seen::Mute => None,
    };
    runs.iter().map(over).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn study() -> Study {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.yaml");
        let text = "study: s\nseeds: [9, 1, 2, 3]\nprune: { after: 2, behind: 0.1 }\nconfirm: [sure]\narms:\n  full: {}\n  sure: { loss.lambda_img: 1 }\n  a: { loss.lambda_img: 2 }\n  b: { loss.lambda_img: 3 }\n";
        std::fs::write(&file, text).unwrap();
        Study::load(&file, &[]).unwrap()
    }

    /// What `known` says of arms and seeds, nothing of the others.
    fn look(known: &[(&str, [Seen; 2])]) -> Pruning {
        let known: BTreeMap<&str, [Seen; 2]> = known.iter().copied().collect();
        let study = study();
        Pruning::of(&study, study.prune.unwrap(), |arm, seed| {
            Ok(known.get(arm).map_or(Seen::NotYet, |runs| runs[seed as usize - 1]))
        })
        .unwrap()
    }

    fn values(values: [f64; 2]) -> [Seen; 2] {
        values.map(|value| Seen::Over(Outcome::Value(value)))
    }

    #[test]
    fn exploratory_arms_wait_for_their_first_seeds_and_the_baselines() {
        let pruning = look(&[("full", values([0.5, 0.51]))]);
        assert_eq!(pruning.first, [1, 2], "the lowest ones, whatever the order of the file");
        assert_eq!(pruning.waiting, ["a", "b"]);
        assert!(pruning.admits("a", 1) && !pruning.admits("a", 3) && !pruning.admits("a", 9));
        assert!(pruning.admits("full", 9) && pruning.admits("sure", 9), "never held back");
        assert_eq!(pruning.more(), 4);
    }

    #[test]
    fn who_is_far_behind_is_given_up_and_nobody_else() {
        let far = values([0.2, 0.211]);
        let pruning = look(&[("full", values([0.5, 0.51])), ("a", far), ("sure", far)]);
        assert_eq!(pruning.pruned.len(), 1, "a declared arm is not looked at");
        let (arm, behind) = &pruning.pruned[0];
        assert!(arm == "a" && (behind + 0.2995).abs() < 1e-9, "{arm} {behind}");
        assert!(!pruning.admits("a", 3) && pruning.admits("sure", 3));
        let near = look(&[("full", values([0.5, 0.51])), ("a", values([0.3, 0.55]))]);
        assert!(near.pruned.is_empty() && near.admits("a", 9));
    }

    #[test]
    fn diverging_is_hopeless_and_failing_is_not() {
        let runs = |runs| look(&[("full", values([0.5, 0.51])), ("a", runs)]);
        let diverged = Seen::Over(Outcome::Diverged);
        assert_eq!(runs([diverged, diverged]).pruned.len(), 1);
        let failed = runs([diverged, Seen::Mute]);
        assert!(failed.pruned.is_empty() && failed.admits("a", 9), "one failure stops nobody");
    }
}
