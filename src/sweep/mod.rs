//! From a study to finished runs: plan, schedule, worker processes, the database kept up to date. The
//! report is not made here. Training itself is `src/worker`'s.

mod data_keys;
mod ending;
pub mod errand;
mod error;
pub mod forecast;
pub mod forks;
pub mod hang;
mod indexing;
pub mod inquiry;
mod jobs;
mod launcher;
pub mod looks;
pub mod plan;
pub mod process;
pub mod progress;
pub mod pruning;
pub mod scheduler;
mod slots;
mod slurm;
mod study_run;

pub use data_keys::DataKeys;
pub use error::SweepError;
pub use looks::sweep_on;
pub use plan::{Plan, plan, plan_again};
pub use study_run::{CellEnd, Ending, Options, Summary, sweep};
