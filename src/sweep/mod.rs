//! From a study to finished runs: plan, schedule, worker processes, the database kept up to date. The
//! report is not made here. Only `worker`, which the second executable enters, touches tensors.

mod error;
mod indexing;
mod jobs;
pub mod plan;
pub mod process;
pub mod progress;
pub mod scheduler;
mod study_run;
pub mod worker;

pub use error::SweepError;
pub use plan::{Plan, plan};
pub use study_run::{CellEnd, Options, Summary, sweep};
