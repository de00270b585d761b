//! Where tensors are computed and how precisely: devices, TF32, bfloat16 autocast, deterministic
//! kernels. It is the safe face of the C++ beside it, the only foreign code here. No network, no training.
#![allow(unsafe_code)]

pub mod optimizers;
mod recording;

pub use recording::{Recording, release_memory};

use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tch::{Device, Kind, Tensor};

use dgnet::spec::settings::{Device as Wanted, Precision, Train};

unsafe extern "C" {
    fn dgnet_load_cuda() -> *const c_char;
    fn dgnet_allow_tf32(allow: bool);
    fn dgnet_deterministic(on: bool);
    fn dgnet_own_stream(card: i32) -> *const c_char;
    fn dgnet_autocast(cuda: bool, on: bool) -> bool;
    fn dgnet_lend(
        borrower: *const c_void,
        from: *const c_void,
        to: *const c_void,
        why: *mut *const c_char,
    ) -> *mut c_void;
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

/// The reason that libtorch gives, or none.
///
/// # Safety
/// `reason` is null or a text that lives until this thread's next call.
unsafe fn told(reason: *const c_char) -> Result<(), String> {
    if reason.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller says.
    Err(unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned())
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

/// What a frozen copy computes from `borrower`, where the network itself, in training, computed `to` from `from`, which has
/// the same values: `to`, and nothing is computed again. Its gradient goes back from `to` to `from` and on to `borrower`;
/// no parameter on that way sees it, and what reaches `to` itself sees nothing of `borrower`.
///
/// # Panics
/// Where libtorch refuses.
pub fn lend(borrower: &Tensor, from: &Tensor, to: &Tensor) -> Tensor {
    let mut why = std::ptr::null();
    // SAFETY: three tensors that live during the call; what comes back is null, or a tensor that is the caller's.
    unsafe {
        let [borrower, from, to] = [borrower, from, to].map(|tensor| tensor.as_ptr().cast());
        let lent = dgnet_lend(borrower, from, to, &raw mut why);
        if let Err(reason) = told(why) {
            panic!("a pass cannot be shared: {reason}");
        }
        Tensor::from_ptr(lent.cast())
    }
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
    fn a_product_is_written_where_the_caller_wants_it() {
        let [left, right] =
            [[3, 4], [4, 5]].map(|size| Tensor::rand(size, (Kind::Float, Device::Cpu)));
        let mut product = vec![f32::NAN; 15];
        multiply(&left, &right, &mut product);
        assert_eq!(Tensor::from_slice(&product).view([3, 5]), left.matmul(&right));
    }

    /// libtorch's own padding is replaced on CPUs (`padding.cpp`). Rows and columns picked one by one are the same; small
    /// whole numbers are added exactly in any order.
    #[test]
    fn padding_by_reflection_and_its_gradients_are_those_of_picked_pixels() {
        let picked = |x: &Tensor, p: i64| {
            let along = |x: &Tensor, dim: i64| {
                let size = x.size()[dim as usize];
                let of = |at: i64| if at.abs() < size { at.abs() } else { 2 * (size - 1) - at };
                let places: Vec<i64> = (-p..size + p).map(of).collect();
                x.index_select(dim, &Tensor::from_slice(&places))
            };
            along(&along(x, 2), 3)
        };
        let whole = |size: &[i64]| Tensor::randint_low(-9, 9, size, (Kind::Float, Device::Cpu));
        for (channels, p, together) in
            [(1, 1, false), (5, 1, true), (5, 3, false), (16, 3, true), (3, 0, true)]
        {
            let photos = whole(&[4, channels, 6, 5]);
            // the same photos, the channels of a pixel side by side in memory
            let aside = || photos.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            let photos = if together { aside() } else { photos };
            let photos = photos.set_requires_grad(true);
            let ours = photos.reflection_pad2d([p; 4]);
            let theirs = picked(&photos, p);
            assert_eq!(ours, theirs);
            assert!(channels == 1 || (ours.stride()[1] == 1) == together);
            let weights = whole(&ours.size()).set_requires_grad(true);
            // products of two paddings, so that the gradient has a gradient
            let twice = |padded: &Tensor, again: &Tensor| {
                let sum = (padded * again * &weights).sum(Kind::Float);
                let first = Tensor::run_backward(&[sum], &[&photos], true, true).remove(0);
                let rest = (&first * &first).sum(Kind::Float);
                let mut all = Tensor::run_backward(&[rest], &[&photos, &weights], false, false);
                all.push(first);
                all
            };
            let ours = twice(&ours, &photos.reflection_pad2d([p; 4]));
            let theirs = twice(&theirs, &picked(&photos, p));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours, theirs, "{channels} channels, {p} pixels, together: {together}");
            }
        }
        let refused = whole(&[1, 2, 3, 3]).f_reflection_pad2d([3; 4]).map_err(|e| e.to_string());
        assert!(refused.as_ref().is_err_and(|text| text.contains("does not fit")), "{refused:?}");
    }

    /// libtorch's own batch norm is replaced on CPUs (`batch_norm.cpp`): means and deviations one operation at a time give
    /// the same, and so do their gradients.
    #[test]
    fn batch_norm_is_what_its_equation_says() {
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Double, Device::Cpu));
        for size in [[3, 2, 1, 1], [2, 3, 5, 5], [4, 1, 7, 9], [1, 5, 12, 6], [2, 2, 1, 31]] {
            let channels = size[1];
            let x = (random(&size) * 3.0 + 40.0).set_requires_grad(true);
            let [weight, bias] = [1, 2].map(|_| random(&[channels]).set_requires_grad(true));
            let [mean, var] = [1, 2].map(|_| random(&[channels]));
            let [old_mean, old_var] = [&mean, &var].map(Tensor::copy);
            // a gradient that lies in memory otherwise, and one that is the same number everywhere
            let of = random(&[size[0], size[1], size[3], size[2]]).transpose(2, 3);
            let gradients = |y: &Tensor| {
                [(y * &of).sum(Kind::Double), y.sum(Kind::Double)]
                    .into_iter()
                    .flat_map(|loss| {
                        Tensor::run_backward(&[loss], &[&x, &weight, &bias], true, false)
                    })
                    .collect::<Vec<_>>()
            };
            let running = (Some(&mean), Some(&var));
            let y = x.batch_norm(
                Some(&weight),
                Some(&bias),
                running.0,
                running.1,
                true,
                0.1,
                1e-5,
                false,
            );
            let each = Some([0, 2, 3].as_slice());
            let off = &x - x.mean_dim(each, true, Kind::Double);
            let square = off.square().mean_dim(each, true, Kind::Double);
            let [wide_weight, wide_bias] = [&weight, &bias].map(|of| of.view([1, -1, 1, 1]));
            let plain = off / (&square + 1e-5).sqrt() * wide_weight + wide_bias;
            let count = (x.numel() as i64 / channels) as f64;
            let means = x.mean_dim(each, false, Kind::Double);
            let unbiased = square.view([-1]) * (count / (count - 1.0));
            for (got, want) in [
                (&y, &plain),
                (&mean, &(old_mean * 0.9 + means * 0.1)),
                (&var, &(old_var * 0.9 + unbiased * 0.1)),
            ] {
                let apart = (got - want).abs().max().double_value(&[]);
                assert!(apart < 1e-10, "{size:?}: {apart}");
            }
            for (got, want) in gradients(&y).iter().zip(gradients(&plain)) {
                let apart = (got - want).abs().max().double_value(&[]);
                assert!(apart < 1e-9, "{size:?}: {apart}");
            }
            let narrow = |of: &Tensor| of.detach().to_kind(Kind::Float);
            let [x, weight, bias] = [&x, &weight, &bias].map(narrow);
            let none = None::<&Tensor>;
            let small =
                x.batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, 1e-5, false);
            let apart = (small - narrow(&plain)).abs().max().double_value(&[]);
            assert!(apart < 1e-4, "{size:?} in 32 bits: {apart}");
            // of 16 bits, with weights of 32
            let rounded = x.to_kind(Kind::BFloat16);
            let of = |x: &Tensor| {
                x.batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, 1e-5, false)
            };
            let wide = of(&rounded.to_kind(Kind::Float));
            assert_eq!(of(&rounded), wide.to_kind(Kind::BFloat16), "{size:?} in 16 bits");
        }
    }

    /// A convolution that is asked for its map in blocks (`blocks.cpp`), batch norm of that, and convolutions from them, are
    /// the usual ones, to the last bit and with their gradients: in 32 bits and in what autocast makes of them.
    #[test]
    fn a_map_in_blocks_is_the_map() {
        let random =
            |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let none = None::<&Tensor>;
        let blocks_of = |map: &Tensor| if map.dim() == 5 { map.size()[4] } else { 1 };
        // with these numbers of channels at last, of which the second fills no blocks
        for (precision, to) in
            [Precision::Float32, Precision::Bf16].into_iter().flat_map(|of| [(of, 48), (of, 24)])
        {
            let (x, first) = (random(&[16, 3, 13, 9]), random(&[32, 3, 3, 3]));
            let (last, scale, shift) = (random(&[to, 32, 3, 3]), random(&[32]), random(&[32]));
            let all_of = |map: Tensor| {
                let (weight, bias) = (Some(&scale), Some(&shift));
                let y = map.native_batch_norm(weight, bias, none, none, true, 0.1, 1e-5).0.relu();
                let y = if y.dim() == 5 {
                    let y = y.mkldnn_convolution(&last, none, [1, 1], [2, 2], [1, 1], 1);
                    assert_eq!(blocks_of(&y), if to % 16 == 0 { 16 } else { 1 });
                    y.permute([0, 1, 4, 2, 3]).flatten(1, 2)
                } else {
                    y.conv2d(&last, none, [2, 2], [1, 1], [1, 1], 1)
                };
                assert_eq!(y.kind() == Kind::BFloat16, precision == Precision::Bf16);
                let loss = (&y * y.detach().cos()).sum(Kind::Float);
                let to = [&x, &first, &last, &scale, &shift];
                let mut all = Tensor::run_backward(&[loss], &to, false, false);
                all.push(y.detach());
                all
            };
            let (blocks, usual) = Arithmetic::new(precision, Device::Cpu).fast(|| {
                let asked = x.unsqueeze(-1);
                let asked = asked.mkldnn_convolution(&first, none, [1, 1], [1, 1], [1, 1], 1);
                assert_eq!(asked.size()[1] * blocks_of(&asked), 32, "{precision:?}");
                // a processor without blocks gives blocks of one
                let asked = if blocks_of(&asked) == 1 { asked.squeeze_dim(4) } else { asked };
                #[cfg(target_arch = "x86_64")]
                if precision == Precision::Float32
                    && is_x86_feature_detected!("avx512vl")
                    && ["ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"]
                        .iter()
                        .all(|limit| std::env::var_os(limit).is_none())
                {
                    assert_eq!(blocks_of(&asked), 16, "there are blocks, and they are not used");
                }
                (all_of(asked), all_of(x.conv2d(&first, none, [1, 1], [1, 1], [1, 1], 1)))
            });
            for (part, (blocks, usual)) in blocks.iter().zip(&usual).enumerate() {
                assert_eq!(blocks, usual, "{precision:?} to {to}, part {part}");
            }
        }
    }

    /// Batches side by side share weights and statistics: what one after the other would leave, and as `lerp` rounds it.
    #[test]
    fn batches_that_share_weights_are_batches() {
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        for channels in [1, 7, 32] {
            let x = random(&[5, 3 * channels, 4, 3]);
            let [weight, bias, mean, var] = [0; 4].map(|_| random(&[channels]));
            let [wanted_mean, wanted_var] = [&mean, &var].map(Tensor::copy);
            let norm = |x: &Tensor, mean: &Tensor, var: &Tensor, momentum| {
                let scale = (Some(&weight), Some(&bias));
                x.native_batch_norm(scale.0, scale.1, Some(mean), Some(var), true, momentum, 1e-5).0
            };
            let y = norm(&x, &mean, &var, 0.1);
            let each = x.chunk(3, 1).into_iter().map(|x| {
                let [own_mean, own_var] = [&mean, &var].map(Tensor::zeros_like);
                let y = norm(&x.contiguous(), &own_mean, &own_var, 1.0);
                let _ = wanted_mean.shallow_clone().lerp_(&own_mean, 0.1);
                let _ = wanted_var.shallow_clone().lerp_(&own_var, 0.1);
                y
            });
            assert_eq!(y, Tensor::cat(&each.collect::<Vec<_>>(), 1), "{channels} channels");
            assert_eq!((mean, var), (wanted_mean, wanted_var), "{channels} channels");
        }
    }

    /// They are counted here: whoever calls the kernel alone has not.
    #[test]
    fn batch_norm_with_weights_for_other_channels_is_refused() {
        let ones = |size: &[i64]| Tensor::ones(size, (Kind::Float, Device::Cpu));
        let none = None::<&Tensor>;
        for (size, weights, means) in
            [([2, 6, 3, 3], 4, 4), ([2, 6, 3, 3], 12, 12), ([2, 6, 3, 3], 6, 3)]
        {
            let (weight, mean) = (ones(&[weights]), ones(&[means]));
            let of = (Some(&weight), Some(&mean));
            let refused = ones(&size).f_native_batch_norm(of.0, none, of.1, none, true, 0.1, 1e-5);
            assert!(refused.is_err(), "{weights} weights and {means} means");
        }
        let blocks = ones(&[2, 3, 4, 4, 16]);
        let three = Some(ones(&[3]));
        assert!(blocks.f_native_batch_norm(three, None, None, None, true, 0.1, 1e-5).is_err());
    }

    /// The second derivative of a convolution is replaced on CPUs (`second_derivative.cpp`): as a product of matrices, the same
    /// convolution has the same. The kernel is even and leaves a remainder, as a Wasserstein critic's may.
    #[test]
    fn a_convolution_is_differentiated_twice() {
        let random =
            |size: &[i64]| Tensor::randn(size, (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let (x, weight) = (random(&[2, 3, 7, 10]), random(&[5, 3, 4, 4]));
        let penalty = |y: &Tensor| {
            let slope = Tensor::run_backward(&[y.square().sum(Kind::Double)], &[&x], true, true);
            Tensor::run_backward(
                &[slope[0].square().sum(Kind::Double)],
                &[&x, &weight],
                false,
                false,
            )
        };
        let ours = penalty(&x.conv2d(&weight, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1));
        let columns = x.im2col([4, 4], [1, 1], [1, 1], [2, 2]);
        let theirs = penalty(&weight.view([5, -1]).matmul(&columns));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let scale = theirs.abs().max().double_value(&[]);
            assert!((ours - theirs).abs().max().double_value(&[]) < 1e-12 * scale);
        }
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
