//! Rows of pixels on their way to the networks.

/// The value of every level of red, green and blue.
pub type Levels = [[f32; 256]; 3];

/// The pixels of a row at these columns, which must exist.
///
/// # Shapes
/// `columns`, `picked`: equally many.
pub fn pick(row: &[[u8; 3]], columns: &[usize], picked: &mut [[u8; 3]]) {
    for (pixel, column) in picked.iter_mut().zip(columns) {
        *pixel = row[*column];
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
    fn pixels_are_picked_and_spread_over_planes() {
        let row = [[1, 2, 3], [4, 5, 6]];
        let mut picked = [[0; 3]; 3];
        pick(&row, &[1, 1, 0], &mut picked);
        assert_eq!(picked, [[4, 5, 6], [4, 5, 6], [1, 2, 3]]);
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
