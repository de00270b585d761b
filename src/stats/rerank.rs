//! k-reciprocal re-ranking (Zhong et al. 2017): photos that count each other among their nearest move closer
//! together. Products of features come from the caller, roughly; where they leave an order open, the exact
//! ones are computed here, so results are those of products summed in 64 bits.

use dgnet_loops::products::Number;

use super::places::{Row, rounded};
use super::quick::{RoughScores, in_tiles, product_margin};
use super::ranking::{Gallery, Label, Ranking, in_parallel, rank_row};

/// Settings of the re-ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rerank {
    /// Neighbours of which reciprocal ones are kept.
    pub k1: usize,
    /// Neighbours over which encodings are averaged; 1 for none.
    pub k2: usize,
    /// Share of the original distance in the final one.
    pub lambda: f64,
}

impl Default for Rerank {
    fn default() -> Self {
        Self { k1: 20, k2: 6, lambda: 0.3 }
    }
}

/// A row of few values, by ascending column.
type Sparse = Vec<(u32, f64)>;

/// Queries and a gallery, ready to give re-ranked distances row by row.
///
/// Memory is the features and a few hundred numbers per photo; no matrix of distances ever exists.
#[derive(Debug)]
pub struct Reranker<'a> {
    photos: Photos<'a>,
    averaged: Vec<Sparse>,
    /// By column: which gallery photos have a value there.
    columns: Vec<Sparse>,
    queries: usize,
    lambda: f64,
}

impl<'a> Reranker<'a> {
    /// Finds neighbours and encodes every photo by them, on `threads` threads. `rough` writes the products of
    /// photos (queries first) with all photos, in 32 bits at least.
    ///
    /// # Shapes
    /// `query`, `gallery`: rows of `dims`, each of unit length. What does not fill a row is ignored.
    #[must_use]
    pub fn new(
        query: &'a [f64],
        gallery: &'a [f64],
        dims: usize,
        settings: Rerank,
        threads: usize,
        rough: &RoughScores<'_>,
    ) -> Self {
        // without dimensions there are no photos
        let (query, gallery) = if dims == 0 { (&[][..], &[][..]) } else { (query, gallery) };
        let photos = Photos::new(query, gallery, dims.max(1), settings.k1, threads, rough);
        let encoded = in_parallel(
            photos.rows.len(),
            threads,
            || (),
            |(), at| encode(&photos, at, settings.k1),
        );
        let averaged = average(&photos, &encoded, settings.k2, threads);
        let queries = query.len() / dims.max(1);
        let columns = by_column(&averaged, queries);
        Self { photos, averaged, columns, queries, lambda: settings.lambda }
    }

    /// Gallery photos.
    #[must_use]
    pub fn gallery(&self) -> usize {
        self.photos.rows.len() - self.queries
    }

    /// Ranks the gallery for every query by re-ranked distance, on `threads` threads. `rough` writes the
    /// products of queries with gallery photos.
    #[must_use]
    pub fn rank(
        &self,
        queries: &[Label],
        gallery: &[Label],
        threads: usize,
        rough: &RoughScores<'_>,
    ) -> Ranking {
        let labels = Gallery::new(gallery.to_vec());
        let rank = |products: &[f32], at: usize| {
            let jaccard = self.jaccard(at);
            let nearness = |photo: usize, distance: f64| -self.distance(jaccard[photo], distance);
            let farthest = self.photos.farthest[at];
            let products = products.iter().enumerate();
            let (rough, rounding) =
                rounded(products.map(|(photo, product)| {
                    nearness(photo, squared(f64::from(*product)) / farthest)
                }));
            let exact = |photo| nearness(photo, self.photos.distance(at, self.queries + photo));
            // the weighted sum's own roundings: fewer than eight, of numbers below four (where `farthest` is tiny they
            // are larger, and so is the first term)
            let margin =
                self.lambda.abs() * 2.0 * self.photos.margin / farthest + 32.0 * f64::EPSILON;
            let row = Row { rough: &rough, margin: margin + rounding, exact: &exact };
            rank_row(&row, queries[at], &labels)
        };
        Ranking { queries: in_tiles([queries.len(), gallery.len()], threads, rough, &rank) }
    }

    /// Re-ranked distances of one query to every gallery photo; smaller is nearer.
    #[must_use]
    pub fn distances(&self, query: usize) -> Vec<f64> {
        let jaccard = self.jaccard(query).into_iter().zip(self.queries..);
        jaccard
            .map(|(jaccard, photo)| self.distance(jaccard, self.photos.distance(query, photo)))
            .collect()
    }

