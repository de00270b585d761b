//! Where a query's true matches stand in the ranked gallery, found without ranking it: every photo is
//! counted before the matches that it precedes. Rough scores settle nearly all of them; a photo whose score
//! may be that of a match is scored exactly, so the result is that of sorting the exact scores.

use std::collections::BTreeMap;

use super::ranking::{Label, is_junk, is_match};

/// A query's scores with the gallery.
pub struct Row<'a> {
    /// A score for every photo that is at most `margin` off; one that is not finite says nothing.
    pub rough: &'a dyn Rough,
    /// How far a rough score may be from the exact one. Not a number: any distance.
    pub margin: f64,
    /// The exact score of a photo.
    pub exact: &'a dyn Fn(usize) -> f64,
}

/// Rough scores, in either precision.
pub trait Rough {
    /// Photos whose rough score is at least `lowest`, or not finite; in the gallery's order.
    fn at_least(&self, lowest: f64, found: &mut dyn FnMut(usize, f64));
}

impl Rough for &[f64] {
    fn at_least(&self, lowest: f64, found: &mut dyn FnMut(usize, f64)) {
        for (at, &score) in self.iter().enumerate() {
            if score >= lowest || !score.is_finite() {
                found(at, score);
            }
        }
    }
}

impl Rough for &[f32] {
    fn at_least(&self, lowest: f64, found: &mut dyn FnMut(usize, f64)) {
        // the largest 32-bit number that is not above it: the loop compares without widening
        let nearest = lowest as f32;
        let lowest = if f64::from(nearest) > lowest { nearest.next_down() } else { nearest };
        for (at, &score) in self.iter().enumerate() {
            if score >= lowest || !score.is_finite() {
                found(at, f64::from(score));
            }
        }
    }
}

/// The matches of a query under one key, best first, and what stands before them.
struct Group {
    /// Exact score and photo.
    matches: Vec<(f64, usize)>,
    /// Photos that are no match and stand before match k, but not before match k - 1.
    ahead: Vec<usize>,
}

/// Ranks, ascending from 0, of the matches of a query among the photos of equal `key`, for every key that
/// has a match. Junk (label -1, or the query's person under the query's camera) is left out first. Equal
/// scores keep the gallery's order; a score that is not a number stands behind all others.
pub fn places<K: Ord>(
    row: &Row<'_>,
    query: Label,
    gallery: &[Label],
    key: impl Fn(Label) -> K,
) -> BTreeMap<K, Vec<usize>> {
    let exact = |at: usize| comparable((row.exact)(at));
    let mut groups: BTreeMap<K, Group> = BTreeMap::new();
    for (at, label) in gallery.iter().enumerate() {
        if is_match(query, *label) && !is_junk(query, *label) {
            let group = groups
                .entry(key(*label))
                .or_insert_with(|| Group { matches: Vec::new(), ahead: Vec::new() });
            group.matches.push((exact(at), at));
        }
    }
    let margin = if row.margin.is_nan() { f64::INFINITY } else { row.margin };
    let mut lowest = f64::INFINITY;
    for Group { matches, ahead } in groups.values_mut() {
        matches.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        ahead.resize(matches.len() + 1, 0);
        lowest = matches.last().map_or(lowest, |(score, _)| lowest.min(*score));
    }
    if groups.is_empty() {
        return BTreeMap::new();
    }
    let from = if margin.is_finite() { lowest - margin } else { f64::NEG_INFINITY };
    row.rough.at_least(from, &mut |at, near| {
        let label = gallery[at];
        if is_match(query, label) || is_junk(query, label) {
            return;
        }
        let Some(Group { matches, ahead }) = groups.get_mut(&key(label)) else { return };
        let mut before = matches.partition_point(|(score, _)| *score >= near - margin);
        let is_settled = before == 0 || matches[before - 1].0 > near + margin;
        if !is_settled || !near.is_finite() {
            let own = exact(at);
            before = matches.partition_point(|(score, other)| {
                own.total_cmp(score).then(other.cmp(&at)).is_lt()
            });
        }
        ahead[before] += 1;
    });
    let ranks = |Group { matches, ahead }: Group| {
        let mut passed = 0;
        let mut rank = |(place, ahead): (usize, usize)| {
            passed += ahead;
            passed + place
        };
        (0..matches.len()).zip(ahead).map(&mut rank).collect()
    };
    groups.into_iter().map(|(key, group)| (key, ranks(group))).collect()
}

