//! Where tensors are computed and how precisely: devices, TF32, bfloat16 autocast, deterministic
//! kernels. It is the safe face of the C++ beside it, the only foreign code here. No network, no training.
#![allow(unsafe_code)]

#[cfg(test)]
mod kernel_tests;
pub mod optimizers;
mod recording;

pub use recording::{Recording, release_memory};

use std::ffi::c_char;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tch::{Device, Kind, Tensor};

use crate::ops::told;
use dgnet::spec::settings::{Device as Wanted, Precision, Train};

unsafe extern "C" {
    fn dgnet_load_cuda() -> *const c_char;
    fn dgnet_allow_tf32(allow: bool);
    fn dgnet_deterministic(on: bool);
    fn dgnet_own_stream(card: i32) -> *const c_char;
    fn dgnet_autocast(cuda: bool, on: bool) -> bool;
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The CPU part of libtorch is installed alone.
    #[error(
        "`train.device: {wanted}` needs libtorch's GPU half: {reason}\n  \
         hint: `just setup-cuda` gets it; `train.device: cpu` does without"
    )]
    NoLibrary {
        /// The setting.
        wanted: String,
        /// What the loader says.
        reason: String,
    },
    /// No such GPU.
    #[error(
        "`train.device: {wanted}`: no such CUDA device, {found} are there\n  \
         hint: `nvidia-smi` lists them; without a driver there are none; `train.device: cpu` does without"
    )]
    NoDevice {
        /// The setting.
        wanted: String,
        /// CUDA devices that libtorch sees.
        found: i64,
    },
}

/// The card that this process was given.
static CARD: OnceLock<u32> = OnceLock::new();

/// Gives this process a card: it is used wherever settings ask for a GPU, whichever they name. The first
/// call counts.
pub fn use_card(number: u32) {
    let _ = CARD.set(number);
}

/// A training would go on elsewhere than it began.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the training in `{}` began on a {began} and would go on on a {now}: its bits would be neither's\n  \
     hint: go on where a {began} is; or set `train.device: {now}`, which is a run of its own; or remove that \
     folder, and it is trained from the beginning here", folder.display()
)]
pub struct ClassChanged {
    /// Where its weights lie.
    pub folder: PathBuf,
    /// cpu or cuda.
    pub began: String,
    /// cpu or cuda.
    pub now: &'static str,
}

/// The class of a device, within which the same work gives the same bits: cpu or cuda.
#[must_use]
pub fn class(device: Device) -> &'static str {
    if device.is_cuda() { "cuda" } else { "cpu" }
}

/// Refuses to go on on another class of device than `began`; `None` is not known and goes.
pub fn same_class(began: Option<&str>, device: Device, folder: &Path) -> Result<(), ClassChanged> {
    let now = class(device);
    match began.filter(|began| *began != now) {
        Some(began) => {
            Err(ClassChanged { folder: folder.to_owned(), began: began.to_owned(), now })
        }
        None => Ok(()),
    }
}

/// The device that a setting means on this machine.
///
/// # Errors
/// [`DeviceError`] where a GPU is asked for by name and cannot be used.
pub fn device(wanted: Wanted) -> Result<Device, DeviceError> {
    match wanted {
        Wanted::Cpu => Ok(Device::Cpu),
        Wanted::Auto => {
            let there = load_cuda().is_ok() && tch::Cuda::device_count() > 0;
            let card = CARD.get().map_or(0, |card| *card as usize);
            Ok(if there { Device::Cuda(card) } else { Device::Cpu })
        }
        Wanted::Cuda(number) => {
            let number = CARD.get().copied().unwrap_or(number);
            let wanted = Wanted::Cuda(number);
            let wanted = wanted.to_string();
            load_cuda()
                .map_err(|reason| DeviceError::NoLibrary { wanted: wanted.clone(), reason })?;
            let found = tch::Cuda::device_count();
            if i64::from(number) < found {
                Ok(Device::Cuda(number as usize))
            } else {
                Err(DeviceError::NoDevice { wanted, found })
            }
        }
    }
}

fn load_cuda() -> Result<(), String> {
    // SAFETY: takes nothing; the text that it may give lives until this thread's next call of the loader.
    unsafe { told(dgnet_load_cuda()) }
}

/// Sets what holds for the whole process: threads, TF32, deterministic kernels; and on a GPU, a stream for this
/// thread.
///
/// # Panics
/// Where the card cannot be used: it is full, or another process has it alone.
pub fn configure(train: &Train, device: Device) {
    tch::set_num_threads(i32::try_from(train.threads).unwrap_or(1));
    if let Device::Cuda(card) = device {
        // SAFETY: the text that it may give lives until this thread's next call.
        let own = unsafe { told(dgnet_own_stream(i32::try_from(card).unwrap_or_default())) };
        if let Err(reason) = own {
            panic!(
                "cuda:{card} cannot be used: {reason}\n  hint: `nvidia-smi` shows who else uses it"
            );
        }
        // SAFETY: plain setters of libtorch's global context.
        unsafe {
            // what bf16 leaves in 32 bits is no less rounded there
            dgnet_allow_tf32(train.precision != Precision::Float32);
            dgnet_deterministic(train.deterministic);
        }
    }
}

/// Autocast to bfloat16 for as long as it lives, on this thread; or its absence.
struct Autocast {
    cuda: bool,
    before: bool,
}

impl Autocast {
    fn set(device: Device, on: bool) -> Self {
        let cuda = device.is_cuda();
        // SAFETY: sets a flag of this thread.
        Self { cuda, before: unsafe { dgnet_autocast(cuda, on) } }
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: puts the flag of this thread back.
        unsafe { dgnet_autocast(self.cuda, self.before) };
    }
}

