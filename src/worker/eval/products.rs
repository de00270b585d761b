//! Products of query and gallery features: each one exactly, and all of them at once by libtorch, roughly, with
//! a bound on how far they may be off. What they decide is not known here.

use dgnet::stats::ranking::{Scores, product_margin};
use dgnet_loops::products::Number;
use tch::{Kind, Tensor};

use crate::compute::multiply;

/// A number that features are made of. Products that decide are summed in 64 bits either way.
pub trait Real: Number + Sync + tch::kind::Element {}

impl Real for f32 {}
impl Real for f64 {}

/// The products of query and gallery features, each summed in 64 bits.
pub(super) struct Products<'a, T> {
    queries: &'a [T],
    gallery: &'a [T],
    dims: usize,
    /// The largest norm of a gallery feature.
    longest: f64,
}

impl<'a, T: Real> Products<'a, T> {
    pub(super) fn new(queries: &'a [T], gallery: &'a [T], dims: usize) -> Self {
        let norms = gallery.chunks_exact(dims.max(1)).map(|row| T::dot(row, row).sqrt());
        let longest = norms.filter(|norm| norm.is_finite()).fold(0.0, f64::max);
        Self { queries, gallery, dims, longest }
    }

    fn query(&self, at: usize) -> &'a [T] {
        &self.queries[at * self.dims..(at + 1) * self.dims]
    }
}

impl<T: Real> Scores for Products<'_, T> {
    /// Of [`rough_products`].
    fn margin(&self, query: usize) -> f64 {
        let length = T::dot(self.query(query), self.query(query)).sqrt();
        product_margin(self.dims, [length, self.longest])
    }

    fn exact(&self, query: usize, photo: usize) -> f64 {
        T::dot(self.query(query), &self.gallery[photo * self.dims..(photo + 1) * self.dims])
    }
}

/// All products by libtorch, in 32 bits: of rows of `queries` from a given one on with all rows of `gallery`.
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
