//! Where results live: the formats of a run folder, the stages that runs share, and the database that
//! indexes them. The only place with SQL; no tensor and no printing.

pub mod cameras;
pub mod db;
pub mod describe;
pub mod error;
pub mod export;
pub mod files;
pub mod finals;
pub mod find;
pub mod gc;
pub mod history;
pub mod ingest;
pub mod inquiry;
pub mod marks;
pub mod merge;
pub mod overview;
pub mod query;
pub mod read;
pub mod recorded;
pub mod records;
pub mod rows;
pub mod run_dir;
pub mod run_lock;
pub mod run_writer;
mod series;
pub mod stages;
pub mod study_dir;

pub use db::Db;
pub use error::StoreError;
pub use marks::Marks;
pub use recorded::Recorded;
pub use run_dir::{RunDir, RunLock, RunState};
pub use run_writer::{Pulse, RunWriter};
pub use stages::{StageKind, Stages};
