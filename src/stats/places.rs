//! Where a query's true matches stand in the ranked gallery, found without ranking it: only photos that may stand
//! before the worst match are looked at, and counted in narrow bins of their rough scores. Rough scores settle
//! nearly all of them; a photo in a bin that a match may lie in is looked at alone, and scored exactly if its rough
//! score may be that of a match, so the result is that of sorting the exact scores.

use dgnet_loops::scores::{Bins, not_below};

use super::gallery::{Gallery, Label};

/// A query's scores with the gallery.
pub struct Row<'a> {
    /// A score for every photo that is at most `margin` off; one that is not finite says nothing.
    pub rough: &'a [f32],
    /// How far a rough score may be from the exact one. Not a number: any distance.
    pub margin: f64,
    /// The exact score of a photo.
    pub exact: &'a dyn Fn(usize) -> f64,
}

/// Scores in 32 bits, and how far the rounding may have moved one.
pub fn rounded(scores: impl Iterator<Item = f64>) -> (Vec<f32>, f64) {
    let scores: Vec<f32> = scores.map(|score| score as f32).collect();
    let finite = scores.iter().filter(|score| score.is_finite());
    let largest = finite.fold(0.0_f32, |largest, score| largest.max(score.abs()));
    let margin = f64::from(largest) * f64::from(f32::EPSILON) + f64::from(f32::MIN_POSITIVE);
    (scores, margin)
}

/// Where a query's matches stand in the gallery, as far as it is known.
pub struct Places {
    /// Exact scores and photos, best first.
    matches: Vec<(f64, u32)>,
    /// Photos that stand before match k, but not before match k - 1.
    ahead: Vec<usize>,
    /// Photos of which it is not known before which match they stand, ascending.
    open: Vec<u32>,
}

impl Places {
    /// As far as rough scores tell.
    #[must_use]
    pub fn new(row: &Row<'_>, query: Label, gallery: &Gallery) -> Self {
        let (matches, junk) = gallery.matches_and_junk(query);
        let exact = |at: u32| (comparable((row.exact)(at as usize)), at);
        let mut matches: Vec<(f64, u32)> = matches.into_iter().map(exact).collect();
        matches.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        let mut places = Self { ahead: vec![0; matches.len() + 1], matches, open: Vec::new() };
        if !places.matches.is_empty() {
            let mut open = candidates(row, &places.matches, &junk, &mut places.ahead);
            open.retain(|at| !gallery.is_match_or_junk(query, *at));
            let rough: Vec<f32> = open.iter().map(|at| row.rough[*at as usize]).collect();
            places.open = open;
            places.settle(&rough, row.margin);
            // it had room for the whole gallery, and may wait for long
            places.open.shrink_to_fit();
        }
        places
    }

    /// The photos of which it is not known before which match they stand, ascending.
    #[must_use]
    pub fn open(&self) -> &[u32] {
        &self.open
    }

    /// Numbers of 32 bits that it takes while it waits.
    #[must_use]
    pub fn held(&self) -> usize {
        self.open.len() + 6 * self.matches.len()
    }

    /// Closes the open photos whose scores tell. One that is not finite says nothing.
    ///
    /// # Shapes
    /// `scores`: one an open photo, at most `margin` off.
    pub fn settle(&mut self, scores: &[f32], margin: f64) {
        let mut scores = scores.iter();
        self.open.retain(|_| {
            let score = scores.next().map_or(f64::NAN, |score| f64::from(*score));
            let before = self.matches.partition_point(|(other, _)| *other >= score - margin);
            let is_settled = before == 0 || self.matches[before - 1].0 > score + margin;
            // without a margin or a number there is nothing to compare
            let is_settled = is_settled && score.is_finite() && margin.is_finite();
            self.ahead[before] += usize::from(is_settled);
            !is_settled
        });
    }

    /// The ranks of the matches, ascending from 0, by the exact scores of the photos that are still open.
    #[must_use]
    pub fn ranks(&self, exact: &dyn Fn(usize) -> f64) -> Vec<usize> {
        let mut ahead = self.ahead.clone();
        for at in &self.open {
            let own = comparable(exact(*at as usize));
            let is_before =
                |(score, other): &(f64, u32)| own.total_cmp(score).then(other.cmp(at)).is_lt();
            ahead[self.matches.partition_point(is_before)] += 1;
        }
        let mut passed = 0;
        let ranks = ahead.iter().take(self.matches.len()).enumerate().map(|(place, ahead)| {
            passed += ahead;
            passed + place
        });
        ranks.collect()
    }
}

