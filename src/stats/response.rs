//! Response to one numeric setting: a mean with an interval per level, and the levels that cannot be
//! told from the best one.

use super::interval::{Interval, mean_interval, t_quantile};
use super::{mean, sd};

/// Level of the region: the truly best of the measured levels lies in it at least this often.
pub const REGION_LEVEL: f64 = 0.95;

/// One measured level.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Value of the setting.
    pub x: f64,
    /// Seeds with a value.
    pub n: usize,
    /// Mean over them.
    pub mean: f64,
    /// 95 % interval of the mean, of this level alone; `None` for one seed.
    pub interval: Option<Interval>,
    /// Whether it may be the best one.
    pub may_be_best: bool,
}

/// A response curve, by ascending `x`.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Levels that have a value.
    pub levels: Vec<Level>,
    /// Place of the level with the best mean.
    pub best: usize,
}

impl Response {
    /// Smallest and largest level that may be best.
    #[must_use]
    pub fn region(&self) -> (f64, f64) {
        let inside = || self.levels.iter().filter(|l| l.may_be_best).map(|l| l.x);
        (inside().fold(f64::INFINITY, f64::min), inside().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// The curve of `values[k][s]`: level `x[k]`, seed s; `higher` says that more is better. `None` where no
/// level has a value.
///
/// A level leaves the region where the one-sided t interval of the best level's mean paired advantage,
/// at 0.05 / (levels - 1), lies above zero. Whichever level turns out best, the truly best one is then
/// lost with at most 5 % (the union over the others; Bechhofer, Santner and Goldsman 1995, chapter 4).
/// A level that shares fewer than two seeds with the best stays in: nothing speaks against it.
#[must_use]
pub fn response(x: &[f64], values: &[Vec<Option<f64>>], higher: bool) -> Option<Response> {
    let finite = |of: &[Option<f64>]| -> Vec<f64> {
        of.iter().flatten().copied().filter(|v| v.is_finite()).collect()
    };
    let mut places: Vec<usize> = (0..x.len().min(values.len()))
        .filter(|k| x[*k].is_finite() && !finite(&values[*k]).is_empty())
        .collect();
    places.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let sign = if higher { 1.0 } else { -1.0 };
    let means: Vec<f64> = places.iter().filter_map(|k| mean(&finite(&values[*k]))).collect();
    let best = (0..means.len())
        .max_by(|a, b| (sign * means[*a]).total_cmp(&(sign * means[*b])).then(b.cmp(a)))?;
    let tail = (1.0 - REGION_LEVEL) / (places.len().max(2) - 1) as f64;
    let levels = places
        .iter()
        .zip(&means)
        .map(|(k, mean)| {
            let own = finite(&values[*k]);
            let advantages: Vec<f64> = values[places[best]]
                .iter()
                .zip(&values[*k])
                .filter_map(|(best, this)| Some(sign * ((*best)? - (*this)?)))
                .filter(|d| d.is_finite())
                .collect();
            Level {
                x: x[*k],
                n: own.len(),
                mean: *mean,
                interval: mean_interval(&own, 0.95),
                may_be_best: !is_above_zero(&advantages, tail),
            }
        })
        .collect();
    Some(Response { levels, best })
}

fn is_above_zero(advantages: &[f64], tail: f64) -> bool {
    let (Some(centre), Some(spread)) = (mean(advantages), sd(advantages)) else { return false };
    let n = advantages.len() as f64;
    centre - t_quantile(1.0 - tail, n - 1.0) * spread / n.sqrt() > 0.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn the_region_holds_what_cannot_be_told_from_the_best() {
        let noise = [0.0, 0.01, -0.01, 0.005];
        let at = |peak: f64, own: [f64; 4]| -> Vec<Option<f64>> {
            noise.iter().zip(own).map(|(seed, own)| Some(peak + seed + own * 0.001)).collect()
        };
        let values = [
            at(0.70, [2.0, -1.0, 0.0, -1.0]),
            at(0.50, [0.0, 1.0, -1.0, 1.0]),
            at(0.7002, [-1.0, 1.0, 2.0, 0.0]),
        ];
        let curve = response(&[5.0, 0.5, 10.0], &values, true).unwrap();
        assert_eq!(curve.levels.iter().map(|l| l.x).collect::<Vec<_>>(), [0.5, 5.0, 10.0]);
        assert_eq!((curve.best, curve.region()), (2, (5.0, 10.0)));
        assert!(!curve.levels[0].may_be_best);
        let lower = response(&[5.0, 0.5, 10.0], &values, false).unwrap();
        assert_eq!((lower.best, lower.region()), (0, (0.5, 0.5)));
    }

    #[test]
    fn one_seed_rules_nothing_out() {
        let curve = response(&[1.0, 2.0], &[vec![Some(0.1)], vec![Some(0.9)]], true).unwrap();
        assert_eq!((curve.best, curve.region()), (1, (1.0, 2.0)));
        assert_eq!(curve.levels[0].interval, None);
        assert_eq!(response(&[1.0], &[vec![None]], true), None);
        assert_eq!(response(&[], &[], true), None);
    }
}
