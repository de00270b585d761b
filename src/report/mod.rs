//! The report of a study, rebuilt from the database alone: rows -> frames -> comparisons -> view model
//! of ready strings -> page, charts and tables. Equal databases give byte-identical files: no clock,
//! no hash order, no font of the machine. Never a tensor, never a run folder. The live page shows the
//! same view model.

pub mod against;
pub mod assets;
mod cameras;
pub mod compare;
pub mod design;
pub mod facts;
pub mod figures;
pub mod frames;
pub mod front;
pub mod live;
mod looks;
pub mod measure;
pub mod notes;
pub mod opinions;
pub mod page;
pub mod pairwise;
pub mod pictures;
pub mod plots;
pub mod published;
mod sections;
mod shown;
pub mod tables;
pub mod view;
pub mod words;
pub mod write;

#[cfg(test)]
mod demo;
#[cfg(test)]
mod look_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use view::{Report, build};
pub use write::{write, write_rows};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database, as it says itself.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Arms that may not be compared.
    #[error("{0}")]
    Unlike(String),
    /// A table that polars refuses.
    #[error("cannot tabulate the study's metrics: {0}")]
    Frame(#[from] polars::error::PolarsError),
    /// A chart.
    #[error(transparent)]
    Figure(#[from] figures::FigureError),
    /// The view model as JSON.
    #[error("cannot write the report's numbers: {0}")]
    Json(#[from] serde_json::Error),
    /// A file.
    #[error("cannot write `{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}
