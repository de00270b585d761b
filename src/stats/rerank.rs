//! k-reciprocal re-ranking (Zhong et al. 2017) on plain slices: photos that count each other among their
//! nearest move closer together. Person and camera labels are not known here.

use super::ranking::in_parallel;

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

/// Rows whose distances to all photos are computed at once: each photo is then read from memory once for
/// all of them.
const TILE: usize = 16;
/// Photos of a tile's inner block, so that they stay in the nearest cache.
const BLOCK: usize = 32;

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
    /// Finds neighbours and encodes every photo by them, on `threads` threads.
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
    ) -> Self {
        // without dimensions there are no photos
        let (query, gallery) = if dims == 0 { (&[][..], &[][..]) } else { (query, gallery) };
        let photos = Photos::new(query, gallery, dims.max(1), settings.k1, threads);
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

    /// Re-ranked distances of one query to every gallery photo; smaller is nearer.
    ///
    /// # Shapes
    /// `row`: one number a gallery photo.
    pub fn distances(&self, query: usize, row: &mut [f64]) {
        row.fill(0.0);
        for &(column, value) in &self.averaged[query] {
            for &(photo, other) in &self.columns[column as usize] {
                row[photo as usize] += value.min(other);
            }
        }
        for (common, photo) in row.iter_mut().zip(self.queries..) {
            let jaccard = 1.0 - *common / (2.0 - *common);
            *common =
                (1.0 - self.lambda) * jaccard + self.lambda * self.photos.distance(query, photo);
        }
    }
}

/// Re-ranked distances of every query to every gallery photo, all at once.
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
    let reranker = Reranker::new(query, gallery, dims, settings, threads);
    let row = |(): &mut (), at| {
        let mut row = vec![0.0; reranker.gallery()];
        reranker.distances(at, &mut row);
        row
    };
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
}

impl<'a> Photos<'a> {
    fn new(query: &'a [f64], gallery: &'a [f64], dims: usize, k1: usize, threads: usize) -> Self {
        let rows: Vec<&[f64]> =
            query.chunks_exact(dims).chain(gallery.chunks_exact(dims)).collect();
        let tiles: Vec<&[&[f64]]> = rows.chunks(TILE).collect();
        let looked = in_parallel(
            tiles.len(),
            threads,
            || (vec![0.0; TILE * rows.len()], Vec::with_capacity(rows.len())),
            |(distances, order), at| {
                fill_tile(tiles[at], &rows, distances);
                let of_tile = distances.chunks_exact(rows.len()).take(tiles[at].len());
                of_tile.map(|distances| look(distances, order, k1)).collect::<Vec<_>>()
            },
        );
        let (farthest, nearest) = looked.into_iter().flatten().unzip();
        Self { rows, farthest, nearest }
    }

    /// Squared distance, as a share of the largest one from `from`.
    fn distance(&self, from: usize, to: usize) -> f64 {
        squared(self.rows[from], self.rows[to]) / self.farthest[from]
    }

    fn nearest(&self, of: usize, k: usize) -> &[usize] {
        &self.nearest[of][..self.nearest[of].len().min(k + 1)]
    }

    /// Photos among the k nearest of `of` that count it among theirs.
    fn reciprocal(&self, of: usize, k: usize) -> Vec<usize> {
        let mutual = |other: &usize| self.nearest(*other, k).contains(&of);
        self.nearest(of, k).iter().copied().filter(mutual).collect()
    }
}

/// Squared distances from the rows of a tile to all rows, tile row after tile row.
fn fill_tile(tile: &[&[f64]], rows: &[&[f64]], distances: &mut [f64]) {
    for (block, photos) in rows.chunks(BLOCK).enumerate() {
        for (row, from) in distances.chunks_exact_mut(rows.len()).zip(tile) {
            for (distance, to) in row[block * BLOCK..].iter_mut().zip(photos) {
                *distance = squared(from, to);
            }
        }
    }
}

/// The largest distance of a row and its k1 + 1 nearest photos; `order` is room to sort in.
fn look(distances: &[f64], order: &mut Vec<usize>, k1: usize) -> (f64, Vec<usize>) {
    let farthest = distances.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let nearer = |left: &usize, right: &usize| {
        distances[*left].total_cmp(&distances[*right]).then(left.cmp(right))
    };
    order.clear();
    order.extend(0..distances.len());
    if k1 + 1 < order.len() {
        order.select_nth_unstable_by(k1, nearer);
        order.truncate(k1 + 1);
    }
    order.sort_unstable_by(nearer);
    (farthest, order.clone())
}

fn squared(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (left, right) = (left.chunks_exact(4), right.chunks_exact(4));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f64 = rest.map(|(l, r)| l * r).sum();
    for (left, right) in left.zip(right) {
        for lane in 0..4 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    2.0 - 2.0 * (sums.iter().sum::<f64>() + rest)
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
#[allow(clippy::print_stderr)]
mod tests {
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
    fn more_photos_than_a_tile_and_a_block_are_all_compared() {
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

    /// `cargo test --release --lib -- --ignored market_size --nocapture`
    #[test]
    #[ignore = "minutes: 3,368 queries and 19,732 photos of 256 dimensions, to measure time and memory"]
    fn market_size() {
        const DIMS: usize = 256;
        // any well-mixed numbers will do (splitmix64)
        let mixed = |at: u64| {
            let mut z = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        let features = |rows: std::ops::Range<u64>| {
            let row = |at: u64| {
                let from = at * DIMS as u64;
                let row: Vec<f64> = (from..from + DIMS as u64).map(mixed).collect();
                let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                row.into_iter().map(move |value| value / norm)
            };
            rows.flat_map(row).collect::<Vec<f64>>()
        };
        let (query, gallery) = (features(1..3_369), features(3_369..23_101));
        let began = std::time::Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let reranker = Reranker::new(&query, &gallery, DIMS, Rerank::default(), threads);
        let mut row = vec![0.0; reranker.gallery()];
        let mut sum = 0.0;
        for at in 0..3_368 {
            reranker.distances(at, &mut row);
            sum += row.iter().sum::<f64>();
        }
        assert!(sum.is_finite());
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        eprintln!("{:.0} s on {threads} threads, {peak}", began.elapsed().as_secs_f64());
    }
}
