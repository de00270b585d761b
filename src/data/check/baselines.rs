//! Rankings that need no network: by colour histograms, and by silhouettes where they are known. A set
//! that either of them solves says nothing about re-identification.

use serde::Serialize;

use super::{Problem, problem};
use crate::data::drawn::Truth;
use crate::data::pixels::Rgb8;
use crate::data::{DataError, Dataset, Photo};
use crate::stats::ranking::{Label, rank_all};

/// How well a ranking without any network does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Baseline {
    /// Mean trapezoidal average precision, 0 to 1.
    pub map: f64,
    /// Share of queries whose first photo is a match.
    pub rank1: f64,
    /// Queries with a match that were ranked.
    pub queries: usize,
}

/// An RGB histogram of 8x8x8 bins: the bins that are not empty, with their shares of the pixels.
#[derive(Debug, Clone)]
pub(super) struct Histogram(Vec<(u16, f32)>);

const BINS: usize = 8 * 8 * 8;

impl Histogram {
    pub(super) fn of(picture: &Rgb8) -> Self {
        let mut counts = [0_u32; BINS];
        for pixel in picture.data.chunks_exact(3) {
            let [red, green, blue] =
                [pixel[0], pixel[1], pixel[2]].map(|level| usize::from(level >> 5));
            counts[(red * 8 + green) * 8 + blue] += 1;
        }
        let pixels = (picture.height * picture.width) as f32;
        let filled = (0..).zip(counts).filter(|(_, count)| *count > 0);
        Self(filled.map(|(bin, count)| (bin, count as f32 / pixels)).collect())
    }

    fn dense(&self) -> [f32; BINS] {
        let mut dense = [0.0; BINS];
        for &(bin, share) in &self.0 {
            dense[usize::from(bin)] = share;
        }
        dense
    }
}

/// Histograms are `None` for photos that cannot be decoded, which are left out of the ranking.
pub(super) fn histogram(
    dataset: &Dataset,
    query: &[Option<&Histogram>],
    gallery: &[Option<&Histogram>],
    threads: usize,
) -> Option<Baseline> {
    let (query, query_labels) = known(&dataset.query, query);
    let (gallery, gallery_labels) = known(&dataset.gallery, gallery);
    baseline(&query_labels, &gallery_labels, threads, &|at, row| {
        let query = query[at].dense();
        for (score, photo) in row.iter_mut().zip(&gallery) {
            let common = photo.0.iter().map(|(bin, share)| share.min(query[usize::from(*bin)]));
            *score = f64::from(common.sum::<f32>());
        }
    })
}

/// Ranks by intersection over union of the silhouettes in a drawn set; `None` for any other.
pub(super) fn silhouette(
    dataset: &Dataset,
    threads: usize,
    problems: &mut Vec<Problem>,
) -> Option<Baseline> {
    let truth = match Truth::open(&dataset.root) {
        Ok(truth) => truth?,
        Err(error) => {
            problems.push(problem(&dataset.root, &error));
            return None;
        }
    };
    let mut masks = |photos: &[Photo]| -> Vec<Option<Mask>> {
        let mut masks = Vec::with_capacity(photos.len());
        for photo in photos {
            match Mask::of(&truth, photo) {
                Ok(mask) => masks.push(Some(mask)),
                Err(error) => {
                    problems.push(problem(&dataset.root, &error));
                    masks.push(None);
                }
            }
        }
        masks
    };
    let (query, gallery) = (masks(&dataset.query), masks(&dataset.gallery));
    let (query, query_labels) = known(&dataset.query, &query);
    let (gallery, gallery_labels) = known(&dataset.gallery, &gallery);
    baseline(&query_labels, &gallery_labels, threads, &|at, row| {
        for (score, photo) in row.iter_mut().zip(&gallery) {
            *score = query[at].overlap(photo);
        }
    })
}

/// A silhouette, 64 pixels a word.
#[derive(Debug, Clone)]
struct Mask(Vec<u64>);

impl Mask {
    fn of(truth: &Truth, photo: &Photo) -> Result<Self, DataError> {
        let cover = truth.silhouette(&photo.name())?;
        let word = |pixels: &[u8]| {
            pixels.iter().rev().fold(0, |word, cover| (word << 1) | u64::from(*cover > 127))
        };
        Ok(Self(cover.chunks(64).map(word).collect()))
    }

    /// Intersection over union; 0 where both are empty.
    fn overlap(&self, other: &Self) -> f64 {
        let count = |of: fn(u64, u64) -> u64| -> u32 {
            self.0.iter().zip(&other.0).map(|(l, r)| of(*l, *r).count_ones()).sum()
        };
        f64::from(count(|l, r| l & r)) / f64::from(count(|l, r| l | r).max(1))
    }
}

fn known<T: Clone>(photos: &[Photo], values: &[Option<T>]) -> (Vec<T>, Vec<Label>) {
    let pairs = photos.iter().zip(values).filter_map(|(photo, value)| {
        Some((value.clone()?, Label { person: photo.person, camera: photo.camera }))
    });
    pairs.unzip()
}

fn baseline(
    queries: &[Label],
    gallery: &[Label],
    threads: usize,
    fill: &(dyn Fn(usize, &mut [f64]) + Sync),
) -> Option<Baseline> {
    let ranking = rank_all(queries, gallery, threads, fill);
    let queries = ranking.valid_queries();
    (queries > 0).then(|| Baseline { map: ranking.map(), rank1: ranking.rank(1), queries })
}
