//! Ranking a gallery for queries by the Market-1501 protocol, on rows of scores: average
//! precisions, CMC, mINP. Where the scores come from is not known here; where matches stand among them is
//! found by `places`, and scores that are known roughly are handled by `quick`.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

pub use super::gallery::{Gallery, Label, is_junk, is_match};
use super::places::{Row, comparable, places, rounded};

/// How the gallery was ranked for one query that has a true match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Average precision of the official code: at each hit, the mean of the precisions just before and at it.
    pub ap: f64,
    /// Plain average precision: the mean of the precisions at the hits.
    pub ap_standard: f64,
    /// Inverse negative penalty: matches / rank of the last match.
    pub inp: f64,
    /// Rank of the first true match after junk removal, from 1.
    pub first_hit: u32,
}

/// Ranks the gallery by descending score for one query; `None` where it has no true match.
///
/// Junk (label -1, or the query's person under the query's camera) is removed first. Equal scores keep the
/// gallery's order; a score that is not a number ranks behind all others.
#[must_use]
pub fn rank(scores: &[f64], query: Label, gallery: &[Label]) -> Option<Ranked> {
    rank_scores(scores, query, &Gallery::new(gallery.to_vec()))
}

fn rank_scores(scores: &[f64], query: Label, gallery: &Gallery) -> Option<Ranked> {
    let (rough, margin) = rounded(scores.iter().copied());
    rank_row(&Row { rough: &rough, margin, exact: &|at| scores[at] }, query, gallery)
}

/// As [`rank`], where most scores are known roughly.
#[must_use]
pub fn rank_row(row: &Row<'_>, query: Label, gallery: &Gallery) -> Option<Ranked> {
    of_hits(&places(row, query, gallery))
}

/// How queries of one camera found their persons among the photos of another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CameraPair {
    /// Camera of the queries.
    pub query_camera: u32,
    /// Camera of the gallery photos; all others are left out.
    pub gallery_camera: u32,
    /// Queries with a true match there.
    pub queries: usize,
    /// Share of them whose first photo is a true match.
    pub rank1: f64,
    /// Mean trapezoidal average precision.
    #[serde(rename = "mAP")]
    pub map: f64,
}

/// The gallery without junk by descending score, as [`rank`] sees it: indices of photos.
#[must_use]
pub fn order(scores: &[f64], query: Label, gallery: &[Label]) -> Vec<usize> {
    let score = |at: usize| comparable(scores[at]);
    let mut order: Vec<usize> =
        (0..gallery.len()).filter(|&at| !is_junk(query, gallery[at])).collect();
    order.sort_by(|&left, &right| score(right).total_cmp(&score(left)));
    order
}

/// `count` of the values, from the largest to the smallest at equal steps of rank (one: the median), as
/// indices; those that are `None` are left out, equal ones keep their order.
#[must_use]
pub fn spread(values: &[Option<f64>], count: usize) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))).collect();
    order.sort_by(|left, right| right.1.total_cmp(&left.1));
    let count = count.min(order.len());
    let place = |k: usize| match count {
        1 => order.len() / 2,
        _ => k * (order.len() - 1) / (count - 1),
    };
    (0..count).map(|k| order[place(k)].0).collect()
}

/// The numbers of one query from the ranks of its matches, ascending from 0.
pub(super) fn of_hits(hits: &[usize]) -> Option<Ranked> {
    let (first, last) = (*hits.first()?, *hits.last()?);
    let (mut trapezoid, mut standard) = (0.0, 0.0);
    for (before, &rank) in hits.iter().enumerate() {
        let precision = (before + 1) as f64 / (rank + 1) as f64;
        let precision_before = if rank == 0 { 1.0 } else { before as f64 / rank as f64 };
        trapezoid += f64::midpoint(precision_before, precision);
        standard += precision;
    }
    let matches = hits.len() as f64;
    Some(Ranked {
        ap: trapezoid / matches,
        ap_standard: standard / matches,
        inp: matches / (last + 1) as f64,
        first_hit: first as u32 + 1,
    })
}

/// The ranked queries of one evaluation, in the order of the queries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking {
    /// One a query; `None` where the gallery has no true match.
    pub queries: Vec<Option<Ranked>>,
}

impl Ranking {
    /// Queries that have a true match; every total but one is over these.
    #[must_use]
    pub fn valid_queries(&self) -> usize {
        self.queries.iter().flatten().count()
    }

    /// Share of queries whose first true match is among the first k; not a number without valid queries.
    #[must_use]
    pub fn rank(&self, k: u32) -> f64 {
        self.mean(|query| f64::from(u8::from(query.first_hit <= k)))
    }

    /// Mean trapezoidal average precision.
    #[must_use]
    pub fn map(&self) -> f64 {
        self.mean(|query| query.ap)
    }

    /// Mean plain average precision.
    #[must_use]
    pub fn map_standard(&self) -> f64 {
        self.mean(|query| query.ap_standard)
    }

    /// Mean inverse negative penalty.
    #[must_use]
    pub fn minp(&self) -> f64 {
        self.mean(|query| query.inp)
    }

    /// The release's mAP: trapezoidal, queries without a true match counted as 0.
    #[must_use]
    pub fn map_over_all_queries(&self) -> f64 {
        let sum: f64 = self.queries.iter().flatten().map(|query| query.ap).sum();
        sum / self.queries.len() as f64
    }

    fn mean(&self, value: impl Fn(&Ranked) -> f64) -> f64 {
        let sum: f64 = self.queries.iter().flatten().map(value).sum();
        sum / self.valid_queries() as f64
    }
}

