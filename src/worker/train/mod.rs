//! Training: losses as pure functions, the step, own optimizers with savable state, checkpoints, the
//! teacher's training. It emits numbers; it never prints, stores results or reads the study.

pub mod checkpoint;
pub mod gan;
pub mod losses;
pub mod networks;
pub mod optim;
pub mod replay;
pub mod step;
pub mod teacher;
pub mod terms;
pub mod weights;
