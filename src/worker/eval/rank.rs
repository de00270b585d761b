//! From features to ranks: how the two heads' features are joined (primary and fine halves, mirror images)
//! and scored. The protocol itself is `stats::ranking`, and no network is run here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dgnet::stats::quick::{camera_pairs, rank_quickly};
pub use dgnet::stats::ranking::{CameraPair, Label, Ranked, Ranking};
use dgnet::stats::rerank::{Rerank, Reranker};

pub use super::products::Real;
use super::products::{Products, rough_products};
use dgnet_loops::products::Number;

/// Why features cannot be ranked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {values} values are not {rows} rows of {dims}")]
pub struct ShapeError {
    /// Which features.
    pub what: &'static str,
    /// Numbers given.
    pub values: usize,
    /// Photos.
    pub rows: usize,
    /// Length of a feature.
    pub dims: usize,
}

/// Ranks the gallery for every query by dot product, on `threads` threads; the result is that of products
/// summed in 64 bits and does not depend on their number.
///
/// # Shapes
/// `queries`: `query_labels.len() * dims`, `gallery`: `gallery_labels.len() * dims`, both row-major.
///
/// # Errors
/// `ShapeError` when features and labels do not fit together.
pub fn rank<T: Real>(
    queries: &[T],
    query_labels: &[Label],
    gallery: &[T],
    gallery_labels: &[Label],
    dims: usize,
    threads: usize,
) -> Result<Ranking, ShapeError> {
    check("query features", queries.len(), query_labels.len(), dims)?;
    check("gallery features", gallery.len(), gallery_labels.len(), dims)?;
    let (gallery, gallery_labels) = without_junk(gallery, gallery_labels, dims);
    let products = Products::new(queries, &gallery, dims, threads);
    Ok(rank_quickly(query_labels, &gallery_labels, threads, &*products.rough(), &products))
}

/// The gallery without the photos that are junk for every query: they need no score.
fn without_junk<'a, T: Real>(
    gallery: &'a [T],
    labels: &'a [Label],
    dims: usize,
) -> (Cow<'a, [T]>, Cow<'a, [Label]>) {
    let is_kept = |label: &Label| label.person != -1;
    if labels.iter().all(is_kept) {
        return (gallery.into(), labels.into());
    }
    let rows = gallery.chunks_exact(dims.max(1)).zip(labels).filter(|(_, label)| is_kept(label));
    let (mut kept, mut kept_labels) = (Vec::with_capacity(gallery.len()), Vec::new());
    for (row, label) in rows {
        kept.extend_from_slice(row);
        kept_labels.push(*label);
    }
    (kept.into(), kept_labels.into())
}

fn check(what: &'static str, values: usize, rows: usize, dims: usize) -> Result<(), ShapeError> {
    let fits = values == rows * dims && (dims > 0 || rows == 0);
    if fits { Ok(()) } else { Err(ShapeError { what, values, rows, dims }) }
}

/// Divides every row by its L2 norm; a row of zeros stays.
///
/// # Shapes
/// `rows`: any number of rows of `dims`.
pub fn l2_normalise(rows: &mut [f32], dims: usize) {
    for row in rows.chunks_mut(dims.max(1)) {
        let norm = f32::dot(row, row).sqrt();
        if norm > 0.0 {
            for value in row {
                *value = (f64::from(*value) / norm) as f32;
            }
        }
    }
}

/// One head's feature of a photo from its outputs for the image and its mirror image: each L2-normalised,
/// summed, normalised again.
///
/// # Shapes
/// Both and the result: rows of `dims`.
#[must_use]
pub fn with_mirror(image: &[f32], mirror: &[f32], dims: usize) -> Vec<f32> {
    let (mut sum, mut mirror) = (image.to_vec(), mirror.to_vec());
    l2_normalise(&mut sum, dims);
    l2_normalise(&mut mirror, dims);
    for (value, mirrored) in sum.iter_mut().zip(&mirror) {
        *value += mirrored;
    }
    l2_normalise(&mut sum, dims);
    sum
}

/// The features of the photos of one split, a half per head, each from [`with_mirror`] and so of unit length, but for means of
/// several ([`pooled`]).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// Person and camera of every photo.
    pub labels: Vec<Label>,
    /// Primary halves: rows of `dims`.
    pub primary: Vec<f32>,
    /// Fine halves: rows of `dims`.
    pub fine: Vec<f32>,
    /// Length of one half.
    pub dims: usize,
}

