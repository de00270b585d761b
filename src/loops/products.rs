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

/// Sums made at once, because each addition of one sum would wait for the last: four vectors of the widest kind.
const LANES: usize = 32;

#[allow(clippy::inline_always, reason = "it takes its caller's instructions")]
#[inline(always)]
fn sum<T: Copy + Into<f64>>(left: &[T], right: &[T]) -> f64 {
    let mut sums = [0.0_f64; LANES];
    let (lefts, left_rest) = left.as_chunks::<LANES>();
    let (rights, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in lefts.iter().zip(rights) {
        for lane in 0..LANES {
            sums[lane] += left[lane].into() * right[lane].into();
        }
    }
    for (sum, (left, right)) in sums.iter_mut().zip(left_rest.iter().zip(right_rest)) {
        *sum += (*left).into() * (*right).into();
    }
    let mut count = LANES;
    while count > 1 {
        count /= 2;
        for lane in 0..count {
            sums[lane] += sums[lane + count];
        }
    }
    sums[0]
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn sum_widely<T: Copy + Into<f64>>(left: &[T], right: &[T]) -> f64 {
    sum(left, right)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_less_widely<T: Copy + Into<f64>>(left: &[T], right: &[T]) -> f64 {
    sum(left, right)
}

/// The same sums in the same order, in vectors as wide as the processor's.
#[allow(unsafe_code, reason = "only some processors have the instructions")]
fn dot<T: Copy + Into<f64>>(left: &[T], right: &[T]) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: it has them
        return unsafe { sum_widely(left, right) };
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: it has them
        return unsafe { sum_less_widely(left, right) };
    }
    sum(left, right)
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
        assert_eq!(f32::dot(&left, &right), sum(&left, &right), "whatever the processor has");
        assert_eq!(f64::dot(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 130.0);
        assert_eq!(f64::dot(&[], &[]), 0.0);
    }
}
