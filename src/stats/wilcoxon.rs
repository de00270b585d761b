//! Wilcoxon's signed-rank test of paired differences (Wilcoxon 1945): a second opinion beside the
//! sign-flip test that no single large difference can carry.
//!
//! Zeros are dropped before ranking (Wilcoxon's own rule), equal sizes share the mean of their ranks.
//! Up to [`EXACT_UP_TO`] differences that are left the p is exact *given those ranks*, ties included,
//! from the distribution of the rank sum over all signs; above it is the normal approximation with the
//! tie correction and without a continuity correction, as SciPy's `method="asymptotic"`.

use statrs::distribution::{ContinuousCDF, Normal};

use super::mean;

/// Most differences (zeros dropped) whose distribution is enumerated.
pub const EXACT_UP_TO: usize = 50;

/// A two-sided signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wilcoxon {
    /// Sum of the ranks of the positive differences.
    pub plus: f64,
    /// Sum of the ranks of the negative ones.
    pub minus: f64,
    /// Differences that are not zero.
    pub n: usize,
    /// Differences of zero, which were dropped.
    pub zeros: usize,
    /// Whether sizes were tied.
    pub tied: bool,
    /// Two-sided p; 1 where every difference is zero.
    pub p: f64,
    /// Whether `p` is exact.
    pub exact: bool,
}

/// Tests paired differences; `None` for none or one that is not finite.
#[must_use]
pub fn wilcoxon(differences: &[f64]) -> Option<Wilcoxon> {
    mean(differences)?;
    let mut kept: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    kept.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let (doubled, ties) = doubled_ranks(&kept);
    let sum = |positive: bool| {
        let chosen = kept.iter().zip(&doubled).filter(|(d, _)| (**d > 0.0) == positive);
        chosen.map(|(_, rank)| *rank).sum::<usize>()
    };
    let (plus, minus, n) = (sum(true), sum(false), kept.len());
    let exact = n <= EXACT_UP_TO;
    let p = if n == 0 {
        1.0
    } else if exact {
        exact_p(&doubled, plus.min(minus))
    } else {
        normal_p(n, &ties, plus.min(minus) as f64 / 2.0)
    };
    Some(Wilcoxon {
        plus: plus as f64 / 2.0,
        minus: minus as f64 / 2.0,
        n,
        zeros: differences.len() - n,
        tied: !ties.is_empty(),
        p,
        exact,
    })
}

/// Twice the rank of each (whole numbers, also for tied ones), and the sizes of the groups of ties.
fn doubled_ranks(sorted: &[f64]) -> (Vec<usize>, Vec<usize>) {
    let (mut ranks, mut ties) = (Vec::with_capacity(sorted.len()), Vec::new());
    for group in sorted.chunk_by(|a, b| same_size(*a, *b)) {
        let first = ranks.len() + 1;
        let doubled = 2 * first + group.len() - 1; // first + last
        ranks.extend(std::iter::repeat_n(doubled, group.len()));
        if group.len() > 1 {
            ties.push(group.len());
        }
    }
    (ranks, ties)
}

/// Differences that are equal on paper may differ in their last bits: 0.3 - 0.2 and 0.2 - 0.1.
fn same_size(a: f64, b: f64) -> bool {
    (a.abs() - b.abs()).abs() <= 1e-12 * a.abs().max(b.abs())
}

/// 2 P(W <= smaller), at most 1, where W is the sum of ranks under random signs.
fn exact_p(doubled: &[usize], smaller: usize) -> f64 {
    let total: usize = doubled.iter().sum();
    let mut share = vec![0.0; total + 1];
    share[0] = 1.0;
    let mut top = 0;
    for rank in doubled {
        top += rank;
        for sum in (0..=top).rev() {
            let with = if sum >= *rank { share[sum - rank] } else { 0.0 };
            share[sum] = f64::midpoint(share[sum], with);
        }
    }
    (2.0 * share[..=smaller].iter().sum::<f64>()).min(1.0)
}

fn normal_p(n: usize, ties: &[usize], smaller: f64) -> f64 {
    let n = n as f64;
    let correction: f64 = ties.iter().map(|t| (*t as f64).powi(3) - *t as f64).sum();
    let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - correction / 2.0) / 24.0;
    let z = (smaller - n * (n + 1.0) / 4.0) / variance.sqrt();
    (2.0 * Normal::standard().cdf(z)).min(1.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_p_of_n_pairs_is_that_of_the_signs() {
        for n in 1..=20_i32 {
            let pairs: Vec<f64> = (1..=n).map(f64::from).collect();
            assert!((wilcoxon(&pairs).unwrap().p - 2.0_f64.powi(1 - n).min(1.0)).abs() < 1e-15);
        }
    }

    #[test]
    fn zeros_are_dropped_and_counted() {
        let with = wilcoxon(&[0.0, 0.3, -0.1, 0.2, 0.0]).unwrap();
        let without = wilcoxon(&[0.3, -0.1, 0.2]).unwrap();
        assert_eq!((with.zeros, with.n, with.p), (2, 3, without.p));
        assert_eq!(wilcoxon(&[0.0, 0.0]).unwrap().p, 1.0);
        assert_eq!((wilcoxon(&[]), wilcoxon(&[f64::NAN])), (None, None));
    }

    #[test]
    fn ties_are_those_on_paper() {
        let test = wilcoxon(&[0.3 - 0.2, 0.2 - 0.1, -0.5]).unwrap();
        assert!(test.tied);
        assert_eq!((test.plus, test.minus), (3.0, 3.0));
    }
}
