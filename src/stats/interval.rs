//! Intervals for a mean: Student's t at any n, `BCa` bootstrap from 20 values on (below that it covers
//! far less than it claims: about 73 % at n = 3, 86 % at n = 8). Differences and tests live elsewhere.

use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};

use super::resample::Splitmix;
use super::summary::quantile_of_sorted;
use super::{mean, sd};

/// Values from which on `BCa` is used.
pub const BCA_FROM: usize = 20;
/// Bootstrap resamples.
pub const RESAMPLES: usize = 10_000;
const SEED: u64 = 0x6267_6361;

/// How an interval was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Student's t.
    StudentT,
    /// Bias-corrected and accelerated bootstrap.
    Bca,
    /// Inversion of the exact sign-flip test.
    SignFlip,
}

impl Method {
    /// The name that tables and captions use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StudentT => "t",
            Self::Bca => "BCa",
            Self::SignFlip => "sign-flip",
        }
    }
}

/// A two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end, in the unit of the values.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Nominal coverage, 0 to 1.
    pub level: f64,
    /// How it was made.
    pub method: Method,
}

impl Interval {
    /// Whether zero lies outside.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// Whether all of it lies in `-band ..= band`.
    #[must_use]
    pub fn within(&self, band: f64) -> bool {
        self.low >= -band && self.high <= band
    }
}

/// Quantile of Student's t with `df` degrees of freedom; NaN outside `0 < p < 1` or `df > 0`.
/// The library's inverse is polished by Newton steps on its distribution function.
#[must_use]
pub fn t_quantile(p: f64, df: f64) -> f64 {
    let (Ok(t), true) = (StudentsT::new(0.0, 1.0, df), p > 0.0 && p < 1.0) else {
        return f64::NAN;
    };
    let mut x = t.inverse_cdf(p);
    for _ in 0..3 {
        let density = t.pdf(x);
        if density <= 0.0 || !x.is_finite() {
            break;
        }
        x -= (t.cdf(x) - p) / density;
    }
    x
}

/// Mean -/+ t x sd / sqrt n; `None` below two values or where one is not finite.
#[must_use]
pub fn t_interval(values: &[f64], level: f64) -> Option<Interval> {
    let (centre, spread) = (mean(values)?, sd(values)?);
    let n = values.len() as f64;
    let half = t_quantile(0.5 + level / 2.0, n - 1.0) * spread / n.sqrt();
    Some(Interval { low: centre - half, high: centre + half, level, method: Method::StudentT })
}

/// `BCa` bootstrap interval of the mean (Efron 1987) from [`RESAMPLES`] resamples; `None` below
/// [`BCA_FROM`] values, for values that are all equal, or where one is not finite.
#[must_use]
pub fn bca_interval(values: &[f64], level: f64) -> Option<Interval> {
    let centre = mean(values)?;
    if values.len() < BCA_FROM || sd(values)? <= 0.0 {
        return None;
    }
    let means = bootstrap_means(values);
    let (low, high) = bca_ends(&means, centre, acceleration(values, centre), level)?;
    Some(Interval { low, high, level, method: Method::Bca })
}

/// Ends of the `BCa` interval of a statistic from its sorted resampled values, its value on the sample
/// and its acceleration (Efron 1987, equations 2.3 and 6.6). `None` where the ends are not finite:
/// every resample lies on one side.
#[must_use]
pub fn bca_ends(
    resampled: &[f64],
    centre: f64,
    acceleration: f64,
    level: f64,
) -> Option<(f64, f64)> {
    let standard = Normal::standard();
    // equal on paper may differ in the last bits
    let slack = 1e-12 * (centre.abs() + resampled.last()?.abs() + resampled.first()?.abs());
    let below = resampled.iter().filter(|m| **m < centre - slack).count() as f64;
    let equal = resampled.iter().filter(|m| (**m - centre).abs() <= slack).count() as f64;
    let bias = standard.inverse_cdf((below + equal / 2.0) / resampled.len() as f64);
    let end = |p: f64| {
        let z = bias + standard.inverse_cdf(p);
        let share = standard.cdf(bias + z / (1.0 - acceleration * z));
        quantile_of_sorted(resampled, share)
    };
    let tail = (1.0 - level) / 2.0;
    let (low, high) = (end(tail), end(1.0 - tail));
    (low.is_finite() && high.is_finite()).then_some((low, high))
}