    fn distance(&self, jaccard: f64, original: f64) -> f64 {
        (1.0 - self.lambda) * jaccard + self.lambda * original
    }

    /// Jaccard distances of one query to every gallery photo.
    fn jaccard(&self, query: usize) -> Vec<f64> {
        let mut row = vec![0.0; self.gallery()];
        for &(column, value) in &self.averaged[query] {
            for &(photo, other) in &self.columns[column as usize] {
                row[photo as usize] += value.min(other);
            }
        }
        for common in &mut row {
            *common = 1.0 - *common / (2.0 - *common);
        }
        row
    }
}

/// Re-ranked distances of every query to every gallery photo, all at once, with products of its own.
///
/// # Shapes
/// `query`, `gallery`: rows of `dims`, each of unit length; the result: queries x gallery, row-major.
/// What does not fill a row is ignored.
#[must_use]
pub fn rerank(
    query: &[f64],
    gallery: &[f64],
    dims: usize,
    settings: Rerank,
    threads: usize,
) -> Vec<f64> {
    let rows: Vec<&[f64]> =
        [query, gallery].iter().flat_map(|rows| rows.chunks_exact(dims.max(1))).collect();
    let rough = |from: usize, products: &mut [f32]| {
        for (products, one) in products.chunks_exact_mut(rows.len().max(1)).zip(&rows[from..]) {
            for (product, other) in products.iter_mut().zip(&rows) {
                *product = f64::dot(one, other) as f32;
            }
        }
    };
    let reranker = Reranker::new(query, gallery, dims, settings, threads, &rough);
    let row = |(): &mut (), at| reranker.distances(at);
    in_parallel(reranker.queries, threads, || (), row).concat()
}

/// Queries, then gallery, with the nearest neighbours of each.
#[derive(Debug)]
struct Photos<'a> {
    rows: Vec<&'a [f64]>,
    /// Largest squared distance from each photo.
    farthest: Vec<f64>,
    /// The first k1 + 1 photos from each, itself included, nearest first.
    nearest: Vec<Vec<usize>>,
    /// How far a rough product may be from the exact one.
    margin: f64,
}

impl<'a> Photos<'a> {
    fn new(
        query: &'a [f64],
        gallery: &'a [f64],
        dims: usize,
        k1: usize,
        threads: usize,
        rough: &RoughScores<'_>,
    ) -> Self {
        let rows: Vec<&[f64]> =
            query.chunks_exact(dims).chain(gallery.chunks_exact(dims)).collect();
        // lengths are 1 but for rounding
        let margin = product_margin(dims, [1.0 + 1e-6; 2]);
        let look = |products: &[f32], from: usize| {
            look(products, margin, k1, |to| squared(f64::dot(rows[from], rows[to])))
        };
        let looked = in_tiles([rows.len(); 2], threads, rough, &look);
        let (farthest, nearest) = looked.into_iter().unzip();
        Self { rows, farthest, nearest, margin }
    }

    /// Squared distance, as a share of the largest one from `from`.
    fn distance(&self, from: usize, to: usize) -> f64 {
        squared(f64::dot(self.rows[from], self.rows[to])) / self.farthest[from]
    }

    fn nearest(&self, of: usize, k: usize) -> &[usize] {
        &self.nearest[of][..self.nearest[of].len().min(k.saturating_add(1))]
    }

    /// Photos among the k nearest of `of` that count it among theirs.
    fn reciprocal(&self, of: usize, k: usize) -> Vec<usize> {
        let mutual = |other: &usize| self.nearest(*other, k).contains(&of);
        self.nearest(of, k).iter().copied().filter(mutual).collect()
    }
}

