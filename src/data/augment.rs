//! Augmentation of training photos: flip, edge padding, random crop, random erasing, each from the
//! generator it is given. Nothing here chooses photos, reads files or keeps state.

use super::pixels::{self, Rgb8};
use super::rng::Rng;
use crate::spec::settings::Augment;
use dgnet_loops::pixels::shift;

/// Rectangles that are tried before a photo is left whole.
const ERASING_TRIES: u32 = 100;

/// Flips, repeats the edge `pad` pixels on every side, crops at random back to the size, normalises.
/// Always takes the same number of draws, so that a setting does not shift what follows.
///
/// # Shapes
/// `3 * height * width` values: channels, rows, columns.
#[must_use]
pub fn augment(picture: &Rgb8, settings: &Augment, rng: &mut Rng) -> Vec<f32> {
    let Rgb8 { height, width, data } = picture;
    let (height, width) = (*height, *width);
    let pad = settings.pad as usize;
    let flip = rng.chance(settings.flip);
    let top = rng.below(2 * pad + 1);
    let left = rng.below(2 * pad + 1);
    let aside = left as isize - pad as isize;
    let mut values = vec![0.0; 3 * height * width];
    let mut shifted = vec![[0; 3]; width];
    for (row, planes) in pixels::rows(&mut values, height, width).enumerate() {
        let start = (row + top).saturating_sub(pad).min(height - 1) * width * 3;
        let (photo, _) = data[start..start + width * 3].as_chunks::<3>();
        // a mirrored photo moves the other way
        shift(photo, if flip { -aside } else { aside }, &mut shifted);
        if flip {
            shifted.reverse();
        }
        pixels::normalise_row(&shifted, planes);
    }
    values
}

/// With probability `erasing`, sets one rectangle of random area and aspect to 0, the mean colour.
///
/// # Shapes
/// `values`: channels, rows, columns, as from [`augment`].
pub fn erase(values: &mut [f32], height: usize, width: usize, settings: &Augment, rng: &mut Rng) {
    if !rng.chance(settings.erasing) {
        return;
    }
    let [area_low, area_high] = settings.erasing_area;
    let [aspect_low, aspect_high] = settings.erasing_aspect;
    for _ in 0..ERASING_TRIES {
        let area = rng.range(area_low, area_high) * (height * width) as f64;
        let aspect = rng.range(aspect_low, aspect_high);
        let rows = (area * aspect).sqrt().round() as usize;
        let columns = (area / aspect).sqrt().round() as usize;
        if rows >= height || columns >= width {
            continue;
        }
        let top = rng.below(height - rows + 1);
        let left = rng.below(width - columns + 1);
        for plane in values.chunks_exact_mut(height * width) {
            for row in plane.chunks_exact_mut(width).skip(top).take(rows) {
                row[left..left + columns].fill(0.0);
            }
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> Rgb8 {
        let data = (0..height * width * 3).map(|at| (at * 7 % 251) as u8).collect();
        Rgb8 { height, width, data }
    }

    fn plain() -> Augment {
        Augment { flip: 0.0, pad: 0, erasing: 1.0, ..Augment::default() }
    }

    #[test]
    fn without_settings_it_only_normalises() {
        let picture = ramp(9, 5);
        let values = augment(&picture, &plain(), &mut Rng::new(1, "x", 0));
        assert_eq!(values, pixels::normalise(&picture));
    }

    #[test]
    fn a_flip_mirrors_columns() {
        let picture = ramp(4, 3);
        let settings = Augment { flip: 1.0, ..plain() };
        let flipped =
            pixels::denormalise(&augment(&picture, &settings, &mut Rng::new(1, "x", 0)), 4, 3);
        for (row, column) in [(0, 0), (3, 1), (2, 2)] {
            assert_eq!(flipped.pixel(row, column), picture.pixel(row, 2 - column));
        }
    }

    #[test]
    fn padding_repeats_the_edge_and_every_shift_occurs() {
        let mut picture = Rgb8::filled(8, 8, [50; 3]);
        picture.data[(4 * 8 + 4) * 3] = 250;
        let settings = Augment { pad: 2, ..plain() };
        let mut places = std::collections::BTreeSet::new();
        for index in 0..400 {
            let values = augment(&picture, &settings, &mut Rng::new(1, "x", index));
            let crop = pixels::denormalise(&values, 8, 8);
            places.extend((0..64).filter(|at| crop.data[at * 3] == 250));
            assert!(crop.data.iter().all(|&value| value == 50 || value == 250));
        }
        assert_eq!(places.len(), 25);
    }

    #[test]
    fn erasing_blanks_one_rectangle_of_the_allowed_area_in_all_channels() {
        for index in 0..200 {
            let mut values = vec![1.0; 3 * 32 * 16];
            erase(&mut values, 32, 16, &plain(), &mut Rng::new(1, "e", index));
            let blank = values[..512].iter().filter(|value| **value == 0.0).count();
            let share = blank as f64 / 512.0;
            assert!((0.01..0.45).contains(&share), "{share}");
            assert_eq!(values[..512], values[512..1024]);
        }
    }

    #[test]
    fn erasing_touches_the_asked_share_and_impossible_rectangles_end() {
        let half = Augment { erasing: 0.5, ..plain() };
        let touched = (0..1000)
            .filter(|index| {
                let mut values = vec![1.0; 3 * 32 * 16];
                erase(&mut values, 32, 16, &half, &mut Rng::new(1, "e", *index));
                values.contains(&0.0)
            })
            .count();
        assert!(touched.abs_diff(500) < 60, "{touched}");
        let mut values = vec![1.0; 3 * 16];
        let impossible = Augment { erasing_area: [5.0, 6.0], ..plain() };
        erase(&mut values, 4, 4, &impossible, &mut Rng::new(1, "e", 0));
        assert!(!values.contains(&0.0));
    }
}
