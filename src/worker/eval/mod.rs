//! Evaluation: re-ID features and their ranking, quality of generated images, pictures. Ranking and
//! quality work on plain slices; nothing here trains or stores.

pub mod features;
pub mod picture_quality;
pub mod pictures;
pub mod rank;
pub mod swap;
