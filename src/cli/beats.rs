//! What workers are at right now, from the heartbeats in run folders and in those of the stages that runs
//! wait for. `dgnet watch` and `dgnet serve` look through it; it says nothing by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::store::records::Heartbeat;
use crate::store::run_dir::read_heartbeat;
use crate::store::{RunDir, RunLock, StageKind, Stages};
use crate::sweep::progress::duration;

/// A run that a worker is at, or the stage that it waits for.
#[derive(Debug)]
pub struct Line {
    /// `full seed 2`, `teacher of seed 1`.
    pub label: String,
    /// The last heartbeat.
    pub beat: Heartbeat,
    /// Steps per second since the phase was first seen.
    pub rate: Option<f64>,
}

impl Line {
    /// `2.4 steps/s`.
    pub fn speed(&self) -> Option<String> {
        self.rate.map(|rate| format!("{rate:.1} steps/s"))
    }

    /// How long the phase still takes at this speed, in words.
    pub fn left(&self) -> Option<String> {
        let steps = self.beat.of.saturating_sub(self.beat.step) as f64;
        self.rate.map(|rate| duration(steps / rate))
    }
}

/// Stages that open runs wait for: what is trained in a folder of its own, with its label.
#[derive(Debug, Default)]
pub struct Waited(BTreeMap<(StageKind, String), String>);

impl Waited {
    /// The teacher and the generator of a run.
    pub fn stages_of(&mut self, seed: u64, teacher: &str, generator: &str) {
        let teacher = (StageKind::Teacher, teacher.to_owned());
        self.0.insert(teacher, format!("teacher of seed {seed}"));
        let generator = (StageKind::Training, generator.to_owned());
        self.0.insert(generator, format!("generator of seed {seed}"));
    }

    /// A beginning that several runs share.
    pub fn beginning(&mut self, key: &str, steps: u64, runs: usize) {
        let label = format!("steps 1-{steps} of {runs} runs");
        self.0.insert((StageKind::Prefix, key.to_owned()), label);
    }
}

/// Heartbeats over several looks.
#[derive(Debug, Default)]
pub struct Beats {
    /// Where a phase stood when it was first seen.
    marks: BTreeMap<String, (String, u64, Instant)>,
}

impl Beats {
    /// Looks at running runs, each with its label, and at stages that somebody is building.
    pub fn look(
        &mut self,
        root: &Path,
        running: &[(String, RunDir)],
        waited: &Waited,
    ) -> Vec<Line> {
        let mut lines: Vec<(String, Heartbeat)> = Vec::new();
        for (label, run) in running {
            let starting = || Heartbeat { beat: 0, phase: "starting".into(), step: 0, of: 0 };
            lines.push((label.clone(), run.heartbeat().unwrap_or_else(starting)));
        }
        let stages = Stages::new(root);
        for ((kind, key), label) in &waited.0 {
            let folder = stages.resume_dir(*kind, key);
            if !key.is_empty() && RunLock::is_held(&folder).unwrap_or(false) {
                lines.extend(read_heartbeat(&folder).map(|beat| (label.clone(), beat)));
            }
        }
        self.timed(lines, Instant::now())
    }

    fn timed(&mut self, lines: Vec<(String, Heartbeat)>, now: Instant) -> Vec<Line> {
        self.marks.retain(|label, _| lines.iter().any(|(other, _)| other == label));
        let timed = lines.into_iter().map(|(label, beat)| {
            let begun = (beat.phase.clone(), beat.step, now);
            let mark = self.marks.entry(label.clone()).or_insert_with(|| begun.clone());
            if mark.0 != beat.phase || mark.1 > beat.step {
                *mark = begun;
            }
            let passed = now.duration_since(mark.2).as_secs_f64();
            let steps = beat.step.saturating_sub(mark.1);
            let rate = (steps > 0 && passed > 0.0).then(|| steps as f64 / passed);
            Line { label, beat, rate }
        });
        timed.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn look(beats: &mut Beats, phase: &str, step: u64, now: Instant) -> Line {
        let beat = Heartbeat { beat: step, phase: phase.into(), step, of: 100 };
        beats.timed(vec![("full seed 1".into(), beat)], now).remove(0)
    }

    #[test]
    fn speed_is_that_of_the_phase_and_is_forgotten_with_its_run() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        assert_eq!(look(&mut beats, "teacher", 90, start).rate, None);
        assert_eq!(look(&mut beats, "training", 10, start).rate, None);
        let line = look(&mut beats, "training", 30, start + Duration::from_secs(10));
        assert_eq!(line.speed().as_deref(), Some("2.0 steps/s"));
        assert_eq!(line.left().as_deref(), Some("35 s"));
        // a run that went back to its checkpoint is timed anew
        let back = look(&mut beats, "training", 5, start + Duration::from_secs(11));
        assert_eq!(back.rate, None);
        assert!(beats.timed(Vec::new(), start).is_empty() && beats.marks.is_empty());
    }
}
