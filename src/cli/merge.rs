//! `dgnet merge`: runs from other runs folders, in this one and its database.

use std::path::{Path, PathBuf};

use super::{DONE, FAILED, output};
use crate::store::merge::merge;

/// Bring runs from other runs folders, and what they need, into this one and its database.
///
/// Folders may come from anywhere, copied or mounted. A run that is finished here is never replaced; of two that are
/// not, the one with more steps stays. Seeds and arms of a study come together where what both have has the same
/// settings; otherwise the newer record stays. The same again changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rsync -a cluster:project/runs/ from-cluster/ && dgnet merge from-cluster
  dgnet --runs all merge /mnt/one/runs /mnt/two/runs

Exit codes: 0 all taken, 1 something was left out or broke, 2 no runs there.")]
pub struct Args {
    /// Runs folders to take from; they are only read
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let merged = merge(runs, &args.folders)?;
    for reason in &merged.left_out {
        output::talk(&format!("left out: {reason}"));
    }
    for study in &merged.unlike {
        output::talk(&format!(
            "`{study}` means different settings here and there; the newer record stays, all runs are here"
        ));
    }
    let unchanged = if merged.changed() { "" } else { ", nothing changed" };
    output::data(&format!(
        "{}: {} new runs, {} replaced, {} kept, {} new stages, {} studies changed{unchanged}\n",
        runs.display(),
        merged.new,
        merged.replaced,
        merged.kept,
        merged.stages,
        merged.studies
    ))?;
    Ok(if merged.left_out.is_empty() { DONE } else { FAILED })
}
