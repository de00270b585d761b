//! `dgnet export`: a study as files for other programs.

use std::path::{Path, PathBuf};

use super::{DONE, output};
use crate::store::export::export;

/// Write a study as Parquet, CSV, resolved settings, TensorBoard event files, and a database of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes runs, final, curves, queries and settings (.parquet and .csv), study.yaml, specs/, tensorboard/.
In curves, values that are not finite are empty and spelled in `nonfinite`. results.db holds this study
alone, with the pictures that its report shows: whoever gets the folder can report and query it,
`dgnet --runs DIR report STUDY`. Where run folders are not here, specs/ is written from the database.

Examples:
  dgnet export ablations --to /tmp/ablations
  python -c \"import polars as pl; print(pl.read_parquet('/tmp/ablations/final.parquet').group_by('arm').agg(pl.mean('mAP')))\"
  duckdb -c \"select arm, avg(mAP) from '/tmp/ablations/final.parquet' group by arm\"
  tensorboard --logdir /tmp/ablations/tensorboard")]
pub struct Args {
    /// Name of a study in the database
    #[arg(value_name = "STUDY")]
    study: String,
    /// Folder to write to; files of an earlier export are replaced
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let done = export(runs, &args.study, &args.to)?;
    let mut lines: Vec<String> =
        done.tables.iter().map(|(name, rows)| format!("{name}: {rows} rows")).collect();
    lines.push(match done.from_database {
        0 => format!("specs: {}", done.specs),
        n => format!("specs: {} ({n} from the database, without their run folders)", done.specs),
    });
    lines.push(format!("tensorboard: {} runs", done.runs));
    output::data(&format!("{}: {}\n", args.to.display(), lines.join(", ")))?;
    Ok(DONE)
}
