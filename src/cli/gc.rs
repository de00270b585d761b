//! `dgnet gc`: makes room on the disk.

use std::io::{BufRead, IsTerminal};
use std::path::Path;

use super::failure::BadInput;
use super::{DONE, output};
use crate::report::measure::bytes;
use crate::store::gc;

/// Remove what no run needs: stages, superseded checkpoints, leftovers of killed processes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing that a run folder names is ever removed. Asks before it removes anything.\n\nExamples:\n  dgnet gc --dry-run\n  dgnet gc --yes"
)]
pub struct Args {
    /// Say what would go, and how much, and stop there
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also the shared beginnings of trainings that are all over (an arm added later would train its own)
    #[arg(long)]
    beginnings: bool,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let garbage = gc::plan(runs, args.beginnings)?;
    if garbage.items.is_empty() {
        output::data("nothing to remove\n")?;
        return Ok(DONE);
    }
    let rows: Vec<Vec<String>> = garbage
        .items
        .iter()
        .map(|item| {
            let path = item.path.strip_prefix(runs).unwrap_or(&item.path);
            vec![bytes(item.bytes), item.reason.as_str().into(), path.display().to_string()]
        })
        .collect();
    output::data(&output::table(&["size", "why", "path"], &["size"], &rows))?;
    let total = format!("{} in {} places", bytes(garbage.bytes()), garbage.items.len());
    if args.dry_run {
        output::data(&format!("{total} would be removed\n"))?;
        return Ok(DONE);
    }
    if !args.yes && !agreed(&total)? {
        output::data("nothing was removed\n")?;
        return Ok(DONE);
    }
    let removed = garbage.remove()?;
    output::data(&format!("{} removed\n", bytes(removed)))?;
    Ok(DONE)
}

fn agreed(total: &str) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(BadInput(
            "nobody is there to be asked\n  hint: `--yes` removes without asking, `--dry-run` only looks".into(),
        )
        .into());
    }
    output::talk(&format!("remove {total}? [y/N]"));
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
