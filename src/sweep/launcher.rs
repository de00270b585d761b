//! What a sweep needs of whoever does its work, beside starting and ending jobs: where jobs stand, and a
//! moment of attention every round. Workers of this machine are one such launcher, Slurm is the other.

use super::error::SweepError;
use super::process::Workers;
use super::scheduler::Executor;
use crate::store::RunDir;
use crate::store::records::Heartbeat;

/// An executor whose jobs can be watched.
pub(super) trait Launcher: Executor {
    /// The last sign of life of a running job.
    fn heartbeat(&self, job: usize) -> Option<Heartbeat>;
    /// The folder of a job that is a run.
    fn run(&self, job: usize) -> Option<&RunDir>;
    /// Whether a running job waits in a queue and has nothing to show yet.
    fn is_queued(&self, _job: usize) -> bool {
        false
    }
    /// Whether something could not be written for want of room.
    fn found_no_room(&self) -> bool;
    /// Called every round: does what is due; gives what is to be said.
    fn attend(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Whether everything that was started goes on without this process.
    fn is_independent(&self) -> bool {
        false
    }
    /// Why nothing more can be started at all, once.
    fn trouble(&mut self) -> Option<SweepError> {
        None
    }
}

impl Launcher for Workers {
    fn heartbeat(&self, job: usize) -> Option<Heartbeat> {
        Self::heartbeat(self, job)
    }

    fn run(&self, job: usize) -> Option<&RunDir> {
        Self::run(self, job)
    }

    fn found_no_room(&self) -> bool {
        Self::found_no_room(self)
    }
}