/// Ranks every query on `threads` threads. `fill(query, row)` writes the query's score with every gallery
/// photo; one row a thread exists at a time. The result does not depend on the number of threads.
#[must_use]
pub fn rank_all(
    queries: &[Label],
    gallery: &[Label],
    threads: usize,
    fill: &(dyn Fn(usize, &mut [f64]) + Sync),
) -> Ranking {
    let labels = Gallery::new(gallery.to_vec());
    let queries = in_parallel(
        queries.len(),
        threads,
        || vec![0.0; gallery.len()],
        |row, at| {
            fill(at, row);
            rank_scores(row, queries[at], &labels)
        },
    );
    Ranking { queries }
}

/// `of(scratch, i)` for i in `0..count` in order, on `threads` threads with a scratch each.
pub(super) fn in_parallel<S, T: Send>(
    count: usize,
    threads: usize,
    scratch: impl Fn() -> S + Sync,
    of: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let run = || {
        let (mut scratch, mut own) = (scratch(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break own;
            }
            own.push((at, of(&mut scratch, at)));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(run)).collect();
        let mut all = run();
        for other in others {
            match other.join() {
                Ok(own) => all.extend(own),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    const QUERY: Label = Label { person: 7, camera: 1 };

    fn labels(labels: &[(i64, u32)]) -> Vec<Label> {
        labels.iter().map(|&(person, camera)| Label { person, camera }).collect()
    }

    #[test]
    fn junk_is_removed_and_distractors_are_wrong() {
        let gallery = labels(&[(7, 1), (-1, 2), (0, 2), (7, 2), (3, 2), (7, 3)]);
        let result = rank(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.4], QUERY, &gallery).unwrap();
        // After junk removal: distractor, match, other, match.
        assert_eq!(result.first_hit, 2);
        assert_eq!(result.inp, 2.0 / 4.0);
        assert_eq!(result.ap_standard, f64::midpoint(1.0 / 2.0, 2.0 / 4.0));
        let before_and_at = f64::midpoint(0.0, 1.0 / 2.0) + f64::midpoint(1.0 / 3.0, 2.0 / 4.0);
        assert!((result.ap - before_and_at / 2.0).abs() < 1e-15);
    }

    #[test]
    fn a_perfect_ranking_scores_one_everywhere() {
        let gallery = labels(&[(3, 1), (7, 2), (7, 3)]);
        let result = rank(&[0.1, 0.9, 0.8], QUERY, &gallery).unwrap();
        assert_eq!(
            (result.ap, result.ap_standard, result.inp, result.first_hit),
            (1.0, 1.0, 1.0, 1)
        );
    }

    #[test]
    fn a_query_without_match_has_no_result_but_counts_in_the_releases_map() {
        let gallery = labels(&[(7, 1), (3, 2), (7, 2)]);
        let queries = labels(&[(7, 1), (9, 1), (0, 1), (-1, 1)]);
        let ranking =
            rank_all(&queries, &gallery, 2, &|_, row| row.copy_from_slice(&[0.0, 0.0, 1.0]));
        assert_eq!(ranking.valid_queries(), 1);
        assert_eq!((ranking.map(), ranking.map_over_all_queries()), (1.0, 0.25));
        assert!(rank_all(&[], &[], 4, &|_, _| {}).map().is_nan());
    }

    #[test]
    fn the_order_leaves_junk_out_and_keeps_distractors() {
        let gallery = labels(&[(7, 1), (-1, 2), (0, 2), (7, 2), (3, 2)]);
        assert_eq!(order(&[0.9, 0.8, 0.5, 0.6, 0.7], QUERY, &gallery), [4, 3, 2]);
        assert!(is_match(QUERY, gallery[3]) && !is_match(QUERY, gallery[2]));
    }

    #[test]
    fn a_spread_goes_from_best_to_worst() {
        let values = [Some(0.2), None, Some(0.9), Some(0.5), Some(0.7), Some(0.2), Some(1.0)];
        assert_eq!(spread(&values, 3), [6, 4, 5]);
        assert_eq!(spread(&values, 1), [3]);
        assert_eq!(spread(&values, 9), [6, 2, 4, 3, 0, 5]);
        assert_eq!(spread(&values, 0), [0; 0]);
        assert_eq!(spread(&[None], 2), [0; 0]);
    }

    #[test]
    fn ties_keep_the_gallerys_order_and_nan_ranks_last() {
        let gallery = labels(&[(3, 2), (7, 2), (3, 3)]);
        assert_eq!(rank(&[0.5; 3], QUERY, &gallery).unwrap().first_hit, 2);
        assert_eq!(rank(&[f64::NAN, -9.0, 0.5], QUERY, &gallery).unwrap().first_hit, 2);
        assert_eq!(rank(&[0.0, -0.0, -1.0], QUERY, &gallery).unwrap().first_hit, 2);
        assert_eq!(rank(&[f64::NAN; 3], QUERY, &gallery).unwrap().first_hit, 2);
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let gallery: Vec<Label> =
            (0..300).map(|at| Label { person: at % 11, camera: at as u32 % 4 }).collect();
        let fill = |query: usize, row: &mut [f64]| {
            for (at, score) in row.iter_mut().enumerate() {
                *score = ((query * 31 + at * 17) % 101) as f64;
            }
        };
        let one = rank_all(&gallery[..40], &gallery, 1, &fill);
        for threads in [0, 2, 7] {
            assert_eq!(rank_all(&gallery[..40], &gallery, threads, &fill), one);
        }
    }
}
