//! `dgnet`: honest, fast ablation studies of DG-Net (Zheng et al., CVPR 2019). `ARCHITECTURE.md` is
//! the map; imports point one way: cli -> sweep | report -> train | eval -> model | data | store ->
//! spec | stats.

pub mod cli;
pub mod data;
pub mod eval;
pub mod model;
pub mod report;
pub mod spec;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod train;
