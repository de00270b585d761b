//! The optimizers' steps on CPUs, in one or two passes over memory: the safe face of `optimizers.cpp`. What they are for
//! is not known here.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use super::told;

/// What an Adam step does to every parameter alike.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct AdamNumbers {
    /// L2 weight decay, added to the gradient.
    pub decay: f64,
    /// Share of the gradient in the new mean.
    pub mean_share: f64,
    /// Share of the old mean square in the new one.
    pub square_kept: f64,
    /// Share of the gradient's square in it.
    pub square_share: f64,
    /// Learning rate over the mean's correction.
    pub rate: f64,
    /// Divides the root of the mean square.
    pub correction: f64,
    /// Added to it then.
    pub epsilon: f64,
}

/// What a step of SGD with Nesterov momentum does to every parameter alike.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct SgdNumbers {
    /// L2 weight decay, added to the gradient.
    pub decay: f64,
    /// Momentum.
    pub momentum: f64,
    /// Learning rate.
    pub rate: f64,
}

unsafe extern "C" {
    fn dgnet_adam(
        values: *const c_void,
        gradients: *const c_void,
        mean: *const c_void,
        square: *const c_void,
        numbers: *const AdamNumbers,
    ) -> *const c_char;
    fn dgnet_sgd(
        values: *const c_void,
        gradients: *const c_void,
        velocity: *const c_void,
        numbers: *const SgdNumbers,
    ) -> *const c_char;
}

/// A step of Adam: changes parameters, mean and mean square in place.
///
/// # Shapes
/// four tensors of one shape on the CPU, of 32 or 64 bits
///
/// # Panics
/// Where they are not.
pub fn adam([values, gradients, mean, square]: [&Tensor; 4], numbers: AdamNumbers) {
    // SAFETY: tensors and numbers that live during the call; the text that it may give until this thread's next one.
    let done = unsafe {
        let [values, gradients, mean, square] =
            [values, gradients, mean, square].map(|tensor| tensor.as_ptr().cast());
        told(dgnet_adam(values, gradients, mean, square, &raw const numbers))
    };
    done.unwrap_or_else(|reason| panic!("Adam: {reason}"));
}

/// A step of SGD: changes parameters and velocity in place.
///
/// # Shapes
/// three tensors of one shape on the CPU, of 32 or 64 bits
///
/// # Panics
/// Where they are not.
pub fn sgd([values, gradients, velocity]: [&Tensor; 3], numbers: SgdNumbers) {
    // SAFETY: as above.
    let done = unsafe {
        let [values, gradients, velocity] =
            [values, gradients, velocity].map(|tensor| tensor.as_ptr().cast());
        told(dgnet_sgd(values, gradients, velocity, &raw const numbers))
    };
    done.unwrap_or_else(|reason| panic!("SGD: {reason}"));
}
