//! Ranking a gallery for many queries where there is a quick and rough way to all scores: a tile of queries at a time
//! roughly, then closer scores of photos that this left open, and exact ones of those that are open still; and the same camera by
//! camera. The result is that of the exact scores. What is measured on a ranking is `ranking`'s, and which photos stay open is `places`'s.

use std::collections::BTreeMap;

use dgnet_loops::products::Pair;
use dgnet_loops::whole::TALL;

use super::gallery::{Gallery, Label};
use super::places::{Places, Row};
use super::ranking::{CameraPair, Ranked, Ranking, in_parallel, of_hits, rank_row};

/// Scores of queries with gallery photos, for which there is also a quick and rough way.
pub trait Scores: Sync {
    /// How far a rough score of a query may be from the exact one.
    fn margin(&self, query: usize) -> f64;
    /// How far a closer score of a query may be from the exact one; `None` where there are no closer scores.
    fn closer_margin(&self, query: usize) -> Option<f64>;
    /// Scores that take less than the exact ones, one a pair in their order; one that is not finite says nothing.
    fn closer(&self, pairs: &[Pair]) -> Vec<f32>;
    /// The exact score, which alone decides.
    fn exact(&self, query: usize, photo: usize) -> f64;
}

/// How far a product of two features in 32 bits may be from the exact one, by the `lengths` of both: each is
/// rounded, and so is a sum of `dims` products in any order (Higham, Accuracy and Stability of Numerical
/// Algorithms, 3.1, and Cauchy-Schwarz); numbers too small for 32 bits are lost.
#[must_use]
pub fn product_margin(dims: usize, [one, other]: [f64; 2]) -> f64 {
    rounded_margin(dims, dims + 4, [one, other])
}

/// The same where no term of the sum goes through more than so many `roundings`.
#[must_use]
pub fn rounded_margin(dims: usize, roundings: usize, [one, other]: [f64; 2]) -> f64 {
    let roundings = roundings as f64 * f64::from(f32::EPSILON) / 2.0;
    let lost = dims as f64 * (one + other + 1.0) * f64::from(f32::MIN_POSITIVE);
    roundings / (1.0 - roundings) * one * other + lost
}

/// Writes rough scores of the queries from a given one on with every gallery photo, row by row, until the
/// slice is full.
pub type RoughScores<'a> = dyn Fn(usize, &mut [f32]) + 'a;

/// As [`super::ranking::rank_all`], with rough scores for most of it. The result is that of the exact scores.
#[must_use]
pub fn rank_quickly(
    queries: &[Label],
    gallery: &[Label],
    threads: usize,
    rough: &RoughScores<'_>,
    scores: &dyn Scores,
) -> Ranking {
    rank_in_parts(queries, gallery, threads, rough, scores, HELD)
}

/// As [`rank_quickly`]; queries wait for closer scores until they hold as many numbers.
fn rank_in_parts(
    queries: &[Label],
    gallery: &[Label],
    threads: usize,
    rough: &RoughScores<'_>,
    scores: &dyn Scores,
    most: usize,
) -> Ranking {
    let labels = Gallery::new(gallery.to_vec());
    let places = |rough: &[f32], at: usize| {
        let exact = |photo| scores.exact(at, photo);
        Places::new(&Row { rough, margin: scores.margin(at), exact: &exact }, queries[at], &labels)
    };
    let (mut ranked, mut waiting, mut held) = (Vec::with_capacity(queries.len()), Vec::new(), 0);
    let mut close = |waiting: Vec<Places>| {
        let from = ranked.len();
        let waiting = settle_closer(waiting, from, gallery.len(), threads, scores);
        let rank = |at: usize| {
            let exact = |photo| scores.exact(from + at, photo);
            of_hits(&waiting[at].ranks(&exact))
        };
        ranked.extend(in_parallel(waiting.len(), threads, || (), |(), at| rank(at)));
    };
    tiles([queries.len(), gallery.len()], threads, rough, &places, &mut |tile| {
        held += tile.iter().map(Places::held).sum::<usize>();
        waiting.extend(tile);
        if held >= most {
            close(std::mem::take(&mut waiting));
            held = 0;
        }
    });
    close(waiting);
    Ranking { queries: ranked }
}

