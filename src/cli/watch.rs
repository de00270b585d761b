//! `dgnet watch`: a sweep that runs elsewhere, seen from another terminal. Reads run folders only.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::study_file::StudyArgs;
use super::{DONE, INTERRUPTED, RUNS_FAILED, output};
use crate::store::records::Heartbeat;
use crate::store::{RunLock, RunState, StageKind, Stages, study_dir};
use crate::sweep::progress::duration;
use crate::sweep::{Plan, plan};

/// Watch a study that a sweep elsewhere is at: every running run, totals, time left.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends when nothing is left to do or the sweep is over: 0 if every run is done, 3 if some failed or
diverged, 130 if the sweep was stopped; waits for a sweep that has not begun. Ctrl-C ends the watching alone.

Examples:
  dgnet watch ablations.yaml
  dgnet watch ablations.yaml --once --json")]
pub struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// Look once and end
    #[arg(long)]
    once: bool,
    /// Print JSON, one object a look
    #[arg(long)]
    json: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    every: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.1..=3600.0).contains(&value) => Ok(value),
        _ => Err("expected seconds from 0.1 to 3600".into()),
    }
}

/// A run that a worker is at, or the stage that it waits for.
struct Line {
    label: String,
    beat: Heartbeat,
    rate: Option<f64>,
}

/// Where a phase stood when it was first seen.
type Marks = BTreeMap<String, (String, u64, Instant)>;

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let study = args.study.load()?;
    let (mut marks, mut shown, mut began) = (Marks::new(), String::new(), false);
    loop {
        let plan = plan(&study, runs)?;
        let lines = running(&plan, runs, &mut marks);
        let text = if args.json { as_json(&plan, &lines) } else { as_text(&plan, &lines) };
        if args.json || text != shown {
            output::data(&text)?;
            shown = text;
        }
        let lock = study_dir::folder(runs, &plan.study)?.join(".sweep.lock");
        let at_work = !lines.is_empty() || RunLock::is_held_file(&lock)?;
        // a sweep that has not begun yet is waited for
        began |= at_work;
        let left = plan.open_runs().len();
        if args.once || left == 0 || began && !at_work {
            let failed = |state| matches!(state, RunState::Diverged | RunState::Failed);
            let bad = plan.cells.iter().any(|cell| failed(cell.state));
            return Ok(match (args.once, bad, left) {
                (true, ..) | (false, false, 0) => DONE,
                (false, true, _) => RUNS_FAILED,
                (false, false, _) => INTERRUPTED,
            });
        }
        std::thread::sleep(Duration::from_secs_f64(args.every));
    }
}

fn running(plan: &Plan, runs: &Path, marks: &mut Marks) -> Vec<Line> {
    let stages = Stages::new(runs);
    let mut lines: Vec<(String, Heartbeat)> = Vec::new();
    for cell in &plan.cells {
        if cell.state == RunState::Running && cell.same_as.is_none() {
            let beat = cell.run.heartbeat().unwrap_or(Heartbeat {
                beat: 0,
                phase: "starting".into(),
                step: 0,
                of: 0,
            });
            lines.push((format!("{} seed {}", cell.arm, cell.seed), beat));
        }
    }
    // what runs wait for is trained in a folder of its own
    let mut waited: BTreeMap<(StageKind, String), String> = BTreeMap::new();
    for cell in plan.open_runs() {
        let keys = &cell.spec.stages;
        let seed = cell.seed;
        waited
            .insert((StageKind::Teacher, keys.teacher.clone()), format!("teacher of seed {seed}"));
        let generator = format!("generator of seed {seed}");
        waited.insert((StageKind::Training, keys.generator.clone()), generator);
    }
    for fork in &plan.forks {
        let label = format!("steps 1-{} of {} runs", fork.steps, fork.cells.len());
        waited.insert((StageKind::Prefix, fork.key.clone()), label);
    }
    for ((kind, key), label) in waited {
        let folder = stages.resume_dir(kind, &key);
        if !key.is_empty() && RunLock::is_held(&folder).unwrap_or(false) {
            lines.extend(crate::store::run_dir::read_heartbeat(&folder).map(|beat| (label, beat)));
        }
    }
    let now = Instant::now();
    lines
        .into_iter()
        .map(|(label, beat)| {
            let (phase, from, since) =
                marks.entry(label.clone()).or_insert_with(|| (beat.phase.clone(), beat.step, now));
            if *phase != beat.phase {
                (*phase, *from, *since) = (beat.phase.clone(), beat.step, now);
            }
            let passed = now.duration_since(*since).as_secs_f64();
            let steps = beat.step.saturating_sub(*from);
            let rate = (steps > 0 && passed > 0.0).then(|| steps as f64 / passed);
            Line { label, beat, rate }
        })
        .collect()
}

fn as_text(plan: &Plan, lines: &[Line]) -> String {
    let told = lines.iter().map(|line| {
        let beat = &line.beat;
        let speed = line.rate.map_or_else(String::new, |rate| {
            let left = beat.of.saturating_sub(beat.step) as f64 / rate;
            format!(", {rate:.1} steps/s, {} left", duration(left))
        });
        format!("{}: {} {}/{}{speed}\n", line.label, beat.phase, beat.step, beat.of)
    });
    let text: String = told.collect();
    let counts = [RunState::Done, RunState::Running, RunState::Failed, RunState::Diverged]
        .map(|state| (state, plan.cells.iter().filter(|cell| cell.state == state).count()));
    let open = plan.open_runs().iter().filter(|cell| cell.state != RunState::Running).count();
    let counts: Vec<String> = counts
        .iter()
        .filter(|(state, count)| *count > 0 || *state == RunState::Done)
        .map(|(state, count)| format!("{count} {}", state.as_str()))
        .collect();
    text + &format!(
        "{}: {} of {} cells, {open} to come\n",
        plan.study,
        counts.join(", "),
        plan.cells.len()
    )
}

fn as_json(plan: &Plan, lines: &[Line]) -> String {
    let running: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "label": line.label,
                "phase": line.beat.phase,
                "step": line.beat.step,
                "of": line.beat.of,
                "steps_per_second": line.rate,
            })
        })
        .collect();
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in &plan.cells {
        *states.entry(cell.state.as_str()).or_default() += 1;
    }
    format!("{}\n", json!({ "study": plan.study, "cells": states, "running": running }))
}
