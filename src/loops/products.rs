//! Dot products summed in 64 bits in a fixed order, so that everybody's are equal to the last bit.

/// A number that rows are made of.
pub trait Number: Copy {
    /// The dot product of two rows.
    fn dot(left: &[Self], right: &[Self]) -> f64;
}

impl Number for f32 {
    fn dot(left: &[Self], right: &[Self]) -> f64 {
        dot(left, right)
    }
}

impl Number for f64 {
    fn dot(left: &[Self], right: &[Self]) -> f64 {
        dot(left, right)
    }
}

fn dot<T: Copy + Into<f64>>(left: &[T], right: &[T]) -> f64 {
    // Four sums at once, because each addition of one sum would wait for the last.
    let mut sums = [0.0_f64; 4];
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<4>(), right.as_chunks::<4>());
    for (left, right) in left.iter().zip(right) {
        for lane in 0..4 {
            sums[lane] += left[lane].into() * right[lane].into();
        }
    }
    let rest = left_rest.iter().zip(right_rest).map(|(l, r)| (*l).into() * (*r).into());
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest.sum::<f64>()
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "equal to the last bit")]
mod tests {
    use super::*;

    #[test]
    fn products_are_summed_in_64_bits() {
        let row = |seed: u32| -> Vec<f32> {
            (0..1023_u32).map(|at| ((at * 2_654_435 + seed) % 977) as f32 / 977.0 - 0.4).collect()
        };
        let (left, right) = (row(1), row(22));
        let plain: f64 = left.iter().zip(&right).map(|(l, r)| f64::from(*l) * f64::from(*r)).sum();
        assert!((f32::dot(&left, &right) - plain).abs() < 1e-12);
        let wide =
            |row: &[f32]| -> Vec<f64> { row.iter().map(|value| f64::from(*value)).collect() };
        assert_eq!(f32::dot(&left, &right), f64::dot(&wide(&left), &wide(&right)));
        assert_eq!(f64::dot(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 130.0);
        assert_eq!(f64::dot(&[], &[]), 0.0);
    }
}
