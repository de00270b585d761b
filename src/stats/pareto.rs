//! The Pareto front of several metrics.

/// Which points no other point dominates. Every point has one value per metric; `higher[k]` says that
/// more is better in metric k. A point dominates another where it is nowhere worse and somewhere better.
/// Points with a value missing or not finite are neither in the front nor do they dominate; equal points
/// stand or fall together.
#[must_use]
pub fn pareto_front(points: &[Vec<Option<f64>>], higher: &[bool]) -> Vec<bool> {
    let oriented: Vec<Option<Vec<f64>>> = points
        .iter()
        .map(|point| {
            let values = point.iter().zip(higher).map(|(value, higher)| {
                value.filter(|v| v.is_finite()).map(|v| if *higher { v } else { -v })
            });
            values.collect::<Option<Vec<f64>>>().filter(|v| v.len() == higher.len())
        })
        .collect();
    let beats = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).all(|(a, b)| a >= b) && a.iter().zip(b).any(|(a, b)| a > b)
    };
    oriented
        .iter()
        .map(|point| {
            point
                .as_ref()
                .is_some_and(|point| !oriented.iter().flatten().any(|other| beats(other, point)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        // mAP up, seconds down
        let points = [
            vec![Some(0.8), Some(10.0)],
            vec![Some(0.7), Some(5.0)],
            vec![Some(0.7), Some(6.0)],
            vec![Some(0.8), Some(10.0)],
            vec![Some(f64::NAN), Some(1.0)],
            vec![None, Some(1.0)],
        ];
        let front = pareto_front(&points, &[true, false]);
        assert_eq!(front, [true, true, false, true, false, false]);
        assert!(pareto_front(&[], &[true]).is_empty());
    }
}