/// Acceleration from the influence of each observation: the mean of the leave-one-out estimates minus
/// the estimate without that observation (Efron 1987, equation 6.6 by the jackknife).
#[must_use]
pub fn acceleration_of(influence: impl Iterator<Item = f64>) -> f64 {
    let (cubes, squares) = influence.fold((0.0, 0.0), |(c, s), u| (c + u.powi(3), s + u.powi(2)));
    if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

/// The interval that tables show for a mean: `BCa` from [`BCA_FROM`] values on, t below.
#[must_use]
pub fn mean_interval(values: &[f64], level: f64) -> Option<Interval> {
    bca_interval(values, level).or_else(|| t_interval(values, level))
}

fn bootstrap_means(values: &[f64]) -> Vec<f64> {
    let mut words = Splitmix::new(SEED);
    let n = values.len();
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..n).map(|_| values[words.below(n)]).sum::<f64>() / n as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    means
}

/// Acceleration of the mean from its jackknife.
fn acceleration(values: &[f64], centre: f64) -> f64 {
    let n = values.len() as f64;
    // the leave-one-out means differ from their average by (centre - value) / (n - 1), sign kept
    acceleration_of(values.iter().map(|v| (v - centre) / (n - 1.0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // reference values: SciPy 1.17 (stats.t, stats.bootstrap with our resamples handed in)
    #[test]
    fn t_quantiles_agree_with_scipy() {
        let cases = [
            (0.975, 1.0, 12.706_204_736_174_694),
            (0.975, 2.0, 4.302_652_729_749_462),
            (0.95, 2.0, 2.919_985_580_353_724_2),
            (0.95, 7.0, 1.894_578_605_090_006_2),
            (0.9, 3.5, 1.576_576_605_136_405_2),
            (0.995, 30.0, 2.749_995_653_567_225_4),
            (0.025, 4.0, -2.776_445_105_197_794),
        ];
        for (p, df, expected) in cases {
            assert!((t_quantile(p, df) - expected).abs() < 1e-9, "p {p} df {df}");
        }
        assert!(t_quantile(1.0, 3.0).is_nan() && t_quantile(0.5, 0.0).is_nan());
    }

    #[test]
    fn t_interval_of_three_seeds() {
        let interval = t_interval(&[0.61, 0.64, 0.58], 0.95).unwrap();
        assert!((interval.low - 0.535_475_868_647_49).abs() < 1e-9);
        assert!((interval.high - 0.684_524_131_352_51).abs() < 1e-9);
    }

    #[test]
    fn bca_agrees_with_scipy_on_the_same_resamples() {
        let values = [
            0.6, 0.649_586, 0.550_558, 0.613_58, 0.644_32, 0.582_999, 0.589_654, 0.577_837,
            0.628_523, 0.613_503, 0.550_306, 0.649_649, 0.585_351, 0.569_865, 0.619_634, 0.614_182,
            0.620_445, 0.571_296, 0.587_91, 0.649_943, 0.550_012, 0.608_323,
        ];
        let interval = bca_interval(&values, 0.95).unwrap();
        assert!((interval.low - 0.588_059_209_109_337_1).abs() < 1e-9, "{interval:?}");
        assert!((interval.high - 0.614_488_148_235_926_3).abs() < 1e-9, "{interval:?}");
        assert_eq!(mean_interval(&values, 0.95).unwrap().method, Method::Bca);
    }

    #[test]
    fn few_values_get_t_and_bad_ones_nothing() {
        assert_eq!(mean_interval(&[0.6, 0.7, 0.5], 0.95).unwrap().method, Method::StudentT);
        assert_eq!(mean_interval(&[0.5; 25], 0.95).unwrap().method, Method::StudentT);
        assert_eq!(mean_interval(&[0.6], 0.95), None);
        assert_eq!(mean_interval(&[0.6, f64::NAN, 0.5], 0.95), None);
    }
}