/// Numbers of 32 bits, most of them photos left open, that wait for closer scores, and what the last tile adds. The more, the more
/// often a photo's features are needed while they are at hand.
const HELD: usize = 4 << 20;
/// Photos whose features are at hand together: half of a common second cache, of 1,024 features each.
const AT_HAND: usize = 128;

/// `None` where closer scores would tell nothing.
fn closer_margin(scores: &dyn Scores, query: usize) -> Option<f64> {
    scores.closer_margin(query).filter(|margin| margin.is_finite())
}

/// Closes what closer scores tell of the photos left open by queries from a given one on. Pairs are scored by blocks of photos,
/// since each row comes from memory otherwise.
fn settle_closer(
    mut waiting: Vec<Places>,
    from: usize,
    photos: usize,
    threads: usize,
    scores: &dyn Scores,
) -> Vec<Places> {
    let mut blocks: Vec<Vec<Pair>> = vec![Vec::new(); photos.div_ceil(AT_HAND)];
    for (query, places) in (from..).zip(&waiting) {
        if closer_margin(scores, query).is_some() {
            for photo in places.open() {
                blocks[*photo as usize / AT_HAND].push([query as u32, *photo]);
            }
        }
    }
    let closer = |at: usize| scores.closer(&blocks[at]).into_iter();
    let mut closer = in_parallel(blocks.len(), threads, || (), |(), at| closer(at));
    // a query's photos are in ascending order, and so are a block's queries
    for (query, places) in (from..).zip(&mut waiting) {
        if let Some(margin) = closer_margin(scores, query) {
            let score = |photo: &u32| closer[*photo as usize / AT_HAND].next().unwrap_or(f32::NAN);
            let scores: Vec<f32> = places.open().iter().map(score).collect();
            places.settle(&scores, margin);
        }
    }
    waiting
}

/// Every pair of cameras with a usable query, by query camera, then gallery camera.
#[must_use]
pub fn camera_pairs(
    queries: &[Label],
    gallery: &[Label],
    threads: usize,
    rough: &RoughScores<'_>,
    scores: &dyn Scores,
) -> Vec<CameraPair> {
    let cameras = Camera::all(gallery);
    let rank = |rough: &[f32], at: usize| {
        let exact = |photo| scores.exact(at, photo);
        let row = Row { rough, margin: scores.margin(at), exact: &exact };
        rank_by_camera(&row, queries[at], &cameras)
    };
    let ranked = in_tiles([queries.len(), gallery.len()], threads, rough, &rank);
    let mut pairs: BTreeMap<(u32, u32), Vec<Ranked>> = BTreeMap::new();
    for (query, cameras) in queries.iter().zip(ranked) {
        for (camera, ranked) in cameras {
            pairs.entry((query.camera, camera)).or_default().push(ranked);
        }
    }
    let pair = |((query_camera, gallery_camera), ranked): (_, Vec<Ranked>)| {
        let ranking = Ranking { queries: ranked.into_iter().map(Some).collect() };
        CameraPair {
            query_camera,
            gallery_camera,
            queries: ranking.valid_queries(),
            rank1: ranking.rank(1),
            map: ranking.map(),
        }
    };
    pairs.into_iter().map(pair).collect()
}

/// The photos of one camera of the gallery.
struct Camera {
    name: u32,
    photos: Vec<u32>,
    own: Gallery,
}

impl Camera {
    fn all(gallery: &[Label]) -> Vec<Self> {
        let mut cameras: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (label, at) in gallery.iter().zip(0..) {
            cameras.entry(label.camera).or_default().push(at);
        }
        let camera = |(name, photos): (u32, Vec<u32>)| {
            let labels = photos.iter().map(|at| gallery[*at as usize]).collect();
            Self { name, photos, own: Gallery::new(labels) }
        };
        cameras.into_iter().map(camera).collect()
    }
}

/// As [`rank_row`], for each camera of the gallery alone: the camera, and how its photos were ranked.
/// Cameras without a true match are left out.
fn rank_by_camera(row: &Row<'_>, query: Label, cameras: &[Camera]) -> Vec<(u32, Ranked)> {
    let rank = |Camera { name, photos, own }: &Camera| {
        let rough: Vec<f32> = photos.iter().map(|at| row.rough[*at as usize]).collect();
        let exact = |at: usize| (row.exact)(photos[at] as usize);
        let row = Row { rough: &rough, margin: row.margin, exact: &exact };
        Some((*name, rank_row(&row, query, own)?))
    };
    cameras.iter().filter_map(rank).collect()
}

