//! VGG-16 up to relu5_3, for the perceptual loss: weights from a file, never trained.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{Conv, ConvShape, Init};
use super::norms::instance_norm;

/// Channels of the convolutions; `None` halves the map.
const LAYERS: [Option<i64>; 17] = [
    Some(64),
    Some(64),
    None,
    Some(128),
    Some(128),
    None,
    Some(256),
    Some(256),
    Some(256),
    None,
    Some(512),
    Some(512),
    Some(512),
    None,
    Some(512),
    Some(512),
    Some(512),
];
/// Means of the training photos, blue, green, red, from 0 to 255.
const CAFFE_MEANS: [f64; 3] = [103.939, 116.779, 123.680];

/// The features.
#[derive(Debug)]
pub struct Vgg {
    /// Convolutions with a ReLU, and `None` for pooling.
    layers: Vec<Option<Conv>>,
    /// `CAFFE_MEANS` where the photos are: a step copies nothing from the host.
    means: Tensor,
}

impl Vgg {
    /// Builds the convolutions under torchvision's names, `features.0.weight` and so on.
    pub fn new(vs: &Path) -> Self {
        let features = vs / "features";
        let (mut at, mut from) = (0, 3);
        let layer = |channels: Option<i64>| {
            let Some(to) = channels else {
                at += 1;
                return None;
            };
            let vs = &features / at;
            // a convolution and its ReLU each have a number
            at += 2;
            let conv = Conv::biased(&vs, from, to, ConvShape::same(3), Init::HeFanIn);
            from = to;
            Some(conv)
        };
        let means = Tensor::from_slice(&CAFFE_MEANS).view([1, 3, 1, 1]).to_device(vs.device());
        Self { layers: LAYERS.map(layer).into(), means }
    }

    /// Instance-normalised features of photos whose values are taken as -1 to 1 (the public release feeds
    /// its normalised photos).
    ///
    /// # Shapes
    /// (N, 3, H, W) -> (N, 512, H/16, W/16)
    pub fn forward(&self, photo: &Tensor) -> Tensor {
        let means = self.means.to_kind(photo.kind());
        let mut x = (photo.flip([1]) + 1.0) * (0.5 * 255.0) - means;
        for layer in &self.layers {
            x = match layer {
                Some(conv) => conv.forward(&x, Pass::FROZEN).relu(),
                None => x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
            };
        }
        instance_norm(&x)
    }
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind, Tensor};

    use super::Vgg;

    #[test]
    fn names_and_sizes_are_torchvisions() {
        let vars = VarStore::new(Device::Cpu);
        let vgg = Vgg::new(&vars.root());
        let named = vars.variables();
        let of = |layer: i64| named[&format!("features.{layer}.weight")].size();
        assert_eq!(named.len(), 26);
        assert_eq!(
            (of(0), of(2), of(5)),
            (vec![64, 3, 3, 3], vec![64, 64, 3, 3], vec![128, 64, 3, 3])
        );
        assert_eq!((of(10), of(28)), (vec![256, 128, 3, 3], vec![512, 512, 3, 3]));
        let parameters: usize = named.values().map(Tensor::numel).sum();
        assert_eq!(parameters, 14_714_688);
        let features = vgg.forward(&Tensor::rand([2, 3, 32, 48], (Kind::Float, Device::Cpu)));
        assert_eq!(features.size(), [2, 512, 2, 3]);
    }
}
