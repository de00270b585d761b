//! From factors to a photo: scene, person, occluder, camera. The one place where they meet.

use super::camera::{SUPERSAMPLE, develop};
use super::canvas::Canvas;
use super::factors::{Appearance, Factors, Structure};
use super::figure::paint_person;
use super::scene::{Backdrop, paint_occluder};
use crate::data::pixels::Rgb8;

/// A photo and how much of each of its pixels shows the person, row by row, 0..1.
pub struct Rendered {
    pub photo: Rgb8,
    pub cover: Vec<f32>,
}

/// The scenes of every camera of `factors`, in order.
pub fn backdrops(factors: &Factors) -> Vec<Backdrop> {
    let [height, width] = [factors.height, factors.width].map(|side| side as usize * SUPERSAMPLE);
    factors.cameras.iter().map(|camera| Backdrop::new(camera, height, width)).collect()
}

/// Renders `look` (an empty scene for `None`) in `structure`. `None` when the camera is not there or
/// the size is impossible.
pub fn render(
    factors: &Factors,
    backdrops: &[Backdrop],
    look: Option<&Appearance>,
    structure: &Structure,
) -> Option<Rendered> {
    let [height, width] = [factors.height as usize, factors.width as usize];
    let camera = factors.cameras.get(structure.camera)?;
    let mut canvas = Canvas::new(width * SUPERSAMPLE, height * SUPERSAMPLE)?;
    backdrops.get(structure.camera)?.paint(&mut canvas, structure.shift);
    if let Some(look) = look {
        paint_person(&mut canvas, look, structure, camera);
    }
    paint_occluder(&mut canvas, structure, camera);
    let photo = develop(&canvas, camera, structure);
    let at = |row: usize, column: usize| {
        let near = |y: usize, x: usize| {
            canvas.cover[(row * SUPERSAMPLE + y) * canvas.width + column * SUPERSAMPLE + x]
        };
        (near(0, 0) + near(0, 1) + near(1, 0) + near(1, 1)) / 4.0
    };
    let cover = (0..height * width).map(|index| at(index / width, index % width)).collect();
    Some(Rendered { photo, cover })
}