/// Rough scores held at once, about: 32 MiB.
const TILE: usize = 8 << 20;

/// `of(rough scores, i)` for every query i in order, on `threads` threads, a tile of rough scores at a time.
pub(super) fn in_tiles<T: Send>(
    size: [usize; 2],
    threads: usize,
    rough: &RoughScores<'_>,
    of: &(dyn Fn(&[f32], usize) -> T + Sync),
) -> Vec<T> {
    let mut all = Vec::with_capacity(size[0]);
    tiles(size, threads, rough, of, &mut |tile| all.extend(tile));
    all
}

/// As [`in_tiles`], for which each tile's results are `taken` in turn.
fn tiles<T: Send>(
    [queries, photos]: [usize; 2],
    threads: usize,
    rough: &RoughScores<'_>,
    of: &(dyn Fn(&[f32], usize) -> T + Sync),
    taken: &mut dyn FnMut(Vec<T>),
) {
    let height = (TILE / photos.max(1)).clamp(1, queries.max(1)).next_multiple_of(TALL);
    let mut tile = vec![0.0_f32; height * photos];
    for from in (0..queries).step_by(height) {
        let rows = height.min(queries - from);
        rough(from, &mut tile[..rows * photos]);
        let row = |at: usize| &tile[at * photos..(at + 1) * photos];
        taken(in_parallel(rows, threads, || (), |(), at| of(row(at), from + at)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;
    use crate::stats::places::rounded;
    use crate::stats::ranking::rank;

    const QUERY: Label = Label { person: 7, camera: 1 };

    fn labels(labels: &[(i64, u32)]) -> Vec<Label> {
        labels.iter().map(|&(person, camera)| Label { person, camera }).collect()
    }

    /// The same scores for every query, known within a hundredth.
    struct Same<'a>(&'a [f64]);

    impl Same<'_> {
        fn rough(&self, from: usize, rows: &mut [f32]) {
            for (at, row) in rows.chunks_exact_mut(self.0.len()).enumerate() {
                for (rough, score) in row.iter_mut().zip(self.0) {
                    *rough = (score + 0.009 * f64::from((from + at) as i32 % 3 - 1)) as f32;
                }
            }
        }
    }

    impl Scores for Same<'_> {
        fn margin(&self, _: usize) -> f64 {
            0.01
        }

        fn closer_margin(&self, _: usize) -> Option<f64> {
            Some(1e-3)
        }

        fn closer(&self, pairs: &[Pair]) -> Vec<f32> {
            pairs.iter().map(|[_, photo]| (self.0[*photo as usize] + 9e-4) as f32).collect()
        }

        fn exact(&self, _: usize, photo: usize) -> f64 {
            self.0[photo]
        }
    }

    #[test]
    fn queries_that_need_several_tiles_are_all_ranked() {
        let gallery = labels(&[(3, 2), (7, 2), (4, 2)]).repeat(TILE / 12);
        let scores: Vec<f64> = (0..gallery.len()).map(|at| (at * 17 % 101) as f64).collect();
        let queries = labels(&[(7, 1), (3, 1), (9, 1)]).repeat(3);
        let same = Same(&scores);
        let rough = |from, rows: &mut [f32]| same.rough(from, rows);
        let ranking = rank_quickly(&queries, &gallery, 2, &rough, &same);
        let each: Vec<_> = queries.iter().map(|query| rank(&scores, *query, &gallery)).collect();
        assert_eq!(ranking.queries, each);
    }

    #[test]
    fn queries_that_wait_for_others_are_ranked_as_if_alone() {
        /// Scores that differ by query and photo.
        struct Each(usize);
        impl Each {
            fn score(&self, query: usize, photo: usize) -> f64 {
                ((query * 7919 + photo * 104_729) % self.0) as f64 / self.0 as f64
            }
        }
        impl Scores for Each {
            fn margin(&self, _: usize) -> f64 {
                0.05
            }
            fn closer_margin(&self, query: usize) -> Option<f64> {
                [Some(1e-4), None, Some(f64::NAN), Some(1e-3)][query % 4]
            }
            fn closer(&self, pairs: &[Pair]) -> Vec<f32> {
                let score = |[query, photo]: &Pair| self.score(*query as usize, *photo as usize);
                pairs.iter().map(|pair| (score(pair) + 9e-5) as f32).collect()
            }
            fn exact(&self, query: usize, photo: usize) -> f64 {
                self.score(query, photo)
            }
        }
        let label = |at: usize| Label { person: at as i64 % 23, camera: at as u32 % 3 };
        let gallery: Vec<Label> = (0..50_000).map(label).collect();
        let queries: Vec<Label> = (0..400).map(|at| Label { camera: 9, ..label(at) }).collect();
        let each = Each(100_003);
        let rough = |from: usize, rows: &mut [f32]| {
            for (at, row) in rows.chunks_exact_mut(gallery.len()).enumerate() {
                for (photo, rough) in row.iter_mut().enumerate() {
                    *rough = (each.score(from + at, photo) + 0.049) as f32;
                }
            }
        };
        let rank = |most| rank_in_parts(&queries, &gallery, 2, &rough, &each, most).queries;
        let fill = |query: usize, row: &mut [f64]| {
            for (photo, score) in row.iter_mut().enumerate() {
                *score = each.score(query, photo);
            }
        };
        let all = crate::stats::ranking::rank_all(&queries, &gallery, 2, &fill).queries;
        assert!(rank(1) == all && rank(usize::MAX) == all);
    }

    #[test]
    fn closer_scores_leave_few_photos_to_exact_ones() {
        struct Asked<'a>(Same<'a>, std::sync::atomic::AtomicUsize);
        impl Scores for Asked<'_> {
            fn margin(&self, query: usize) -> f64 {
                self.0.margin(query)
            }
            fn closer_margin(&self, query: usize) -> Option<f64> {
                self.0.closer_margin(query)
            }
            fn closer(&self, pairs: &[Pair]) -> Vec<f32> {
                self.0.closer(pairs)
            }
            fn exact(&self, query: usize, photo: usize) -> f64 {
                self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.0.exact(query, photo)
            }
        }
        let gallery: Vec<Label> =
            (0..1000).map(|at| Label { person: at % 100, camera: 2 }).collect();
        let scores: Vec<f64> = (0..1000).map(|at| f64::from(at * 617 % 1009) / 1009.0).collect();
        let queries = labels(&[(7, 1), (33, 1)]);
        let asked = Asked(Same(&scores), 0.into());
        let rough = |from, rows: &mut [f32]| asked.0.rough(from, rows);
        let ranking = rank_quickly(&queries, &gallery, 2, &rough, &asked);
        let each: Vec<_> = queries.iter().map(|query| rank(&scores, *query, &gallery)).collect();
        assert_eq!(ranking.queries, each);
        // ten matches a query, and one or two photos within a thousandth of each
        assert!(asked.1.into_inner() <= 2 * (10 + 10 * 3));
    }

    #[test]
    fn cameras_are_ranked_alone_and_pairs_average_over_their_queries() {
        let gallery = labels(&[(3, 2), (7, 2), (7, 1), (0, 3), (7, 3), (3, 3), (-1, 3)]);
        let scores = [0.9, 0.8, 0.99, 0.7, 0.6, 0.1, 1.0];
        let (rough, margin) = rounded(scores.iter().copied());
        let row = Row { rough: &rough, margin, exact: &|at| scores[at] };
        let cameras = rank_by_camera(&row, QUERY, &Camera::all(&gallery));
        let found: Vec<_> = cameras.iter().map(|(camera, r)| (*camera, r.first_hit)).collect();
        // camera 1 is the query's own; under 2 one other photo is nearer, under 3 one distractor
        assert_eq!(found, [(2, 2), (3, 2)]);
        let queries = labels(&[(7, 1), (3, 1), (9, 1)]);
        let same = Same(&scores);
        let rough = |from, rows: &mut [f32]| same.rough(from, rows);
        let pairs = camera_pairs(&queries, &gallery, 2, &rough, &same);
        let [second, third] = pairs.as_slice() else { panic!("{pairs:?}") };
        assert_eq!((second.query_camera, second.gallery_camera, second.queries), (1, 2, 2));
        assert_eq!(second.rank1, 0.5, "person 3 comes first under camera 2, person 7 does not");
        assert_eq!((third.gallery_camera, third.queries, third.rank1), (3, 2, 0.0));
        assert!(second.map > third.map);
    }
}
