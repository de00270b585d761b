//! Kernels of a GPU, recorded once and started again in one call (CUDA graphs).
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::ops::told;

unsafe extern "C" {
    fn dgnet_release_memory();
    fn dgnet_record_begin(beside: *const c_void, reason: *mut *const c_char) -> *mut c_void;
    fn dgnet_record_end(recording: *mut c_void) -> *const c_char;
    fn dgnet_replay(recording: *mut c_void) -> *const c_char;
    fn dgnet_forget(recording: *mut c_void);
}

/// Gives memory that libtorch keeps for later back to the GPU.
pub fn release_memory() {
    // SAFETY: takes nothing and keeps what is in use.
    unsafe { dgnet_release_memory() };
}

/// Recorded kernels with the memory that they work on.
#[derive(Debug)]
pub struct Recording(*mut c_void);

impl Recording {
    /// Records the kernels that `work` starts on the GPU without running them: its tensors have no values
    /// until the first replay. `work` must not wait for the GPU. Memory is shared with the recording `beside`,
    /// so outcomes of one hold until the other is replayed.
    ///
    /// # Errors
    /// libtorch's reason where it cannot record; nothing has been computed then.
    ///
    /// # Panics
    /// Where the GPU itself has refused: nothing more can be done in this process.
    pub fn of<T>(beside: Option<&Self>, work: impl FnOnce() -> T) -> Result<(Self, T), String> {
        release_memory();
        let mut reason = ptr::null();
        // SAFETY: `beside` lives through the call; what comes back is owned by the new value.
        let recording = unsafe {
            let raw = dgnet_record_begin(
                beside.map_or(ptr::null(), |it| it.0.cast_const()),
                &raw mut reason,
            );
            told(reason)?;
            Self(raw)
        };
        // an error of libtorch is a panic here, which may leave a `no_grad` without its end; the recording must be
        // ended all the same
        let gradients = tch::no_grad_guard();
        let outcome = catch_unwind(AssertUnwindSafe(|| tch::with_grad(work)));
        drop(gradients);
        // SAFETY: a recording that has begun.
        let ended = unsafe { told(dgnet_record_end(recording.0)) };
        if let Err(reason) = ended {
            // libtorch believes from now on that it is recording
            panic!(
                "the step cannot be recorded: {reason}\n  hint: `train.graphs: false` does without"
            );
        }
        let outcome = outcome.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.unwrap_or_else(|| "a kernel cannot be recorded".to_owned())
        })?;
        Ok((recording, outcome))
    }

    /// Runs the kernels on what their memory holds now.
    pub fn replay(&self) {
        // SAFETY: a recording that was ended.
        if let Err(reason) = unsafe { told(dgnet_replay(self.0)) } {
            panic!("{reason}");
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { dgnet_forget(self.0) };
    }
}
