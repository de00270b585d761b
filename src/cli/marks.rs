//! `dgnet note`, `dgnet tag`, `dgnet archive`: what people say about runs and studies, kept in their
//! folders.

use std::path::{Path, PathBuf};

use super::failure::BadInput;
use super::{DONE, output};
use crate::store::find::is_study;
use crate::store::ingest::Writer;
use crate::store::marks::Note;
use crate::store::query::nearest;
use crate::store::run_dir::now;
use crate::store::{Db, Marks, RunDir, StoreError, study_dir};

/// Write a note on a run or a study.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs are named ARM/SEED, STUDY/ARM/SEED or by the beginning of their id; studies by their name.\n\nExamples:\n  dgnet note full/1 \"the machine was shared until step 300\"\n  dgnet note ablations \"first try of the new recipe\"\n  dgnet query \"select * from notes\""
)]
pub struct NoteArgs {
    /// A run or a study
    #[arg(value_name = "RUN|STUDY")]
    name: String,
    /// The note
    #[arg(value_name = "TEXT")]
    text: String,
}

/// Add and remove tags of a run or a study.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dgnet tag full/1 +good -odd\n  dgnet runs --where 'tags~good'"
)]
pub struct TagArgs {
    /// A run or a study
    #[arg(value_name = "RUN|STUDY")]
    name: String,
    /// `+tag` adds, `-tag` removes, a plain word adds
    #[arg(value_name = "TAG", required = true, allow_hyphen_values = true)]
    tags: Vec<String>,
}

/// Hide a run or a study from lists and reports; nothing is deleted.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A report says how many archived runs it leaves out.\n\nExamples:\n  dgnet archive rgb/3\n  dgnet archive rgb/3 --undo\n  dgnet runs --archived"
)]
pub struct ArchiveArgs {
    /// A run or a study
    #[arg(value_name = "RUN|STUDY")]
    name: String,
    /// Bring it back
    #[arg(long)]
    undo: bool,
}

pub fn note(args: &NoteArgs, runs: &Path) -> anyhow::Result<u8> {
    let text = args.text.trim();
    if text.is_empty() {
        return Err(BadInput("the note is empty".into()).into());
    }
    change(runs, &args.name, |marks| {
        marks.notes.push(Note { at: now(), text: text.to_owned() });
        Ok(())
    })
}

pub fn tag(args: &TagArgs, runs: &Path) -> anyhow::Result<u8> {
    change(runs, &args.name, |marks| marks.tag(&args.tags))
}

pub fn archive(args: &ArchiveArgs, runs: &Path) -> anyhow::Result<u8> {
    change(runs, &args.name, |marks| {
        marks.archived_at = (!args.undo).then(|| marks.archived_at.unwrap_or_else(now));
        Ok(())
    })
}

/// Whose folder a mark goes to.
enum Owner {
    Study(String),
    /// And the cells that it is of, in all studies.
    Run(RunDir, Vec<String>),
}

fn change(
    runs: &Path,
    name: &str,
    change: impl FnOnce(&mut Marks) -> Result<(), StoreError>,
) -> anyhow::Result<u8> {
    let owner = owner(runs, name)?;
    let folder: PathBuf = match &owner {
        Owner::Study(study) => study_dir::folder(runs, study)?,
        Owner::Run(run, _) => run.path().to_owned(),
    };
    let mut refused = Ok(());
    let marks = Marks::change(runs, &folder, |marks| {
        let mut changed = marks.clone();
        refused = change(&mut changed);
        if refused.is_ok() {
            *marks = changed;
        }
    })?;
    refused?;
    match Writer::open(runs)? {
        Some(mut writer) => {
            match &owner {
                Owner::Study(study) => writer.study(study)?,
                Owner::Run(run, _) => {
                    writer.tail(run)?;
                }
            }
            writer.close()?;
        }
        None => output::talk(
            "written to the folder; a sweep is running, so the database follows when it ends or by `dgnet reindex`",
        ),
    }
    let shared = match &owner {
        Owner::Run(_, cells) if cells.len() > 1 => format!(" (one run for {})", cells.join(", ")),
        _ => String::new(),
    };
    output::data(&format!("{}{shared}\n", told(name, &marks)))?;
    Ok(DONE)
}

fn owner(runs: &Path, name: &str) -> anyhow::Result<Owner> {
    if is_study(runs, name) {
        return Ok(Owner::Study(name.to_owned()));
    }
    let mut db = Db::open_read(&Db::file(runs))?;
    let studies = db.studies()?;
    if studies.iter().any(|study| study == name) {
        let record = study_dir::folder(runs, name)?.join("study.json");
        return Err(elsewhere(&format!("the study `{name}`"), "record", &record).into());
    }
    let uid = db.find_run(name).map_err(|error| or_study(error, &studies))?;
    let folder = db.run_folder(&uid)?;
    if folder.is_empty() {
        return Err(BadInput::not_begun(name).into());
    }
    let run = RunDir::new(runs.join(folder));
    if !run.is_here() {
        return Err(elsewhere(&format!("the run `{name}`"), "folder", run.path()).into());
    }
    run.spec()?; // a folder without one is damaged
    let cells = db.cells_of(&uid)?.into_iter();
    Ok(Owner::Run(run, cells.map(|(study, arm, seed)| format!("{study}/{arm}/{seed}")).collect()))
}

/// What the database holds and the runs folder does not.
fn elsewhere(what: &str, part: &str, path: &Path) -> BadInput {
    BadInput(format!(
        "{what} is in the database, but its {part} `{}` is not here\n  hint: notes, tags and archiving are kept in run folders: mark it where those are, `--runs DIR` names the place",
        path.display()
    ))
}

/// A name without `/` that is no run's may be meant for a study.
fn or_study(error: StoreError, studies: &[String]) -> StoreError {
    match error {
        StoreError::Unknown { name, hint, .. } if !name.contains('/') && !studies.is_empty() => {
            let hint = format!("{hint}; of studies: {}", nearest(&name, studies, "studies"));
            StoreError::Unknown { what: "run or study", name, hint }
        }
        other => other,
    }
}

fn told(name: &str, marks: &Marks) -> String {
    let mut parts = vec![name.to_owned()];
    if !marks.tags.is_empty() {
        parts.push(marks.tags.iter().map(|tag| format!("+{tag}")).collect::<Vec<_>>().join(" "));
    }
    if !marks.notes.is_empty() {
        let s = if marks.notes.len() == 1 { "" } else { "s" };
        parts.push(format!("{} note{s}", marks.notes.len()));
    }
    if marks.archived_at.is_some() {
        parts.push("archived".to_owned());
    }
    parts.join(", ")
}