/// The largest squared distance from a photo and its k1 + 1 nearest photos, equal ones in order and those without a
/// number last, given the rough products with all photos. Only photos are measured exactly that a product within the margin may put first or last.
fn look(
    products: &[f32],
    margin: f64,
    k1: usize,
    exact: impl Fn(usize) -> f64,
) -> (f64, Vec<usize>) {
    let mut order = products.to_vec();
    let known = order.iter().all(|product| product.is_finite());
    // largest first
    let (least, nearest) = match order.len() {
        0 => (0.0, 0.0),
        count => {
            let (_, nearest, rest) =
                order.select_nth_unstable_by(k1.min(count - 1), |a, b| b.total_cmp(a));
            (rest.iter().copied().fold(*nearest, f32::min), *nearest)
        }
    };
    let may_be = |product: f64| {
        let is_nearest = product >= f64::from(nearest) - 2.0 * margin;
        (is_nearest, product <= f64::from(least) + 2.0 * margin)
    };
    let mut farthest = f64::MIN_POSITIVE;
    let mut near = Vec::new();
    for (at, product) in products.iter().enumerate() {
        let (is_nearest, is_farthest) = may_be(f64::from(*product));
        if is_nearest || is_farthest || !known {
            let distance = exact(at);
            farthest = farthest.max(distance);
            near.push((if distance.is_nan() { f64::INFINITY } else { distance }, at));
        }
    }
    near.sort_unstable_by(|(one, first), (other, second)| {
        one.total_cmp(other).then(first.cmp(second))
    });
    near.truncate(k1.saturating_add(1));
    (farthest, near.into_iter().map(|(_, at)| at).collect())
}

/// The squared distance of two points of unit length from their product.
fn squared(product: f64) -> f64 {
    2.0 - 2.0 * product
}

/// The photo as a weighting of its expanded reciprocal neighbours, summing to 1.
fn encode(photos: &Photos, at: usize, k1: usize) -> Sparse {
    let core = photos.reciprocal(at, k1);
    let half = (k1 as f64 / 2.0).round_ties_even() as usize;
    let mut members = core.clone();
    for &candidate in &core {
        let theirs = photos.reciprocal(candidate, half);
        let shared = theirs.iter().filter(|photo| core.contains(photo)).count();
        if 3 * shared > 2 * theirs.len() {
            members.extend(theirs);
        }
    }
    members.sort_unstable();
    members.dedup();
    let mut row: Sparse =
        members.into_iter().map(|to| (to as u32, (-photos.distance(at, to)).exp())).collect();
    let sum: f64 = row.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut row {
        *weight /= sum;
    }
    row
}

/// Every row's mean over the first k2 photos from it.
fn average(photos: &Photos, rows: &[Sparse], k2: usize, threads: usize) -> Vec<Sparse> {
    in_parallel(
        rows.len(),
        threads,
        || vec![0.0; rows.len()],
        |sums, at| {
            let near = photos.nearest(at, k2.max(1) - 1);
            let mut touched = Vec::new();
            for &photo in near {
                for &(column, weight) in &rows[photo] {
                    touched.push(column);
                    sums[column as usize] += weight / near.len() as f64;
                }
            }
            touched.sort_unstable();
            touched.dedup();
            let take = |column: u32| (column, std::mem::take(&mut sums[column as usize]));
            touched.into_iter().map(take).collect()
        },
    )
}

