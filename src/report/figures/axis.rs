//! Axes: ranges, ticks and their labels, linear and logarithmic. Pure arithmetic.

use super::super::measure::{MINUS, number};

/// A scale from values to the unit interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

/// A tick: value and label.
pub type Tick = (f64, String);

impl Scale {
    /// A linear scale that covers the values with some air; a constant gets a range around it.
    #[must_use]
    pub fn linear(low: f64, high: f64) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() && low <= high {
            (low, high)
        } else {
            (0.0, 1.0)
        };
        let span = high - low;
        if span <= low.abs().max(high.abs()) * 1e-9 {
            let around = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            return Self { low: low - around, high: high + around, log: false };
        }
        Self { low: low - span * 0.05, high: high + span * 0.05, log: false }
    }

    /// A linear scale with exactly these ends.
    #[must_use]
    pub fn exact(low: f64, high: f64) -> Self {
        if high > low { Self { low, high, log: false } } else { Self::linear(low, low) }
    }

    /// Logarithmic, if it may be, where all values are positive and span a factor of more than 50.
    #[must_use]
    pub fn fitting(low: f64, high: f64, may_be_log: bool) -> Self {
        if may_be_log && low > 0.0 && high.is_finite() && high / low > 50.0 {
            let air = (high / low).powf(0.05);
            return Self { low: low / air, high: high * air, log: true };
        }
        let linear = Self::linear(low, high);
        // zero belongs to an axis that nearly reaches it
        if low >= 0.0 && low < 0.4 * high { Self { low: 0.0, ..linear } } else { linear }
    }

    /// Whether it is logarithmic.
    #[must_use]
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// Place of a value, 0 at the low end; outside values stick to the ends.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let place = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    /// About `wanted` ticks at round values.
    #[must_use]
    pub fn ticks(&self, wanted: usize) -> Vec<Tick> {
        if self.log { self.log_ticks(wanted) } else { self.linear_ticks(wanted) }
    }

    fn linear_ticks(&self, wanted: usize) -> Vec<Tick> {
        let step = round_step((self.high - self.low) / wanted.max(1) as f64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last)
            .take(50)
            .map(|k| k as f64 * step)
            .map(|value| (value, label(value, decimals.min(9))))
            .collect()
    }

    fn log_ticks(&self, wanted: usize) -> Vec<Tick> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let within = |v: &f64| *v >= self.low && *v <= self.high;
        let decades: Vec<f64> = (first..=last).map(|e| 10f64.powi(e)).filter(within).collect();
        if decades.len() >= 3 {
            let every = decades.len().div_ceil(wanted.max(2));
            return decades.into_iter().step_by(every).map(|v| (v, power(v))).collect();
        }
        (first..=last)
            .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
            .filter(within)
            .map(|v| (v, power(v)))
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten, at least as large as `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
    let lead = rough / power;
    let round = [1.0, 2.0, 5.0].into_iter().find(|r| lead <= r * 1.000_001).unwrap_or(10.0);
    round * power
}

fn label(value: f64, decimals: usize) -> String {
    if value.abs() >= 1e6 || (value != 0.0 && value.abs() < 1e-4) {
        return format!("{value:.0e}").replace('-', &MINUS.to_string());
    }
    number(value, decimals)
}

fn power(value: f64) -> String {
    if (1e-3..1e5).contains(&value) {
        return number(value, (-value.log10().floor()).max(0.0) as usize);
    }
    format!("{value:.0e}").replace('-', &MINUS.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale) -> Vec<String> {
        scale.ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(Scale::exact(0.0, 100.0)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(Scale::exact(-0.6, 0.5)), ["\u{2212}0.5", "0.0", "0.5"]);
    }

    #[test]
    fn wide_positive_ranges_are_logarithmic() {
        let scale = Scale::fitting(1e-6, 1e6, true);
        assert!(scale.is_log());
        assert!(labels(scale).len() <= 7);
        assert!((scale.place(1.0) - 0.5).abs() < 1e-9);
        assert!(!Scale::fitting(0.0, 1e6, true).is_log());
        assert!(!Scale::fitting(1e-6, 1e6, false).is_log());
    }

    #[test]
    fn constants_and_nonsense_have_a_range() {
        for scale in [
            Scale::fitting(0.5, 0.5, true),
            Scale::fitting(0.0, 0.0, true),
            Scale::linear(f64::NAN, 1.0),
        ] {
            assert!(scale.place(0.5).is_finite());
            assert!(!scale.ticks(4).is_empty());
        }
    }
}
