//! Slurm as the launcher of a sweep: the same workers as array jobs, whose order Slurm keeps by itself, so
//! that everything goes on when the shell that submitted it is gone. What became of a run is read in its
//! folder; Slurm is asked only why something went away.

mod arrays;
mod client;
mod launcher;
mod records;
mod script;
mod state;

pub(super) use client::Client;
pub(super) use launcher::{Place, Slurm};
