//! `dgnet sweep`: train what is missing, tell how it ended, write the report.

use std::path::{Path, PathBuf};

use super::study_file::StudyArgs;
use super::{DONE, INTERRUPTED, RUNS_FAILED, output, plan as plan_verb, report};
use crate::store::{Db, RunState};
use crate::sweep::{Options, Summary, plan, sweep};

/// Train everything a study misses, then write its report.
///
/// Nothing is trained twice: finished runs are kept, also when another study made them; interrupted
/// and crashed ones go on from their last checkpoint; failed ones are tried again; diverged ones are a
/// result. Ctrl-C lets workers save first, a second Ctrl-C ends them at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dgnet sweep ablations.yaml
  dgnet sweep ablations.yaml --jobs 1 --set train.steps=100
  dgnet sweep ablations.yaml --only full --only teacher_only

Exit codes: 0 all done, 1 something broke, 2 bad input, 3 some runs failed or diverged, 130 stopped.")]
pub struct Args {
    #[command(flatten)]
    pub study: StudyArgs,
    /// Only this arm; may be given more than once
    #[arg(long, value_name = "ARM")]
    pub only: Vec<String>,
    /// Jobs at a time [default: cores / train.threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Do not write the report
    #[arg(long)]
    pub no_report: bool,
    /// Folder of the report [default: reports/<study>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let study = args.study.load()?;
    let mut plan = plan(&study, runs)?;
    if !args.only.is_empty() {
        plan = plan.only_arms(&args.only)?;
    }
    if !plan.open_runs().is_empty() {
        for remark in plan_verb::remarks(&plan) {
            output::talk(&remark);
        }
    }
    let options = Options { jobs: args.jobs.map(usize::from) };
    let summary = sweep(&plan, runs, &options)?;
    tell(&plan.study, &summary)?;
    if summary.interrupted {
        return Ok(INTERRUPTED);
    }
    if !args.no_report {
        if summary.indexed {
            let out = report::folder(args.out.as_deref(), &plan.study);
            let page = report::fresh(&summary, &out, runs, &plan.study).map_or_else(
                || crate::report::write(&Db::file(runs), &plan.study, &out, false),
                Ok,
            )?;
            output::data(&format!("report: {}\n", page.display()))?;
        } else {
            output::talk(
                "no report: another sweep writes the database and is behind\n  hint: `dgnet report` writes it once that sweep is over",
            );
        }
    }
    Ok(code(&summary))
}

/// The exit code that a summary means.
pub fn code(summary: &Summary) -> u8 {
    let failed = summary.cells.iter().any(|cell| cell.state != RunState::Done);
    match (summary.interrupted, failed) {
        (true, _) => INTERRUPTED,
        (_, true) => RUNS_FAILED,
        _ => DONE,
    }
}

/// Counts to standard output, every cell that is not done to standard error.
pub fn tell(study: &str, summary: &Summary) -> anyhow::Result<()> {
    for cell in &summary.cells {
        if let (RunState::Failed | RunState::Diverged, Some(reason)) = (cell.state, &cell.reason) {
            output::talk(&format!(
                "{} seed {} {}: {}",
                cell.arm,
                cell.seed,
                cell.state.as_str(),
                output::first_line(reason)
            ));
            // a run that never began has no log
            let log = cell.run.path().join("worker.log");
            if log.is_file() {
                output::talk(&format!("  hint: see `{}`", log.display()));
            }
        }
    }
    let states = [
        RunState::Done,
        RunState::Diverged,
        RunState::Failed,
        RunState::Interrupted,
        RunState::Stale,
        RunState::Running,
        RunState::Planned,
    ];
    let counts: Vec<_> = states
        .into_iter()
        .map(|state| (state, summary.count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.as_str()))
        .collect();
    let made = if summary.made == 0 { ", nothing was left to do" } else { "" };
    let made = if summary.interrupted { "" } else { made };
    output::data(&format!("{study}: {} cells: {}{made}\n", summary.cells.len(), counts.join(", ")))
}
