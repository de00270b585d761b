//! Files of a report: the page, its charts, the tables and the view model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::against::against as beside;
use super::measure::Measure;
use super::view::{Report, build};
use super::{ReportError, page, plots, tables};
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
    let data = rows(&mut db, study, archived)?;
    let mut report = build(&data)?;
    if let Some(other) = against {
        let told = beside(&mut db, study, other, archived)?;
        let measure = Measure::of(&data.study.primary, &data.defs);
        report.figures.extend(plots::beside(&told, &measure, data.study.equal_within)?);
        report.against = Some(told);
    }
    write_report(&report, out)
}

/// The rows of a study; without those of archived runs, unless they are asked for.
///
/// # Errors
/// An unreadable database or an unknown study.
pub fn rows(db: &mut Db, study: &str, archived: bool) -> Result<StudyData, ReportError> {
    let mut data = db.study_data(study)?;
    if !archived {
        data.hide_archived();
        data.changes = db.changes(study, CHANGES, false)?;
    }
    Ok(data)
}

/// Writes the report of rows that are already read.
///
/// # Errors
/// A chart that cannot be drawn or a file that cannot be written.
pub fn write_rows(data: &StudyData, out: &Path) -> Result<PathBuf, ReportError> {
    write_report(&build(data)?, out)
}

fn write_report(report: &Report, out: &Path) -> Result<PathBuf, ReportError> {
    let figures = out.join("figures");
    let files = files(report)?;
    std::fs::create_dir_all(&figures).map_err(|source| failed(&figures, source))?;
    for (name, bytes) in files {
        put(&out.join(name), &bytes)?;
    }
    Ok(out.join(INDEX))
}

/// The page's file.
pub const INDEX: &str = "index.html";

/// Every file of a report by its name, charts as `figures/...`.
///
/// # Errors
/// What the serialiser says.
pub fn files(report: &Report) -> Result<BTreeMap<String, Vec<u8>>, ReportError> {
    let mut files = BTreeMap::new();
    for image in report.figures.iter().flat_map(|figure| &figure.images) {
        let svg = Path::new(&image.file).with_extension("svg").to_string_lossy().into_owned();
        files.insert(image.file.clone(), image.png.clone());
        files.insert(svg, image.svg.clone().into_bytes());
    }
    for (name, text) in [
        ("table.csv", tables::csv(report)),
        ("table.md", tables::markdown(report)),
        ("table.tex", tables::latex(report)),
        ("report.json", json(report)?),
        (INDEX, page::render(report)),
    ] {
        files.insert(name.to_owned(), text.into_bytes());
    }
    Ok(files)
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
