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
    let seeds = values.iter().map(Vec::len).min()?;
    let complete: Vec<Vec<f64>> = (0..seeds)
        .filter_map(|seed| {
            values.iter().map(|of_arm| of_arm[seed].filter(|v| v.is_finite())).collect()
        })
        .collect();
    let members = |subset: u32| (0..factors).filter(|f| subset >> f & 1 == 1).collect();
    let mut subsets: Vec<Vec<usize>> = (1..1_u32 << factors).map(members).collect();
    subsets.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
    subsets
        .into_iter()
        .map(|factors| {
            let of_seed = |values: &Vec<f64>| contrast(levels, values, &factors);
            let estimate = paired(&complete.iter().map(of_seed).collect::<Vec<f64>>())?;
            Some(Effect { factors, estimate })
        })
        .collect()
}

fn is_full(levels: &[Vec<bool>], factors: usize) -> bool {
    let mut seen: Vec<&Vec<bool>> = levels.iter().filter(|l| l.len() == factors).collect();
    seen.sort();
    seen.dedup();
    seen.len() == 1 << factors && levels.len() == seen.len()
}

/// Mean where the product of signs is positive minus mean where it is negative.
fn contrast(levels: &[Vec<bool>], values: &[f64], factors: &[usize]) -> f64 {
    let half = values.len() as f64 / 2.0;
    let signed = levels.iter().zip(values).map(|(levels, value)| {
        let low = factors.iter().filter(|f| !levels[**f]).count();
        if low % 2 == 0 { *value } else { -value }
    });
    signed.sum::<f64>() / half
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
