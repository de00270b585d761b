//! The decoder G with the networks that turn an appearance code into AdaIN parameters. The parameters
//! are an argument of `forward`, never state that is patched into layers.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::block::{Block, BlockStyle, LAYERS};
use super::layers::{Conv, ConvShape, Init, Linear, NonLocal, channels_last, leaky_relu};
use super::norms::LayerNorm;
use dgnet::spec::settings::Decoder as Config;

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
    residuals: Vec<Block>,
    attention: Option<NonLocal>,
    ups: Vec<(Conv, LayerNorm)>,
    smooth: [Conv; 2],
    last: Conv,
    dropout: f64,
    tanh: bool,
}

impl Decoder {
    /// Builds G under `dec` and its style networks beside it: `channels` is the structure code's,
    /// `code_length` the appearance code's.
    pub fn new(vs: &Path, cfg: &Config, channels: i64, code_length: i64) -> Self {
        let blocks = i64::from(cfg.residual_blocks);
        let hidden = i64::from(cfg.mlp_width);
        let styled = LAYERS * Block::styled_channels(cfg.block, channels);
        let mlp = |name: String| Mlp::new(&(vs / name), code_length / blocks, hidden, styled);
        let model = vs / "dec" / "model";
        let conv = |at: Path, from, to, kernel| {
            Conv::reflected(&(at / "conv"), from, to, ConvShape::same(kernel), Init::HeFanIn)
        };
        let residual =
            |i: i64| Block::new(&(&model / 1 / "model" / i / "model"), cfg.block, channels);
        // parts are numbered as in public checkpoints, where attention takes a number of its own
        let after = i64::from(cfg.non_local);
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
            attention: cfg.non_local.then(|| NonLocal::new(&(&model / 2), channels, Init::HeFanIn)),
            ups: vec![up(3 + after, channels), up(5 + after, channels / 2)],
            smooth: [6, 7].map(|i| conv(&model / (i + after), low, low, 3)),
            last: conv(&model / (8 + after), low, 3, 1),
            dropout: cfg.dropout,
            tanh: cfg.tanh,
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
        self.forward_shared(style, structure, &Tensor::shallow_clone, pass)
    }

    /// As [`Self::forward`] where samples have structures in common: `spread` makes the structures of all samples out of
    /// `structure`, which saves convolutions of equal maps.
    ///
    /// # Shapes
    /// style of N samples, structure (M, channels, H/4, W/4), `spread` (M, ...) -> (N, ...)
    pub fn forward_shared(
        &self,
        style: &Style,
        structure: &Tensor,
        spread: &dyn Fn(&Tensor) -> Tensor,
        pass: Pass,
    ) -> Tensor {
        let mut x = spread(structure);
        let mut begun = None;
        if self.dropout > 0.0 && pass.dropout {
            // what it leaves differs from sample to sample
            x = x.dropout(self.dropout, pass.dropout);
        } else if let Some(block) = self.residuals.first() {
            begun = Some(spread(&block.begin(structure, pass)));
        }
        for (block, style) in self.residuals.iter().zip(&style.0) {
            let begun = begun.take().unwrap_or_else(|| block.begin(&x, pass));
            x = block.forward(&x, &begun, style, pass) + x;
        }
        if let Some(attention) = &self.attention {
            x = attention.forward(&x, pass);
        }
        x = channels_last(&x);
        for (conv, norm) in &self.ups {
            x = leaky_relu(&norm.forward(&conv.forward_doubled(&x, pass), pass));
        }
        for conv in &self.smooth {
            x = leaky_relu(&conv.forward(&x, pass));
        }
        let photo = self.last.forward(&x, pass);
        if self.tanh { photo.tanh() } else { photo }
    }
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind, Tensor};

    use super::{Config, Decoder, Pass};
    use dgnet::spec::settings::BlockKind;

    #[test]
    fn images_that_share_a_structure_are_those_of_a_structure_each() {
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Double, Device::Cpu));
        for block in [BlockKind::Basic, BlockKind::Slim, BlockKind::Series, BlockKind::Parallel] {
            let cfg = Config { block, residual_blocks: 2, mlp_width: 4, ..Config::default() };
            let mut vars = VarStore::new(Device::Cpu);
            let decoder = Decoder::new(&vars.root(), &cfg, 8, 6);
            vars.double();
            let structure = random(&[2, 8, 4, 3]).set_requires_grad(true);
            let code = random(&[3, 6]);
            let spread = |of: &Tensor| of.index_select(0, &Tensor::from_slice(&[1_i64, 0, 1]));
            let named = vars.variables();
            let mut to: Vec<&Tensor> = named.values().collect();
            to.push(&structure);
            let of = |image: Tensor| {
                let loss = image.square().sum(None::<Kind>);
                let mut all = Tensor::run_backward(&[loss], &to, false, false);
                all.push(image.detach());
                all
            };
            let style = || decoder.style(&code, Pass::TRAIN);
            let shared = of(decoder.forward_shared(&style(), &structure, &spread, Pass::TRAIN));
            let plain = of(decoder.forward(&style(), &spread(&structure), Pass::TRAIN));
            for (shared, plain) in shared.iter().zip(&plain) {
                let scale = plain.abs().max().double_value(&[]).max(1.0);
                let off = (shared - plain).abs().max().double_value(&[]);
                assert!(off < 1e-10 * scale, "{block:?}: {off}");
            }
        }
    }
}
