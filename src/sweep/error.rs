//! Why a study cannot be planned or swept.

use std::path::PathBuf;

use crate::data::DataError;
use crate::store::StoreError;

/// What stops a plan or a sweep as a whole; a single failed run never does.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Run folders, stages or the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data set of an arm cannot be read.
    #[error("arm `{arm}`: {source}")]
    Data {
        /// The first arm that names it.
        arm: String,
        /// Why.
        source: DataError,
    },
    /// A cell that the study does not have.
    #[error("the study `{study}` has no {what} `{name}`\n  hint: it has {known}")]
    NoCell {
        /// The study.
        study: String,
        /// arm, seed.
        what: &'static str,
        /// As asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A run would train on another class of device than its settings say.
    #[error(
        "arm `{arm}` says `train.device: {own}`, and `{device}` is where runs are to train\n  hint: CPU and GPU give different bits, so the settings decide: `train.device: {device}` in the study"
    )]
    Device {
        /// The arm.
        arm: String,
        /// Its device.
        own: String,
        /// Where it would go.
        device: String,
    },
    /// The worker executable is not there.
    #[error(
        "the worker `{}` is not there\n  hint: `cargo build --bins` builds it beside `dgnet`; `./just sweep` does that by itself",
        path.display()
    )]
    NoWorker {
        /// Where it should be.
        path: PathBuf,
    },
    /// No network is where one was named.
    #[error("cannot evaluate `{}`: {reason}\n  hint: {hint}", path.display())]
    NoNetwork {
        /// As named.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A worker went away or said something that is no answer.
    #[error("the worker failed: {reason}")]
    Worker {
        /// How.
        reason: String,
    },
    /// Slurm is not there, does not answer, or refuses.
    #[error("{reason}\n  hint: {hint}")]
    Slurm {
        /// What happened.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The system refuses something.
    #[error("cannot {action}: {source}")]
    System {
        /// listen for signals, ...
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}
