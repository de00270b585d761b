//! Decisions: is the arm worse than the baseline, better, no different by an amount that matters, or
//! undecided, and how many seeds a decision takes. Words for them are made by the report.

use super::interval::t_quantile;
use super::paired::Paired;

/// Level of every two-sided decision.
pub const ALPHA: f64 = 0.05;
/// Seeds beyond which the search for a sufficient number stops.
pub const SEEDS_MAX: u32 = 9_999;

/// The arm, relative to the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The arm is worse: what the baseline has there helps.
    Worse,
    /// The arm is better: what the baseline has there hurts.
    Better,
    /// The difference is smaller than what matters.
    NoDifference,
    /// The seeds cannot decide.
    Inconclusive {
        /// Seeds to add; `None` where no number can be given (one pair, no band, too many).
        more_seeds: Option<u32>,
    },
}

/// A decision and how many of the arm's runs diverged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What the pairs say; diverged runs are in them as the worst possible value.
    pub decision: Decision,
    /// Pairs whose run of the arm diverged.
    pub diverged: usize,
    /// Pairs.
    pub of: usize,
}

/// What an arm of the corrected family brings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// Comparisons in the family.
    pub size: usize,
    /// The arm's p after Holm's correction; `None` before it has pairs.
    pub p: Option<f64>,
}

/// Decides one comparison.
///
/// `pairs` are differences oriented so that positive is better; `band` is the study's `equal_within`;
/// `family` is given for an arm of the corrected family.
///
/// 1. The 90 % interval inside the band: no difference that matters (two one-sided tests at 5 %).
/// 2. In the family: worse or better where the corrected exact p is at most 5 %.
/// 3. Outside it (exploratory): worse or better where the 95 % t interval leaves zero out.
/// 4. Else inconclusive.
#[must_use]
pub fn verdict(pairs: &Paired, band: f64, family: Option<Family>, diverged: usize) -> Verdict {
    let decision = if band > 0.0 && pairs.t90.is_some_and(|i| i.within(band)) {
        Decision::NoDifference
    } else if is_different(pairs, family) {
        if pairs.mean < 0.0 { Decision::Worse } else { Decision::Better }
    } else {
        let needed = seeds_needed(pairs, band, family.map(|f| f.size));
        let more_seeds = needed.map(|needed| needed.saturating_sub(pairs.n as u32).max(1));
        Decision::Inconclusive { more_seeds }
    };
    Verdict { decision, diverged, of: pairs.n }
}

fn is_different(pairs: &Paired, family: Option<Family>) -> bool {
    match family {
        Some(family) => family.p.is_some_and(|p| p <= ALPHA),
        None => pairs.t95.is_some_and(|i| i.excludes_zero()),
    }
}

/// Seeds that settle a comparison: enough for the band, and enough for the family's correction.
/// `None` where the spread is unknown (one pair), the band is zero, or [`SEEDS_MAX`] would not do.
#[must_use]
pub fn seeds_needed(pairs: &Paired, band: f64, family: Option<usize>) -> Option<u32> {
    let for_band = seeds_for_band(pairs.sd?, band)?;
    Some(for_band.max(family.map_or(2, |size| seeds_for_family(size, ALPHA))))
}

/// Fewest seeds with which arms that do not differ are found equal within `band` in 80 of 100 studies,
/// given the standard deviation of paired differences: (t(.95) + t(.90)) sd / sqrt n <= band.
/// That many also find a true difference of the size of the band about as often.
#[must_use]
pub fn seeds_for_band(sd: f64, band: f64) -> Option<u32> {
    if !(sd.is_finite() && band.is_finite() && band > 0.0) {
        return None;
    }
    let enough = |n: u32| {
        let df = f64::from(n - 1);
        (t_quantile(0.95, df) + t_quantile(0.90, df)) * sd / f64::from(n).sqrt() <= band
    };
    if !enough(SEEDS_MAX) {
        return None;
    }
    let (mut low, mut high) = (1, SEEDS_MAX); // the width falls with n: bisection
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// Smallest two-sided sign-flip p that `n` pairs can give: 2 / 2^n.
#[must_use]
pub fn smallest_p(n: u32) -> f64 {
    2.0_f64.powi(1 - i32::try_from(n).unwrap_or(i32::MAX)).min(1.0)
}

/// Fewest seeds with which Holm over `comparisons` can reach `alpha` at all: 6, 7, 8, 9, 10 for
/// 1, 3, 6, 12, 25 comparisons at 0.05.
#[must_use]
pub fn seeds_for_family(comparisons: usize, alpha: f64) -> u32 {
    let size = comparisons.max(1) as f64;
    (1..1_000).find(|n| size * smallest_p(*n) <= alpha).unwrap_or(SEEDS_MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::stats::paired;

    fn decide(differences: &[f64], family: Option<Family>) -> Decision {
        verdict(&paired(differences).unwrap(), 0.005, family, 0).decision
    }

    #[test]
    fn each_decision() {
        assert_eq!(decide(&[-0.031, -0.028, -0.034], None), Decision::Worse);
        assert_eq!(decide(&[0.031, 0.028, 0.034], None), Decision::Better);
        assert_eq!(decide(&[0.001, -0.001, 0.0005], None), Decision::NoDifference);
        let wide = decide(&[-0.03, 0.02, 0.01], None);
        assert!(matches!(wide, Decision::Inconclusive { more_seeds: Some(n) } if n > 100));
    }

    #[test]
    fn a_real_but_irrelevant_difference_does_not_matter() {
        assert_eq!(decide(&[-0.0021, -0.002, -0.0019], None), Decision::NoDifference);
    }

    #[test]
    fn a_corrected_arm_needs_the_exact_test() {
        let pairs = [-0.031, -0.028, -0.034];
        let few = decide(&pairs, Some(Family { size: 1, p: Some(0.25) }));
        assert_eq!(few, Decision::Inconclusive { more_seeds: Some(3) });
        assert_eq!(decide(&pairs, Some(Family { size: 1, p: Some(0.03) })), Decision::Worse);
    }

    #[test]
    fn one_pair_decides_nothing() {
        assert_eq!(decide(&[-0.3], None), Decision::Inconclusive { more_seeds: None });
    }

    #[test]
    fn families_need_the_seeds_the_design_names() {
        let needed: Vec<u32> = [1, 3, 6, 12, 25].map(|m| seeds_for_family(m, ALPHA)).to_vec();
        assert_eq!(needed, [6, 7, 8, 9, 10]);
        assert!((smallest_p(6) - 0.03125).abs() < 1e-15);
    }

    #[test]
    fn seeds_follow_the_band_and_not_the_effect() {
        let near = paired(&[0.01, 0.02, 0.03]).unwrap();
        let far = paired(&[0.11, 0.12, 0.13]).unwrap();
        assert_eq!(seeds_needed(&near, 0.005, None), seeds_needed(&far, 0.005, None));
        assert!(seeds_for_band(0.01, 0.01).unwrap() < seeds_for_band(0.01, 0.005).unwrap());
        assert_eq!(seeds_for_band(0.0, 0.005), Some(2));
        assert_eq!(seeds_for_band(0.01, 0.0), None);
        assert_eq!(seeds_for_band(1e9, 0.005), None);
        // by hand with SciPy's quantiles
        let known = [(0.01, 0.01), (0.01, 0.005), (0.02, 0.005), (0.003, 0.005)];
        assert_eq!(known.map(|(sd, band)| seeds_for_band(sd, band).unwrap()), [11, 36, 139, 5]);
    }
}
