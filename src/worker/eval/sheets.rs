//! Sheets of generated pictures for people: every appearance in every structure, one appearance in many,
//! and the way from one photo to another. Photos in, one picture out; no file is read or written.

use tch::{Device, Tensor};

use super::features::tensor_of;
use super::swap::pictures;
use crate::model::Pass;
use crate::model::appearance::AppearanceEncoder;
use crate::model::generator::Generator;
use dgnet::data::pixels::{Rgb8, grid};

/// White pixels between the pictures of a sheet.
const GAP: usize = 3;
/// Photos in a row of [`wear`].
const WEAR_COLUMNS: usize = 8;
/// Images drawn at a time; memory is bounded by it.
const BATCH: i64 = 16;

/// Codes and images of finished networks, without a gradient.
#[derive(Debug, Clone, Copy)]
pub struct Artist<'a> {
    encoder: &'a AppearanceEncoder,
    generator: &'a Generator,
    device: Device,
}

impl<'a> Artist<'a> {
    /// Draws with these networks.
    #[must_use]
    pub fn new(encoder: &'a AppearanceEncoder, generator: &'a Generator, device: Device) -> Self {
        Self { encoder, generator, device }
    }

    /// Appearance codes.
    ///
    /// # Shapes
    /// N photos -> (N, L)
    pub fn appearance(&self, photos: &[Rgb8]) -> Tensor {
        self.encoder.code(&tensor_of(photos, self.device), Pass::EVAL)
    }

    /// Structure codes.
    ///
    /// # Shapes
    /// N photos -> (N, C, H/4, W/4)
    pub fn structure(&self, photos: &[Rgb8]) -> Tensor {
        let x = tensor_of(photos, self.device);
        tch::no_grad(|| self.generator.structure.forward(&x, Pass::EVAL))
    }

    /// The images of pairs of codes; one appearance or one structure serves them all.
    ///
    /// # Shapes
    /// (N, L) and (N, C, H/4, W/4), either N may be 1 -> N pictures
    #[must_use]
    pub fn draw(&self, appearance: &Tensor, structure: &Tensor) -> Vec<Rgb8> {
        let count = appearance.size()[0].max(structure.size()[0]);
        let part = |codes: &Tensor, from: i64, length: i64| {
            let mut size = codes.size();
            let shared = std::mem::replace(&mut size[0], length) == 1;
            if shared { codes.expand(&size, false) } else { codes.narrow(0, from, length) }
        };
        let mut drawn = Vec::new();
        for from in (0..count).step_by(BATCH as usize) {
            let length = BATCH.min(count - from);
            let (a, s) = (part(appearance, from, length), part(structure, from, length));
            let images = tch::no_grad(|| self.generator.generate(&a, &s, Pass::EVAL));
            drawn.extend(pictures(&images));
        }
        drawn
    }
}

/// Appearances in columns under their photos, structures in rows beside theirs.
#[must_use]
pub fn matrix(artist: &Artist, appearances: &[Rgb8], structures: &[Rgb8]) -> Rgb8 {
    let codes = artist.appearance(appearances);
    let blank =
        appearances.iter().take(1).map(|first| Rgb8::filled(first.height, first.width, [255; 3]));
    let mut rows: Vec<Vec<Rgb8>> = vec![blank.chain(appearances.iter().cloned()).collect()];
    for photo in structures {
        let structure = artist.structure(std::slice::from_ref(photo));
        let images = artist.draw(&codes, &structure);
        rows.push(std::iter::once(photo.clone()).chain(images).collect());
    }
    grid(&rows, GAP)
}

/// One appearance in many structures: rows of photos, each with the images below it; the appearance's
/// photo stands before every row of images.
#[must_use]
pub fn wear(artist: &Artist, appearance: &Rgb8, structures: &[Rgb8]) -> Rgb8 {
    let code = artist.appearance(std::slice::from_ref(appearance));
    let blank = Rgb8::filled(appearance.height, appearance.width, [255; 3]);
    let mut rows: Vec<Vec<Rgb8>> = Vec::new();
    for photos in structures.chunks(WEAR_COLUMNS) {
        let images = artist.draw(&code, &artist.structure(photos));
        rows.push(std::iter::once(blank.clone()).chain(photos.iter().cloned()).collect());
        rows.push(std::iter::once(appearance.clone()).chain(images).collect());
    }
    grid(&rows, GAP)
}

/// The way from `first` to `last` in `steps` images, both photos at its ends: a row in which the
/// appearance code changes and the structure stays that of `first`, and one in which the structure code
/// changes and the appearance stays. Codes are mixed linearly.
#[must_use]
pub fn between(
    artist: &Artist,
    first: &Rgb8,
    last: &Rgb8,
    steps: u32,
    (appearance, structure): (bool, bool),
) -> Rgb8 {
    let ends = [first.clone(), last.clone()];
    let (a, s) = (artist.appearance(&ends), artist.structure(&ends));
    let mixed = |codes: &Tensor| {
        let (from, to) = (codes.narrow(0, 0, 1), codes.narrow(0, 1, 1));
        let parts: Vec<Tensor> = (0..steps)
            .map(|step| {
                let share = f64::from(step) / f64::from(steps.max(2) - 1);
                &from * (1.0 - share) + &to * share
            })
            .collect();
        Tensor::cat(&parts, 0)
    };
    let mut rows = Vec::new();
    let mut strip = |images: Vec<Rgb8>| {
        let row = std::iter::once(first.clone()).chain(images);
        rows.push(row.chain(std::iter::once(last.clone())).collect::<Vec<_>>());
    };
    if appearance {
        strip(artist.draw(&mixed(&a), &s.narrow(0, 0, 1)));
    }
    if structure {
        strip(artist.draw(&a.narrow(0, 0, 1), &mixed(&s)));
    }
    grid(&rows, GAP)
}
