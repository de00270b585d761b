//! Robust summaries of one sample: quantiles, median, interquartile mean.

use super::mean;

/// Linear interpolation between order statistics (`NumPy`'s default, type 7 of Hyndman and Fan 1996);
/// `share` from 0 to 1. `None` for no values, a value that is not finite, or a share outside.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(values)?;
    (0.0..=1.0).contains(&share).then(|| quantile_of_sorted(&sorted, share))
}

/// The same for values that are finite, sorted and not empty; `share` is clamped, NaN gives NaN.
#[must_use]
pub fn quantile_of_sorted(sorted: &[f64], share: f64) -> f64 {
    if !share.is_finite() || sorted.is_empty() {
        return f64::NAN;
    }
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// The middle value; of an even number of values the mean of the middle two.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Interquartile mean: the mean without the lowest and the highest quarter, each rounded down to whole
/// values, as `rliable` takes it (`scipy.stats.trim_mean(x, 0.25)`; Agarwal et al. 2021). Below four
/// values nothing is cut and it is the mean.
#[must_use]
pub fn iqm(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values)?;
    let cut = sorted.len() / 4;
    mean(&sorted[cut..sorted.len() - cut])
}

fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    mean(values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn outliers_do_not_reach_the_middle() {
        let values = [1.0, 2.0, 3.0, 4.0, 1000.0];
        assert_eq!(median(&values), Some(3.0));
        assert_eq!(iqm(&values), Some(3.0), "one of five is cut at each end");
        assert_eq!(iqm(&values[..3]), Some(2.0), "three values are all kept");
        assert_eq!(median(&values[..4]), Some(2.5));
        assert_eq!(quantile(&values, 1.0), Some(1000.0));
    }

    #[test]
    fn what_has_no_answer_gets_none() {
        assert_eq!((median(&[]), iqm(&[]), quantile(&[], 0.5)), (None, None, None));
        assert_eq!(median(&[1.0, f64::NAN]), None);
        assert_eq!(quantile(&[1.0], 1.5), None);
    }
}
