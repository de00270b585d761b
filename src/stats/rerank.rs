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
type Sparse = Vec<(usize, f64)>;

/// Re-ranked distances of every query to every gallery photo; smaller is nearer.
///
/// Memory is `queries * gallery` numbers and a few dozen per photo: the distances among the gallery are
/// used row by row and not kept.
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
    if dims == 0 {
        return Vec::new();
    }
    let photos = Photos::new(query, gallery, dims, settings.k1, threads);
    let encoded =
        in_parallel(photos.rows.len(), threads, || (), |(), at| encode(&photos, at, settings.k1));
    let averaged = average(&photos, &encoded, settings.k2, threads);
    let queries = query.len() / dims;
    let columns = by_column(&averaged, queries);
    let rows = in_parallel(
        queries,
        threads,
        || (),
        |(), at| {
            let mut common = vec![0.0; photos.rows.len() - queries];
            for &(column, value) in &averaged[at] {
                for &(photo, other) in &columns[column] {
                    common[photo] += value.min(other);
                }
            }
            let finals = common.iter().zip(queries..).map(|(common, photo)| {
                let jaccard = 1.0 - common / (2.0 - common);
                (1.0 - settings.lambda) * jaccard + settings.lambda * photos.distance(at, photo)
            });
            finals.collect::<Vec<f64>>()
        },
    );
    rows.concat()
}

/// Queries, then gallery, with the nearest neighbours of each.
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
        let looked = in_parallel(
            rows.len(),
            threads,
            || vec![0.0; rows.len()],
            |distances, at| {
                for (distance, other) in distances.iter_mut().zip(&rows) {
                    *distance = squared(rows[at], other);
                }
                let farthest = distances.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
                let order = |left: &usize, right: &usize| {
                    distances[*left].total_cmp(&distances[*right]).then(left.cmp(right))
                };
                let mut nearest: Vec<usize> = (0..rows.len()).collect();
                if k1 + 1 < nearest.len() {
                    nearest.select_nth_unstable_by(k1, order);
                    nearest.truncate(k1 + 1);
                }
                nearest.sort_unstable_by(order);
                (farthest, nearest)
            },
        );
        let (farthest, nearest) = looked.into_iter().unzip();
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
        members.into_iter().map(|to| (to, (-photos.distance(at, to)).exp())).collect();
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
                    sums[column] += weight / near.len() as f64;
                }
            }
            touched.sort_unstable();
            touched.dedup();
            touched.into_iter().map(|column| (column, std::mem::take(&mut sums[column]))).collect()
        },
    )
}

/// The gallery's rows by column: which photos have a value there, counted from the first gallery photo.
fn by_column(rows: &[Sparse], queries: usize) -> Vec<Sparse> {
    let mut columns = vec![Sparse::new(); rows.len()];
    for (photo, row) in rows[queries..].iter().enumerate() {
        for &(column, value) in row {
            columns[column].push((photo, value));
        }
    }
    columns
}

#[cfg(test)]
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
}
