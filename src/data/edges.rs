//! Canny's edge detector on 8-bit grey pictures: Sobel gradients, non-maximum suppression along the
//! gradient, hysteresis. Integers only, so that every machine finds the same edges. No tensors.

/// tan(22.5 degrees) in 15-bit fixed point.
const TAN_22: i64 = 13_573;

/// Marks the edges of a picture: gradients above `low` that are connected to one above `high`.
///
/// Gradients are 3x3 Sobel on a replicated border, their magnitude is |gx| + |gy|.
///
/// # Shapes
/// `grey`: height * width values, row-major; the result has as many.
#[must_use]
pub fn canny(grey: &[u8], height: usize, width: usize, low: i64, high: i64) -> Vec<bool> {
    let gradients = sobel(grey, height, width);
    let magnitude: Vec<i64> = gradients.iter().map(|(gx, gy)| gx.abs() + gy.abs()).collect();
    // outside the picture there is no gradient
    let at = |row: usize, column: usize, down: isize, right: isize| -> i64 {
        let row = row.checked_add_signed(down).filter(|&row| row < height);
        let column = column.checked_add_signed(right).filter(|&column| column < width);
        row.zip(column).map_or(0, |(row, column)| magnitude[row * width + column])
    };
    let mut edges = vec![false; grey.len()];
    let mut weak = vec![false; grey.len()];
    let mut open = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let place = row * width + column;
            let m = magnitude[place];
            if m <= low {
                continue;
            }
            let (gx, gy) = gradients[place];
            let (x, y) = (gx.abs() * TAN_22, gy.abs() << 15);
            let ridge = if y < x {
                m > at(row, column, 0, -1) && m >= at(row, column, 0, 1)
            } else if y > x + (gx.abs() << 16) {
                m > at(row, column, -1, 0) && m >= at(row, column, 1, 0)
            } else {
                let slope = if (gx < 0) == (gy < 0) { 1 } else { -1 };
                m > at(row, column, -1, -slope) && m > at(row, column, 1, slope)
            };
            weak[place] = ridge;
            if ridge && m > high {
                edges[place] = true;
                open.push((row, column));
            }
        }
    }
    while let Some((row, column)) = open.pop() {
        for near_row in row.saturating_sub(1)..(row + 2).min(height) {
            for near_column in column.saturating_sub(1)..(column + 2).min(width) {
                let place = near_row * width + near_column;
                if weak[place] && !edges[place] {
                    edges[place] = true;
                    open.push((near_row, near_column));
                }
            }
        }
    }
    edges
}

/// Horizontal and vertical gradient of every pixel.
fn sobel(grey: &[u8], height: usize, width: usize) -> Vec<(i64, i64)> {
    let pixel = |row: usize, column: usize, down: isize, right: isize| -> i64 {
        let row = row.saturating_add_signed(down).min(height - 1);
        let column = column.saturating_add_signed(right).min(width - 1);
        i64::from(grey[row * width + column])
    };
    let mut gradients = Vec::with_capacity(grey.len());
    for row in 0..height {
        for column in 0..width {
            let p = |down, right| pixel(row, column, down, right);
            let gx = p(-1, 1) + 2 * p(0, 1) + p(1, 1) - p(-1, -1) - 2 * p(0, -1) - p(1, -1);
            let gy = p(1, -1) + 2 * p(1, 0) + p(1, 1) - p(-1, -1) - 2 * p(-1, 0) - p(-1, 1);
            gradients.push((gx, gy));
        }
    }
    gradients
}

#[cfg(test)]
mod tests {
    use super::canny;

    fn drawn(picture: &[&str]) -> (Vec<u8>, usize, usize) {
        let pixels = picture.iter().flat_map(|row| row.bytes().map(|b| (b - b'0') * 28)).collect();
        (pixels, picture.len(), picture[0].len())
    }

    fn found(picture: &[&str], low: i64, high: i64) -> Vec<String> {
        let (pixels, height, width) = drawn(picture);
        canny(&pixels, height, width, low, high)
            .chunks(width)
            .map(|row| row.iter().map(|&edge| if edge { '#' } else { '.' }).collect())
            .collect()
    }

    #[test]
    fn a_step_is_one_line_of_edges() {
        let picture = ["00099"; 4];
        assert_eq!(found(&picture, 10, 200), ["..#.."; 4]);
        let upright = ["0000", "0000", "9999", "9999"];
        assert_eq!(found(&upright, 10, 200), ["....", "####", "....", "...."]);
    }

    #[test]
    fn flat_pictures_and_weak_lines_have_no_edges() {
        assert_eq!(found(&["5555"; 3], 10, 200), ["...."; 3]);
        // a step of 28 has a gradient of 112: above the low threshold, below the high one
        assert_eq!(found(&["0011"; 3], 10, 200), ["...."; 3]);
        assert_eq!(found(&["0011"; 3], 10, 100), [".#.."; 3]);
    }

    #[test]
    fn a_weak_line_counts_where_it_continues_a_strong_one() {
        let picture = ["0099", "0099", "0011", "0011", "0011"];
        let edges = found(&picture, 10, 200);
        assert!(edges[4].contains('#'), "{edges:?}");
    }

    #[test]
    fn pictures_of_one_pixel_are_no_trouble() {
        assert_eq!(canny(&[7], 1, 1, 10, 200), [false]);
        assert_eq!(canny(&[], 0, 0, 10, 200), Vec::<bool>::new());
    }
}
