//! Differentiable operations that libtorch has otherwise or not at all: the safe face of the C++ beside it. A layer says what it
//! computes and this how. No network, no parameter, no device.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

unsafe extern "C" {
    fn dgnet_leaky_relu(x: *const c_void, slope: f64, why: *mut *const c_char) -> *mut c_void;
    fn dgnet_lend(
        borrower: *const c_void,
        from: *const c_void,
        to: *const c_void,
        why: *mut *const c_char,
    ) -> *mut c_void;
    fn dgnet_reflected_convolution(
        x: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        border: i64,
        stride: i64,
        dilation: i64,
        why: *mut *const c_char,
    ) -> *mut c_void;
}

/// The reason that libtorch gives, or none.
///
/// # Safety
/// `reason` is null or a text that lives until this thread's next call.
pub(crate) unsafe fn told(reason: *const c_char) -> Result<(), String> {
    if reason.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller says.
    Err(unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned())
}

fn raw(tensor: &Tensor) -> *const c_void {
    tensor.as_ptr().cast()
}

/// The tensor that libtorch makes, which is the caller's.
///
/// # Safety
/// `make` gives null and the reason, or a tensor that nobody else has.
unsafe fn made(make: impl FnOnce(*mut *const c_char) -> *mut c_void) -> Tensor {
    let mut why = std::ptr::null();
    let tensor = make(&raw mut why);
    // SAFETY: as the caller says.
    unsafe {
        if let Err(reason) = told(why) {
            panic!("libtorch refuses: {reason}");
        }
        Tensor::from_ptr(tensor.cast())
    }
}

/// What a frozen copy computes from `borrower`, where the network itself, in training, computed `to` from `from`, which has
/// the same values: `to`, and nothing is computed again. Its gradient goes back from `to` to `from` and on to `borrower`;
/// no parameter on that way sees it, and what reaches `to` itself sees nothing of `borrower`.
///
/// # Panics
/// Where libtorch refuses.
pub fn lend(borrower: &Tensor, from: &Tensor, to: &Tensor) -> Tensor {
    // SAFETY: three tensors that live during the call.
    unsafe { made(|why| dgnet_lend(raw(borrower), raw(from), raw(to), why)) }
}

/// Leaky ReLU. It keeps its result for the way back and not what it came from; differentiable twice.
///
/// # Shapes
/// any -> the same; `slope` is above 0
///
/// # Panics
/// Where libtorch refuses.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Tensor {
    // SAFETY: a tensor that lives during the call.
    unsafe { made(|why| dgnet_leaky_relu(raw(x), slope, why)) }
}