/// How a step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arithmetic {
    device: Device,
    bf16: bool,
}

impl Arithmetic {
    /// That of a setting on a device.
    #[must_use]
    pub fn new(precision: Precision, device: Device) -> Self {
        Self { device, bf16: precision == Precision::Bf16 }
    }

    /// Computes `work` as fast as the settings allow.
    pub fn fast<T>(self, work: impl FnOnce() -> T) -> T {
        let _cast = self.bf16.then(|| Autocast::set(self.device, true));
        work()
    }

    /// Computes `work` in the precision of its inputs, whatever surrounds it.
    pub fn exact<T>(self, work: impl FnOnce() -> T) -> T {
        let _cast = self.bf16.then(|| Autocast::set(self.device, false));
        work()
    }
}

/// Writes the product of two matrices of 32-bit numbers on the CPU into memory of the caller's.
///
/// # Shapes
/// `left`: (n, k); `right`: (k, m); `product`: n * m numbers, row-major.
///
/// # Panics
/// Where they do not fit together.
pub fn multiply(left: &Tensor, right: &Tensor, product: &mut [f32]) {
    let [rows, columns] = [left.size()[0], right.size()[1]];
    assert_eq!(rows * columns, product.len() as i64, "the product has another size");
    // SAFETY: the tensor ends here, before the exclusive borrow of the memory that it is made of.
    let product = unsafe {
        let memory = product.as_mut_ptr().cast_const().cast();
        Tensor::from_blob(memory, &[rows, columns], &[columns, 1], Kind::Float, Device::Cpu)
    };
    drop(tch::no_grad(|| left.matmul_out(&product, right)));
}

/// What computes, for the record: `cpu`, or a GPU with its model and driver.
#[must_use]
pub fn name(device: Device) -> String {
    let Device::Cuda(number) = device else { return "cpu".to_owned() };
    let model = || {
        let cards = std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?;
        let mut cards: Vec<_> = cards.flatten().map(|card| card.path()).collect();
        cards.sort();
        let text = std::fs::read_to_string(cards.get(number)?.join("information")).ok()?;
        text.lines().find_map(|line| Some(line.strip_prefix("Model:")?.trim().to_owned()))
    };
    let driver = || {
        let text = std::fs::read_to_string("/sys/module/nvidia/version").ok()?;
        Some(format!(", driver {}", text.trim()))
    };
    let model = model().map_or_else(String::new, |model| format!(" {model}"));
    format!("cuda:{number}{model}{}", driver().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::{Arithmetic, device, multiply};
    use crate::ops::reflected_convolution;
    use dgnet::spec::settings::{Device as Wanted, Precision};

    #[test]
    fn bf16_narrows_products_and_nothing_that_is_asked_for_exactly() {
        let x = Tensor::rand([4, 4], (Kind::Float, Device::Cpu));
        let cast = Arithmetic::new(Precision::Bf16, Device::Cpu);
        let (narrow, inner) = cast.fast(|| (x.matmul(&x), cast.exact(|| x.matmul(&x))));
        assert_eq!((narrow.kind(), inner.kind()), (Kind::BFloat16, Kind::Float));
        assert_eq!(x.matmul(&x).kind(), Kind::Float, "autocast ends with its scope");
        let plain = Arithmetic::new(Precision::Float32, Device::Cpu);
        assert_eq!(plain.fast(|| x.matmul(&x)).kind(), Kind::Float);
    }

    #[test]
    fn a_convolution_padded_by_reflection_is_narrowed_as_any_other() {
        let random =
            |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let (x, weight, bias) = (random(&[2, 3, 6, 5]), random(&[4, 3, 3, 3]), random(&[4]));
        let cast = Arithmetic::new(Precision::Bf16, Device::Cpu);
        let ours = cast.fast(|| reflected_convolution(&x, (&weight, &bias), 1, 1, 1));
        let padded = || x.reflection_pad2d([1; 4]);
        let usual = cast.fast(|| padded().conv2d(&weight, Some(&bias), [1; 2], [0; 2], [1; 2], 1));
        assert_eq!((ours.kind(), &ours), (Kind::BFloat16, &usual));
        let gradients = |y: &Tensor| {
            Tensor::run_backward(&[y.sum(Kind::Float)], &[&x, &weight, &bias], false, false)
        };
        for (ours, usual) in gradients(&ours).iter().zip(gradients(&usual)) {
            assert_eq!(ours.kind(), Kind::Float);
            // borders are added up in 16 bits
            assert!(ours.allclose(&usual, 0.01, 0.05, false));
        }
    }

    #[test]
    fn a_product_is_written_where_the_caller_wants_it() {
        let [left, right] =
            [[3, 4], [4, 5]].map(|size| Tensor::rand(size, (Kind::Float, Device::Cpu)));
        let mut product = vec![f32::NAN; 15];
        multiply(&left, &right, &mut product);
        assert_eq!(Tensor::from_slice(&product).view([3, 5]), left.matmul(&right));
    }

    /// Holds with and without a GPU: nobody has a thousand of them.
    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_the_reason() {
        let text = match device(Wanted::Cuda(999)) {
            Err(error) => error.to_string(),
            Ok(device) => panic!("found {device:?}"),
        };
        assert!(text.contains("cuda:999") && text.contains("hint: "), "{text}");
        assert!(device(Wanted::Auto).is_ok() && device(Wanted::Cpu) == Ok(Device::Cpu));
    }
}