/// Ranks, ascending from 0, of a query's matches in the gallery. Junk (label -1, or the query's person under
/// the query's camera) is left out first. Equal scores keep the gallery's order; a score that is not a
/// number stands behind all others.
#[must_use]
pub fn places(row: &Row<'_>, query: Label, gallery: &Gallery) -> Vec<usize> {
    Places::new(row, query, gallery).ranks(row.exact)
}

/// Adds the photos to `ahead` whose bins settle where they stand, but for matches and `junk`; returns others that
/// may stand before the last match, matches and junk among them. `matches`: exact scores and photos, best first.
fn candidates(
    row: &Row<'_>,
    matches: &[(f64, u32)],
    junk: &[u32],
    ahead: &mut [usize],
) -> Vec<u32> {
    let least = |score: f64| down(score - row.margin);
    let most = |score: f64| -down(-(score + row.margin));
    let (best, worst) = (matches[0].0, matches[matches.len() - 1].0);
    let low = if row.margin.is_finite() { least(worst) } else { f32::NEG_INFINITY };
    let mut found = Vec::new();
    not_below(row.rough, low, &mut found);
    // as many bins as leave most empty, and no more than fit into the nearest cache
    let last = (found.len() / 4).clamp(1, 4096);
    let Some(bins) = Bins::between(low, most(best), last) else { return found };
    let mut is_near = vec![false; bins.count()];
    for (score, _) in matches {
        is_near[bins.of(least(*score))..=bins.of(most(*score))].fill(true);
    }
    let (mut photos, mut near) = (vec![0; bins.count()], Vec::new());
    bins.fill(row.rough, &found, &is_near, &mut photos, &mut near);
    for score in junk.iter().map(|at| row.rough[*at as usize]) {
        let bin = bins.of(score);
        if score.is_finite() && score >= low && !is_near[bin] {
            photos[bin] -= 1;
        }
    }
    let mut before = 0;
    for bin in (0..bins.count()).rev().filter(|bin| !is_near[*bin]) {
        let is_above = |(score, _): &&(f64, u32)| bins.of(least(*score)) > bin;
        before += matches[before..].iter().take_while(is_above).count();
        ahead[before] += photos[bin] as usize;
    }
    near
}

/// The largest number of 32 bits that is not above a number; not a number where that is none.
fn down(number: f64) -> f32 {
    let nearest = number as f32;
    if f64::from(nearest) > number { nearest.next_down() } else { nearest }
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
    use crate::stats::gallery::is_match;
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
            let gallery = Gallery::new(labels);
            let of = |at: usize| exact[at];
            let row = Row { rough: rough.as_slice(), margin, exact: &of };
            prop_assert_eq!(&places(&row, QUERY, &gallery), &sorted);
            let mut closer = Places::new(&row, QUERY, &gallery);
            let scores: Vec<f32> = closer.open().iter().map(|at| exact[*at as usize] as f32).collect();
            let open = closer.open().len();
            closer.settle(&scores, 6e-7);
            prop_assert!(closer.open().len() <= open);
            prop_assert_eq!(&closer.ranks(&of), &sorted);
            let (rough, margin) = rounded(exact.iter().copied());
            let known = Row { rough: &rough, margin, exact: &of };
            prop_assert_eq!(places(&known, QUERY, &gallery), sorted);
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
        let gallery = Gallery::new(labels);
        let row = Row { rough: scores.as_slice(), margin: 1.5, exact: &exact };
        let ranks = places(&row, QUERY, &gallery);
        assert_eq!(ranks, [92, 192, 292, 392, 492, 592, 692, 792, 892, 992]);
        assert!(asked.get() <= 10 + 10 * 3, "{} of 1000", asked.get());
        let blind = Row { margin: f64::NAN, ..row };
        assert_eq!(places(&blind, QUERY, &gallery), ranks);
        assert!(asked.get() > 900, "no margin, no trust");
    }
}
