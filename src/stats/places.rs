//! Where a query's true matches stand in the ranked gallery, found without ranking it: photos are counted in
//! narrow bins of their rough scores. Rough scores settle nearly all of them; a photo in a bin that a match
//! may lie in is looked at alone, and scored exactly if its rough score may be that of a match, so the
//! result is that of sorting the exact scores.

use super::ranking::{Label, is_junk, is_match};

/// A query's scores with the gallery.
pub struct Row<'a, T> {
    /// A score for every photo that is at most `margin` off; one that is not finite says nothing.
    pub rough: &'a [T],
    /// How far a rough score may be from the exact one. Not a number: any distance.
    pub margin: f64,
    /// The exact score of a photo.
    pub exact: &'a dyn Fn(usize) -> f64,
}

/// A rough score, in either precision.
pub trait Rough: Copy + Into<f64> {}

impl Rough for f32 {}
impl Rough for f64 {}

/// Ranks, ascending from 0, of a query's matches in the gallery. Junk (label -1, or the query's person under
/// the query's camera) is left out first. Equal scores keep the gallery's order; a score that is not a
/// number stands behind all others.
#[must_use]
pub fn places<T: Rough>(row: &Row<'_, T>, query: Label, gallery: &[Label]) -> Vec<usize> {
    let exact = |at: usize| comparable((row.exact)(at));
    let (mut matches, mut junk) = (Vec::new(), Vec::new());
    for (at, label) in gallery.iter().enumerate() {
        if is_junk(query, *label) {
            junk.push(at);
        } else if is_match(query, *label) {
            matches.push((exact(at), at));
        }
    }
    matches.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    // photos that stand before match k, but not before match k - 1
    let mut ahead = vec![0; matches.len() + 1];
    let near = match Bins::around(row, &matches) {
        Some(bins) => bins.count(row.rough, &matches, &junk, &mut ahead),
        None if matches.is_empty() => Vec::new(),
        None => (0..gallery.len()).collect(),
    };
    for at in near {
        if is_match(query, gallery[at]) || is_junk(query, gallery[at]) {
            continue;
        }
        let rough: f64 = row.rough[at].into();
        let mut before = matches.partition_point(|(score, _)| *score >= rough - row.margin);
        let is_settled = before == 0 || matches[before - 1].0 > rough + row.margin;
        // without a margin or a number there is nothing to compare, so nothing is settled
        if !is_settled || !rough.is_finite() || !row.margin.is_finite() {
            let own = exact(at);
            before = matches.partition_point(|(score, other)| {
                own.total_cmp(score).then(other.cmp(&at)).is_lt()
            });
        }
        ahead[before] += 1;
    }
    let mut passed = 0;
    let ranks = ahead.iter().take(matches.len()).enumerate().map(|(place, ahead)| {
        passed += ahead;
        passed + place
    });
    ranks.collect()
}

/// Equal bins from the worst match's score to the best one's, the margin beyond them included: 1 to `last + 1`.
/// What is below is in bin 0, what is above in bin `last + 2`.
struct Bins {
    low: f64,
    per_unit: f64,
    last: usize,
    margin: f64,
}

impl Bins {
    /// `None` where there is no match, where a score or the margin is not finite, or where nothing is between.
    fn around<T: Rough>(row: &Row<'_, T>, matches: &[(f64, usize)]) -> Option<Self> {
        let (best, worst) = (matches.first()?.0, matches.last()?.0);
        let low = worst - row.margin;
        // as many as photos leave most bins empty, and no more than fit into the nearest cache
        let last = (row.rough.len() / 4).clamp(1, 4096);
        let per_unit = last as f64 / (best + row.margin - low);
        let known = row.rough.iter().all(|score| (*score).into().is_finite());
        let is_usable = known && low.is_finite() && per_unit.is_finite() && per_unit > 0.0;
        is_usable.then_some(Self { low, per_unit, last, margin: row.margin })
    }

    /// The bin of a score; higher scores have the same or a higher one.
    fn of(&self, score: f64) -> usize {
        // without a branch: which side a photo is on cannot be foreseen
        ((score - self.low) * self.per_unit + 1.0).clamp(0.0, (self.last + 2) as f64) as usize
    }

    /// Adds to `ahead` the photos that are settled by their bins, without `junk`; returns those in bins that
    /// a match may lie in, matches and junk among them.
    fn count<T: Rough>(
        &self,
        rough: &[T],
        matches: &[(f64, usize)],
        junk: &[usize],
        ahead: &mut [usize],
    ) -> Vec<usize> {
        let mut is_near = vec![false; self.last + 3];
        for (score, _) in matches {
            is_near[self.of(score - self.margin)..=self.of(score + self.margin)].fill(true);
        }
        let mut photos = vec![0_u32; self.last + 3];
        let mut near = Vec::new();
        for (at, score) in rough.iter().enumerate() {
            let bin = self.of((*score).into());
            photos[bin] += 1;
            if is_near[bin] {
                near.push(at);
            }
        }
        for at in junk {
            photos[self.of(rough[*at].into())] -= 1;
        }
        let mut before = 0;
        for bin in (0..is_near.len()).rev().filter(|bin| !is_near[*bin]) {
            let is_above = |(score, _): &&(f64, usize)| self.of(score - self.margin) > bin;
            before += matches[before..].iter().take_while(is_above).count();
            ahead[before] += photos[bin] as usize;
        }
        near
    }
}

/// A score as ranking compares it, by `total_cmp`: no number is behind all, also behind minus infinity, and
/// the two zeros are equal.
pub fn comparable(score: f64) -> f64 {
    if score.is_nan() { f64::NAN.copysign(-1.0) } else { score + 0.0 }
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
        proptest::collection::vec(photo, 0..200)
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
            let sorted: Vec<usize> = {
                let order = order(&exact, QUERY, &labels).into_iter();
                let ranked = order.enumerate().filter(|(_, at)| is_match(QUERY, labels[*at]));
                ranked.map(|(rank, _)| rank).collect()
            };
            let row = Row { rough: rough.as_slice(), margin, exact: &|at| exact[at] };
            prop_assert_eq!(&places(&row, QUERY, &labels), &sorted);
            let known = Row { rough: exact.as_slice(), margin: 0.0, exact: &|at| exact[at] };
            prop_assert_eq!(places(&known, QUERY, &labels), sorted);
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
        let row = Row { rough: scores.as_slice(), margin: 1.5, exact: &exact };
        let ranks = places(&row, QUERY, &labels);
        assert_eq!(ranks, [92, 192, 292, 392, 492, 592, 692, 792, 892, 992]);
        assert!(asked.get() <= 10 + 10 * 3, "{} of 1000", asked.get());
        let blind = Row { margin: f64::NAN, ..row };
        assert_eq!(places(&blind, QUERY, &labels), ranks);
        assert!(asked.get() > 900, "no margin, no trust");
    }
}
