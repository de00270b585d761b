//! The sign-flip test of a mean difference of zero: under the null hypothesis each paired difference
//! may carry either sign. Exact by enumeration up to 20 pairs, by Monte Carlo above; and the interval
//! of all mean differences that the exact test does not reject.

use super::interval::{Interval, Method};
use super::mean;
use super::resample::Splitmix;

/// Most pairs that are enumerated (2^20 sign patterns).
pub const EXACT_UP_TO: usize = 20;
/// Fewest pairs with a two-sided 95 % interval (2 / 2^6 is below 0.05, 2 / 2^5 is not).
pub const INTERVAL_FROM: usize = 6;
/// Sign patterns drawn above [`EXACT_UP_TO`] pairs.
pub const DRAWS: usize = 100_000;
const SEED: u64 = 0x666c_6970;

/// A two-sided p value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignFlip {
    /// Share of sign patterns at least as extreme as the one observed.
    pub p: f64,
    /// Standard error of `p`: 0 where all patterns were enumerated.
    pub error: f64,
}

/// Two-sided sign-flip p of a zero mean difference. `None` for no pairs or values not finite.
#[must_use]
pub fn sign_flip(differences: &[f64]) -> Option<SignFlip> {
    mean(differences)?;
    let n = differences.len();
    let size: f64 = differences.iter().map(|d| d.abs()).sum();
    // sums that are equal on paper may differ in their last bits
    let bar = differences.iter().sum::<f64>().abs() - size * 1e-12;
    if n <= EXACT_UP_TO {
        let sums = subset_sums(differences);
        let total = differences.iter().sum::<f64>();
        let extreme = sums.iter().filter(|flipped| (total - 2.0 * **flipped).abs() >= bar).count();
        return Some(SignFlip { p: extreme as f64 / sums.len() as f64, error: 0.0 });
    }
    let mut words = Splitmix::new(SEED);
    let extreme = (0..DRAWS).filter(|_| random_sum(differences, &mut words).abs() >= bar).count();
    let p = (extreme + 1) as f64 / (DRAWS + 1) as f64;
    Some(SignFlip { p, error: (p * (1.0 - p) / DRAWS as f64).sqrt() })
}

/// All mean differences that the exact two-sided test at `1 - level` does not reject. `None` below
/// [`INTERVAL_FROM`] or above [`EXACT_UP_TO`] pairs, where the level cannot be reached with n pairs,
/// or where a value is not finite.
///
/// A shift mu makes a flipped subset at least as extreme exactly when the subset's mean is at most mu,
/// so the ends are order statistics of the subset means (Hartigan 1969).
#[must_use]
pub fn sign_flip_interval(differences: &[f64], level: f64) -> Option<Interval> {
    mean(differences)?;
    let n = differences.len();
    if !(INTERVAL_FROM..=EXACT_UP_TO).contains(&n) {
        return None;
    }
    let rank = ((1.0 - level) * (1_u64 << (n - 1)) as f64 + 1e-9).floor() as usize;
    if rank == 0 {
        return None;
    }
    let sums = subset_sums(differences);
    let mut means: Vec<f64> = sums
        .iter()
        .enumerate()
        .skip(1)
        .map(|(subset, sum)| sum / f64::from(subset.count_ones()))
        .collect();
    means.sort_by(f64::total_cmp);
    let (low, high) = (*means.get(rank - 1)?, *means.get(means.len().checked_sub(rank)?)?);
    Some(Interval { low, high, level, method: Method::SignFlip })
}

/// Sums of all subsets; bit k of the place says whether value k belongs.
fn subset_sums(values: &[f64]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(1 << values.len());
    sums.push(0.0);
    for value in values {
        for place in 0..sums.len() {
            sums.push(sums[place] + value);
        }
    }
    sums
}

fn random_sum(values: &[f64], words: &mut Splitmix) -> f64 {
    let signs = values.chunks(64).map(|chunk| {
        let word = words.next_u64();
        chunk.iter().enumerate().map(|(k, v)| if word >> k & 1 == 1 { -v } else { *v }).sum::<f64>()
    });
    signs.sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SIX: [f64; 6] = [0.012, 0.034, -0.005, 0.021, 0.017, 0.009];
    const EIGHT: [f64; 8] = [-0.031, -0.012, -0.028, 0.004, -0.019, -0.022, -0.037, -0.011];

    fn p(differences: &[f64]) -> f64 {
        sign_flip(differences).unwrap().p
    }

    // SciPy 1.17: stats.permutation_test(permutation_type="samples", n_resamples=inf)
    #[test]
    fn exact_p_agrees_with_scipy() {
        assert!((p(&[0.031, 0.028, 0.034]) - 0.25).abs() < 1e-12);
        assert!((p(&SIX) - 0.0625).abs() < 1e-12);
        assert!((p(&EIGHT) - 0.015_625).abs() < 1e-12);
        assert!((p(&[0.3]) - 1.0).abs() < 1e-12);
        assert!((p(&[0.1, -0.1]) - 1.0).abs() < 1e-12);
        assert!((p(&[0.0; 5]) - 1.0).abs() < 1e-12);
        assert_eq!(sign_flip(&[]), None);
        assert_eq!(sign_flip(&[0.1, f64::NAN]), None);
    }

    #[test]
    fn twenty_pairs_are_exact_and_more_are_near() {
        assert!((p(&[1.0; 20]) - 2.0 / 1_048_576.0).abs() < 1e-15);
        let many: Vec<f64> = (0..25).map(|i| 0.01 * (f64::from(i) * 1.7).sin() + 0.004).collect();
        let test = sign_flip(&many).unwrap();
        assert!(test.error > 0.0);
        assert!((test.p - 0.005).abs() < 0.003, "the t test says 0.00504, not {}", test.p);
        assert_eq!(test, sign_flip(&many).unwrap());
    }

    // ends found by bisection on the enumerated test in Python
    #[test]
    fn interval_holds_what_the_test_does_not_reject() {
        let six = sign_flip_interval(&SIX, 0.95).unwrap();
        assert!((six.low - -0.005).abs() < 1e-9 && (six.high - 0.034).abs() < 1e-9);
        let eight = sign_flip_interval(&EIGHT, 0.95).unwrap();
        assert!((eight.low - -0.03).abs() < 1e-9, "{eight:?}");
        assert!((eight.high - -0.008_666_666_666_667).abs() < 1e-9, "{eight:?}");
        let beyond = eight.high + 1e-6;
        assert!(p(&EIGHT.map(|d| d - beyond)) <= 0.05);
        assert!(p(&EIGHT.map(|d| d - eight.high + 1e-6)) > 0.05);
    }

    #[test]
    fn no_interval_where_the_level_is_out_of_reach() {
        assert_eq!(sign_flip_interval(&SIX[..5], 0.95), None);
        assert_eq!(sign_flip_interval(&SIX, 0.999), None);
    }
}
