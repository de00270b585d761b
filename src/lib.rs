//! `dgnet`: honest, fast ablation studies of DG-Net (Zheng et al., CVPR 2019). `ARCHITECTURE.md` is
//! the map; imports point one way: cli -> sweep | report -> data | store -> spec | stats. Tensors live
//! in `src/worker`, a crate of its own on top of this one; loops over millions of numbers in `src/loops`, below it.

pub mod cli;
pub mod data;
pub mod report;
pub mod spec;
pub mod stats;
pub mod store;
pub mod sweep;
