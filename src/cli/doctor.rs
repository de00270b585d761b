//! `dgnet doctor`: whether this machine and this runs folder are fit for work. Looks only.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{DONE, FAILED, output};
use crate::report::measure::bytes;
use crate::store::error::free;
use crate::store::{Db, RunDir, StageKind, Stages};
use crate::sweep::process::worker_executable;

/// Look whether everything is fit for work: worker, libtorch, disk, database, run folders.
///
/// Changes nothing. `--stages` reads every file that runs share and compares its checksum.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 all is well, 1 something is not; every finding says what to do.

Examples:
  dgnet doctor
  dgnet doctor --stages --json")]
pub struct Args {
    /// Also compare the checksums of all stages: reads every byte
    #[arg(long)]
    stages: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was looked at: what is well, or what is not and what to do.
struct Finding {
    what: &'static str,
    found: Result<String, String>,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let mut findings = vec![
        Finding { what: "worker", found: worker() },
        Finding { what: "disk", found: disk(runs) },
        Finding { what: "database", found: database(runs) },
    ];
    findings.extend(folders(runs));
    if args.stages {
        findings.extend(stages(runs));
    }
    let well = findings.iter().all(|finding| finding.found.is_ok());
    if args.json {
        let list: Vec<_> = findings
            .iter()
            .map(|Finding { what, found }| {
                let text = found.as_ref().unwrap_or_else(|reason| reason);
                json!({ "what": what, "well": found.is_ok(), "text": text })
            })
            .collect();
        output::data(&format!("{:#}\n", json!({ "well": well, "findings": list })))?;
    } else {
        for Finding { what, found } in &findings {
            match found {
                Ok(text) => output::data(&format!("{what}: {text}\n"))?,
                Err(reason) => output::data(&format!("{what}: error: {reason}\n"))?,
            }
        }
    }
    Ok(if well { DONE } else { FAILED })
}

/// Starting it loads libtorch.
fn worker() -> Result<String, String> {
    let path = worker_executable().map_err(|error| error.to_string())?;
    let output = Command::new(&path)
        .arg("--version")
        .output()
        .map_err(|error| format!("cannot start `{}`: {error}", path.display()))?;
    if output.status.success() {
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        return Ok(format!("{version}, with libtorch"));
    }
    Err(format!(
        "`{}` does not start: {}\n  hint: `just setup` gets libtorch and builds it",
        path.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

fn disk(runs: &Path) -> Result<String, String> {
    let room = free(runs).map_or_else(|| "unknown".to_owned(), bytes);
    if !runs.is_dir() {
        return Ok(format!("`{}` is not there yet; {room} free", runs.display()));
    }
    let file = runs.join(format!(".doctor.tmp-{}-0", std::process::id()));
    let tried = std::fs::write(&file, "x");
    // what could not be written needs no removal
    let _ = std::fs::remove_file(&file);
    let refused = crate::store::StoreError::io("write", runs);
    tried.map_err(|error| refused(error).to_string())?;
    Ok(format!("`{}` can be written, {room} free", runs.display()))
}

fn database(runs: &Path) -> Result<String, String> {
    let file = Db::file(runs);
    if !file.exists() {
        return Ok("not there yet; `dgnet sweep` makes it, `dgnet reindex` rebuilds it".into());
    }
    let trouble =
        Db::open_read(&file).and_then(|mut db| db.integrity()).map_err(|e| e.to_string())?;
    let hint = "hint: move the file away; `dgnet reindex` rebuilds it from the run folders";
    match trouble {
        None => Ok(format!("`{}` is whole", file.display())),
        Some(trouble) => Err(format!("`{}` is damaged: {trouble}\n  {hint}", file.display())),
    }
}

/// Every run folder that cannot be read, or their number.
fn folders(runs: &Path) -> Vec<Finding> {
    let what = "runs";
    let all = match RunDir::list(runs) {
        Ok(all) => all,
        Err(error) => return vec![Finding { what, found: Err(error.to_string()) }],
    };
    let read = |run: &RunDir| run.spec().and_then(|_| run.state()).and_then(|_| run.begin());
    let bad: Vec<Finding> = all
        .iter()
        .filter_map(|run| read(run).err())
        .map(|error| Finding { what, found: Err(error.to_string()) })
        .collect();
    if bad.is_empty() {
        return vec![Finding { what, found: Ok(format!("{} folders are whole", all.len())) }];
    }
    bad
}

fn stages(runs: &Path) -> Vec<Finding> {
    let (what, stages) = ("stages", Stages::new(runs));
    let all: Vec<(StageKind, String)> = StageKind::ALL
        .into_iter()
        .flat_map(|kind| stages.keys(kind).into_iter().map(move |key| (kind, key)))
        .collect();
    let bad: Vec<Finding> = all
        .iter()
        .filter_map(|(kind, key)| {
            let reason = match stages.damage(*kind, key) {
                Ok(reason) => reason?,
                Err(error) => error.to_string(),
            };
            let path = stages.dir(*kind, key);
            let hint = "remove it; for a run that is done also its `end.json`, and the sweep makes both anew";
            Some(Finding {
                what,
                found: Err(format!("`{}` is damaged: {reason}\n  hint: {hint}", path.display())),
            })
        })
        .collect();
    if bad.is_empty() {
        return vec![Finding { what, found: Ok(format!("{} are whole", all.len())) }];
    }
    bad
}
