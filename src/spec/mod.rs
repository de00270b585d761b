//! What an experiment is, as plain data: study files, their settings, resolution, validation and
//! identity. Reads YAML and nothing else; tensors, databases and the command line never appear here.

mod adaptive;
pub mod devices;
mod differences;
pub mod error;
mod fields;
pub mod identity;
pub mod metrics;
pub mod prefix;
mod prune;
pub mod request;
mod resolve;
pub mod schema;
pub mod settings;
pub mod slurm;
pub mod step_plan;
pub mod study;
#[cfg(test)]
mod tests;
mod validate;
mod vary;
mod written;
mod yaml;

pub use adaptive::Adaptive;
pub use error::SpecError;
pub use prune::Prune;
pub use settings::Settings;
pub use slurm::Slurm;
pub use study::{Arm, Study};
