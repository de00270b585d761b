//! The multi-scale discriminator D: the same small network on the photo at several sizes. It has no
//! norm, so samples never meet and batches may be concatenated.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{Conv, ConvShape, Init, NonLocal, channels_last, leaky_relu};
use dgnet::spec::settings::{Discriminator as Config, Gan, NonLocal as Places};

/// Initial standard deviation of D's weights.
const STD: f64 = 0.02;

/// Halvings of a Wasserstein critic, at most.
const CRITIC_LAYERS: i64 = 6;
/// Channels of a Wasserstein critic, at most.
const CRITIC_CHANNELS: i64 = 512;

#[derive(Debug)]
enum Layer {
    /// Convolution and leaky ReLU.
    Active(Conv),
    /// Two convolutions, the first with a leaky ReLU, added to their input.
    Residual([Conv; 2]),
    /// Self-attention.
    NonLocal(NonLocal),
    /// The map that judges.
    Last(Conv),
}

impl Layer {
    fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        match self {
            Self::Active(conv) => leaky_relu(&conv.forward(x, pass)),
            Self::Residual([first, second]) => {
                second.forward(&leaky_relu(&first.forward(x, pass)), pass) + x
            }
            Self::NonLocal(attention) => attention.forward(x, pass),
            Self::Last(conv) => conv.forward(x, pass),
        }
    }
}

/// A network that judges a photo, layer after layer; its parts are numbered as in public checkpoints.
#[derive(Debug)]
struct Judge(Vec<Layer>);

impl Judge {
    /// The network of one scale.
    fn scale(vs: &Path, cfg: &Config) -> Self {
        let w = i64::from(cfg.width);
        let init = Init::Normal(STD);
        let same = ConvShape::same(3);
        let conv = |at: Path, from, to, shape| Conv::reflected(&at, from, to, shape, init);
        let mut layers = Vec::new();
        for (from, to, shape) in [
            (3, w, ConvShape::same(1)),
            (w, w, same),
            (w, w, same.stride(2)),
            (w, w, same),
            (w, 2 * w, same.stride(2)),
        ] {
            layers.push(Layer::Active(conv(vs / layers.len() / "conv", from, to, shape)));
        }
        let attention = |at: usize| Layer::NonLocal(NonLocal::new(&(vs / at), 2 * w, init));
        if matches!(cfg.non_local, Places::Before | Places::Both) {
            layers.push(attention(layers.len()));
        }
        for _ in 0..cfg.residual_blocks {
            let block = vs / layers.len() / "model";
            let pair = [0, 1].map(|i| conv(&block / i / "conv", 2 * w, 2 * w, same));
            layers.push(Layer::Residual(pair));
        }
        if matches!(cfg.non_local, Places::After | Places::Both) {
            layers.push(attention(layers.len()));
        }
        layers.push(Layer::Last(conv(vs / layers.len(), 2 * w, 1, ConvShape::same(1))));
        Self(layers)
    }

    /// A Wasserstein critic: it halves the photo until little is left of it.
    fn critic(vs: &Path, cfg: &Config, smaller_side: i64) -> Self {
        let init = Init::Normal(STD);
        let halve = ConvShape { kernel: 4, stride: 2, padding: 1, dilation: 1 };
        let (mut layers, mut from, mut side) = (Vec::new(), 3, smaller_side);
        for i in 0..CRITIC_LAYERS {
            // a kernel of 4 on a side that is reflected by 1
            if side < 4 {
                break;
            }
            let to = (i64::from(cfg.width) << i).min(CRITIC_CHANNELS);
            layers.push(Layer::Active(Conv::reflected(&(vs / i / "conv"), from, to, halve, init)));
            (from, side) = (to, side / 2);
        }
        let last = Conv::reflected(&(vs / layers.len()), from, 1, ConvShape::same(1), init);
        layers.push(Layer::Last(last));
        Self(layers)
    }

    fn forward(&self, photo: &Tensor, pass: Pass) -> Tensor {
        self.0.iter().fold(photo.shallow_clone(), |x, layer| layer.forward(&x, pass))
    }
}

/// D.
#[derive(Debug)]
pub struct Discriminator(Vec<Judge>);

impl Discriminator {
    /// Builds D under `vs` for photos whose smaller side has `smaller_side` pixels.
    pub fn new(vs: &Path, cfg: &Config, smaller_side: i64) -> Self {
        let cnns = vs / "cnns";
        Self(match cfg.gan {
            Gan::Wgan => vec![Judge::critic(&(cnns / 0), cfg, smaller_side)],
            Gan::Lsgan | Gan::Nsgan | Gan::Log => {
                (0..cfg.scales).map(|scale| Judge::scale(&(&cnns / scale), cfg)).collect()
            }
        })
    }

    /// # Shapes
    /// photo (N, 3, H, W) -> per scale k (N, 1, H/4/2^k, W/4/2^k); a critic gives one map
    #[must_use]
    pub fn forward(&self, photo: &Tensor, pass: Pass) -> Vec<Tensor> {
        // halved in the usual memory format: in the other, libtorch 2.11 gives a wrong gradient on GPUs
        let mut photo = photo.contiguous();
        let mut judged = Vec::with_capacity(self.0.len());
        for (k, judge) in self.0.iter().enumerate() {
            if k > 0 {
                photo = photo.avg_pool2d([3, 3], [2, 2], [1, 1], false, false, None::<i64>);
            }
            judged.push(judge.forward(&channels_last(&photo), pass));
        }
        judged
    }
}
