//! `dgnet watch`: a sweep that runs elsewhere, seen from another terminal. Reads run folders only.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::beats::{Beats, Line, Waited};
use super::study_file::StudyArgs;
use super::{DONE, INTERRUPTED, RUNS_FAILED, output};
use crate::store::{RunLock, RunState, study_dir};
use crate::sweep::{DataKeys, Plan, plan_again};

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

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let study = args.study.load()?;
    let (mut beats, mut shown, mut began) = (Beats::default(), String::new(), false);
    let mut data = DataKeys::default();
    loop {
        let plan = plan_again(&study, runs, &mut data)?;
        let lines = running(&plan, runs, &mut beats);
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

fn running(plan: &Plan, runs: &Path, beats: &mut Beats) -> Vec<Line> {
    let at_work =
        plan.cells.iter().filter(|cell| cell.state == RunState::Running && cell.same_as.is_none());
    let at_work: Vec<_> = at_work
        .map(|cell| (format!("{} seed {}", cell.arm, cell.seed), cell.run.clone()))
        .collect();
    let mut waited = Waited::default();
    for cell in plan.open_runs() {
        let keys = &cell.spec.stages;
        waited.stages_of(cell.seed, &keys.teacher, &keys.generator);
    }
    for fork in &plan.forks {
        waited.beginning(&fork.key, fork.steps, fork.cells.len());
    }
    beats.look(runs, &at_work, &waited)
}

fn as_text(plan: &Plan, lines: &[Line]) -> String {
    let told = lines.iter().map(|line| {
        let beat = &line.beat;
        let speed = line.speed().zip(line.left());
        let speed =
            speed.map_or_else(String::new, |(speed, left)| format!(", {speed}, {left} left"));
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
