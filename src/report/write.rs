//! Files of a report: the page, its charts, the tables and the view model.

use std::path::{Path, PathBuf};

use super::against::against as beside;
use super::view::{Report, build};
use super::{ReportError, page, tables};
use crate::store::Db;
use crate::store::read::CHANGES;
use crate::store::rows::StudyData;

/// Writes the report of a study of a database into a folder and gives the page's path. Archived runs
/// are left out and counted, unless they are asked for; another study stands beside where one is named.
///
/// # Errors
/// An unreadable database, an unknown study, or a file that cannot be written.
pub fn write(
    db: &Path,
    study: &str,
    against: Option<&str>,
    out: &Path,
    archived: bool,
) -> Result<PathBuf, ReportError> {
    let mut db = Db::open_read(db)?;
    let mut data = db.study_data(study)?;
    if !archived {
        data.hide_archived();
        data.changes = db.changes(study, CHANGES, false)?;
    }
    let against = against.map(|other| beside(&mut db, study, other, archived)).transpose()?;
    write_report(&Report { against, ..build(&data)? }, out)
}

/// The same from rows that are already read.
///
/// # Errors
/// A chart that cannot be drawn or a file that cannot be written.
pub fn write_rows(data: &StudyData, out: &Path) -> Result<PathBuf, ReportError> {
    write_report(&build(data)?, out)
}

fn write_report(report: &Report, out: &Path) -> Result<PathBuf, ReportError> {
    let figures = out.join("figures");
    std::fs::create_dir_all(&figures).map_err(|source| failed(&figures, source))?;
    for image in report.figures.iter().flat_map(|f| &f.images) {
        put(&out.join(&image.file), &image.png)?;
        put(&out.join(&image.file).with_extension("svg"), image.svg.as_bytes())?;
    }
    put(&out.join("table.csv"), tables::csv(report).as_bytes())?;
    put(&out.join("table.md"), tables::markdown(report).as_bytes())?;
    put(&out.join("table.tex"), tables::latex(report).as_bytes())?;
    put(&out.join("report.json"), json(report)?.as_bytes())?;
    let index = out.join("index.html");
    put(&index, page::render(report).as_bytes())?;
    Ok(index)
}

/// The view model as JSON, without the pictures' bytes.
///
/// # Errors
/// What the serialiser says.
pub fn json(report: &Report) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// Replaces a file only when it is whole, so that an open page never shows half of one.
fn put(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    std::fs::write(&partial, bytes).map_err(|source| failed(&partial, source))?;
    std::fs::rename(&partial, path).map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: std::io::Error) -> ReportError {
    ReportError::File { path: path.to_owned(), source }
}
