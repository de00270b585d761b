//! The multi-scale discriminator D: the same small network on the photo at several sizes. It has no
//! norm, so samples never meet and batches may be concatenated.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{Conv, ConvShape, Init, channels_last, leaky_relu};
use dgnet::spec::settings::Discriminator as Config;

/// Initial standard deviation of D's weights.
const STD: f64 = 0.02;

#[derive(Debug)]
struct Scale {
    stem: Vec<Conv>,
    residuals: Vec<[Conv; 2]>,
    last: Conv,
}

impl Scale {
    fn new(vs: &Path, cfg: &Config) -> Self {
        let w = i64::from(cfg.width);
        let init = Init::Normal(STD);
        let same = ConvShape::same(3);
        let conv =
            |at: Path, from, to, shape| Conv::reflected(&(at / "conv"), from, to, shape, init);
        let shapes = [
            (3, w, ConvShape::same(1)),
            (w, w, same),
            (w, w, same.stride(2)),
            (w, w, same),
            (w, 2 * w, same.stride(2)),
        ];
        let first = shapes.len() as u32;
        let last = first + cfg.residual_blocks;
        Self {
            stem: shapes
                .into_iter()
                .enumerate()
                .map(|(i, (from, to, shape))| conv(vs / i, from, to, shape))
                .collect(),
            residuals: (first..last)
                .map(|i| [0, 1].map(|layer| conv(vs / i / "model" / layer, 2 * w, 2 * w, same)))
                .collect(),
            last: Conv::reflected(&(vs / last), 2 * w, 1, ConvShape::same(1), init),
        }
    }

    fn forward(&self, photo: &Tensor, pass: Pass) -> Tensor {
        let mut x = photo.shallow_clone();
        for conv in &self.stem {
            x = leaky_relu(&conv.forward(&x, pass));
        }
        for [first, second] in &self.residuals {
            x = second.forward(&leaky_relu(&first.forward(&x, pass)), pass) + x;
        }
        self.last.forward(&x, pass)
    }
}

/// D.
#[derive(Debug)]
pub struct Discriminator(Vec<Scale>);

impl Discriminator {
    /// Builds D under `vs`.
    pub fn new(vs: &Path, cfg: &Config) -> Self {
        Self((0..cfg.scales).map(|scale| Scale::new(&(vs / "cnns" / scale), cfg)).collect())
    }

    /// # Shapes
    /// photo (N, 3, H, W) -> per scale k (N, 1, H/4/2^k, W/4/2^k)
    #[must_use]
    pub fn forward(&self, photo: &Tensor, pass: Pass) -> Vec<Tensor> {
        let mut x = channels_last(photo);
        let mut judged = Vec::with_capacity(self.0.len());
        for (k, scale) in self.0.iter().enumerate() {
            if k > 0 {
                x = x.avg_pool2d([3, 3], [2, 2], [1, 1], false, false, None::<i64>);
            }
            judged.push(scale.forward(&x, pass));
        }
        judged
    }
}
