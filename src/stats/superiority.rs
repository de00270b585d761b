//! Probability of improvement: how often a run of one arm beats a run of the other.

use super::mean;

/// P(x > y) over all pairs of one run of each, ties counting half: the Mann-Whitney U divided by n m
/// (Agarwal et al. 2021, "probability of improvement"). Swap the arguments where lower is better.
/// A point estimate: at the numbers of seeds of a study no interval of it holds what it promises.
/// `None` for an empty slice or a value that is not finite.
#[must_use]
pub fn probability_of_improvement(x: &[f64], y: &[f64]) -> Option<f64> {
    mean(x)?;
    mean(y)?;
    let wins: f64 = x.iter().flat_map(|x| y.iter().map(move |y| score(*x, *y))).sum();
    Some(wins / (x.len() * y.len()) as f64)
}

fn score(x: f64, y: f64) -> f64 {
    if x > y {
        1.0
    } else if x < y {
        0.0
    } else {
        0.5
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_wins_and_half_the_ties() {
        assert_eq!(probability_of_improvement(&[2.0, 3.0], &[1.0, 2.0]), Some(0.875));
        assert_eq!(probability_of_improvement(&[1.0], &[1.0]), Some(0.5));
        assert_eq!(probability_of_improvement(&[-0.0], &[0.0]), Some(0.5));
        assert_eq!(probability_of_improvement(&[], &[1.0]), None);
    }
}
