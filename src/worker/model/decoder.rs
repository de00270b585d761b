//! The decoder G with the networks that turn an appearance code into AdaIN parameters. The parameters
//! are an argument of `forward`, never state that is patched into layers.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{
    Conv, ConvShape, Init, LayerNorm, Linear, adaptive_instance_norm, channels_last, leaky_relu,
    upsample2,
};
use dgnet::spec::settings::Decoder as Config;

/// AdaIN layers of one residual block.
const LAYERS: i64 = 2;

/// AdaIN parameters of one residual block.
#[derive(Debug)]
pub struct BlockStyle {
    /// (N, 2 * channels), first layer first.
    weight: Tensor,
    /// The same shape.
    bias: Tensor,
}

/// AdaIN parameters of every residual block: what an appearance code says to G.
#[derive(Debug)]
pub struct Style(Vec<BlockStyle>);

impl Style {
    /// The styles of the samples at `index`, in that order.
    #[must_use]
    pub fn select(&self, index: &Tensor) -> Self {
        let at = |x: &Tensor| x.index_select(0, index);
        Self(
            self.0
                .iter()
                .map(|s| BlockStyle { weight: at(&s.weight), bias: at(&s.bias) })
                .collect(),
        )
    }
}

/// Three affine maps with leaky ReLUs between.
#[derive(Debug)]
struct Mlp([Linear; 3]);

impl Mlp {
    fn new(vs: &Path, from: i64, hidden: i64, to: i64) -> Self {
        let layer =
            |i: i64, from, to| Linear::new(&(vs / "model" / i / "fc"), from, to, Init::HeFanIn);
        Self([layer(0, from, hidden), layer(1, hidden, hidden), layer(2, hidden, to)])
    }

    fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let [first, second, last] = &self.0;
        let x = leaky_relu(&first.forward(x, pass));
        let x = leaky_relu(&second.forward(&x, pass));
        last.forward(&x, pass)
    }
}

/// G.
#[derive(Debug)]
pub struct Decoder {
    weights: Vec<Mlp>,
    biases: Vec<Mlp>,
    residuals: Vec<[Conv; 2]>,
    ups: Vec<(Conv, LayerNorm)>,
    smooth: [Conv; 2],
    last: Conv,
    channels: i64,
}

impl Decoder {
    /// Builds G under `dec` and its style networks beside it: `channels` is the structure code's,
    /// `code_length` the appearance code's.
    pub fn new(vs: &Path, cfg: &Config, channels: i64, code_length: i64) -> Self {
        let blocks = i64::from(cfg.residual_blocks);
        let hidden = i64::from(cfg.mlp_width);
        let mlp =
            |name: String| Mlp::new(&(vs / name), code_length / blocks, hidden, LAYERS * channels);
        let model = vs / "dec" / "model";
        let conv = |at: Path, from, to, kernel| {
            Conv::reflected(&(at / "conv"), from, to, ConvShape::same(kernel), Init::HeFanIn)
        };
        let residual = |i: i64| {
            let block = &model / 1 / "model" / i / "model";
            [0, 1].map(|layer| conv(&block / layer, channels, channels, 3))
        };
        let up_kernel = i64::from(cfg.up_kernel);
        let up = |i: i64, from| {
            (
                conv(&model / i, from, from / 2, up_kernel),
                LayerNorm::new(&(&model / i / "norm"), from / 2),
            )
        };
        let low = channels / 4;
        Self {
            weights: (1..=blocks).map(|i| mlp(format!("mlp_w{i}"))).collect(),
            biases: (1..=blocks).map(|i| mlp(format!("mlp_b{i}"))).collect(),
            residuals: (0..blocks).map(residual).collect(),
            ups: vec![up(3, channels), up(5, channels / 2)],
            smooth: [conv(&model / 6, low, low, 3), conv(&model / 7, low, low, 3)],
            last: conv(&model / 8, low, 3, 1),
            channels,
        }
    }

    /// What an appearance code says to G: it is cut into one chunk per residual block.
    ///
    /// # Shapes
    /// (N, code length) -> per block two times (N, 2 * channels)
    #[must_use]
    pub fn style(&self, code: &Tensor, pass: Pass) -> Style {
        let chunks = code.chunk(self.residuals.len() as i64, 1);
        let networks = self.weights.iter().zip(&self.biases);
        Style(
            chunks
                .iter()
                .zip(networks)
                .map(|(chunk, (weight, bias))| BlockStyle {
                    weight: weight.forward(chunk, pass),
                    bias: bias.forward(chunk, pass),
                })
                .collect(),
        )
    }

    /// G(a, s). Every layer works on each sample alone, so a batch may be any mixture of pairs.
    ///
    /// # Shapes
    /// style of N samples, structure (N, channels, H/4, W/4) -> photo (N, 3, H, W), normalised units
    pub fn forward(&self, style: &Style, structure: &Tensor, pass: Pass) -> Tensor {
        let mut x = structure.shallow_clone();
        for ([first, second], style) in self.residuals.iter().zip(&style.0) {
            let adapt = |conv: &Conv, x: &Tensor, layer: i64| {
                let part = |t: &Tensor| t.narrow(1, layer * self.channels, self.channels);
                adaptive_instance_norm(
                    &conv.forward(x, pass),
                    &part(&style.weight),
                    &part(&style.bias),
                )
            };
            let inner = leaky_relu(&adapt(first, &x, 0));
            x = adapt(second, &inner, 1) + x;
        }
        x = channels_last(&x);
        for (conv, norm) in &self.ups {
            x = leaky_relu(&norm.forward(&conv.forward(&upsample2(&x), pass), pass));
        }
        for conv in &self.smooth {
            x = leaky_relu(&conv.forward(&x, pass));
        }
        self.last.forward(&x, pass)
    }
}
