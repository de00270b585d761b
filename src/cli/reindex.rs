//! `dgnet reindex`: the database again, from the run folders alone.

use std::path::Path;

use super::{DONE, FAILED, output};
use crate::store::Db;
use crate::store::ingest::reindex;

pub fn run(runs: &Path) -> anyhow::Result<u8> {
    let found = reindex(runs)?;
    for reason in &found.unreadable {
        output::talk(&format!("left out: {reason}"));
    }
    if found.damaged > 0 {
        output::talk(&format!("{} damaged lines were left out; `-v` names them", found.damaged));
    }
    if let Some(kept) = &found.kept {
        let why = "it knew runs of which no folder is here, or could not be read";
        output::talk(&format!("the old database is kept as {}: {why}", kept.display()));
    }
    output::data(&format!(
        "{}: {} studies, {} runs, {} lines\n",
        Db::file(runs).display(),
        found.studies,
        found.runs,
        found.lines
    ))?;
    Ok(if found.unreadable.is_empty() { DONE } else { FAILED })
}
