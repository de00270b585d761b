//! The half of `dgnet` that touches tensors: networks, training, evaluation, and the worker's run loop.
//! It is a crate of its own so that `dgnet` does not link libtorch; imports point one way:
//! run -> train | eval -> model | compute -> ops -> the data, store, spec and stats of `dgnet`.

pub mod compute;
pub mod eval;
pub mod model;
pub mod ops;
pub mod run;
pub mod train;

/// Memory of every program that is built on this, libtorch's as well: a step makes thousands of tensors, of the
/// same sizes every time.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;
