//! The few layers that the networks are made of, with their initialisation written out (tch's
//! defaults differ from PyTorch's). Nothing here knows which network it serves; what normalises is in `norms`.

use tch::nn::Path;
use tch::{Device, Kind, Tensor};

use super::Pass;
use crate::ops;

/// Slope of the leaky ReLU of E_s, G and D.
const LEAKY_SLOPE: f64 = 0.2;

/// How a weight begins.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// He: N(0, sqrt(2 / fan in)), for layers before a (leaky) ReLU.
    HeFanIn,
    /// He by the outgoing connections, as residual networks use it.
    HeFanOut,
    /// N(0, std).
    Normal(f64),
}

impl Init {
    fn std(self, dims: &[i64]) -> f64 {
        let receptive: i64 = dims[2..].iter().product();
        match self {
            Self::HeFanIn => (2.0 / (dims[1] * receptive) as f64).sqrt(),
            Self::HeFanOut => (2.0 / (dims[0] * receptive) as f64).sqrt(),
            Self::Normal(std) => std,
        }
    }
}

/// A parameter as this pass sees it.
pub(super) fn seen(parameter: &Tensor, pass: Pass) -> Tensor {
    if pass.frozen { parameter.detach() } else { parameter.shallow_clone() }
}

/// A 2-d convolution; padding is either zeros or a reflection of the border.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
    dilation: i64,
    reflect: bool,
}

/// Kernel size, stride, padding and dilation of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    /// Side of the kernel.
    pub kernel: i64,
    /// Stride.
    pub stride: i64,
    /// Rows and columns added on each side.
    pub padding: i64,
    /// Dilation.
    pub dilation: i64,
}

impl ConvShape {
    /// A kernel of this size that keeps height and width at stride 1.
    #[must_use]
    pub fn same(kernel: i64) -> Self {
        Self { kernel, stride: 1, padding: (kernel - 1) / 2, dilation: 1 }
    }

    /// The same with a stride.
    #[must_use]
    pub fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// The same with a dilation, padded to keep height and width.
    #[must_use]
    pub fn dilated(self, dilation: i64) -> Self {
        Self { dilation, padding: dilation * (self.kernel - 1) / 2, ..self }
    }
}

impl Conv {
    /// Reflection-padded, with bias: the convolution of E_s, G and D.
    pub fn reflected(vs: &Path, from: i64, to: i64, shape: ConvShape, init: Init) -> Self {
        Self {
            reflect: true,
            bias: Some(vs.zeros("bias", &[to])),
            ..Self::zero_padded(vs, from, to, shape, init)
        }
    }

    /// Zero-padded, with bias: the convolution of VGG.
    pub fn biased(vs: &Path, from: i64, to: i64, shape: ConvShape, init: Init) -> Self {
        Self { bias: Some(vs.zeros("bias", &[to])), ..Self::zero_padded(vs, from, to, shape, init) }
    }

    /// Zero-padded, without bias: the convolution of residual networks.
    pub fn zero_padded(vs: &Path, from: i64, to: i64, shape: ConvShape, init: Init) -> Self {
        let dims = [to, from, shape.kernel, shape.kernel];
        Self {
            weight: vs.randn("weight", &dims, 0.0, init.std(&dims)),
            bias: None,
            stride: shape.stride,
            padding: shape.padding,
            dilation: shape.dilation,
            reflect: false,
        }
    }

