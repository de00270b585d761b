//! Re-ID features: the outputs of the heads' batch norms for a photo and its mirror image (protocol
//! of the public release). How halves are weighted and ranked is `rank`'s business.

use tch::{Device, Kind, Tensor};

use super::rank::with_mirror;
use dgnet::data::loader::Images;
use dgnet::data::pixels::{Rgb8, normalise};

/// Feature halves of many photos, image and mirror image joined, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Halves {
    /// The primary head's half: photos x dims.
    pub primary: Vec<f32>,
    /// The fine head's half; empty for a network with one head.
    pub fine: Vec<f32>,
    /// Length of one half.
    pub dims: usize,
}

/// Photos `from..to` as the networks see them.
///
/// # Shapes
/// (to - from, 3, H, W), normalised
pub fn photos(images: &Images, from: usize, to: usize, device: Device) -> Tensor {
    let indices: Vec<usize> = (from..to).collect();
    gather(images, &indices, device)
}

/// The photos at `indices`, unaugmented.
///
/// # Shapes
/// (len, 3, H, W), normalised
pub fn gather(images: &Images, indices: &[usize], device: Device) -> Tensor {
    let (height, width) = images.size();
    let dims = [indices.len() as i64, 3, height as i64, width as i64];
    Tensor::from_slice(&images.normalised(indices)).view(dims).to_device(device)
}

/// Pictures of one size as the networks see them.
///
/// # Shapes
/// (N, 3, H, W), normalised
pub fn tensor_of(pictures: &[Rgb8], device: Device) -> Tensor {
    let (height, width) = pictures.first().map_or((0, 0), |first| (first.height, first.width));
    let values: Vec<f32> = pictures.iter().flat_map(normalise).collect();
    let dims = [pictures.len() as i64, 3, height as i64, width as i64];
    Tensor::from_slice(&values).view(dims).to_device(device)
}

/// Features of every photo. `halves` gives the primary half and, where the network has one, the fine
/// half of a batch: (N, dims) each.
pub fn extract(
    images: &Images,
    batch: u32,
    device: Device,
    halves: impl Fn(&Tensor) -> (Tensor, Option<Tensor>),
) -> Halves {
    let batch = batch.max(1) as usize;
    let mut all = Halves { primary: Vec::new(), fine: Vec::new(), dims: 0 };
    for from in (0..images.len()).step_by(batch) {
        let to = (from + batch).min(images.len());
        let x = photos(images, from, to, device);
        let (primary, fine) = halves(&x);
        let (mirrored_primary, mirrored_fine) = halves(&x.flip([3]));
        all.dims = primary.size()[1] as usize;
        let dims = all.dims;
        let half = |x: &Tensor, mirrored: &Tensor| with_mirror(&to_vec(x), &to_vec(mirrored), dims);
        all.primary.extend(half(&primary, &mirrored_primary));
        if let (Some(fine), Some(mirrored)) = (fine, mirrored_fine) {
            all.fine.extend(half(&fine, &mirrored));
        }
    }
    all
}

/// The elements of a tensor as f32, row-major.
#[must_use]
pub fn to_vec(x: &Tensor) -> Vec<f32> {
    let flat = x.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let mut values = vec![0.0; flat.numel()];
    let count = values.len();
    flat.copy_data(&mut values, count);
    values
}
