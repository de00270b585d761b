//! The structure encoder E_s (paper section 3.1; sizes from the public release): photo -> structure
//! code at a quarter of its size. Instance norm everywhere, so a batch may be any mixture of photos.

use tch::nn::Path;
use tch::{Device, Kind, Tensor};

use super::Pass;
use super::layers::{Conv, ConvShape, Init, leaky_relu};
use super::norms::instance_norm;
use dgnet::data::edges::canny;
use dgnet::data::pixels::{MEAN, STD};
use dgnet::spec::settings::{Structure, StructureInput};

/// Weights of red, green and blue in an 8-bit grey picture.
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];
/// Canny's thresholds.
const CANNY: [i64; 2] = [10, 200];

/// E_s.
#[derive(Debug)]
pub struct StructureEncoder {
    input: StructureInput,
    edge_noise: f64,
    stem: Vec<Conv>,
    residuals: Vec<[Conv; 2]>,
    point: Conv,
    dilated: Vec<[Conv; 2]>,
    fuse: Conv,
}

/// Channels of the structure code: eight times the width of the first layer.
#[must_use]
pub fn code_channels(cfg: &Structure) -> i64 {
    8 * i64::from(cfg.width)
}

impl StructureEncoder {
    /// Builds E_s under `vs`.
    pub fn new(vs: &Path, cfg: &Structure) -> Self {
        let w = i64::from(cfg.width);
        let input = match cfg.input {
            StructureInput::Grey | StructureInput::Edges => 1,
            StructureInput::Rgb => 3,
        };
        let model = vs / "model";
        let conv = |at: &Path, from, to, shape| {
            Conv::reflected(&(at / "conv"), from, to, shape, Init::HeFanIn)
        };
        let same = ConvShape::same(3);
        let stem = [(input, w, 2), (w, 2 * w, 1), (2 * w, 2 * w, 1), (2 * w, 4 * w, 2)]
            .into_iter()
            .enumerate()
            .map(|(i, (from, to, stride))| conv(&(&model / i), from, to, same.stride(stride)))
            .collect();
        let blocks = &model / 4 / "model";
        let residuals = (0..cfg.residual_blocks)
            .map(|i| [0, 1].map(|layer| conv(&(&blocks / i / "model" / layer), 4 * w, 4 * w, same)))
            .collect();
        let pyramid = &model / 5;
        let point = ConvShape::same(1);
        let dilated = cfg
            .dilations
            .iter()
            .zip(["conv6", "conv12", "conv18"])
            .map(|(&dilation, name)| {
                let branch = &pyramid / name;
                [
                    conv(&(&branch / 0), 4 * w, 2 * w, point),
                    conv(&(&branch / 1), 2 * w, 2 * w, same.dilated(i64::from(dilation))),
                ]
            })
            .collect();
        Self {
            input: cfg.input,
            edge_noise: cfg.edge_noise,
            stem,
            residuals,
            point: conv(&(&pyramid / "conv1"), 4 * w, 2 * w, point),
            dilated,
            fuse: conv(&(&pyramid / "fuse"), 8 * w, 8 * w, point),
        }
    }

    /// # Shapes
    /// photo (N, 3, H, W), normalised -> structure code (N, 8 * width, H/4, W/4)
    pub fn forward(&self, photo: &Tensor, pass: Pass) -> Tensor {
        let block = |conv: &Conv, x: &Tensor| instance_norm(&conv.forward(x, pass));
        let active = |conv: &Conv, x: &Tensor| leaky_relu(&block(conv, x));
        let mut x = match self.input {
            // the mean of the normalised channels, not luma: what the release feeds
            StructureInput::Grey => photo.mean_dim(Some([1].as_slice()), true, None::<Kind>),
            StructureInput::Rgb => photo.shallow_clone(),
            StructureInput::Edges => self.edges(photo, pass),
        };
        for conv in &self.stem {
            x = active(conv, &x);
        }
        for [first, second] in &self.residuals {
            x = block(second, &active(first, &x)) + x;
        }
        let mut branches = vec![block(&self.point, &x)];
        branches.extend(self.dilated.iter().map(|[point, wide]| block(wide, &active(point, &x))));
        block(&self.fuse, &Tensor::cat(&branches, 1))
    }

    /// Edges from -0.5 to 0.5, noisy while E_s is trained; no gradient reaches the photo.
    ///
    /// # Shapes
    /// (N, 3, H, W) -> (N, 1, H, W)
    fn edges(&self, photo: &Tensor, pass: Pass) -> Tensor {
        let size = photo.size();
        let (height, width) = (size[2] as usize, size[3] as usize);
        let channel = |values: &[f64]| Tensor::from_slice(values).view([1, 3, 1, 1]);
        let (mean, std) = (channel(&MEAN.map(f64::from)), channel(&STD.map(f64::from)));
        let colours = photo.detach().to_device(Device::Cpu).to_kind(Kind::Double) * std + mean;
        let luma = (colours * 255.0).clamp(0.0, 255.0) * channel(&LUMA);
        let grey = luma.sum_dim_intlist(Some([1].as_slice()), false, None::<Kind>) + 0.5;
        let grey = grey.floor().to_kind(Kind::Uint8).contiguous().view([-1]);
        let mut pixels = vec![0_u8; grey.numel()];
        let count = pixels.len();
        grey.copy_data(&mut pixels, count);
        let levels: Vec<f32> = pixels
            .chunks_exact(height * width)
            .flat_map(|grey| canny(grey, height, width, CANNY[0], CANNY[1]))
            .map(|edge| if edge { 0.5 } else { -0.5 })
            .collect();
        let edges = Tensor::from_slice(&levels)
            .view([size[0], 1, size[2], size[3]])
            .to_device(photo.device())
            .to_kind(photo.kind());
        if pass.dropout && self.edge_noise > 0.0 {
            edges.randn_like() * self.edge_noise + edges
        } else {
            edges
        }
    }
}