    /// # Shapes
    /// (N, from, H, W) -> (N, to, H / stride, W / stride) for "same" padding; in blocks if x is and the channels fill them.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        if is_in_blocks(x) {
            return self.forward_in_blocks(x, pass);
        }
        let weight = seen(&self.weight, pass);
        let bias = self.bias.as_ref().map(|bias| seen(bias, pass));
        let (stride, dilation, padding) = (self.stride, self.dilation, self.padding);
        match &bias {
            Some(bias) if self.reflect && padding > 0 => {
                ops::reflected_convolution(x, (&weight, bias), padding, stride, dilation)
            }
            _ => x.conv2d(&weight, bias, [stride; 2], [padding; 2], [dilation; 2], 1),
        }
    }

    /// [`Self::forward`] with its map in blocks where this processor convolves such maps, which saves bringing every map into that
    /// order and back: the same values.
    pub fn forward_in_blocks(&self, x: &Tensor, pass: Pass) -> Tensor {
        let known = x.device() == Device::Cpu && matches!(x.kind(), Kind::Float | Kind::BFloat16);
        // one photo, or few on one thread, are convolved by other kernels of libtorch's, which round otherwise
        let enough = x.size()[0] >= if tch::get_num_threads() > 1 { 2 } else { 16 };
        if !(known && enough) || self.reflect || self.bias.is_some() {
            return self.forward(&plain(x), pass);
        }
        let [padding, stride, dilation] =
            [self.padding, self.stride, self.dilation].map(|of| [of; 2]);
        let x = if is_in_blocks(x) { x.shallow_clone() } else { x.unsqueeze(-1) };
        let weight = seen(&self.weight, pass);
        let y = x.mkldnn_convolution(&weight, None::<Tensor>, padding, stride, dilation, 1);
        if y.size()[4] == 1 { y.squeeze_dim(4) } else { y }
    }

    /// The convolution of the doubled map, [`Self::forward`] of [`upsample2`], in about four ninths of the work. In a
    /// doubled map four pixels are alike: their weights are added first, and the map itself is convolved by the sums.
    ///
    /// # Shapes
    /// (N, from, H, W) -> (N, to, 2H, 2W)
    pub fn forward_doubled(&self, x: &Tensor, pass: Pass) -> Tensor {
        let p = self.padding;
        let kernel = self.weight.size()[3];
        let keeps_size = (self.stride, self.dilation, 2 * p + 1) == (1, 1, kernel);
        if !(self.reflect && keeps_size && (kernel == 3 || kernel == 5)) {
            return self.forward(&upsample2(x), pass);
        }
        let weight = seen(&self.weight, pass);
        let bias = self.bias.as_ref().map(|bias| seen(bias, pass));
        let sums = weight.avg_pool2d([2, 2], [1, 1], [1, 1], false, true, 1);
        let framed = framed(x);
        if kernel == 3 {
            let sums = sums.flip([2, 3]).transpose(0, 1);
            return framed.conv_transpose2d(&sums, bias, [2, 2], [3, 3], [0, 0], 1, [1, 1]);
        }
        // the four pixels of a square have kernels of their own, of every other row and column of the sums
        let (to, from) = (weight.size()[0], weight.size()[1]);
        let kernels = sums.view([to, from, 3, 2, 3, 2]).flip([3, 5]).permute([0, 3, 5, 1, 2, 4]);
        let kernels = kernels.reshape([4 * to, from, 3, 3]);
        let bias = bias.map(|bias| bias.repeat_interleave_self_int(4, 0, None::<i64>));
        let squares = framed.conv2d(&kernels, bias, [1, 1], [0, 0], [1, 1], 1);
        let y = squares.pixel_shuffle(2);
        correct_border(&y, x, &framed, &weight);
        y
    }
}

/// Whether a map is in blocks of sixteen channels, (N, C / 16, H, W, 16), as `compute/blocks.cpp` convolves it.
fn is_in_blocks(map: &Tensor) -> bool {
    map.dim() == 5
}

/// A map as all networks know it, whether it is in blocks or not.
///
/// # Shapes
/// (N, C, H, W), or the same in blocks -> (N, C, H, W)
pub fn plain(map: &Tensor) -> Tensor {
    if is_in_blocks(map) { map.permute([0, 1, 4, 2, 3]).flatten(1, 2) } else { map.shallow_clone() }
}

/// The largest value around every other pixel, as residual networks halve a map.
///
/// # Shapes
/// (N, C, H, W) -> (N, C, H / 2, W / 2), in blocks if the map is
pub fn max_pool(map: &Tensor) -> Tensor {
    let pool = |map: &Tensor| map.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
    if !is_in_blocks(map) {
        return pool(map);
    }
    // each block as a photo whose channels lie side by side
    let pooled = pool(&map.permute([0, 1, 4, 2, 3]).flatten(0, 1));
    pooled.unflatten(0, [map.size()[0], -1]).permute([0, 1, 3, 4, 2])
}

/// The map with its outermost pixels once more around it: doubled, that is the doubled map with its reflection by one pixel.
fn framed(x: &Tensor) -> Tensor {
    [2, 3].into_iter().fold(x.shallow_clone(), |x, dim| {
        let last = x.size()[dim as usize] - 1;
        Tensor::cat(&[x.narrow(dim, 0, 1), x.shallow_clone(), x.narrow(dim, last, 1)], dim)
    })
}

