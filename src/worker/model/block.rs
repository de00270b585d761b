//! The residual blocks of the decoder in their four kinds, each with two AdaIN layers that an
//! appearance code steers. The block's input is added by the decoder.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{Conv, ConvShape, Init, leaky_relu};
use super::norms::{adaptive_instance_norm, instance_norm};
use dgnet::spec::settings::BlockKind;

/// AdaIN layers of one block.
pub const LAYERS: i64 = 2;

/// AdaIN parameters of one block.
#[derive(Debug)]
pub struct BlockStyle {
    /// (N, 2 * channels), first layer first.
    pub weight: Tensor,
    /// The same shape.
    pub bias: Tensor,
}

impl BlockStyle {
    /// AdaIN of layer 0 or 1.
    fn adapt(&self, x: &Tensor, layer: i64) -> Tensor {
        let channels = x.size()[1];
        let part = |t: &Tensor| t.narrow(1, layer * channels, channels);
        adaptive_instance_norm(x, &part(&self.weight), &part(&self.bias))
    }
}

/// One residual block.
#[derive(Debug)]
pub struct Block {
    kind: BlockKind,
    convs: Vec<Conv>,
}

impl Block {
    /// Channels of the maps that AdaIN works on.
    #[must_use]
    pub fn styled_channels(kind: BlockKind, channels: i64) -> i64 {
        if kind == BlockKind::Slim { channels / 2 } else { channels }
    }

    /// Builds the block's convolutions under `vs`.
    pub fn new(vs: &Path, kind: BlockKind, channels: i64) -> Self {
        let inner = Self::styled_channels(kind, channels);
        let shapes: &[(i64, i64, i64)] = match kind {
            BlockKind::Basic | BlockKind::Series | BlockKind::Parallel => {
                &[(channels, channels, 3), (channels, channels, 3)]
            }
            BlockKind::Slim => {
                &[(channels, inner, 1), (inner, inner, 3), (inner, inner, 3), (inner, channels, 1)]
            }
        };
        let conv = |(i, &(from, to, kernel)): (usize, &(i64, i64, i64))| {
            let shape = ConvShape::same(kernel);
            Conv::reflected(&(vs / i / "conv"), from, to, shape, Init::HeFanIn)
        };
        Self { kind, convs: shapes.iter().enumerate().map(conv).collect() }
    }

    /// The first convolution, which no style steers: samples of equal x may share it.
    ///
    /// # Shapes
    /// x (N, channels, H, W) -> (N, styled channels, H, W)
    pub fn begin(&self, x: &Tensor, pass: Pass) -> Tensor {
        self.convs[0].forward(x, pass)
    }

    /// # Shapes
    /// x (N, channels, H, W) and what [`Self::begin`] made of it, style of N samples -> the same shape as x
    pub fn forward(&self, x: &Tensor, begun: &Tensor, style: &BlockStyle, pass: Pass) -> Tensor {
        let conv = |i: usize, x: &Tensor| match i {
            0 => begun.shallow_clone(),
            _ => self.convs[i].forward(x, pass),
        };
        // two layers, the second without activation
        let twice = |layer: &dyn Fn(usize, &Tensor) -> Tensor| layer(1, &leaky_relu(&layer(0, x)));
        match self.kind {
            BlockKind::Basic => twice(&|i, x| style.adapt(&conv(i, x), i as i64)),
            BlockKind::Slim => {
                let x = leaky_relu(&instance_norm(&conv(0, x)));
                let x = leaky_relu(&style.adapt(&conv(1, &x), 0));
                let x = leaky_relu(&style.adapt(&conv(2, &x), 1));
                instance_norm(&conv(3, &x))
            }
            BlockKind::Series => twice(&|i, x| {
                let x = conv(i, x);
                instance_norm(&(style.adapt(&x, i as i64) + x))
            }),
            BlockKind::Parallel => {
                twice(&|i, x| instance_norm(&(conv(i, x) + style.adapt(x, i as i64))))
            }
        }
    }
}
