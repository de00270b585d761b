//! Rows of pixels on their way to the networks.

/// The value of every level of red, green and blue.
pub type Levels = [[f32; 256]; 3];

/// A row moved `by` pixels to the left (to the right where that is negative); what moves in repeats the edge.
///
/// # Shapes
/// Both rows: equally many pixels.
pub fn shift(row: &[[u8; 3]], by: isize, shifted: &mut [[u8; 3]]) {
    let [Some(&first), Some(&last)] = [row.first(), row.last()] else { return };
    let gap = by.unsigned_abs().min(row.len() - 1);
    let kept = row.len() - gap;
    if by < 0 {
        shifted[..gap].fill(first);
        shifted[gap..].copy_from_slice(&row[..kept]);
    } else {
        shifted[..kept].copy_from_slice(&row[gap..]);
        shifted[kept..].fill(last);
    }
}

/// Writes a row of pixels into the rows of three planes, each level as its value.
///
/// # Shapes
/// `pixels` and each plane's row: equally many.
pub fn spread(pixels: &[[u8; 3]], levels: &Levels, planes: [&mut [f32]; 3]) {
    for (channel, plane) in planes.into_iter().enumerate() {
        for (value, pixel) in plane.iter_mut().zip(pixels) {
            *value = levels[channel][usize::from(pixel[channel])];
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "copied")]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_row_repeats_its_edge() {
        let row = [1, 2, 3].map(|level| [level; 3]);
        let shifted = |by: isize| {
            let mut shifted = [[0; 3]; 3];
            shift(&row, by, &mut shifted);
            shifted.map(|[level, ..]| level)
        };
        let expected = [
            (0, [1, 2, 3]),
            (1, [2, 3, 3]),
            (-1, [1, 1, 2]),
            (2, [3, 3, 3]),
            (9, [3, 3, 3]),
            (-9, [1, 1, 1]),
        ];
        for (by, expected) in expected {
            assert_eq!(shifted(by), expected, "{by}");
        }
        shift(&[], 1, &mut []);
    }

    #[test]
    fn pixels_are_spread_over_planes() {
        let picked = [[4, 5, 6], [4, 5, 6], [1, 2, 3]];
        let levels = std::array::from_fn(|channel| {
            std::array::from_fn(|level| (1000 * channel + level) as f32)
        });
        let (mut red, mut green, mut blue) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        spread(&picked, &levels, [&mut red, &mut green, &mut blue]);
        assert_eq!(
            (red, green, blue),
            ([4.0, 4.0, 1.0], [1005.0, 1005.0, 1002.0], [2006.0, 2006.0, 2003.0])
        );
    }
}
