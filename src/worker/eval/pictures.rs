//! Pictures of a finished run: the swap grid, structure in rows and appearance in columns, with the
//! rendered truth beside where it is known.

use std::collections::BTreeSet;

use tch::Device;

use super::swap::{HeldOut, Pair, generate, pictures, truths};
use crate::model::appearance::AppearanceEncoder;
use crate::model::generator::Generator;
use dgnet::data::drawn::Truth;
use dgnet::data::pixels::{Rgb8, grid};
use dgnet::data::rng::Rng;
use dgnet::data::{DataError, Photo};

/// White pixels between the pictures of a grid.
const GAP: usize = 3;

/// `count` of the photos, each of another person; the same for every arm and seed.
#[must_use]
pub fn spread(photos: &[Photo], count: usize, stream: &str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..photos.len()).collect();
    Rng::new(0, stream, 0).shuffle(&mut order);
    let mut people = BTreeSet::new();
    order.retain(|&i| people.insert(photos[i].person));
    order.truncate(count);
    order
}

/// A square of generated images: the first row shows whose appearance, the first column whose
/// structure; with a truth, the same square as it really would look stands to the right.
pub fn swap_grid(
    encoder: &AppearanceEncoder,
    generator: &Generator,
    held_out: &HeldOut,
    truth: Option<&Truth>,
    size: usize,
    device: Device,
) -> Result<Rgb8, DataError> {
    let columns = spread(&held_out.photos, size, "grid.appearance");
    let rows = spread(&held_out.photos, size, "grid.structure");
    let (height, width) = held_out.images.size();
    let blank = Rgb8::filled(height, width, [255; 3]);
    let photo = |i: usize| held_out.images.picture(i);
    let mut head: Vec<Rgb8> =
        std::iter::once(blank.clone()).chain(columns.iter().map(|&i| photo(i))).collect();
    if truth.is_some() {
        head.push(blank);
        head.extend(columns.iter().map(|&i| photo(i)));
    }
    let mut lines = vec![head];
    for &j in &rows {
        let pairs: Vec<Pair> = columns.iter().map(|&i| Pair { i, j }).collect();
        let mut line = vec![photo(j)];
        line.extend(pictures(&generate(encoder, generator, &held_out.images, &pairs, device)));
        if let Some(truth) = truth {
            line.push(photo(j));
            line.extend(truths(held_out, truth, &pairs)?.into_iter().map(|swap| swap.truth));
        }
        lines.push(line);
    }
    Ok(grid(&lines, GAP))
}