/// A score as ranking compares it: no number is behind all, and the two zeros are equal.
pub fn comparable(score: f64) -> f64 {
    if score.is_nan() { f64::NEG_INFINITY } else { score + 0.0 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::ranking::order;

    const QUERY: Label = Label { person: 7, camera: 1 };

    /// Persons 6 to 8, distractors and junk under three cameras, with scores of which many are equal or nearly so.
    fn gallery() -> impl Strategy<Value = Vec<(Label, f64, f64)>> {
        let person = prop_oneof![Just(-1), Just(0), 6..9_i64];
        let score = prop_oneof![
            (-4..4_i32).prop_map(f64::from),
            (-1.0..1.0_f64),
            (0..9_u32).prop_map(|k| 1.0 + f64::from(k) * f64::EPSILON),
            Just(f64::NAN),
            Just(-0.0),
        ];
        let photo = (person, 1..4_u32, score, -1.0..1.0_f64)
            .prop_map(|(person, camera, score, off)| (Label { person, camera }, score, off));
        proptest::collection::vec(photo, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rough_scores_give_the_places_of_sorted_exact_ones(photos in gallery(), margin in 1e-7..0.3_f64) {
            let labels: Vec<Label> = photos.iter().map(|(label, ..)| *label).collect();
            let exact: Vec<f64> = photos.iter().map(|(_, score, _)| *score).collect();
            let rough: Vec<f32> =
                photos.iter().map(|(_, score, off)| (score + off * margin * 0.5) as f32).collect();
            // half the margin is for rounding to 32 bits, which is below 3e-7 here
            let margin = margin + 6e-7;
            let sorted = |own: &dyn Fn(Label) -> bool| -> Vec<usize> {
                let order = order(&exact, QUERY, &labels).into_iter().filter(|at| own(labels[*at]));
                let ranked = order.enumerate().filter(|(_, at)| is_match(QUERY, labels[*at]));
                ranked.map(|(rank, _)| rank).collect()
            };
            let row = Row { rough: &rough.as_slice(), margin, exact: &|at| exact[at] };
            let all = places(&row, QUERY, &labels, |_| ());
            prop_assert_eq!(all.get(&()).cloned().unwrap_or_default(), sorted(&|_| true));
            for (camera, ranks) in places(&row, QUERY, &labels, |label| label.camera) {
                prop_assert_eq!(ranks, sorted(&|label| label.camera == camera));
            }
            let known = Row { rough: &exact.as_slice(), margin: 0.0, exact: &|at| exact[at] };
            prop_assert_eq!(places(&known, QUERY, &labels, |_| ()), all);
        }
    }

    #[test]
    fn few_scores_are_computed_exactly() {
        let labels: Vec<Label> =
            (0..1000).map(|at| Label { person: at % 100, camera: 2 }).collect();
        let scores: Vec<f32> = (0..1000).map(|at| at as f32).collect();
        let asked = std::cell::Cell::new(0);
        let exact = |at: usize| {
            asked.set(asked.get() + 1);
            at as f64 + 0.25
        };
        let row = Row { rough: &scores.as_slice(), margin: 1.5, exact: &exact };
        let ranks = &places(&row, QUERY, &labels, |_| ())[&()];
        assert_eq!(ranks, &[92, 192, 292, 392, 492, 592, 692, 792, 892, 992]);
        assert!(asked.get() <= 10 + 10 * 3, "{} of 1000", asked.get());
        let blind = Row { margin: f64::NAN, ..row };
        assert_eq!(&places(&blind, QUERY, &labels, |_| ())[&()], ranks);
        assert!(asked.get() > 900, "no margin, no trust");
    }
}
