//! `dgnet show`: everything about one run, from its folder and the database, or from the database alone.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::failure::BadInput;
use super::{DONE, output, query, study_file};
use crate::report::facts::{quoted, utc};
use crate::report::measure::{bytes, duration};
use crate::spec::identity::flatten;
use crate::spec::{Study, settings::Settings};
use crate::store::query::{Cell, Table, query_with};
use crate::store::recorded::Spec;
use crate::store::stages::StageKind;
use crate::store::{Db, Recorded, RunDir, Stages};

/// Show everything about a run: settings, results, provenance, stages, files, how to repeat it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs are named ARM/SEED, STUDY/ARM/SEED or by the beginning of their id (see `dgnet runs`).\n\nExamples:\n  dgnet show full/1\n  dgnet show 3f2a9c01 --json"
)]
pub struct Args {
    /// A run
    #[arg(value_name = "RUN")]
    run: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const RESULTS: &str = "
    SELECT metric_name.name AS metric, metric.value, metric.nonfinite, metric_name.unit,
           metric.step
    FROM run_number
    CROSS JOIN metric_name
    JOIN metric ON metric.run = run_number.id AND metric.name = metric_name.id
     AND metric.step = (SELECT max(step) FROM metric
                        WHERE run = run_number.id AND name = metric_name.id)
    WHERE run_number.uid = :uid ORDER BY metric_name.id";

/// A setting that differs from its default.
struct Setting {
    key: String,
    value: Json,
    default: Json,
    origin: String,
}

/// A run and all that is said about it.
struct Shown<'a> {
    run: RunDir,
    /// Whether its folder is here; the database alone speaks otherwise.
    here: bool,
    record: Recorded,
    cells: Vec<(String, String, i64)>,
    settings: Vec<Setting>,
    results: Table,
    /// Path of the study file.
    source: String,
    runs: &'a Path,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let file = Db::file(runs);
    let mut db = Db::open_read(&file)?;
    let uid = db.find_run(&args.run)?;
    let cells = db.cells_of(&uid)?;
    let folder = db.run_folder(&uid)?;
    let run = RunDir::new(runs.join(&folder));
    let here = !folder.is_empty() && run.is_here();
    let record = if here {
        Recorded::read(&run)?
    } else {
        db.recorded(&uid)?.ok_or_else(|| BadInput::not_begun(&args.run))?
    };
    let source = db.study(&record.spec.study).ok().map(|study| study.file).unwrap_or_default();
    let uid_cell = BTreeMap::from([("uid".to_owned(), Cell::Text(uid))]);
    let results = query_with(&file, RESULTS, &uid_cell)?;
    let settings = settings(&record.spec, &source)?;
    let shown = Shown { run, here, record, cells, settings, results, source, runs };
    output::data(&if args.json { as_json(&shown) } else { as_text(&shown) })?;
    Ok(DONE)
}

/// What differs from the program's defaults, and where it was stated if that can still be told.
fn settings(spec: &Spec, source: &str) -> anyhow::Result<Vec<Setting>> {
    let (mut values, mut defaults) = (Vec::new(), Vec::new());
    flatten("", &spec.settings, &mut values);
    flatten("", &serde_json::to_value(Settings::default())?, &mut defaults);
    let defaults: BTreeMap<String, Json> = defaults.into_iter().collect();
    // the study file may have changed since: it is believed where it still says the same
    let study = study_file::find(Path::new(source)).ok().and_then(|p| Study::load(&p, &[]).ok());
    let arm = study.as_ref().and_then(|study| study.arm(&spec.arm));
    let mut stated = Vec::new();
    if let Some(arm) = arm {
        flatten("", &serde_json::to_value(&arm.settings)?, &mut stated);
    }
    let stated: BTreeMap<String, Json> = stated.into_iter().collect();
    Ok(values
        .into_iter()
        .filter(|(key, value)| defaults.get(key) != Some(value))
        .map(|(key, value)| {
            let known = arm.filter(|_| stated.get(&key) == Some(&value));
            let origin = match known.and_then(|arm| arm.origins.get(&key)) {
                Some(origin) => origin.clone(),
                None if spec.overrides.contains_key(&key) => format!("arm {}", spec.arm),
                None => "study or base".to_owned(),
            };
            let default = defaults.get(&key).cloned().unwrap_or_default();
            Setting { key, value, default, origin }
        })
        .collect())
}