/// A reflection by two pixels differs from the [`framed`] map, doubled, in its outermost rows and columns alone, and they
/// reach the outermost rows and columns of `y` through the outermost ones of the kernel: adds the difference there.
fn correct_border(y: &Tensor, x: &Tensor, framed: &Tensor, weight: &Tensor) {
    let (height, width) = (x.size()[2], x.size()[3]);
    let doubled = |line: &Tensor| line.repeat_interleave_self_int(2, 2, None::<i64>);
    let row = |outer: i64, inner: i64, of_kernel: i64| {
        let line = doubled(&(x.select(2, inner) - x.select(2, outer)));
        // in two dimensions: the gradient of the other has no order on a GPU
        let line = line.unsqueeze(2).reflection_pad2d([2, 2, 0, 0]).squeeze_dim(2);
        line.conv1d(&weight.select(2, of_kernel), None::<Tensor>, [1], [0], [1], 1)
    };
    let column = |outer: i64, inner: i64, of_kernel: i64| {
        let line = doubled(&(framed.select(3, inner) - framed.select(3, outer)));
        line.conv1d(&weight.select(3, of_kernel), None::<Tensor>, [1], [0], [1], 1)
    };
    let rows = [row(0, 1, 0), row(height - 1, height - 2, 4)];
    let columns = [column(1, 2, 0), column(width, width - 1, 4)];
    let _ = y.slice(2, 0, None, 2 * height - 1).g_add_(&Tensor::stack(&rows, 2));
    let _ = y.slice(3, 0, None, 2 * width - 1).g_add_(&Tensor::stack(&columns, 3));
}

/// An affine map.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Weights by `init`, zero bias.
    pub fn new(vs: &Path, from: i64, to: i64, init: Init) -> Self {
        let dims = [to, from];
        Self {
            weight: vs.randn("weight", &dims, 0.0, init.std(&dims)),
            bias: vs.zeros("bias", &[to]),
        }
    }

    /// # Shapes
    /// (N, from) -> (N, to)
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        x.linear(&seen(&self.weight, pass), Some(seen(&self.bias, pass)))
    }
}

/// Self-attention over the positions of a map (non-local block): input + gamma x attended values.
#[derive(Debug)]
pub struct NonLocal {
    query: Conv,
    key: Conv,
    value: Conv,
    gamma: Tensor,
}

impl NonLocal {
    /// Gamma begins at 0, so the block begins as the identity.
    pub fn new(vs: &Path, channels: i64, init: Init) -> Self {
        let inner = (channels / 8).max(1);
        let conv = |name, to| Conv::reflected(&(vs / name), channels, to, ConvShape::same(1), init);
        Self {
            query: conv("query_conv", inner),
            key: conv("key_conv", inner),
            value: conv("value_conv", channels),
            gamma: vs.zeros("gamma", &[1]),
        }
    }

    /// # Shapes
    /// (N, C, H, W) -> the same
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let positions = |conv: &Conv| conv.forward(x, pass).flatten(2, 3);
        let asked = positions(&self.query).transpose(1, 2).bmm(&positions(&self.key));
        let attention = asked.softmax(-1, None::<Kind>);
        let attended = positions(&self.value).bmm(&attention.transpose(1, 2));
        attended.view_as(x) * seen(&self.gamma, pass) + x
    }
}

/// Leaky ReLU with slope 0.2.
pub fn leaky_relu(x: &Tensor) -> Tensor {
    ops::leaky_relu(x, LEAKY_SLOPE)
}

/// A tensor that autocast has narrowed, in 32 bits again; any other as it is.
pub fn wide(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::BFloat16 | Kind::Half => x.to_kind(Kind::Float),
        _ => x.shallow_clone(),
    }
}

/// Nearest-neighbour upsampling by 2.
///
/// # Shapes
/// (N, C, H, W) -> (N, C, 2H, 2W)
pub fn upsample2(x: &Tensor) -> Tensor {
    let size = x.size();
    x.upsample_nearest2d([size[2] * 2, size[3] * 2], None::<f64>, None::<f64>)
}

