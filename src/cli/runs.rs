//! `dgnet runs`: every cell that the database knows and where its run stands.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::filter::Filter;
use super::query::{self, Format};
use super::{DONE, output};
use crate::store::rows::{CellRow, MarkRow};
use crate::store::{Db, RunDir};
use crate::sweep::progress::duration;

/// List runs and where they stand.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dgnet runs\n  dgnet runs --study ablations --json\n  dgnet runs --where 'arm=full and mAP>0.5' --sort -mAP --cols arm,seed,mAP,rank1"
)]
pub struct Args {
    /// Only this study
    #[arg(long, value_name = "NAME")]
    study: Option<String>,
    /// Also those that are archived
    #[arg(long)]
    archived: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let mut db = Db::open_read(&Db::file(runs))?;
    let studies = match &args.study {
        Some(name) => vec![db.study(name)?.name],
        None => db.studies()?,
    };
    if !args.filter.is_empty() {
        let now = states_now(&mut db, &studies, runs)?;
        drop(db);
        let rows = args.filter.rows(runs, args.study.as_deref(), args.archived, &now)?;
        if rows.rows.is_empty() {
            output::talk(
                "no run matches: `dgnet runs --archived` lists all with their states; mAP and rank-k are shares from 0 to 1",
            );
        }
        query::print(&rows, if args.json { Format::Json } else { Format::Table })?;
        return Ok(DONE);
    }
    let mut cells = Vec::new();
    let mut marks: BTreeMap<String, MarkRow> = BTreeMap::new();
    for study in studies {
        let found = db.marks(&study)?;
        let is_archived = found.iter().any(|mark| mark.of_study && mark.archived);
        if is_archived && !args.archived && args.study.is_none() {
            continue;
        }
        marks.extend(found.into_iter().filter(|m| !m.of_study).map(|m| (m.name.clone(), m)));
        for mut cell in db.cells_in_short(&study)? {
            if cell.archived && !args.archived {
                continue;
            }
            cell.state = state_now(&cell, runs);
            cells.push((study.clone(), cell));
        }
    }
    let text = if args.json { as_json(&cells, &marks) } else { as_text(&cells, &marks) };
    output::data(&text)?;
    Ok(DONE)
}

/// The folder knows better than a database that nobody has updated since a crash.
pub fn state_now(cell: &CellRow, runs: &Path) -> String {
    // a run that is done stays so; ten thousand of them need no look
    if cell.state == "done" {
        return cell.state.clone();
    }
    let run = RunDir::new(runs.join(&cell.folder));
    let there = !cell.folder.is_empty() && run.path().is_dir();
    let state = there.then(|| run.state().ok()).flatten();
    state.map_or_else(|| cell.state.clone(), |state| state.as_str().to_owned())
}

/// States of runs, by uid, where the database has others.
fn states_now(
    db: &mut Db,
    studies: &[String],
    runs: &Path,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut now = BTreeMap::new();
    for study in studies {
        for cell in db.cells_in_short(study)? {
            let state = state_now(&cell, runs);
            if state != cell.state {
                now.insert(cell.uid, state);
            }
        }
    }
    Ok(now)
}

/// Tags and the last note.
fn told(mark: Option<&MarkRow>) -> String {
    let Some(mark) = mark else { return String::new() };
    let mut parts: Vec<String> = mark.tags.iter().map(|tag| format!("+{tag}")).collect();
    parts.extend(mark.notes.last().map(|note| output::first_line(&note.text).to_owned()));
    parts.extend(mark.archived.then(|| "(archived)".to_owned()));
    parts.join(" ")
}

fn as_text(cells: &[(String, CellRow)], marks: &BTreeMap<String, MarkRow>) -> String {
    let rows: Vec<Vec<String>> = cells
        .iter()
        .map(|(study, cell)| {
            vec![
                study.clone(),
                cell.arm.clone(),
                cell.seed.to_string(),
                cell.state.clone(),
                format!("{}/{}", cell.step.0, cell.step.1),
                cell.wall_s.map(duration).unwrap_or_default(),
                cell.folder.clone(),
                told(marks.get(&cell.uid)),
                cell.failure.as_deref().map(output::first_line).unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    let columns = ["study", "arm", "seed", "state", "step", "time", "folder", "notes", "reason"];
    output::table(&columns, &["seed", "step", "time"], &rows)
}

fn as_json(cells: &[(String, CellRow)], marks: &BTreeMap<String, MarkRow>) -> String {
    let rows: Vec<_> = cells
        .iter()
        .map(|(study, cell)| {
            let mark = marks.get(&cell.uid);
            json!({
                "study": study,
                "arm": cell.arm,
                "seed": cell.seed,
                "uid": cell.uid,
                "folder": cell.folder,
                "state": cell.state,
                "attempt": cell.attempt,
                "step": cell.step.0,
                "steps": cell.step.1,
                "failure": cell.failure,
                "wall_s": cell.wall_s,
                "cpu_s": cell.cpu_s,
                "peak_bytes": cell.peak_bytes,
                "tags": mark.map_or(&[][..], |mark| &mark.tags),
                "notes": mark.map_or(&[][..], |mark| &mark.notes),
                "archived": cell.archived,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}
