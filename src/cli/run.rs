//! `dgnet run`: train one cell of a study.

use std::path::Path;

use super::output;
use super::study_file::StudyArgs;
use super::sweep::{code, tell};
use crate::store::gc;
use crate::sweep::{Options, plan, sweep};

/// Train one cell of a study: one arm with one seed, and the data and teacher that it needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dgnet run ablations.yaml --arm full --seed 1")]
pub struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// Arm of the study
    #[arg(long, value_name = "ARM")]
    arm: String,
    /// One of the study's seeds
    #[arg(long, value_name = "N")]
    seed: u64,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let study = args.study.load()?;
    let _in_use = gc::in_use(runs)?;
    let plan = plan(&study, runs)?.only(&args.arm, args.seed)?;
    let summary = sweep(&plan, runs, &Options { jobs: Some(1), ..Options::default() })?;
    tell(&plan.study, &summary)?;
    for cell in &summary.cells {
        output::data(&format!("run: {}\n", cell.run.path().display()))?;
    }
    Ok(code(&summary))
}
