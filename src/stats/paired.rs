//! What pairs say: the estimates of one comparison, from the differences `arm - baseline` of the
//! seeds that both have. Turning them into a decision is `verdict`'s.

use statrs::function::gamma::ln_gamma;

use super::interval::{Interval, t_interval};
use super::signflip::{SignFlip, sign_flip, sign_flip_interval};
use super::{mean, sd};

/// Estimates of a mean paired difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// Pairs.
    pub n: usize,
    /// Mean difference, in the unit of the values.
    pub mean: f64,
    /// Standard deviation of the differences; `None` for one pair.
    pub sd: Option<f64>,
    /// 95 % t interval; `None` for one pair.
    pub t95: Option<Interval>,
    /// 90 % t interval, the one compared with the band of differences that do not matter.
    pub t90: Option<Interval>,
    /// 95 % inverted sign-flip interval, from 6 pairs on.
    pub flip95: Option<Interval>,
    /// Sign-flip test of no difference.
    pub test: SignFlip,
    /// Hedges' `g_z`: mean / sd, corrected for small n; from 3 pairs whose differences vary.
    pub g_z: Option<f64>,
}

/// Estimates from paired differences; `None` for no pairs or values that are not finite.
#[must_use]
pub fn paired(differences: &[f64]) -> Option<Paired> {
    Some(Paired {
        n: differences.len(),
        mean: mean(differences)?,
        sd: sd(differences),
        t95: t_interval(differences, 0.95),
        t90: t_interval(differences, 0.90),
        flip95: sign_flip_interval(differences, 0.95),
        test: sign_flip(differences)?,
        g_z: hedges(differences),
    })
}

/// Hedges' g of one sample (paired differences): the exact gamma-function correction.
fn hedges(differences: &[f64]) -> Option<f64> {
    let spread = sd(differences).filter(|s| *s > 0.0)?;
    let df = (differences.len() - 1) as f64;
    (df >= 2.0).then_some(())?;
    let correction = (ln_gamma(df / 2.0) - ln_gamma((df - 1.0) / 2.0)).exp() / (df / 2.0).sqrt();
    Some(mean(differences)? / spread * correction)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ends(interval: Option<Interval>) -> (f64, f64) {
        interval.map(|i| (i.low, i.high)).unwrap()
    }

    fn close(a: (f64, f64), b: (f64, f64)) -> bool {
        (a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9
    }

    // reference values: SciPy 1.17
    #[test]
    fn eight_pairs_agree_with_scipy() {
        let pairs =
            paired(&[-0.031, -0.012, -0.028, 0.004, -0.019, -0.022, -0.037, -0.011]).unwrap();
        assert!((pairs.mean - -0.0195).abs() < 1e-12);
        assert!((pairs.sd.unwrap() - 0.013_082_157_969_649_24).abs() < 1e-12);
        assert!(close(ends(pairs.t95), (-0.030_436_957_762_691_626, -0.008_563_042_237_308_372)));
        assert!(close(ends(pairs.t90), (-0.028_262_883_222_571_724, -0.010_737_116_777_428_27)));
        assert!((pairs.g_z.unwrap() - -1.323_937_284_643_799_1).abs() < 1e-9);
        assert!(pairs.flip95.is_some());
    }

    #[test]
    fn three_pairs_have_no_sign_flip_interval() {
        let pairs = paired(&[0.031, 0.028, 0.034]).unwrap();
        assert!(close(ends(pairs.t95), (0.023_547_586_864_749_007, 0.038_452_413_135_250_996)));
        assert!((pairs.g_z.unwrap() - 5.829_959_029_993_481).abs() < 1e-9);
        assert_eq!(pairs.flip95, None);
    }

    #[test]
    fn one_pair_has_a_mean_and_nothing_else() {
        let pairs = paired(&[0.02]).unwrap();
        assert_eq!((pairs.n, pairs.sd, pairs.t95, pairs.g_z), (1, None, None, None));
        assert_eq!(paired(&[]), None);
        assert_eq!(paired(&[0.1, f64::NAN]), None);
    }

    #[test]
    fn pairs_that_do_not_vary_have_no_effect_size() {
        assert_eq!(paired(&[0.25, 0.25, 0.25]).unwrap().g_z, None);
    }
}
