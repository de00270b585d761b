//! Dot products summed in 64 bits in a fixed order, so that everybody's are equal to the last bit; and in 32 bits, with
//! fewer instructions, for those that need not be.

use std::ops::AddAssign;

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
    total(sums)
}

/// Adds one half of the sums to the other until one is left; there are a power of two of them.
#[allow(clippy::inline_always, reason = "it takes its caller's instructions")]
#[inline(always)]
fn total<T: Copy + AddAssign, const COUNT: usize>(mut sums: [T; COUNT]) -> T {
    let mut count = COUNT;
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

/// A query and a gallery photo.
pub type Pair = [u32; 2];

/// Features in 32 bits.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Of all queries.
    pub queries: &'a [f32],
    /// Of all gallery photos.
    pub gallery: &'a [f32],
    /// Length of a row.
    pub dims: usize,
}

impl<'a> Rows<'a> {
    fn of(self, [query, photo]: Pair) -> [&'a [f32]; 2] {
        let row = |rows: &'a [f32], at: u32| &rows[at as usize * self.dims..][..self.dims];
        [row(self.queries, query), row(self.gallery, photo)]
    }
}

/// Sums in 32 bits made at once: four vectors of the widest kind.
const NARROW_LANES: usize = 64;

/// Roundings, each of them of half the distance between 1 and the next number, that a term of [`near`] goes through: the
/// product, the additions to one sum, the last features' included, and those of the sums. The first addition, to zero, rounds
/// nothing: that spare one pays for the roundings in 64 bits of what it is compared with.
#[must_use]
pub fn near_roundings(dims: usize) -> usize {
    1 + dims.div_ceil(NARROW_LANES) + NARROW_LANES.ilog2() as usize
}

#[allow(clippy::inline_always, reason = "it takes its caller's instructions")]
#[inline(always)]
fn near_sum(left: &[f32], right: &[f32], add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; NARROW_LANES];
    let (lefts, left_rest) = left.as_chunks::<NARROW_LANES>();
    let (rights, right_rest) = right.as_chunks::<NARROW_LANES>();
    for (left, right) in lefts.iter().zip(rights) {
        for lane in 0..NARROW_LANES {
            sums[lane] = add(left[lane], right[lane], sums[lane]);
        }
    }
    for (sum, (left, right)) in sums.iter_mut().zip(left_rest.iter().zip(right_rest)) {
        *sum = add(*left, *right, *sum);
    }
    total(sums)
}

/// Asks for a row that is needed soon.
#[inline]
#[allow(unsafe_code, reason = "the standard library has no safe way")]
#[cfg(target_arch = "x86_64")]
fn fetch(row: &[f32]) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    /// Numbers that come from memory together.
    const LINE: usize = 16;
    for line in row.chunks(LINE) {
        // SAFETY: every processor of this kind has it, and nothing is read
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch(_: &[f32]) {}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn near_widely(left: &[f32], right: &[f32]) -> f32 {
    near_sum(left, right, f32::mul_add)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn near_less_widely(left: &[f32], right: &[f32]) -> f32 {
    near_sum(left, right, f32::mul_add)
}

fn near_plainly(left: &[f32], right: &[f32]) -> f32 {
    near_sum(left, right, |left, right, sum| sum + left * right)
}

/// The products of some pairs of rows in 32 bits, in vectors as wide as the processor's: each term goes through
/// [`near_roundings`] at most.
///
/// # Panics
/// Where a pair has no row.
#[must_use]
#[allow(unsafe_code, reason = "only some processors have the instructions")]
pub fn near(rows: &Rows<'_>, pairs: &[Pair]) -> Vec<f32> {
    let all = |product: &dyn Fn(&[f32], &[f32]) -> f32| {
        let next = pairs.iter().skip(1).chain(pairs.last());
        let product = |(pair, next): (&Pair, &Pair)| {
            rows.of(*next).into_iter().for_each(fetch);
            let [left, right] = rows.of(*pair);
            product(left, right)
        };
        pairs.iter().zip(next).map(product).collect()
    };
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: it has them
        return all(&|left, right| unsafe { near_widely(left, right) });
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: it has them
        return all(&|left, right| unsafe { near_less_widely(left, right) });
    }
    all(&near_plainly)
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

    #[test]
    fn near_products_are_off_by_their_roundings_at_most() {
        for dims in [1, 63, 64, 65, 1000, 1024] {
            let row = |seed: u32| -> Vec<f32> {
                let number = |at: u32| ((at * 2_654_435 + seed * 77) % 977) as f32 / 977.0 - 0.4;
                (0..dims as u32).map(number).collect()
            };
            let (queries, gallery) = (row(1), [row(22), row(3)].concat());
            let rows = Rows { queries: &queries, gallery: &gallery, dims };
            let pairs = [[0, 1], [0, 0]];
            for ([_, photo], product) in pairs.iter().zip(near(&rows, &pairs)) {
                let photo = &gallery[*photo as usize * dims..][..dims];
                let terms = queries.iter().zip(photo);
                let sizes: f64 = terms.map(|(q, g)| f64::from((q * g).abs())).sum();
                let bound = near_roundings(dims) as f64 * f64::from(f32::EPSILON) / 2.0 * sizes;
                for product in [product, near_plainly(&queries, photo)] {
                    let gap = (f64::from(product) - f32::dot(&queries, photo)).abs();
                    assert!(gap <= bound, "{dims}: {gap}, {bound}");
                }
            }
            assert!(near(&rows, &[]).is_empty());
        }
    }

    #[test]
    fn the_roundings_of_near_products_are_counted_tightly() {
        // all but the first of each sum are lost, in the same direction
        let dims = 1024;
        let photo: Vec<f32> =
            (0..dims).map(|at| if at < NARROW_LANES { 1.0 } else { f32::EPSILON / 2.0 }).collect();
        let query = vec![1.0; dims];
        let exact = f32::dot(&query, &photo);
        let bound = near_roundings(dims) as f64 * f64::from(f32::EPSILON) / 2.0 * exact;
        let rows = Rows { queries: &query, gallery: &photo, dims };
        for product in [near(&rows, &[[0, 0]])[0], near_plainly(&query, &photo)] {
            let gap = (f64::from(product) - exact).abs();
            assert!(gap <= bound && gap > bound / 2.0, "{gap}, {bound}");
        }
    }
}