/// The command that trains it again.
fn command(spec: &Spec, source: &str) -> String {
    format!("dgnet run {} --arm {} --seed {}", quoted(source), quoted(&spec.arm), spec.seed)
}

/// A stage of a run.
struct Stage {
    kind: StageKind,
    key: String,
    there: bool,
    /// Wall seconds.
    wall_s: Option<f64>,
    /// `<kind>/<key>` of those that it was made from.
    parents: Vec<String>,
}

fn stages(spec: &Spec, runs: &Path) -> Vec<Stage> {
    let stages = Stages::new(runs);
    let told = spec.stages.all().map(|(kind, key)| {
        let record = stages.record(kind, key).ok().flatten();
        let there = stages.published(kind, key).is_some();
        let (wall_s, parents) =
            record.map_or((None, vec![]), |record| (Some(record.wall_s), record.parents));
        Stage { kind, key: key.to_owned(), there, wall_s, parents }
    });
    told.collect()
}

/// Files below the folder, by name, with their sizes.
fn files(run: &RunDir) -> Vec<(String, u64)> {
    let entries = walkdir::WalkDir::new(run.path()).sort_by_file_name().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let size = entry.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
            Some((RunDir::new(entry.path()).relative(run.path()), size))
        })
        .collect()
}

fn as_text(shown: &Shown) -> String {
    let Shown { run, record, settings, results, .. } = shown;
    let mut text = String::new();
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            text.push_str(&format_section(title, &body));
        }
    };
    section("run", head(shown));
    section("notes", notes(record));
    let rows: Vec<Vec<String>> = settings
        .iter()
        .map(|s| vec![s.key.clone(), s.value.to_string(), s.default.to_string(), s.origin.clone()])
        .collect();
    section(
        "settings that differ from the defaults",
        output::table(&["setting", "value", "default", "stated at"], &[], &rows),
    );
    section("results, last values", query::as_table(results));
    section("provenance", provenance(record));
    let rows: Vec<Vec<String>> = stages(&record.spec, shown.runs)
        .into_iter()
        .map(|stage| {
            let state = if stage.there { "there" } else { "not there" };
            let wall = stage.wall_s.map(duration).unwrap_or_default();
            // eight digits tell them apart
            let short = stage.parents.iter().filter_map(|name| {
                let (kind, key) = name.split_once('/')?;
                Some(format!("{kind} {key:.8}"))
            });
            let parents = short.collect::<Vec<_>>().join(", ");
            vec![stage.kind.as_str().to_owned(), stage.key, state.to_owned(), wall, parents]
        })
        .collect();
    let columns = ["stage", "key", "state", "time", "made from"];
    section("stages", output::table(&columns, &["time"], &rows));
    let rows: Vec<Vec<String>> =
        files(run).into_iter().map(|(name, size)| vec![bytes(size), name]).collect();
    if shown.here {
        section("files", output::table(&["size", "file"], &["size"], &rows));
    }
    section("repeat it", format!("{}\n", command(&record.spec, &shown.source)));
    text
}

fn format_section(title: &str, body: &str) -> String {
    let lines: Vec<String> = body.lines().map(|line| format!("  {line}")).collect();
    format!("{title}\n{}\n\n", lines.join("\n"))
}

fn pairs(rows: Vec<(&str, String)>) -> String {
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    output::table(&["", ""], &[], &rows).trim_start_matches('\n').to_owned()
}

