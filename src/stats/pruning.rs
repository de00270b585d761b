//! Giving up on an exploratory arm that is far behind: one look, after the first few pairs.
//!
//! The rule. An arm is hopeless if the 95 % t interval of its differences to the baseline lies wholly
//! beyond `behind` on the worse side. An arm whose true difference is no more than `behind` is then
//! given up in at most 2.5 % of studies, at whatever number of pairs the one look is. What a pruned arm shows
//! was selected for being bad and is a little exaggerated, which is why no arm of the corrected family is ever pruned.

use super::interval::t_interval;

/// Whether differences, oriented so that positive is better, say that their arm is hopeless.
#[must_use]
pub fn is_hopeless(differences: &[f64], behind: f64) -> bool {
    t_interval(differences, 0.95).is_some_and(|interval| interval.high < -behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::resample::Splitmix;

    #[test]
    fn an_interval_wholly_beyond_the_margin_is_hopeless() {
        assert!(is_hopeless(&[-0.30, -0.31, -0.29], 0.05));
        assert!(!is_hopeless(&[-0.30, -0.31, -0.29], 0.30), "not surely beyond");
        assert!(!is_hopeless(&[-0.30, 0.10, -0.29], 0.05), "too uncertain");
        assert!(!is_hopeless(&[-0.30], 0.05), "one pair shows no spread");
        assert!(!is_hopeless(&[0.30, 0.31, 0.29], 0.05), "better");
    }

    #[test]
    fn an_arm_at_the_margin_is_seldom_given_up() {
        let mut random = Splitmix::new(7);
        // twelve uniform ones
        let mut normal =
            || (0..12).map(|_| random.next_u64() as f64 / 2f64.powi(64)).sum::<f64>() - 6.0;
        for n in [2, 3, 5] {
            let tries = 20_000;
            let pruned = (0..tries)
                .filter(|_| {
                    let differences: Vec<f64> = (0..n).map(|_| -0.05 + 0.02 * normal()).collect();
                    is_hopeless(&differences, 0.05)
                })
                .count();
            let share = pruned as f64 / f64::from(tries);
            assert!((0.015..0.029).contains(&share), "{n} pairs: {share}");
        }
    }
}