/// The gallery's rows by column: which photos have a value there, counted from the first gallery photo.
fn by_column(rows: &[Sparse], queries: usize) -> Vec<Sparse> {
    let mut columns = vec![Sparse::new(); rows.len()];
    for (photo, row) in rows[queries..].iter().enumerate() {
        for &(column, value) in row {
            columns[column as usize].push((photo as u32, value));
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Unit vectors in the plane, by angle in degrees.
    fn at(angles: &[f64]) -> Vec<f64> {
        angles
            .iter()
            .flat_map(|angle| [angle.to_radians().cos(), angle.to_radians().sin()])
            .collect()
    }

    #[test]
    fn a_neighbour_of_neighbours_beats_an_equally_near_stranger() {
        // 10 and -10 are equally far from the query at 0; 10 stands in the query's crowd.
        let gallery = at(&[10.0, -10.0, 3.0, 5.0, 7.0, -12.0, -13.0, -14.0, -15.0, 90.0]);
        let settings = Rerank { k1: 4, k2: 1, lambda: 0.3 };
        let distances = rerank(&at(&[0.0]), &gallery, 2, settings, 2);
        assert_eq!(distances.len(), 10);
        assert!(distances[0] < distances[1], "{distances:?}");
    }

    #[test]
    fn lambda_one_keeps_the_original_order_and_threads_change_nothing() {
        let (query, gallery) = (at(&[0.0, 40.0]), at(&[30.0, 2.0, 100.0, 55.0, -20.0]));
        let settings = Rerank { k1: 3, k2: 2, lambda: 1.0 };
        let one = rerank(&query, &gallery, 2, settings, 1);
        assert!(one[1] < one[4] && one[4] < one[0] && one[0] < one[3] && one[3] < one[2]);
        assert_eq!(rerank(&query, &gallery, 2, settings, 5), one);
    }

    #[test]
    fn few_photos_and_none_do_not_panic() {
        let settings = Rerank::default();
        assert!(rerank(&[], &[], 2, settings, 2).is_empty());
        assert!(rerank(&at(&[1.0]), &[], 2, settings, 2).is_empty());
        assert!(rerank(&at(&[1.0]), &at(&[2.0]), 0, settings, 2).is_empty());
        let two = rerank(&at(&[1.0]), &at(&[2.0, 3.0]), 2, Rerank { k1: 0, k2: 0, lambda: 0.3 }, 2);
        assert!(two.iter().all(|distance| distance.is_finite()), "{two:?}");
        assert_eq!(rerank(&at(&[1.0]), &at(&[1.0]), 2, settings, 2).len(), 1);
    }

    #[test]
    fn every_two_photos_are_compared() {
        // 75 photos on a circle: without neighbours and with lambda 1 the distance is the plain one
        let angles: Vec<f64> = (0..75).map(|photo| f64::from(photo) * 4.7).collect();
        let gallery = at(&angles);
        let settings = Rerank { k1: 1, k2: 1, lambda: 1.0 };
        let distances = rerank(&at(&[0.0, 90.0]), &gallery, 2, settings, 3);
        for (query, turn) in [(0, 0.0_f64), (1, 90.0)] {
            for (photo, angle) in angles.iter().enumerate() {
                let plain = 2.0 - 2.0 * (angle - turn).to_radians().cos();
                let got = distances[query * 75 + photo] * 4.0;
                assert!((got - plain).abs() < 0.01, "{query} {photo}: {got} is not {plain}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rough_products_give_the_neighbours_of_exact_ones(
            photos in proptest::collection::vec((prop_oneof![-1.0..1.0_f64, (-3..3_i32).prop_map(f64::from)], -1.0..1.0_f64), 0..60),
            margin in 1e-6..0.2_f64,
            k1 in 0..12_usize,
        ) {
            let rough: Vec<f32> =
                photos.iter().map(|(product, off)| (product + off * margin * 0.5) as f32).collect();
            let distance = |at: usize| squared(photos[at].0);
            let mut sorted: Vec<usize> = (0..photos.len()).collect();
            sorted.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
            let farthest = sorted.last().map_or(f64::MIN_POSITIVE, |at| distance(*at).max(f64::MIN_POSITIVE));
            sorted.truncate(k1 + 1);
            // half the margin is for rounding to 32 bits
            prop_assert_eq!(look(&rough, margin + 1e-6, k1, distance), (farthest, sorted));
        }
    }

    #[test]
    fn ranking_is_by_the_distances() {
        let (query, gallery) = (at(&[0.0, 40.0]), at(&[30.0, 2.0, 100.0, 55.0, -20.0, 41.0]));
        let settings = Rerank { k1: 3, k2: 2, lambda: 0.3 };
        let label = |person, camera| Label { person, camera };
        let queries = [label(1, 1), label(2, 1)];
        let labels: Vec<Label> = (0..6).map(|at| label(1 + at % 2, 2)).collect();
        let rows: Vec<f64> = [query.clone(), gallery.clone()].concat();
        let (one, all): (Vec<&[f64]>, Vec<&[f64]>) =
            (query.chunks_exact(2).collect(), rows.chunks_exact(2).collect());
        let rough = |rows: &[&[f64]], columns: &[&[f64]], products: &mut [f32]| {
            let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
            for (product, (row, column)) in products.iter_mut().zip(pairs) {
                *product = f64::dot(row, column) as f32;
            }
        };
        let among = |from: usize, products: &mut [f32]| rough(&all[from..], &all, products);
        let across = |from: usize, products: &mut [f32]| rough(&one[from..], &all[2..], products);
        let reranker = Reranker::new(&query, &gallery, 2, settings, 2, &among);
        let ranking = reranker.rank(&queries, &labels, 2, &across);
        for (at, label) in queries.iter().enumerate() {
            let scores: Vec<f64> =
                reranker.distances(at).iter().map(|distance| -distance).collect();
            assert_eq!(ranking.queries[at], crate::stats::ranking::rank(&scores, *label, &labels));
        }
    }
}