/// The convolution of a map with its reflection around it, `border` pixels wide. It keeps the map for the way back and not what it
/// padded; differentiable twice.
///
/// # Shapes
/// x (N, from, H, W), weight (to, from, k, k), bias (to,) -> (N, to, H', W'), with H' = (H + 2 border - dilation (k - 1) - 1) / stride + 1
///
/// # Panics
/// Where libtorch refuses.
pub fn reflected_convolution(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    border: i64,
    stride: i64,
    dilation: i64,
) -> Tensor {
    let [x, weight, bias] = [x, weight, bias].map(raw);
    // SAFETY: three tensors that live during the call.
    unsafe {
        made(|why| dgnet_reflected_convolution(x, weight, bias, border, stride, dilation, why))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::{leaky_relu, reflected_convolution};

    /// What a way of computing a map gives: the map, its gradients, and those of the slope of its first input.
    fn all_of(way: impl Fn() -> Tensor, to: [&Tensor; 2]) -> [Vec<Tensor>; 2] {
        let y = way();
        let loss = (&y * y.detach().cos()).sum(Kind::Float);
        let mut first = Tensor::run_backward(&[&loss], &to, true, true);
        let slope = first[0].square().sum(Kind::Float);
        let second = Tensor::run_backward(&[slope], &to[1..], true, false);
        first.push(y);
        [first, second]
    }

    fn apart(left: &Tensor, right: &Tensor) -> f64 {
        assert_eq!((left.size(), left.kind()), (right.size(), right.kind()));
        let largest = right.abs().max().double_value(&[]).max(1e-12);
        (left - right).abs().max().double_value(&[]) / largest
    }

    #[test]
    fn a_convolution_that_keeps_no_border_is_that_of_the_padded_map() {
        let random = |size: &[i64], kind| {
            let plain = Tensor::randn(size, (Kind::Float, Device::Cpu)).to_kind(kind);
            plain.set_requires_grad(true)
        };
        for kind in [Kind::Float, Kind::BFloat16] {
            let (weight, bias) = (random(&[6, 4, 3, 3], kind), random(&[6], kind));
            for (border, stride, dilation) in [(1, 1, 1), (1, 2, 1), (3, 1, 3)] {
                let plain = random(&[3, 4, 8, 6], kind);
                let together = plain.detach().permute([0, 2, 3, 1]).contiguous();
                let together = together.permute([0, 3, 1, 2]).set_requires_grad(true);
                for x in [plain, together] {
                    let parameters = (&weight, &bias);
                    let lean = || reflected_convolution(&x, parameters, border, stride, dilation);
                    let usual = || {
                        let padded = x.reflection_pad2d([border; 4]);
                        let (s, d) = ([stride; 2], [dilation; 2]);
                        padded.conv2d(&weight, Some(&bias), s, [0, 0], d, 1)
                    };
                    let [first, slope] = all_of(lean, [&x, &weight]);
                    let [usual_first, usual_slope] = all_of(usual, [&x, &weight]);
                    for (part, (lean, usual)) in first.iter().zip(&usual_first).enumerate() {
                        let off = apart(lean, usual);
                        assert!(off == 0.0, "{kind:?} {border} {stride}, part {part}: {off}");
                    }
                    let off = apart(&slope[0], &usual_slope[0]);
                    let most = if kind == Kind::Float { 1e-5 } else { 0.03 };
                    assert!(off <= most, "{kind:?} {border} {stride}, slope: {off}");
                }
            }
        }
    }

    #[test]
    fn a_leaky_relu_that_keeps_its_result_is_libtorchs() {
        const SLOPE: f64 = 0.2;
        for kind in [Kind::Float, Kind::BFloat16] {
            let x = Tensor::randn([40], (Kind::Float, Device::Cpu)).to_kind(kind);
            let _ = x.narrow(0, 0, 2).zero_();
            let x = x.set_requires_grad(true);
            let scale = Tensor::rand([40], (kind, Device::Cpu)).set_requires_grad(true);
            let lean = || leaky_relu(&x, SLOPE) * &scale;
            let usual = || x.detach().leaky_relu_backward(&x, SLOPE, false) * &scale;
            let (lean, usual) = (all_of(lean, [&x, &scale]), all_of(usual, [&x, &scale]));
            for (lean, usual) in lean.iter().flatten().zip(usual.iter().flatten()) {
                let off = apart(lean, usual);
                assert!(off == 0.0, "{kind:?}: {off}");
            }
        }
    }

    #[test]
    fn what_libtorch_refuses_is_a_panic_with_its_words() {
        let [x, weight, bias] = [vec![1, 3, 4, 4], vec![2, 3, 3, 3], vec![2]]
            .map(|size| Tensor::zeros(size, (Kind::Float, Device::Cpu)));
        let refused =
            std::panic::catch_unwind(|| reflected_convolution(&x, (&weight, &bias), 4, 1, 1));
        let text = match refused {
            Err(panic) => panic.downcast::<String>().map_or_else(|_| String::new(), |text| *text),
            Ok(y) => panic!("{y:?}"),
        };
        assert!(text.contains("a border of") && text.contains("does not fit"), "{text}");
    }
}
