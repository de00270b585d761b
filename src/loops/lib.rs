//! Loops over millions of numbers: rows of scores, products of features, rows of pixels. They are a crate of their
//! own because the one build profile is lightly optimised, which leaves loops scalar; this crate is optimised in
//! every build. What the numbers mean is never known here, and nothing is generic at its border: whoever
//! instantiated it would compile it.

pub mod pixels;
pub mod products;
pub mod scores;
pub mod whole;