impl Features {
    /// The heads' features joined, row by row: primary half, then fine half times `fine_weight`. A query's weight is
    /// that of `eval.fine_weight` (0: primary alone), a gallery photo's is 1.
    ///
    /// # Shapes
    /// -> rows of `2 * dims`
    #[must_use]
    pub fn joined(&self, fine_weight: f32) -> Vec<f32> {
        let dims = self.dims.max(1);
        let rows = self.primary.chunks_exact(dims).zip(self.fine.chunks_exact(dims));
        rows.flat_map(|(primary, fine)| {
            primary.iter().copied().chain(fine.iter().map(move |value| value * fine_weight))
        })
        .collect()
    }
}

/// The three rankings of one evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// By both halves, the query's fine half weighted.
    pub both: Ranking,
    /// By the primary half alone.
    pub primary: Ranking,
    /// By the fine half alone.
    pub fine: Ranking,
}

/// Refuses features whose halves and labels do not fit together.
fn fit(query: &Features, gallery: &Features) -> Result<(), ShapeError> {
    for (what, features) in [("query features", query), ("gallery features", gallery)] {
        check(what, features.primary.len(), features.labels.len(), query.dims)?;
        check(what, features.fine.len(), features.labels.len(), query.dims)?;
    }
    Ok(())
}

/// Ranks by both halves and by each alone.
///
/// # Errors
/// `ShapeError` when the halves, the labels or the two splits do not fit together.
pub fn evaluate(
    query: &Features,
    gallery: &Features,
    fine_weight: f32,
    threads: usize,
) -> Result<Evaluation, ShapeError> {
    fit(query, gallery)?;
    let by = |queries: &[f32], photos: &[f32]| {
        rank(queries, &query.labels, photos, &gallery.labels, query.dims, threads)
    };
    Ok(Evaluation {
        both: by_both(query, gallery, fine_weight, threads)?,
        primary: by(&query.primary, &gallery.primary)?,
        fine: by(&query.fine, &gallery.fine)?,
    })
}

/// Ranks by both halves, the query's fine half weighted.
///
/// # Errors
/// As for [`evaluate`].
pub fn by_both(
    query: &Features,
    gallery: &Features,
    fine_weight: f32,
    threads: usize,
) -> Result<Ranking, ShapeError> {
    fit(query, gallery)?;
    let (joined, photos) = (query.joined(fine_weight), gallery.joined(1.0));
    rank(&joined, &query.labels, &photos, &gallery.labels, 2 * query.dims, threads)
}

/// As [`by_both`], for every pair of a query's and a gallery photo's camera.
///
/// # Errors
/// As for [`evaluate`].
pub fn by_cameras(
    query: &Features,
    gallery: &Features,
    fine_weight: f32,
    threads: usize,
) -> Result<Vec<CameraPair>, ShapeError> {
    fit(query, gallery)?;
    let dims = 2 * query.dims;
    let (joined, photos) = (query.joined(fine_weight), gallery.joined(1.0));
    let (photos, labels) = without_junk(&photos, &gallery.labels, dims);
    let products = Products::new(&joined, &photos, dims, threads);
    Ok(camera_pairs(&query.labels, &labels, threads, &*products.rough(), &products))
}

/// Multi-query: the feature of each query is the mean over all `photos` of its person under its camera. A mean is
/// not normalised again: a half in which the photos disagree is shorter and counts for less. A query without any
/// photo keeps its own feature.
#[must_use]
pub fn pooled(query: &Features, photos: &Features) -> Features {
    let dims = query.dims;
    let mut of: BTreeMap<(i64, u32), Vec<usize>> = BTreeMap::new();
    for (at, label) in photos.labels.iter().enumerate() {
        of.entry((label.person, label.camera)).or_default().push(at);
    }
    let mean = |own: &[f32], halves: &[f32]| -> Vec<f32> {
        let mut all = Vec::with_capacity(own.len());
        for (label, own) in query.labels.iter().zip(own.chunks_exact(dims.max(1))) {
            match of.get(&(label.person, label.camera)) {
                Some(members) => all.extend((0..dims).map(|k| {
                    let sum: f64 = members.iter().map(|&at| f64::from(halves[at * dims + k])).sum();
                    (sum / members.len() as f64) as f32
                })),
                None => all.extend(own),
            }
        }
        all
    };
    Features {
        labels: query.labels.clone(),
        primary: mean(&query.primary, &photos.primary),
        fine: mean(&query.fine, &photos.fine),
        dims,
    }
}

