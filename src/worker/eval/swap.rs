//! How good generated images are. On drawn people the true image of "appearance of i in the structure
//! of j" is known, which no real data set offers; on any data, reconstruction is measured.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::features::{gather, to_vec};
use super::picture_quality::{psnr, ssim};
use crate::model::Pass;
use crate::model::appearance::AppearanceEncoder;
use crate::model::generator::Generator;
use dgnet::data::drawn::Truth;
use dgnet::data::loader::Images;
use dgnet::data::pixels::{Rgb8, denormalise, resize};
use dgnet::data::rng::Rng;
use dgnet::data::{DataError, Photo};

/// Photos held out from training, at the size of the networks.
#[derive(Debug)]
pub struct HeldOut {
    /// Query and gallery photos of known persons.
    pub photos: Vec<Photo>,
    /// Their pixels, in the same order.
    pub images: Images,
}

/// A pair of held-out photos: appearance of `i`, structure of `j`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Gives the appearance.
    pub i: usize,
    /// Gives the structure.
    pub j: usize,
}

/// A photo with the one whose appearance or structure it shares, and the truth between them.
#[derive(Debug)]
pub struct Swap {
    /// The pair.
    pub pair: Pair,
    /// The true image of i's appearance in j's structure, at the networks' size.
    pub truth: Rgb8,
}

/// Means over pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SwapScores {
    /// Peak signal-to-noise ratio of G(a_i, s_j) against the truth, dB.
    pub psnr: f64,
    /// Structural similarity of the same.
    pub ssim: f64,
    /// Share of pairs in which G(a_i, s_j) is nearer (higher PSNR) to the truth than x_i and x_j are.
    pub nearer: f64,
    /// PSNR of the structure's photo x_j against the truth, dB: what copying would score.
    pub source_psnr: f64,
}

impl SwapScores {
    /// The scores under their names.
    #[must_use]
    pub fn metrics(self) -> BTreeMap<&'static str, f64> {
        BTreeMap::from([
            ("swap_psnr", self.psnr),
            ("swap_ssim", self.ssim),
            ("swap_nearer", self.nearer),
            ("swap_psnr_copy", self.source_psnr),
        ])
    }
}

/// `count` pairs of different persons. The draw depends on nothing but the photos, so every arm and
/// seed is scored on the same pairs.
#[must_use]
pub fn pairs(photos: &[Photo], count: usize) -> Vec<Pair> {
    let people: std::collections::BTreeSet<i64> = photos.iter().map(|photo| photo.person).collect();
    if people.len() < 2 {
        return Vec::new();
    }
    let mut rng = Rng::new(0, "swap_pairs", 0);
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let (i, j) = (rng.below(photos.len()), rng.below(photos.len()));
        if photos[i].person != photos[j].person {
            chosen.push(Pair { i, j });
        }
    }
    chosen
}

/// Renders the truths of `pairs`.
pub fn truths(held_out: &HeldOut, truth: &Truth, pairs: &[Pair]) -> Result<Vec<Swap>, DataError> {
    let (height, width) = held_out.images.size();
    let mut rendered = Vec::with_capacity(pairs.len());
    for &pair in pairs {
        let of = |k: usize| held_out.photos[k].name();
        let full = truth.render(&of(pair.i), &of(pair.j))?;
        rendered.push(Swap { pair, truth: resize(&full, height, width)? });
    }
    Ok(rendered)
}

/// G(a_i, s_j) for each pair.
///
/// # Shapes
/// -> (pairs, 3, H, W), normalised
pub fn generate(
    encoder: &AppearanceEncoder,
    generator: &Generator,
    images: &Images,
    pairs: &[Pair],
    device: Device,
) -> Tensor {
    tch::no_grad(|| {
        let side = |pick: fn(&Pair) -> usize| {
            let indices: Vec<usize> = pairs.iter().map(pick).collect();
            gather(images, &indices, device)
        };
        let appearance = encoder.code(&side(|pair| pair.i), Pass::EVAL);
        let structure = generator.structure.forward(&side(|pair| pair.j), Pass::EVAL);
        generator.generate(&appearance, &structure, Pass::EVAL)
    })
}

/// The pictures of a batch of generated images.
///
/// # Shapes
/// (N, 3, H, W), normalised -> N pictures
#[must_use]
pub fn pictures(images: &Tensor) -> Vec<Rgb8> {
    let size = images.size();
    let (height, width) = (size[2] as usize, size[3] as usize);
    to_vec(images)
        .chunks(3 * height * width)
        .map(|values| denormalise(values, height, width))
        .collect()
}

/// Scores G on swaps with known truth; all zero for no swaps.
#[must_use]
pub fn score(
    encoder: &AppearanceEncoder,
    generator: &Generator,
    images: &Images,
    swaps: &[Swap],
    batch: u32,
    device: Device,
) -> SwapScores {
    let mut total = SwapScores::default();
    for chunk in swaps.chunks(batch.max(1) as usize) {
        let pairs: Vec<Pair> = chunk.iter().map(|swap| swap.pair).collect();
        let generated = pictures(&generate(encoder, generator, images, &pairs, device));
        for (swap, picture) in chunk.iter().zip(&generated) {
            let own = psnr(picture, &swap.truth);
            let others = [swap.pair.i, swap.pair.j].map(|k| psnr(&images.picture(k), &swap.truth));
            total.psnr += own;
            total.ssim += ssim(picture, &swap.truth);
            total.nearer += f64::from(others.iter().all(|&other| own > other));
            total.source_psnr += others[1];
        }
    }
    let count = swaps.len().max(1) as f64;
    SwapScores {
        psnr: total.psnr / count,
        ssim: total.ssim / count,
        nearer: total.nearer / count,
        source_psnr: total.source_psnr / count,
    }
}

/// Mean over the training photos: what a generator that knows nothing would draw.
///
/// # Shapes
/// -> (1, 3, H, W), normalised
pub fn mean_image(train: &Images, device: Device) -> Tensor {
    let (height, width) = train.size();
    Tensor::from_slice(&train.mean()).view([1, 3, height as i64, width as i64]).to_device(device)
}

/// L1 of G(a_i, s_i) against x_i over held-out photos, divided by the L1 of `mean` against x_i.
#[must_use]
pub fn reconstruction_ratio(
    encoder: &AppearanceEncoder,
    generator: &Generator,
    images: &Images,
    mean: &Tensor,
    batch: u32,
) -> f64 {
    let (mut own, mut blind) = (0.0, 0.0);
    let indices: Vec<usize> = (0..images.len()).collect();
    for chunk in indices.chunks(batch.max(1) as usize) {
        let pairs: Vec<Pair> = chunk.iter().map(|&i| Pair { i, j: i }).collect();
        let photos = gather(images, chunk, mean.device());
        let distance = |x: &Tensor| (x - &photos).abs().sum(Kind::Double).double_value(&[]);
        own += distance(&generate(encoder, generator, images, &pairs, mean.device()));
        blind += distance(mean);
    }
    own / blind
}
