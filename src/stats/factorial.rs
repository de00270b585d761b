//! Two-level factorial designs: main effects and interactions, estimated within every seed and then over
//! seeds, so that what a seed adds to all of its runs cancels.

use super::paired::{Paired, paired};

/// The effect of one factor, or the interaction of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Places of the factors, ascending; one for a main effect.
    pub factors: Vec<usize>,
    /// Mean over the runs at the high level minus mean over those at the low one, for a main effect. For
    /// an interaction the same with the product of the levels' signs in place of the level: half of how
    /// much the effect of one factor differs between the levels of the other. In the unit of the values.
    pub estimate: Paired,
    /// Other effects, of one factor or two, that the same contrast estimates: the estimate is of their sum, up to
    /// signs. Empty in a full design.
    pub aliases: Vec<Vec<usize>>,
}

/// Effects of a full two-level design.
///
/// `levels[k]` are the levels of arm k, one per factor (`true` is high); `values[k][s]` is arm k's value
/// of seed s. Only seeds with a value of every arm enter. Effects are listed by order, then by place.
/// `None` unless the arms are each combination of levels exactly once, with two factors or more, and
/// some seed is complete.
#[must_use]
pub fn factorial(levels: &[Vec<bool>], values: &[Vec<Option<f64>>]) -> Option<Vec<Effect>> {
    let factors = levels.first()?.len();
    if !(2..=16).contains(&factors) || !is_full(levels, factors) || values.len() != levels.len() {
        return None;
    }
    let complete = complete(values)?;
    let mut subsets: Vec<Vec<usize>> = (1..1_u32 << factors).map(members).collect();
    subsets.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
    let effect = |factors| estimated(levels, &complete, factors, Vec::new());
    subsets.into_iter().map(effect).collect()
}

/// Effects of a regular fraction of a two-level design, with what each is confounded with: single
/// factors, and pairs where the resolution is V or more, so that nothing shorter hides in them.
///
/// `None` unless the arms are a regular fraction (closed under the product of three runs) that tells the factors
/// apart (resolution III or more), and some seed is complete.
#[must_use]
pub fn fractional(levels: &[Vec<bool>], values: &[Vec<Option<f64>>]) -> Option<Vec<Effect>> {
    let factors = levels.first()?.len();
    let fits = (3..=FRACTION_FACTORS).contains(&factors) && values.len() == levels.len();
    if !fits || !is_regular(levels, factors) {
        return None;
    }
    let complete = complete(values)?;
    let odd = |run: &Vec<bool>, set: u32| {
        (0..factors).filter(|f| set >> f & 1 == 1 && run[*f]).count() % 2
    };
    let constant = |set: &u32| levels.iter().all(|run| odd(run, *set) == odd(&levels[0], *set));
    // the defining relation: products that are the same in every run
    let words: Vec<u32> = (1..1_u32 << factors).filter(constant).collect();
    let resolution = words.iter().map(|word| word.count_ones()).min()?;
    if resolution < 3 {
        return None;
    }
    let mut subsets: Vec<u32> = (0..factors).map(|f| 1 << f).collect();
    if resolution >= 5 {
        subsets
            .extend((0..factors).flat_map(|a| (a + 1..factors).map(move |b| 1_u32 << a | 1 << b)));
    }
    let effect = |set: u32| {
        let others = words.iter().map(|word| word ^ set).filter(|other| other.count_ones() <= 2);
        estimated(levels, &complete, members(set), others.map(members).collect())
    };
    subsets.into_iter().map(effect).collect()
}

/// Factors of a fraction, at most.
const FRACTION_FACTORS: usize = 12;

/// The factors of a set, ascending.
fn members(set: u32) -> Vec<usize> {
    (0..32).filter(|f| set >> f & 1 == 1).collect()
}

/// The values of the seeds that have one of every arm.
fn complete(values: &[Vec<Option<f64>>]) -> Option<Vec<Vec<f64>>> {
    let seeds = values.iter().map(Vec::len).min()?;
    let of_seed =
        |seed: usize| values.iter().map(|of_arm| of_arm[seed].filter(|v| v.is_finite())).collect();
    Some((0..seeds).filter_map(of_seed).collect())
}

fn estimated(
    levels: &[Vec<bool>],
    complete: &[Vec<f64>],
    factors: Vec<usize>,
    aliases: Vec<Vec<usize>>,
) -> Option<Effect> {
    let of_seed = |values: &Vec<f64>| contrast(levels, values, &factors);
    let estimate = paired(&complete.iter().map(of_seed).collect::<Vec<f64>>())?;
    Some(Effect { factors, estimate, aliases })
}

/// Whether the runs differ from the first by a set that is closed under exclusive or.
fn is_regular(levels: &[Vec<bool>], factors: usize) -> bool {
    let mask =
        |run: &Vec<bool>| run.iter().rev().fold(0_u32, |mask, on| mask << 1 | u32::from(*on));
    if levels.iter().any(|run| run.len() != factors) || !levels.len().is_power_of_two() {
        return false;
    }
    let first = mask(&levels[0]);
    let runs: std::collections::BTreeSet<u32> =
        levels.iter().map(|run| mask(run) ^ first).collect();
    let closed = |a: &u32| runs.iter().all(|b| runs.contains(&(a ^ b)));
    runs.len() == levels.len() && levels.len() >= 4 && runs.iter().all(closed)
}

