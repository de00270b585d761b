//! How near one picture is to another: PSNR, SSIM, L1. Pixels in, one number out; no file and no network.

use std::sync::LazyLock;

use dgnet::data::pixels::{Rgb8, STD};

// Pictures that cannot be compared have no distance; the caller's mean then shows it.
fn comparable(left: &Rgb8, right: &Rgb8) -> bool {
    (left.height, left.width) == (right.height, right.width)
        && left.data.len() == right.data.len()
        && left.data.len() == left.height * left.width * 3
        && !left.data.is_empty()
}

/// Peak signal-to-noise ratio in dB over 8-bit values of all channels; infinite for equal pictures.
///
/// Not a number where the sizes differ or are 0.
#[must_use]
pub fn psnr(left: &Rgb8, right: &Rgb8) -> f64 {
    if !comparable(left, right) {
        return f64::NAN;
    }
    let squares = left.data.iter().zip(&right.data).map(|(l, r)| f64::from(l.abs_diff(*r)).powi(2));
    let mean = squares.sum::<f64>() / left.data.len() as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

/// Mean absolute difference in the networks' normalised units.
///
/// Not a number where the sizes differ or are 0.
#[must_use]
pub fn l1(left: &Rgb8, right: &Rgb8) -> f64 {
    if !comparable(left, right) {
        return f64::NAN;
    }
    let units = STD.map(|std| 1.0 / (255.0 * f64::from(std)));
    let differences = left.data.iter().zip(&right.data).zip(units.iter().cycle());
    let sum: f64 = differences.map(|((l, r), unit)| f64::from(l.abs_diff(*r)) * unit).sum();
    sum / left.data.len() as f64
}

const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;

/// The constants C1 = (0.01 range)^2 and C2 = (0.03 range)^2 that keep quotients apart from 0 / 0.
fn constants(range: f64) -> (f64, f64) {
    ((0.01 * range).powi(2), (0.03 * range).powi(2))
}

/// Structural similarity (Wang et al. 2004): 11x11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, range
/// 255, mean over the windows that lie inside and over the three channels. On sides below 11 pixels the
/// window shrinks to the largest odd size that fits.
///
/// Not a number where the sizes differ or are 0.
#[must_use]
pub fn ssim(left: &Rgb8, right: &Rgb8) -> f64 {
    let planes = |picture: &Rgb8| -> [Vec<f64>; 3] {
        std::array::from_fn(|channel| {
            picture.data.iter().skip(channel).step_by(3).map(|&value| f64::from(value)).collect()
        })
    };
    ssim_with(left, right, planes, 255.0)
}

/// Structural dissimilarity (1 - SSIM) / 2 in CIE Lab, by which the diversity of generated images is
/// published (dgnet.md, section 7): [`ssim`] with its window over the planes L, a and b, range 100.
///
/// Not a number where the sizes differ or are 0.
#[must_use]
pub fn dissimilarity_lab(left: &Rgb8, right: &Rgb8) -> f64 {
    (1.0 - ssim_with(left, right, lab, 100.0)) / 2.0
}

/// Mean SSIM over the three planes that `planes` makes of a picture, for values of this range.
fn ssim_with(
    left: &Rgb8,
    right: &Rgb8,
    planes: impl Fn(&Rgb8) -> [Vec<f64>; 3],
    range: f64,
) -> f64 {
    if !comparable(left, right) {
        return f64::NAN;
    }
    let kernels = (kernel(left.height), kernel(left.width));
    let (left_planes, right_planes) = (planes(left), planes(right));
    let pairs = left_planes.iter().zip(&right_planes);
    let sum: f64 =
        pairs.map(|(x, y)| ssim_of_planes(x, y, left.width, &kernels, constants(range))).sum();
    sum / 3.0
}

/// The planes L (0 to 100), a and b of CIE Lab for sRGB under D65.
fn lab(picture: &Rgb8) -> [Vec<f64>; 3] {
    static LINEAR: LazyLock<[f64; 256]> = LazyLock::new(|| {
        std::array::from_fn(|level| {
            let value = level as f64 / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    });
    // rows: X, Y, Z of the sRGB primaries, each divided by the white point's
    const TO_XYZ: [[f64; 3]; 3] = [
        [0.412_456_4 / 0.950_47, 0.357_576_1 / 0.950_47, 0.180_437_5 / 0.950_47],
        [0.212_672_9, 0.715_152_2, 0.072_175_0],
        [0.019_333_9 / 1.088_83, 0.119_192_0 / 1.088_83, 0.950_304_1 / 1.088_83],
    ];
    let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let mut planes = [(); 3].map(|()| Vec::with_capacity(picture.height * picture.width));
    for pixel in picture.data.chunks_exact(3) {
        let linear = [0, 1, 2].map(|channel| LINEAR[usize::from(pixel[channel])]);
        let [x, y, z] = TO_XYZ
            .map(|row| f(row.iter().zip(&linear).map(|(weight, value)| weight * value).sum()));
        for (plane, value) in
            planes.iter_mut().zip([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)])
        {
            plane.push(value);
        }
    }
    planes
}

fn kernel(side: usize) -> Vec<f64> {
    let size = WINDOW.min(side - (side + 1) % 2);
    let centre = (size / 2) as f64;
    let weights: Vec<f64> =
        (0..size).map(|at| (-(at as f64 - centre).powi(2) / (2.0 * SIGMA * SIGMA)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn ssim_of_planes(
    x: &[f64],
    y: &[f64],
    width: usize,
    kernels: &(Vec<f64>, Vec<f64>),
    (c1, c2): (f64, f64),
) -> f64 {
    let smooth = |of: &dyn Fn(f64, f64) -> f64| {
        let values: Vec<f64> = x.iter().zip(y).map(|(&x, &y)| of(x, y)).collect();
        blur(&values, width, kernels)
    };
    let (mean_x, mean_y) = (smooth(&|x, _| x), smooth(&|_, y| y));
    let (xx, yy, xy) = (smooth(&|x, _| x * x), smooth(&|_, y| y * y), smooth(&|x, y| x * y));
    let sum: f64 = (0..mean_x.len())
        .map(|at| {
            let (mx, my) = (mean_x[at], mean_y[at]);
            let (vx, vy, cxy) = (xx[at] - mx * mx, yy[at] - my * my, xy[at] - mx * my);
            ((2.0 * mx * my + c1) * (2.0 * cxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
        })
        .sum();
    sum / mean_x.len() as f64
}

/// Separable smoothing over the windows that lie inside.
fn blur(plane: &[f64], width: usize, (down, across): &(Vec<f64>, Vec<f64>)) -> Vec<f64> {
    let rows = plane.chunks_exact(width).flat_map(|row| {
        row.windows(across.len())
            .map(|window| window.iter().zip(across).map(|(value, weight)| value * weight).sum())
    });
    let rows: Vec<f64> = rows.collect();
    let width = width + 1 - across.len();
    let height = rows.len() / width;
    (0..=height - down.len())
        .flat_map(|top| (0..width).map(move |column| (top, column)))
        .map(|(top, column)| {
            let values = rows[top * width + column..].iter().step_by(width);
            values.zip(down).map(|(value, weight)| value * weight).sum()
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;

    fn textured(height: usize, width: usize, shift: usize) -> Rgb8 {
        let data = (0..height * width * 3).map(|at| ((at + shift) * 37 % 200) as u8 + 20).collect();
        Rgb8 { height, width, data }
    }

    #[test]
    fn psnr_of_one_level_everywhere_is_the_textbook_number() {
        let left = Rgb8::filled(9, 4, [100; 3]);
        let right = Rgb8::filled(9, 4, [101; 3]);
        assert!((psnr(&left, &right) - 48.130_803_608_679_1).abs() < 1e-10);
        assert_eq!(psnr(&left, &left), f64::INFINITY);
        let black = Rgb8::filled(9, 4, [0; 3]);
        assert!(psnr(&black, &Rgb8::filled(9, 4, [255; 3])).abs() < 1e-12);
    }

    #[test]
    fn ssim_of_flat_pictures_is_its_luminance_term() {
        let (left, right) = (Rgb8::filled(20, 16, [100; 3]), Rgb8::filled(20, 16, [120; 3]));
        let (c1, _) = constants(255.0);
        let expected = (2.0 * 100.0 * 120.0 + c1) / (100.0 * 100.0 + 120.0 * 120.0 + c1);
        assert!((ssim(&left, &right) - expected).abs() < 1e-9);
    }

    #[test]
    fn ssim_is_symmetric_one_for_equals_and_falls_with_damage() {
        let picture = textured(32, 16, 0);
        assert!((ssim(&picture, &picture) - 1.0).abs() < 1e-12);
        let other = textured(32, 16, 5);
        let (there, back) = (ssim(&picture, &other), ssim(&other, &picture));
        assert!((there - back).abs() < 1e-12 && there < 0.9);
        let mut scratched = picture.clone();
        scratched.data[700..760].fill(0);
        let close = ssim(&picture, &scratched);
        assert!(there < close && close < 1.0);
    }

    #[test]
    fn ssim_follows_the_definition_window_by_window() {
        let (left, right) = (textured(11, 11, 0), textured(11, 11, 3));
        let weight = |at: usize| (-(at as f64 - 5.0).powi(2) / 4.5).exp();
        let total: f64 = (0..121).map(|at| weight(at / 11) * weight(at % 11)).sum();
        let mut expected = 0.0;
        for channel in 0..3 {
            let mean = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
                (0..121)
                    .map(|at| {
                        let l = f64::from(left.data[at * 3 + channel]);
                        let r = f64::from(right.data[at * 3 + channel]);
                        weight(at / 11) * weight(at % 11) / total * of(l, r)
                    })
                    .sum()
            };
            let (mx, my) = (mean(&|x, _| x), mean(&|_, y| y));
            let vx = mean(&|x, _| (x - mx).powi(2));
            let vy = mean(&|_, y| (y - my).powi(2));
            let cxy = mean(&|x, y| (x - mx) * (y - my));
            let (c1, c2) = constants(255.0);
            expected += (2.0 * mx * my + c1) * (2.0 * cxy + c2)
                / ((mx * mx + my * my + c1) * (vx + vy + c2))
                / 3.0;
        }
        assert!((ssim(&left, &right) - expected).abs() < 1e-9);
    }

    #[test]
    fn tiny_pictures_and_different_sizes_do_not_panic() {
        for (height, width) in [(1, 1), (2, 3), (10, 4), (11, 1)] {
            let picture = textured(height, width, 0);
            assert!((ssim(&picture, &picture) - 1.0).abs() < 1e-12);
        }
        let (one, two) = (textured(4, 4, 0), textured(4, 5, 0));
        assert!(psnr(&one, &two).is_nan() && ssim(&one, &two).is_nan() && l1(&one, &two).is_nan());
        let empty = Rgb8::filled(0, 0, [0; 3]);
        assert!(ssim(&empty, &empty).is_nan());
    }

    #[test]
    fn lab_has_the_textbook_values() {
        // sRGB red, green, blue, white and black (D65) as colour tables give them
        let expected: [([u8; 3], [f64; 3]); 5] = [
            ([255, 0, 0], [53.24, 80.09, 67.20]),
            ([0, 255, 0], [87.73, -86.18, 83.18]),
            ([0, 0, 255], [32.30, 79.19, -107.86]),
            ([255; 3], [100.0, 0.0, 0.0]),
            ([0; 3], [0.0, 0.0, 0.0]),
        ];
        for (rgb, expected) in expected {
            let planes = lab(&Rgb8::filled(1, 1, rgb));
            for (plane, expected) in planes.iter().zip(expected) {
                assert!((plane[0] - expected).abs() < 0.02, "{rgb:?}: {planes:?}");
            }
        }
    }

    #[test]
    fn dissimilarity_is_zero_for_equals_and_sees_a_change_of_hue_alone() {
        let picture = textured(32, 16, 0);
        assert!(dissimilarity_lab(&picture, &picture).abs() < 1e-12);
        let damaged = textured(32, 16, 9);
        let value = dissimilarity_lab(&picture, &damaged);
        assert!(value > 0.1 && value <= 1.0, "{value}");
        assert_eq!(value, dissimilarity_lab(&damaged, &picture));
        // flat planes: L, a and b of the two colours alone decide, (1 - mean of three quotients) / 2
        let (red, blue) = (Rgb8::filled(20, 16, [200, 0, 0]), Rgb8::filled(20, 16, [0, 0, 200]));
        let (x, y) = (lab(&red), lab(&blue));
        let term = |p: f64, q: f64| (2.0 * p * q + 1.0) / (p * p + q * q + 1.0);
        let mean = (0..3).map(|k| term(x[k][0], y[k][0])).sum::<f64>() / 3.0;
        assert!((dissimilarity_lab(&red, &blue) - (1.0 - mean) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn l1_is_in_normalised_units() {
        let (left, right) = (Rgb8::filled(2, 2, [0, 0, 0]), Rgb8::filled(2, 2, [51, 0, 0]));
        let expected = 0.2 / 0.229 / 3.0;
        assert!((l1(&left, &right) - expected).abs() < 1e-6);
    }
}