/// Ranks by both halves after k-reciprocal re-ranking. Both sides' fine halves carry the root of
/// `fine_weight`, so that the score of a query and a gallery photo is [`evaluate`]'s and the distances
/// among queries and among gallery photos are of the same kind.
#[must_use]
pub fn reranked(
    query: &Features,
    gallery: &Features,
    fine_weight: f32,
    settings: Rerank,
    threads: usize,
) -> Ranking {
    let dims = 2 * query.dims;
    let unit = |features: &Features| -> Vec<f64> {
        let root = fine_weight.sqrt();
        let mut rows = features.joined(root);
        l2_normalise(&mut rows, dims);
        rows.into_iter().map(f64::from).collect()
    };
    let mut all = unit(query);
    let split = all.len();
    all.extend(unit(gallery));
    let (queries, photos) = all.split_at(split);
    let among_all = rough_products(&all, &all, dims);
    let reranker = Reranker::new(queries, photos, dims, settings, threads, &among_all);
    let across = rough_products(queries, photos, dims);
    reranker.rank(&query.labels, &gallery.labels, threads, &across)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use serde_json::Value;

    use super::*;
    use dgnet::data::rng::name_key;

    fn uniform(name: &str, index: usize) -> f64 {
        let step = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut z = name_key(name).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    }

    fn features(people: &[(i64, u32)], primary: &[[f32; 2]]) -> Features {
        let label = |&(person, camera): &(i64, u32)| Label { person, camera };
        Features {
            labels: people.iter().map(label).collect(),
            primary: primary.concat(),
            fine: primary.concat(),
            dims: 2,
        }
    }

    #[test]
    fn several_photos_of_a_query_are_averaged() {
        let query = features(&[(1, 1), (2, 1)], &[[1.0, 0.0], [0.0, 1.0]]);
        let photos = features(&[(1, 1), (1, 2), (1, 1)], &[[1.0, 0.0], [9.0, 9.0], [0.0, 1.0]]);
        let pooled = pooled(&query, &photos);
        assert_eq!(pooled.primary, [0.5, 0.5, 0.0, 1.0]);
        assert_eq!(pooled.labels, query.labels);
    }

    #[test]
    fn the_half_in_which_photos_of_a_query_disagree_counts_for_less() {
        let query = features(&[(1, 1)], &[[1.0, 0.0]]);
        let mut photos = features(&[(1, 1), (1, 1)], &[[1.0, 0.0], [0.0, 1.0]]);
        photos.fine = vec![1.0, 0.0, 1.0, 0.0];
        let pooled = pooled(&query, &photos);
        let mut gallery = features(&[(2, 2), (1, 2)], &[[0.0, 1.0], [1.0, 0.0]]);
        gallery.primary = vec![0.6, 0.8, -0.6, 0.8];
        gallery.fine = vec![0.0, 1.0, 1.0, 0.0];
        // scores are 0.7 and 0.1 + w; a primary half of unit length would say 0.99 and 0.14 + w
        for (weight, first) in [(0.5, 0.0), (0.7, 1.0)] {
            assert_eq!(by_both(&pooled, &gallery, weight, 1).unwrap().rank(1), first, "{weight}");
        }
    }

    #[test]
    fn without_neighbours_re_ranking_keeps_the_order_of_the_scores() {
        let query = features(&[(1, 1), (2, 1)], &[[1.0, 0.0], [0.0, 1.0]]);
        let gallery = features(&[(1, 2), (2, 2), (3, 2)], &[[0.9, 0.1], [0.6, 0.8], [0.7, 0.7]]);
        let plain = evaluate(&query, &gallery, 0.5, 1).unwrap().both;
        let alike = Rerank { k1: 1, k2: 1, lambda: 1.0 };
        let other = reranked(&query, &gallery, 0.5, alike, 1);
        assert_eq!(plain.map(), other.map());
        assert_eq!(plain.rank(1), other.rank(1));
    }

    struct Case<'a>(&'a Value);

    impl Case<'_> {
        fn real(&self, key: &str) -> f64 {
            self.0[key].as_f64().unwrap()
        }

        fn count(&self, key: &str) -> usize {
            self.0[key].as_u64().unwrap() as usize
        }

        fn name(&self, part: &str) -> String {
            format!("{}.{part}", self.0["tag"].as_str().unwrap())
        }

        fn labels(&self, side: &str, count: usize) -> Vec<Label> {
            let pick = |part: &str, index, of: f64| {
                1 + (uniform(&self.name(&format!("{side}{part}")), index) * of).floor() as i64
            };
            (0..count)
                .map(|index| {
                    let mut person = pick("l", index, self.real("ids"));
                    let camera = pick("c", index, self.real("cams")) as u32;
                    let kind = uniform(&self.name("kind"), index);
                    if side == "g" && kind < self.real("junk") {
                        person = -1;
                    } else if side == "g" && kind < self.real("junk") + self.real("zero") {
                        person = 0;
                    }
                    Label { person, camera }
                })
                .collect()
        }

        fn features(&self, side: &str, labels: &[Label]) -> Vec<f64> {
            let dims = self.count("dims");
            let signed = |part: &str, at| 2.0 * uniform(&self.name(part), at) - 1.0;
            let mut rows = Vec::with_capacity(labels.len() * dims);
            for (index, label) in labels.iter().enumerate() {
                let centre = label.person.max(0) as usize * dims;
                let row: Vec<f64> = (0..dims)
                    .map(|at| {
                        let noise = self.real("noise") * signed(side, index * dims + at);
                        signed("centre", centre + at) + noise
                    })
                    .collect();
                let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                rows.extend(row.iter().map(|value| value / norm));
            }
            rows
        }
    }

    fn close(got: f64, expected: f64, tolerance: f64, what: &str) {
        assert!((got - expected).abs() <= tolerance, "{what}: {got} is not {expected}");
    }

    #[test]
    fn the_golden_rankings_are_reproduced() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/eval.json");
        let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let case = Case(case);
            let query = case.labels("q", case.count("queries"));
            let gallery = case.labels("g", case.count("gallery"));
            let (q, g) = (case.features("q", &query), case.features("g", &gallery));
            let ranking = rank(&q, &query, &g, &gallery, case.count("dims"), 2).unwrap();
            assert_eq!(ranking.valid_queries(), case.count("valid_queries"));
            for k in [1, 5, 10, 20] {
                close(ranking.rank(k), case.real(&format!("rank{k}")), 1e-7, "rank");
            }
            close(ranking.map(), case.real("mAP_trapezoid"), 1e-9, "mAP");
            let over_all = case.real("mAP_trapezoid_over_all_queries");
            close(ranking.map_over_all_queries(), over_all, 1e-9, "mAP over all");
            close(ranking.map_standard(), case.real("mAP_standard"), 1e-9, "mAP_standard");
            close(ranking.minp(), case.real("mINP"), 1e-9, "mINP");
            for (index, query) in ranking.queries.iter().take(10).enumerate() {
                let of = |key: &str| case.0[key][index].as_f64();
                let (trapezoid, standard) = (of("first_ap_trapezoid"), of("first_ap_standard"));
                assert_eq!(query.is_some(), trapezoid.is_some());
                if let Some(query) = query {
                    close(query.ap, trapezoid.unwrap(), 1e-9, "AP");
                    close(query.ap_standard, standard.unwrap(), 1e-9, "plain AP");
                }
            }
        }
    }

    #[test]
    fn the_fill_is_the_documented_one() {
        assert_eq!(uniform("input.x_a.0", 2), 0.954_961_657_524_108_9);
        assert_eq!(uniform("eval.small.ql", 0), 0.592_790_901_660_919_2);
    }

    #[test]
    fn a_joined_feature_is_the_primary_half_and_the_weighted_fine_half() {
        let half = |values: [f32; 2]| with_mirror(&values, &values, 2);
        let query = Features {
            labels: vec![Label { person: 1, camera: 1 }],
            primary: half([3.0, 4.0]),
            fine: half([0.0, 10.0]),
            dims: 2,
        };
        assert_eq!(query.joined(0.5), [0.6, 0.8, 0.0, 0.5]);
        assert_eq!(query.joined(0.0), [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn image_and_mirror_count_the_same_whatever_their_length() {
        let sum = with_mirror(&[5.0, 0.0], &[0.0, 0.1], 2);
        assert!((sum[0] - sum[1]).abs() < 1e-6 && (sum[0] - 0.5_f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn each_head_is_also_ranked_alone() {
        let label = |person, camera| Label { person, camera };
        let query = Features {
            labels: vec![label(1, 1)],
            primary: vec![1.0, 0.0],
            fine: vec![1.0, 0.0],
            dims: 2,
        };
        let gallery = Features {
            labels: vec![label(1, 2), label(2, 2)],
            primary: vec![1.0, 0.0, 0.0, 1.0],
            fine: vec![0.0, 1.0, 1.0, 0.0],
            dims: 2,
        };
        let result = evaluate(&query, &gallery, 0.5, 1).unwrap();
        assert_eq!(
            (result.primary.rank(1), result.fine.rank(1), result.both.rank(1)),
            (1.0, 0.0, 1.0)
        );
        assert_eq!(evaluate(&query, &gallery, 2.0, 1).unwrap().both.rank(1), 0.0);
    }

    #[test]
    fn features_that_do_not_fit_are_refused() {
        let labels = [Label { person: 1, camera: 1 }; 2];
        let error = rank(&[1.0_f32; 5], &labels, &[1.0; 6], &labels, 3, 1).unwrap_err();
        assert_eq!(error.to_string(), "query features: 5 values are not 2 rows of 3");
    }
}
