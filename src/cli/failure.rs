//! Error -> exit code: what the user has to change (2) is told apart from what broke (1).

use crate::data::DataError;
use crate::report::ReportError;
use crate::spec::SpecError;
use crate::store::StoreError;
use crate::sweep::SweepError;

use super::{BAD_INPUT, FAILED};

/// Input that the command line itself refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

impl BadInput {
    /// A run that is planned and nothing more.
    pub fn not_begun(name: &str) -> Self {
        Self(format!("`{name}` has no folder yet\n  hint: it gets one when its sweep begins"))
    }
}

/// The exit code for an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let refused = error.is::<SpecError>()
        || error.is::<BadInput>()
        || error.downcast_ref::<StoreError>().is_some_and(of_store)
        || error.downcast_ref::<DataError>().is_some_and(of_data)
        || match error.downcast_ref::<SweepError>() {
            Some(SweepError::Store(source)) => of_store(source),
            Some(
                SweepError::Data { .. }
                | SweepError::Device { .. }
                | SweepError::NoCell { .. }
                | SweepError::NoNetwork { .. },
            ) => true,
            _ => false,
        }
        || match error.downcast_ref() {
            Some(ReportError::Store(source)) => of_store(source),
            Some(ReportError::Unlike(_)) => true,
            _ => false,
        };
    if refused { BAD_INPUT } else { FAILED }
}

fn of_store(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Query { .. }
            | StoreError::Unknown { .. }
            | StoreError::Ambiguous { .. }
            | StoreError::NoDatabase { .. }
            | StoreError::Foreign { .. }
            | StoreError::OnlyCopy { .. }
            | StoreError::Name { .. }
    )
}

fn of_data(error: &DataError) -> bool {
    match error {
        DataError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => true,
    }
}
