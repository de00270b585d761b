//! Evaluation: re-ID features and their ranking, quality of generated images, pictures. Ranking and
//! quality work on plain slices; nothing here trains or stores.

pub mod diversity;
pub mod effects;
pub mod features;
pub mod frechet;
pub mod picture_quality;
pub mod pictures;
mod products;
pub mod rank;
pub mod ranked;
pub mod sheets;
pub mod swap;
