//! `dgnet report`: the page of a study, from the database alone.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{DONE, browser, output, study_file};
use crate::spec::Study;
use crate::store::{Db, study_dir};
use crate::sweep::Summary;

/// Write the report of a study from the database: one page, charts beside it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dgnet report ablations --open\n  dgnet report ablations --out /tmp/ablations\n  dgnet report rerun --against ablations"
)]
pub struct Args {
    /// Name of a study in the database, or its file
    #[arg(value_name = "STUDY")]
    study: String,
    /// Folder to write to [default: reports/<study>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another study of the database to put beside it: arms of the same name are compared
    #[arg(long, value_name = "STUDY")]
    against: Option<String>,
    /// Open the page in your browser
    #[arg(long)]
    open: bool,
    /// Count archived runs as well
    #[arg(long)]
    archived: bool,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let file = Db::file(runs);
    let known = Db::open_read(&file)?.studies()?.contains(&args.study);
    let name = match study_file::find(Path::new(&args.study)) {
        Ok(path) if !known => Study::load(&path, &[])?.name,
        _ => args.study.clone(),
    };
    let out = folder(args.out.as_deref(), &name);
    let page = crate::report::write(&file, &name, args.against.as_deref(), &out, args.archived)?;
    output::data(&format!("report: {}\n", page.display()))?;
    if args.open {
        browser::open(&page)?;
    }
    Ok(DONE)
}

/// Where the report of a study goes.
pub fn folder(out: Option<&Path>, study: &str) -> PathBuf {
    out.map_or_else(|| Path::new("reports").join(study), Path::to_owned)
}

/// The page, if it is newer than everything it is made from: the study, its runs, this program.
pub fn fresh(summary: &Summary, out: &Path, runs: &Path, study: &str) -> Option<PathBuf> {
    let page = out.join("index.html");
    // a page from the future was written before the clock was set back: it is as new as nothing
    let written = modified(&page).filter(|written| *written <= SystemTime::now())?;
    let folder = study_dir::folder(runs, study).ok()?;
    let mut sources = vec![folder.join("study.json"), std::env::current_exe().ok()?];
    sources.extend(summary.cells.iter().map(|cell| cell.run.path().join("end.json")));
    let older = |path: &PathBuf| modified(path).is_some_and(|source| source < written);
    // notes and archiving change what the page says; most folders have none
    let cells = summary.cells.iter().map(|cell| cell.run.path().join("marks.json"));
    let mut marks = cells.chain([folder.join("marks.json")]);
    let unmarked = marks.all(|path| !path.exists() || older(&path));
    (summary.made == 0 && sources.iter().all(older) && unmarked).then_some(page)
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
