//! A ranked list as a picture: the query, then the gallery photos ranked first, right ones in a solid
//! green frame with a tick below, wrong ones in a dashed red frame with a cross. No file is read.

use super::rank::Features;
use dgnet::data::pixels::{Rgb8, grid};
use dgnet::stats::ranking::order;
use dgnet_loops::products::Number;

/// Pixels of a frame.
const FRAME: usize = 4;
/// Pixels of a dash and of the gap after it.
const DASH: usize = 7;
/// Rows below a photo, for its mark.
const MARK: usize = 22;
/// White pixels between photos.
const GAP: usize = 5;
/// White columns between the query and its list.
const PAUSE: usize = 14;

/// Green and red that also differ in brightness, and the grey of the query's frame.
const RIGHT: [u8; 3] = [0, 132, 92];
const WRONG: [u8; 3] = [200, 48, 30];
const QUERY: [u8; 3] = [120, 124, 130];

/// A line from one (row, column) to another, in pixels.
type Stroke = [[f64; 2]; 2];

/// The galleries of the `chosen` queries in the order in which an evaluation by both halves ranks them,
/// without junk: indices of photos.
#[must_use]
pub fn lists(
    query: &Features,
    gallery: &Features,
    fine_weight: f32,
    chosen: &[usize],
) -> Vec<Vec<usize>> {
    let dims = 2 * query.dims;
    let (queries, photos) = (query.joined(fine_weight), gallery.joined(1.0));
    chosen
        .iter()
        .map(|&at| {
            let own = &queries[at * dims..(at + 1) * dims];
            let scores: Vec<f64> =
                photos.chunks_exact(dims.max(1)).map(|photo| f32::dot(own, photo)).collect();
            order(&scores, query.labels[at], &gallery.labels)
        })
        .collect()
}

/// The sheet of one query; `list` holds photos of the query's size and whether each is a true match.
#[must_use]
pub fn sheet(query: &Rgb8, list: &[(Rgb8, bool)]) -> Rgb8 {
    let pause = Rgb8::filled(1, PAUSE - GAP, [255; 3]);
    let first = framed(query, QUERY, false, &[]);
    let others = list.iter().map(|(photo, right)| {
        let middle = (photo.width + 2 * FRAME) as f64 / 2.0;
        if *right {
            framed(photo, RIGHT, false, &[tick(middle)[0], tick(middle)[1]])
        } else {
            framed(photo, WRONG, true, &cross(middle))
        }
    });
    grid(&[[first, pause].into_iter().chain(others).collect()], GAP)
}

fn tick(middle: f64) -> [Stroke; 2] {
    let corner = [16.0, middle - 2.5];
    [[[10.5, middle - 8.0], corner], [corner, [3.5, middle + 8.0]]]
}

fn cross(middle: f64) -> [Stroke; 2] {
    let (left, right) = (middle - 6.0, middle + 6.0);
    [[[4.0, left], [16.0, right]], [[16.0, left], [4.0, right]]]
}

/// A photo in a frame, with strokes in the strip below it.
fn framed(photo: &Rgb8, colour: [u8; 3], dashed: bool, strokes: &[Stroke]) -> Rgb8 {
    let (height, width) = (photo.height + 2 * FRAME, photo.width + 2 * FRAME);
    let mut cell = Rgb8::filled(height + MARK, width, [255; 3]);
    for row in 0..height {
        for column in 0..width {
            let beside = row < FRAME || row >= height - FRAME;
            let along = if beside { column } else { row };
            let inside = !beside && (FRAME..width - FRAME).contains(&column);
            let at = (row * width + column) * 3;
            if inside {
                let pixel = photo.pixel(row - FRAME, column - FRAME);
                cell.data[at..at + 3].copy_from_slice(&pixel);
            } else if !dashed || along % (2 * DASH) < DASH {
                cell.data[at..at + 3].copy_from_slice(&colour);
            }
        }
    }
    for row in 0..MARK {
        for column in 0..width {
            let point = [row as f64 + 0.5, column as f64 + 0.5];
            let near =
                strokes.iter().map(|stroke| distance(point, stroke)).fold(f64::MAX, f64::min);
            // lines 3 pixels wide, with soft edges
            let share = (2.0 - near).clamp(0.0, 1.0);
            let at = ((height + row) * width + column) * 3;
            for (channel, value) in colour.into_iter().enumerate() {
                let mixed = 255.0 + (f64::from(value) - 255.0) * share;
                cell.data[at + channel] = mixed.round() as u8;
            }
        }
    }
    cell
}

/// Distance of a point to a line.
fn distance(point: [f64; 2], [from, to]: &Stroke) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let share = ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0);
    (offset[0] - share * along[0]).hypot(offset[1] - share * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of(cell: &Rgb8, rows: std::ops::Range<usize>, colour: [u8; 3]) -> f64 {
        let width = cell.width;
        let pixels = rows.flat_map(|row| (0..width).map(move |column| (row, column)));
        let (mut hits, mut all) = (0_usize, 0_usize);
        for (row, column) in pixels {
            hits += usize::from(cell.pixel(row, column) == colour);
            all += 1;
        }
        hits as f64 / all as f64
    }

    #[test]
    fn right_and_wrong_differ_without_colour() {
        let photo = Rgb8::filled(64, 32, [10, 20, 30]);
        let right = framed(&photo, RIGHT, false, &tick(20.0));
        let wrong = framed(&photo, WRONG, true, &cross(20.0));
        assert!((share_of(&right, 0..FRAME, RIGHT) - 1.0).abs() < 1e-12, "solid");
        let dashed = share_of(&wrong, 0..FRAME, WRONG);
        assert!((0.3..0.7).contains(&dashed), "dashed: {dashed}");
        for (cell, colour) in [(&right, RIGHT), (&wrong, WRONG)] {
            let marked = share_of(cell, cell.height - MARK..cell.height, colour);
            assert!((0.03..0.5).contains(&marked), "a mark below: {marked}");
            assert_eq!(cell.pixel(FRAME + 5, FRAME + 5), [10, 20, 30], "the photo is untouched");
        }
        let brightness = |rgb: [u8; 3]| rgb.map(f64::from).iter().sum::<f64>();
        assert!((brightness(RIGHT) - brightness(WRONG)).abs() > 40.0);
    }

    #[test]
    fn a_sheet_holds_the_query_and_every_photo_in_order() {
        let photo = |level| Rgb8::filled(20, 10, [level; 3]);
        let sheet = sheet(&photo(1), &[(photo(2), true), (photo(3), false), (photo(4), true)]);
        assert_eq!(sheet.height, 20 + 2 * FRAME + MARK + 2 * GAP);
        assert_eq!(sheet.width, 4 * (10 + 2 * FRAME) + (PAUSE - GAP) + 6 * GAP);
        let row = GAP + FRAME + 10;
        let levels: Vec<u8> = (0..sheet.width)
            .map(|column| sheet.pixel(row, column))
            .filter(|[r, g, b]| r == g && g == b && (1..=4).contains(r))
            .map(|[r, ..]| r)
            .collect();
        assert_eq!(levels, [[1; 10], [2; 10], [3; 10], [4; 10]].concat());
    }
}