fn head(shown: &Shown) -> String {
    let Shown { run, record, cells, .. } = shown;
    let named: Vec<String> =
        cells.iter().map(|(study, arm, seed)| format!("{study}/{arm}/{seed}")).collect();
    let absent = if shown.here { "" } else { " (not here: this is what the database knows)" };
    let mut rows = vec![
        ("cells", named.join(", ")),
        ("id", record.spec.uid.clone()),
        ("folder", format!("{}{absent}", run.path().display())),
        ("state", record.state.clone()),
        ("recipe", record.spec.recipe.to_string()),
    ];
    if let Some(end) = &record.end {
        rows.push(("ended", utc(end.ended_at)));
        rows.push((
            "time",
            format!("{} ({} of processor)", duration(end.wall_s), duration(end.cpu_s)),
        ));
        rows.push(("memory", bytes(end.peak_bytes)));
        rows.extend(end.energy_j.map(|joules| {
            ("energy", format!("{:.1} Wh of the whole processor meanwhile", joules / 3600.0))
        }));
        rows.extend(end.reason.clone().map(|reason| ("reason", reason)));
    }
    pairs(rows)
}

fn notes(record: &Recorded) -> String {
    let marks = &record.marks;
    let mut lines: Vec<String> =
        marks.notes.iter().map(|note| format!("{}  {}", utc(note.at), note.text)).collect();
    if !marks.tags.is_empty() {
        lines.push(marks.tags.iter().map(|tag| format!("+{tag}")).collect::<Vec<_>>().join(" "));
    }
    lines.extend(marks.archived_at.map(|at| format!("archived {}", utc(at))));
    lines.join("\n")
}

fn provenance(record: &Recorded) -> String {
    let Some(begin) = record.begin.clone() else { return String::new() };
    let dirty = begin.git_dirty.map_or_else(String::new, |hash| format!(" with changes {hash}"));
    let mut rows = vec![
        (
            "attempt",
            format!("{} (from step {} of {})", begin.attempt, begin.from_step, begin.steps),
        ),
        ("started", utc(begin.started_at)),
        ("machine", format!("{} ({}, {})", begin.host, begin.processor, begin.instruction_set)),
        ("device", begin.device),
        ("versions", format!("dgnet {}, libtorch {}", begin.version, begin.libtorch)),
        ("commit", format!("{}{dirty}", begin.git_commit.unwrap_or_else(|| "none".into()))),
        ("command", begin.started_by.join(" ")),
        ("worker", begin.command.join(" ")),
        ("data", record.spec.stages.data.clone()),
    ];
    // records of earlier versions do not know everything
    rows.retain(|(_, value)| !value.is_empty());
    pairs(rows)
}

fn as_json(shown: &Shown) -> String {
    let Shown { run, record, .. } = shown;
    let cells: Vec<Json> = shown
        .cells
        .iter()
        .map(|(study, arm, seed)| json!({ "study": study, "arm": arm, "seed": seed }))
        .collect();
    let settings: Map<String, Json> = shown
        .settings
        .iter()
        .map(|s| {
            let entry = json!({ "value": s.value, "default": s.default, "origin": s.origin });
            (s.key.clone(), entry)
        })
        .collect();
    let stages: Vec<Json> = stages(&record.spec, shown.runs)
        .into_iter()
        .map(|stage| {
            json!({
                "kind": stage.kind.as_str(),
                "key": stage.key,
                "there": stage.there,
                "wall_s": stage.wall_s,
                "parents": stage.parents,
            })
        })
        .collect();
    let files: Map<String, Json> =
        files(run).into_iter().map(|(name, size)| (name, json!(size))).collect();
    let whole = json!({
        "uid": record.spec.uid,
        "cells": cells,
        "folder": run.path(),
        "there": shown.here,
        "state": record.state,
        "recipe": record.spec.recipe,
        "marks": record.marks,
        "settings_not_default": settings,
        "results": query::objects(&shown.results),
        "begin": record.begin,
        "end": record.end,
        "stages": stages,
        "files": files,
        "command": command(&record.spec, &shown.source),
    });
    format!("{whole:#}\n")
}
