//! Residual networks (He et al. 2016) up to their last feature map, with torchvision's parameter
//! names so that its weights load by name. No pooling and no classifier: they belong to the users.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{Conv, ConvShape, Init, max_pool, plain};
use super::norms::BatchNorm;
use crate::ops;
use dgnet::spec::settings::Backbone;

/// Blocks per stage, and whether they are bottlenecks.
#[must_use]
pub fn layout(backbone: Backbone) -> ([usize; 4], bool) {
    match backbone {
        Backbone::Resnet10 => ([1, 1, 1, 1], false),
        Backbone::Resnet18 => ([2, 2, 2, 2], false),
        Backbone::Resnet34 => ([3, 4, 6, 3], false),
        Backbone::Resnet50 => ([3, 4, 6, 3], true),
    }
}

/// Channels of the last feature map for a first stage of `width`.
#[must_use]
pub fn out_channels(backbone: Backbone, width: u32) -> i64 {
    i64::from(width) * if layout(backbone).1 { 32 } else { 8 }
}

/// A residual network without its classifier.
#[derive(Debug)]
pub struct Resnet {
    conv1: Conv,
    bn1: BatchNorm,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    layers: Vec<(Conv, BatchNorm)>,
    downsample: Option<(Conv, BatchNorm)>,
}

impl Block {
    fn new(vs: &Path, from: i64, planes: i64, stride: i64, bottleneck: bool) -> Self {
        let to = if bottleneck { 4 * planes } else { planes };
        let shapes = if bottleneck {
            // the stride sits on the 3x3, as in torchvision's networks
            vec![(from, planes, 1, 1), (planes, planes, 3, stride), (planes, to, 1, 1)]
        } else {
            vec![(from, planes, 3, stride), (planes, planes, 3, 1)]
        };
        let layer = |conv: &Path, norm: &Path, (from, to, kernel, stride): (i64, i64, i64, i64)| {
            let shape = ConvShape::same(kernel).stride(stride);
            (Conv::zero_padded(conv, from, to, shape, Init::HeFanOut), BatchNorm::new(norm, to))
        };
        let layers = (1..)
            .zip(shapes)
            .map(|(i, shape)| layer(&(vs / format!("conv{i}")), &(vs / format!("bn{i}")), shape))
            .collect();
        let down = vs / "downsample";
        let downsample = (stride != 1 || from != to)
            .then(|| layer(&(&down / 0), &(&down / 1), (from, to, 1, stride)));
        Self { layers, downsample }
    }

    fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let apply = |(conv, norm): &(Conv, BatchNorm), x: &Tensor| {
            norm.forward(&conv.forward(x, pass), pass)
        };
        let last = self.layers.len() - 1;
        let mut y = x.shallow_clone();
        for (i, layer) in self.layers.iter().enumerate() {
            y = apply(layer, &y);
            if i < last {
                y = y.relu();
            }
        }
        let shortcut =
            self.downsample.as_ref().map_or_else(|| x.shallow_clone(), |down| apply(down, x));
        (y + shortcut).relu()
    }
}

impl Resnet {
    /// Builds the network under `vs`; its first stage has `width` channels, its last one `last_stride`.
    pub fn new(vs: &Path, backbone: Backbone, width: u32, last_stride: u32) -> Self {
        let (counts, bottleneck) = layout(backbone);
        let width = i64::from(width);
        let mut from = width;
        let mut blocks = Vec::new();
        for (stage, &count) in counts.iter().enumerate() {
            let planes = width << stage;
            let stride = [1, 2, 2, i64::from(last_stride)][stage];
            for i in 0..count {
                let path = vs / format!("layer{}", stage + 1) / i;
                blocks.push(Block::new(
                    &path,
                    from,
                    planes,
                    if i == 0 { stride } else { 1 },
                    bottleneck,
                ));
                from = if bottleneck { 4 * planes } else { planes };
            }
        }
        let shape = ConvShape { kernel: 7, stride: 2, padding: 3, dilation: 1 };
        Self {
            conv1: Conv::zero_padded(&(vs / "conv1"), 3, width, shape, Init::HeFanOut),
            bn1: BatchNorm::new(&(vs / "bn1"), width),
            blocks,
        }
    }

    /// Several batches come and go [`super::norms::interleaved`].
    ///
    /// # Shapes
    /// (N, 3, H, W) -> (N, out_channels, H/32, W/32), or H/16, W/16 for a last stride of 1
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        self.go_on(&self.begin(x, pass), pass)
    }

    /// A training pass over `x`, which no gradient reaches, and a frozen one, whose gradient reaches `x` alone; they are one
    /// but for the first convolution.
    ///
    /// # Shapes
    /// those of [`Self::forward`], two times
    pub fn forward_twice(&self, x: &Tensor, [trained, frozen]: [Pass; 2]) -> [Tensor; 2] {
        let own = self.begin(&x.detach(), trained);
        let map = self.go_on(&own, trained);
        let lent = ops::lend(&self.begin(x, frozen), &own, &map);
        [map, lent]
    }

    /// The first convolution; all maps from here on may be in blocks.
    fn begin(&self, x: &Tensor, pass: Pass) -> Tensor {
        // generated images come with the channels of a pixel side by side, which is slower here
        self.conv1.forward_in_blocks(&x.contiguous(), pass)
    }

    /// Everything after it.
    fn go_on(&self, begun: &Tensor, pass: Pass) -> Tensor {
        let stem = self.bn1.forward(begun, pass).relu();
        let mut x = max_pool(&stem);
        for block in &self.blocks {
            x = block.forward(&x, pass);
        }
        plain(&x)
    }
}
