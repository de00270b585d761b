//! Holm's step-down correction of a family of comparisons.

/// Adjusted p values, in the order given. The family is the whole slice: a comparison without a p
/// (no pairs yet) still counts, as 1, so that looking early never makes the others smaller.
#[must_use]
pub fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let known = |v: &Option<f64>| v.filter(|v| !v.is_nan()).unwrap_or(1.0);
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| known(&p[*a]).total_cmp(&known(&p[*b])).then(a.cmp(b)));
    let mut adjusted = vec![None; p.len()];
    let mut floor = 0.0_f64;
    for (rank, place) in order.into_iter().enumerate() {
        floor = floor.max((p.len() - rank) as f64 * known(&p[place])).min(1.0);
        adjusted[place] = p[place].filter(|v| !v.is_nan()).map(|_| floor);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &[Option<f64>], b: &[Option<f64>]) -> bool {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                (a, b) => a == b,
            })
    }

    #[test]
    fn the_textbook_case() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        let adjusted = holm(&[Some(0.01), Some(0.04), Some(0.03), Some(0.005)]);
        assert!(close(&adjusted, &[Some(0.03), Some(0.06), Some(0.06), Some(0.02)]));
    }

    #[test]
    fn a_missing_comparison_still_counts() {
        assert!(close(&holm(&[Some(0.02), None]), &[Some(0.04), None]));
        assert!(close(&holm(&[Some(f64::NAN), Some(0.9)]), &[None, Some(1.0)]));
        assert!(holm(&[]).is_empty());
    }
}