/// The same values with the channels of a pixel side by side in memory: kernels on few channels and
/// many pixels are faster so.
///
/// # Shapes
/// (N, C, H, W) -> the same
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind, Tensor};

    use super::{Conv, ConvShape, Init, channels_last, max_pool, plain, upsample2};
    use crate::model::Pass;
    use crate::model::norms::BatchNorm;

    /// Where this processor has no blocks, both ways are one.
    #[test]
    fn maps_in_blocks_have_the_same_bits() {
        for (size, stride) in [([16, 3, 18, 10], 1), ([18, 16, 12, 6], 2), ([16, 32, 5, 7], 1)] {
            let vars = VarStore::new(Device::Cpu);
            let conv = |name, from, to, shape| {
                Conv::zero_padded(&(vars.root() / name), from, to, shape, Init::HeFanOut)
            };
            let first = conv("first", size[1], 32, ConvShape::same(3).stride(stride));
            let norm = BatchNorm::new(&(vars.root() / "norm"), 32);
            let last = conv("last", 32, 48, ConvShape::same(1));
            let [mean, var] = ["norm.running_mean", "norm.running_var"]
                .map(|name| vars.variables()[name].shallow_clone());
            let weights = ["first.weight", "last.weight", "norm.weight", "norm.bias"]
                .map(|name| vars.variables()[name].shallow_clone());
            let x = Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true);
            for pass in [Pass::TRAIN, Pass::TRAIN.of(2), Pass::FROZEN, Pass::EVAL] {
                let all_of = |begun: Tensor| {
                    let y = max_pool(&norm.forward(&begun, pass).relu());
                    let y = plain(&last.forward(&y, pass));
                    let loss = (&y * y.detach().cos()).sum(Kind::Float);
                    let to: Vec<_> = match pass {
                        Pass::EVAL => Vec::new(),
                        Pass::FROZEN => vec![&x],
                        _ => weights.iter().chain([&x]).collect(),
                    };
                    let mut all = if to.is_empty() {
                        Vec::new()
                    } else {
                        Tensor::run_backward(&[loss], &to, false, false)
                    };
                    all.extend([y.detach(), mean.copy(), var.copy()]);
                    all
                };
                let before = [&mean, &var].map(Tensor::copy);
                let blocks = all_of(first.forward_in_blocks(&x, pass));
                mean.shallow_clone().copy_(&before[0]);
                var.shallow_clone().copy_(&before[1]);
                let usual = all_of(first.forward(&x, pass));
                for (part, (blocks, usual)) in blocks.iter().zip(&usual).enumerate() {
                    let apart = (blocks - usual).abs().max().double_value(&[]);
                    assert!(apart == 0.0, "{size:?} {pass:?}, part {part}: {apart}");
                }
            }
        }
    }

    #[test]
    fn a_convolution_of_the_doubled_map_needs_no_doubled_map() {
        for kernel in [1, 3, 5, 7] {
            let mut vars = VarStore::new(Device::Cpu);
            let shape = ConvShape::same(kernel);
            let conv = Conv::reflected(&vars.root(), 3, 4, shape, Init::HeFanIn);
            vars.double();
            let maps = [[2, 3, 5, 4], [1, 3, 8, 3], [2, 3, 2, 2]];
            // the smallest that the plain way reflects
            let maps = maps.into_iter().filter(|size| 2 * size[3] > (kernel - 1) / 2);
            let maps = maps.map(|size| Tensor::randn(size, (Kind::Double, Device::Cpu)));
            for x in maps.flat_map(|x| [channels_last(&x), x]) {
                let of = |y: &Tensor, x: &Tensor| {
                    let loss = (y * y.detach().cos()).sum(None::<Kind>);
                    let parameters = vars.variables();
                    let to = [x, &parameters["weight"], &parameters["bias"]];
                    let mut all = Tensor::run_backward(&[loss], &to, false, false);
                    all.push(y.detach());
                    all
                };
                let x = x.set_requires_grad(true);
                let fast = of(&conv.forward_doubled(&x, Pass::TRAIN), &x);
                let plain = of(&conv.forward(&upsample2(&x), Pass::TRAIN), &x);
                for (part, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
                    assert_eq!(fast.size(), plain.size());
                    let off = (fast - plain).abs().max().double_value(&[]);
                    assert!(off < 1e-10, "kernel {kernel}, part {part}: {off}");
                }
            }
        }
    }
}