fn is_full(levels: &[Vec<bool>], factors: usize) -> bool {
    let mut seen: Vec<&Vec<bool>> = levels.iter().filter(|l| l.len() == factors).collect();
    seen.sort();
    seen.dedup();
    seen.len() == 1 << factors && levels.len() == seen.len()
}

/// Mean where the product of signs is positive minus mean where it is negative.
pub(super) fn contrast(levels: &[Vec<bool>], values: &[f64], factors: &[usize]) -> f64 {
    let half = values.len() as f64 / 2.0;
    let signed = levels.iter().zip(values).map(|(levels, value)| {
        let low = factors.iter().filter(|f| !levels[**f]).count();
        if low % 2 == 0 { *value } else { -value }
    });
    signed.sum::<f64>() / half
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    fn design() -> Vec<Vec<bool>> {
        [[false, false], [true, false], [false, true], [true, true]].map(Vec::from).to_vec()
    }

    #[test]
    fn effects_come_back_whatever_the_seeds_add() {
        // y = 10 + seed + 2 a - 1 b + 0.5 a b with levels -1 and 1: effects are twice the coefficients
        let values: Vec<Vec<Option<f64>>> = design()
            .iter()
            .map(|levels| {
                let [a, b] = [levels[0], levels[1]].map(|high| if high { 1.0 } else { -1.0 });
                [0.0, 5.0, -3.0].map(|s| Some(10.0 + s + 2.0 * a - b + 0.5 * a * b)).to_vec()
            })
            .collect();
        let effects = factorial(&design(), &values).unwrap();
        let found: Vec<_> = effects.iter().map(|e| (e.factors.clone(), e.estimate.mean)).collect();
        assert_eq!(found, [(vec![0], 4.0), (vec![1], -2.0), (vec![0, 1], 1.0)]);
        assert!(effects.iter().all(|e| e.estimate.n == 3 && e.estimate.sd.unwrap() < 1e-12));
    }

    #[test]
    fn a_fraction_gives_main_effects_and_names_what_hides_in_them() {
        // half of three factors: c is on where a and b differ
        let levels: Vec<Vec<bool>> =
            [[false, false, false], [true, false, true], [false, true, true], [true, true, false]]
                .map(Vec::from)
                .to_vec();
        let sign = |on: bool| if on { 1.0 } else { -1.0 };
        let values = |b_c: f64| -> Vec<Vec<Option<f64>>> {
            let value = |run: &Vec<bool>| {
                let [a, b, c] = [0, 1, 2].map(|f| sign(run[f]));
                2.0 * a - b + 0.5 * c + b_c * b * c
            };
            levels
                .iter()
                .map(|run| [0.0, 5.0].map(|seed| Some(value(run) + seed)).to_vec())
                .collect()
        };
        let effects = fractional(&levels, &values(0.0)).unwrap();
        let found: Vec<_> = effects.iter().map(|e| (e.factors.clone(), e.estimate.mean)).collect();
        assert_eq!(found, [(vec![0], 4.0), (vec![1], -2.0), (vec![2], 1.0)]);
        assert_eq!(effects[0].aliases, [vec![1, 2]]);
        // an interaction of b and c shows up in a, as announced
        assert_eq!(fractional(&levels, &values(1.0)).unwrap()[0].estimate.mean, 4.0 - 2.0);
    }

    #[test]
    fn pairs_of_a_fraction_are_told_only_where_nothing_shorter_hides_in_them() {
        let half = |factors: usize| -> Vec<Vec<bool>> {
            let even = |set: &u32| set.count_ones().is_multiple_of(2);
            let runs = (0..1_u32 << factors).filter(even);
            runs.map(|set| (0..factors).map(|f| set >> f & 1 == 1).collect()).collect()
        };
        let count = |factors: usize| {
            let levels = half(factors);
            let values = vec![vec![Some(1.0)]; levels.len()];
            let effects = fractional(&levels, &values).unwrap();
            (effects.len(), effects.iter().map(|e| e.aliases.len()).sum::<usize>())
        };
        assert_eq!(count(4), (4, 0));
        assert_eq!(count(5), (5 + 10, 0));
        let mut broken = half(5);
        broken.pop();
        assert_eq!(fractional(&broken, &vec![vec![Some(1.0)]; broken.len()]), None);
        // two settings that always go together cannot be told apart
        let twins: Vec<Vec<bool>> =
            [[false; 3], [true, true, false], [false, false, true], [true; 3]]
                .map(Vec::from)
                .to_vec();
        assert_eq!(fractional(&twins, &vec![vec![Some(1.0)]; 4]), None);
    }

    #[test]
    fn only_complete_seeds_and_designs_count() {
        let mut values = vec![vec![Some(1.0), Some(2.0)]; 4];
        values[2][1] = None;
        assert_eq!(factorial(&design(), &values).unwrap()[0].estimate.n, 1);
        values[2][0] = None;
        assert_eq!(factorial(&design(), &values), None);
        assert_eq!(factorial(&design()[..3], &values[..3]), None);
        let mut twice = design();
        twice[3] = twice[0].clone();
        assert_eq!(factorial(&twice, &vec![vec![Some(1.0)]; 4]), None);
    }
}
