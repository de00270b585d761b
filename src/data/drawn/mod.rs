//! Drawn people: a Market-1501-shaped data set of rendered walking people whose every factor is known,
//! so that the true picture of person i in the structure of photo j can be rendered too. Pictures in
//! and out; never features, never a network.

use std::path::Path;

use crate::data::DataError;
use crate::spec::settings::Drawn;

mod body;
mod camera;
mod canvas;
mod clothes;
mod factors;
mod figure;
mod plan;
mod render;
mod scene;
mod shots;
mod truth;
mod wardrobe;
mod write;

#[cfg(test)]
mod tests;

pub use truth::Truth;

/// Raised whenever the same settings would give other bytes.
pub const DRAW_VERSION: u32 = 2;

/// Holds every factor of every photo; only drawn sets have it.
pub const FACTORS_FILE: &str = "factors.json";

/// Largest height and width of a drawn photo, pixels.
const MAX_SIDE: u32 = 1024;
/// Smallest; below, people cannot be told apart.
const MIN_SIDE: u32 = 16;

/// Most cameras; the scene of each is held in memory.
const MAX_CAMERAS: usize = 99;

/// Draws the set that `drawn` describes into `out`: `bounding_box_train`, `query`,
/// `bounding_box_test`, `gt_bbox` and `factors.json`. The same settings give the same bytes, on any
/// number of threads. `progress` gets (photos done, photos in all), from several threads at once.
///
/// # Errors
/// Settings that no set can have, or a file that cannot be written.
pub fn draw(
    drawn: &Drawn,
    out: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), DataError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    draw_on(drawn, out, threads, progress)
}

fn draw_on(
    drawn: &Drawn,
    out: &Path,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), DataError> {
    check(drawn, out)?;
    write::write(&plan::plan(drawn), out, threads, progress)
}

fn check(drawn: &Drawn, out: &Path) -> Result<(), DataError> {
    let sides = MIN_SIDE..=MAX_SIDE;
    let problem = if drawn.ids < 4 {
        Some(("`ids` is below 4", "two people to train on and two to search for are the least"))
    } else if !(2..=MAX_CAMERAS).contains(&(drawn.cameras as usize)) {
        Some((
            "`cameras` is outside 2..=99",
            "matches count only across cameras; use for example 4",
        ))
    } else if drawn.photos_min < 1 || drawn.photos_min > drawn.photos_max {
        Some(("`photos_min` is 0 or above `photos_max`", "use for example 1 and 3"))
    } else if !(drawn.test_share > 0.0 && drawn.test_share < 1.0) {
        Some(("`test_share` is not between 0 and 1", "use for example 0.4"))
    } else if !(sides.contains(&drawn.height) && sides.contains(&drawn.width)) {
        Some(("`height` or `width` is outside 16..=1024 pixels", "use for example 128 and 64"))
    } else {
        None
    };
    problem.map_or(Ok(()), |(reason, hint)| {
        Err(DataError::Layout {
            path: out.to_owned(),
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        })
    })
}
