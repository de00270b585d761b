//! Products of query and gallery features: each one exactly, and all of them at once, roughly, with a bound on how
//! far they may be off. What they decide is not known here.

use std::borrow::Cow;

use dgnet::stats::quick::{RoughScores, Scores, product_margin, rounded_margin};
use dgnet_loops::products::{Number, Pair, Rows, near, near_roundings};
use dgnet_loops::whole::{self, Whole};
use tch::{Kind, Tensor};

use crate::compute::multiply;

/// A number that features are made of. Products that decide are summed in 64 bits either way.
pub trait Real: Number + Sync + tch::kind::Element {
    /// Whether 32 bits hold less.
    const IS_WIDE: bool;
    /// Numbers in 32 bits.
    fn narrow(numbers: &[Self]) -> Cow<'_, [f32]>;
    /// The same numbers, where they are of 32 bits.
    fn as_narrow(numbers: &[Self]) -> Option<&[f32]>;
}

impl Real for f32 {
    const IS_WIDE: bool = false;
    fn narrow(numbers: &[Self]) -> Cow<'_, [f32]> {
        numbers.into()
    }
    fn as_narrow(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }
}

impl Real for f64 {
    const IS_WIDE: bool = true;
    fn narrow(numbers: &[Self]) -> Cow<'_, [f32]> {
        numbers.iter().map(|number| *number as f32).collect()
    }
    fn as_narrow(_: &[Self]) -> Option<&[f32]> {
        None
    }
}

/// The products of query and gallery features, each summed in 64 bits.
pub(super) struct Products<'a, T> {
    queries: &'a [T],
    gallery: &'a [T],
    dims: usize,
    threads: usize,
    /// Both in whole numbers, where the processor multiplies those faster.
    whole: Option<[Whole; 2]>,
    /// No finite gallery feature has a larger norm.
    longest: f64,
}

impl<'a, T: Real> Products<'a, T> {
    /// # Shapes
    /// `queries`, `gallery`: rows of `dims`
    pub(super) fn new(queries: &'a [T], gallery: &'a [T], dims: usize, threads: usize) -> Self {
        let rows = |features| Whole::of(&T::narrow(features), dims, threads);
        let is_whole = dims > 0 && whole::is_available();
        let whole = is_whole.then(|| [rows(queries), rows(gallery)]);
        let longest = match &whole {
            Some([_, gallery]) if !T::IS_WIDE => gallery.longest(),
            _ => {
                let norms = gallery.chunks_exact(dims.max(1)).map(|row| T::dot(row, row).sqrt());
                norms.filter(|norm| norm.is_finite()).fold(0.0, f64::max)
            }
        };
        Self { queries, gallery, dims, threads, whole, longest }
    }

    /// All products, roughly: no finite one is farther off than [`Scores::margin`].
    pub(super) fn rough(&self) -> Box<RoughScores<'_>> {
        match &self.whole {
            Some([queries, gallery]) => Box::new(|from, scores| {
                whole::products(queries, gallery, from, self.threads, scores);
            }),
            None => Box::new(rough_products(self.queries, self.gallery, self.dims)),
        }
    }

    fn query(&self, at: usize) -> &'a [T] {
        &self.queries[at * self.dims..(at + 1) * self.dims]
    }

    fn photo(&self, at: usize) -> &'a [T] {
        &self.gallery[at * self.dims..(at + 1) * self.dims]
    }

    /// The norm of a query, and the largest of all finite photos.
    fn lengths(&self, query: usize) -> [f64; 2] {
        [T::dot(self.query(query), self.query(query)).sqrt(), self.longest]
    }
}

impl<T: Real> Scores for Products<'_, T> {
    fn margin(&self, query: usize) -> f64 {
        let of_whole = |[queries, gallery]: &[Whole; 2]| queries.margin(query, gallery);
        let of_32_bits = || product_margin(self.dims, self.lengths(query));
        match &self.whole {
            Some(whole) if !T::IS_WIDE => of_whole(whole),
            // whole numbers of numbers that were narrowed
            Some(whole) => of_whole(whole) + of_32_bits(),
            None => of_32_bits(),
        }
    }

    fn closer_margin(&self, query: usize) -> Option<f64> {
        let margin = || rounded_margin(self.dims, near_roundings(self.dims), self.lengths(query));
        (!T::IS_WIDE).then(margin)
    }

    fn closer(&self, pairs: &[Pair]) -> Vec<f32> {
        let rows = T::as_narrow(self.queries).zip(T::as_narrow(self.gallery));
        let near = |(queries, gallery)| near(&Rows { queries, gallery, dims: self.dims }, pairs);
        rows.map(near).unwrap_or_default()
    }

    fn exact(&self, query: usize, photo: usize) -> f64 {
        T::dot(self.query(query), self.photo(photo))
    }
}

/// All products by libtorch, in 32 bits: of rows of `queries` from a given one on with all rows of `gallery`. They may be off
/// by [`product_margin`].
pub(super) fn rough_products<T: Real>(
    queries: &[T],
    gallery: &[T],
    dims: usize,
) -> impl Fn(usize, &mut [f32]) {
    let dims = dims.max(1);
    let rows = move |features: &[T]| {
        let shape = [(features.len() / dims) as i64, dims as i64];
        Tensor::from_slice(features).to_kind(Kind::Float).view(shape)
    };
    let photos = gallery.len() / dims;
    let columns = rows(gallery).tr();
    move |from, scores: &mut [f32]| {
        let count = scores.len() / photos.max(1);
        let queries = rows(&queries[from * dims..(from + count) * dims]);
        multiply(&queries, &columns, scores);
    }
}
