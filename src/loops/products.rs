//! Dot products summed in 64 bits in a fixed order, so that everybody's are equal to the last bit.

/// A number that rows are made of.
pub trait Number: Copy {
    /// The dot product of two rows. Four sums run side by side, because each addition of one sum would wait for the last.
    fn dot(left: &[Self], right: &[Self]) -> f64;

    /// The products of one row with four others, each as [`Number::dot`] has it; together they take less time than two.
    ///
    /// # Shapes
    /// The rows are equally long.
    fn dots(one: &[Self], others: [&[Self]; 4]) -> [f64; 4];
}

impl Number for f32 {
    fn dot(left: &[Self], right: &[Self]) -> f64 {
        let [product] = dots(left, [right]);
        product
    }

    fn dots(one: &[Self], others: [&[Self]; 4]) -> [f64; 4] {
        dots(one, others)
    }
}

impl Number for f64 {
    fn dot(left: &[Self], right: &[Self]) -> f64 {
        let [product] = dots(left, [right]);
        product
    }

    fn dots(one: &[Self], others: [&[Self]; 4]) -> [f64; 4] {
        dots(one, others)
    }
}

fn dots<T: Copy + Into<f64>, const ROWS: usize>(one: &[T], others: [&[T]; ROWS]) -> [f64; ROWS] {
    let (fours, rest) = one.as_chunks::<4>();
    let others = others.map(|row| row.as_chunks::<4>());
    let mut sums = [[0.0_f64; 4]; ROWS];
    // cut to one length, which the loop then need not check
    let shared = others.iter().map(|(fours, _)| fours.len()).fold(fours.len(), usize::min);
    let columns: [&[[T; 4]]; ROWS] = std::array::from_fn(|row| &others[row].0[..shared]);
    for at in 0..shared {
        let one: [f64; 4] = fours[at].map(Into::into);
        for row in 0..ROWS {
            let other: [f64; 4] = columns[row][at].map(Into::into);
            for lane in 0..4 {
                sums[row][lane] += one[lane] * other[lane];
            }
        }
    }
    std::array::from_fn(|row| {
        let pairs = rest.iter().zip(others[row].1);
        let rest: f64 = pairs.map(|(one, other)| (*one).into() * (*other).into()).sum();
        let [a, b, c, d] = sums[row];
        (a + b) + (c + d) + rest
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "equal to the last bit")]
mod tests {
    use super::*;

    #[test]
    fn four_products_at_once_are_those_one_by_one() {
        let row = |seed: u32| -> Vec<f32> {
            (0..1023_u32).map(|at| ((at * 2_654_435 + seed) % 977) as f32 / 977.0 - 0.4).collect()
        };
        let rows = [row(1), row(22), row(333), row(4444), row(55_555)];
        let others = [1, 2, 3, 4].map(|at| rows[at].as_slice());
        let one_by_one = others.map(|other| f32::dot(&rows[0], other));
        assert_eq!(f32::dots(&rows[0], others), one_by_one);
        let plain: f64 =
            rows[0].iter().zip(others[0]).map(|(l, r)| f64::from(*l) * f64::from(*r)).sum();
        assert!((one_by_one[0] - plain).abs() < 1e-12);
        assert_eq!(f64::dot(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 130.0);
        assert_eq!(f64::dot(&[], &[]), 0.0);
    }
}
