//! Cameras: what each one's scene, light and colour rendering are, and how a painted canvas becomes a
//! photo (exposure, tint, contrast, downscaling, blur, noise).

use super::canvas::{Canvas, Rgb};
use super::factors::{Camera, Colour, SceneKind, Structure, pick, range};
use crate::data::pixels::Rgb8;
use crate::data::rng::Rng;

/// Canvas pixels per photo pixel, along each axis.
pub const SUPERSAMPLE: usize = 2;

const SCENES: [SceneKind; 6] = [
    SceneKind::Brick,
    SceneKind::Park,
    SceneKind::Shop,
    SceneKind::Underpass,
    SceneKind::Fence,
    SceneKind::Plaza,
];

/// Warm evening, cold shade, fluorescent, magenta dusk, plain day, sodium lamp.
const TINTS: [Rgb; 6] = [
    [1.22, 1.0, 0.72],
    [0.74, 0.94, 1.24],
    [0.88, 1.12, 0.82],
    [1.12, 0.84, 1.1],
    [1.0, 1.0, 1.0],
    [1.3, 0.92, 0.56],
];

/// The cameras of a set; neighbours never share scene or tint.
pub fn cameras(count: u32, seed: u64) -> Vec<Camera> {
    let mut order = Rng::new(seed, "drawn cameras", 0);
    let mut scenes = SCENES;
    let mut tints = TINTS;
    order.shuffle(&mut scenes);
    order.shuffle(&mut tints);
    let light_first = order.below(3);
    (0..count as usize)
        .map(|index| {
            let mut rng = Rng::new(seed, "drawn camera", index as u64);
            let scene = scenes[index % scenes.len()];
            // Dark, bright and middling cameras alternate, so that two cameras always differ.
            let level = [0.82, 1.0, 1.18][(index + light_first) % 3];
            camera(&mut rng, scene, tints[index % tints.len()], level)
        })
        .collect()
}

fn camera(rng: &mut Rng, scene: SceneKind, tint: Rgb, level: f32) -> Camera {
    let walls: &[[u8; 3]] = match scene {
        SceneKind::Brick => &[[150, 84, 66], [164, 120, 92], [120, 76, 72]],
        SceneKind::Park => &[[70, 104, 60], [88, 112, 62], [64, 92, 76]],
        SceneKind::Shop => &[[74, 88, 104], [92, 80, 74], [58, 84, 82]],
        SceneKind::Underpass => &[[150, 152, 148], [134, 140, 150], [160, 150, 132]],
        SceneKind::Fence => &[[150, 176, 200], [176, 184, 186], [168, 160, 176]],
        SceneKind::Plaza => &[[206, 188, 150], [196, 160, 130], [184, 190, 180]],
    };
    let accents: &[[u8; 3]] =
        &[[180, 60, 52], [50, 110, 150], [206, 170, 70], [70, 130, 92], [110, 78, 120]];
    let floors: &[[u8; 3]] = match scene {
        SceneKind::Park => &[[110, 146, 72], [126, 138, 76]],
        SceneKind::Fence => &[[84, 86, 90], [96, 94, 92]],
        _ => &[[150, 146, 140], [128, 124, 122], [168, 156, 138], [112, 116, 124]],
    };
    let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
    let (right, up): (f32, f32) = (side * range(rng, 0.3, 0.85), range(rng, 0.2, 0.7));
    let front = range(rng, 0.35, 0.8);
    let length = (right * right + up * up + front * front).sqrt();
    let strength = range(rng, 0.35, 0.55);
    Camera {
        scene,
        wall: Colour(pick(rng, walls)),
        accent: Colour(pick(rng, accents)),
        floor: Colour(pick(rng, floors)),
        horizon: range(rng, 0.62, 0.8),
        seed: rng.next_u64() >> 12,
        light: [right / length, up / length, front / length],
        ambient: range(rng, 0.5, 0.66),
        diffuse: range(rng, 0.45, 0.62),
        tint: tint.map(|gain| (1.0 + (gain - 1.0) * strength) * level),
        gamma: range(rng, 0.92, 1.08),
        saturation: range(rng, 0.85, 1.05),
        blur: range(rng, 0.2, 0.7),
        noise: range(rng, 0.004, 0.012),
        pitch: range(rng, 0.02, 0.14),
        scale: range(rng, 0.94, 1.04),
    }
}

/// Develops a canvas of [`SUPERSAMPLE`] times the photo's size.
pub fn develop(canvas: &Canvas, camera: &Camera, structure: &Structure) -> Rgb8 {
    let (height, width) = (canvas.height / SUPERSAMPLE, canvas.width / SUPERSAMPLE);
    let mut photo = shrink(canvas, height, width);
    for pixel in &mut photo {
        *pixel = expose(*pixel, camera, structure);
    }
    blur(&mut photo, width, camera.blur * height as f32 / 128.0);
    let mut rng = Rng::new(structure.grain, "drawn grain", 0);
    let mut data = Vec::with_capacity(height * width * 3);
    for pixel in photo {
        // Luminance noise is stronger than colour noise, as in real sensors after demosaicing.
        let shared = triangular(&mut rng) * camera.noise;
        for value in pixel {
            let value = value + shared + triangular(&mut rng) * camera.noise * 0.4;
            data.push((value * 255.0 + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    Rgb8 { height, width, data }
}

/// Zero mean, unit variance, without logarithms: the same bits on every machine.
fn triangular(rng: &mut Rng) -> f32 {
    ((rng.uniform() + rng.uniform() - 1.0) * 2.449_489_7) as f32
}

fn shrink(canvas: &Canvas, height: usize, width: usize) -> Vec<Rgb> {
    let share = 1.0 / (SUPERSAMPLE * SUPERSAMPLE) as f32;
    let mut photo = vec![[0.0; 3]; height * width];
    for (row, line) in photo.chunks_exact_mut(width).enumerate() {
        for (column, pixel) in line.iter_mut().enumerate() {
            for y in 0..SUPERSAMPLE {
                for x in 0..SUPERSAMPLE {
                    let at = (row * SUPERSAMPLE + y) * canvas.width + column * SUPERSAMPLE + x;
                    for (sum, value) in pixel.iter_mut().zip(canvas.pixels[at]) {
                        *sum += value * share;
                    }
                }
            }
        }
    }
    photo
}

fn expose(pixel: Rgb, camera: &Camera, structure: &Structure) -> Rgb {
    let grey = 0.3 * pixel[0] + 0.59 * pixel[1] + 0.11 * pixel[2];
    [0, 1, 2].map(|channel| {
        let colour = grey + (pixel[channel] - grey) * camera.saturation;
        let gain = camera.tint[channel] * structure.exposure * structure.balance[channel];
        let value = (colour * gain).max(0.0).powf(camera.gamma);
        // A soft shoulder: highlights compress instead of clipping.
        if value > 0.75 { 0.75 + 0.25 * (1.0 - (-(value - 0.75) / 0.25).exp()) } else { value }
    })
}

/// Separable Gaussian with replicated edges.
pub fn blur(photo: &mut [Rgb], width: usize, sigma: f32) {
    if sigma < 0.1 || width == 0 {
        return;
    }
    let reach = (sigma * 3.0).ceil() as isize;
    let mut taps: Vec<f32> = (-reach..=reach)
        .map(|step| (-((step * step) as f32) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f32 = taps.iter().sum();
    for tap in &mut taps {
        *tap /= sum;
    }
    let height = photo.len() / width;
    let pass = |from: &[Rgb], along_x: bool| -> Vec<Rgb> {
        let mut out = vec![[0.0; 3]; from.len()];
        for (at, pixel) in out.iter_mut().enumerate() {
            let (row, column) = (at / width, at % width);
            for (tap, step) in taps.iter().zip(-reach..=reach) {
                let near = |place: usize, end: usize| {
                    place.saturating_add_signed(step).min(end.saturating_sub(1))
                };
                let source = if along_x {
                    row * width + near(column, width)
                } else {
                    near(row, height) * width + column
                };
                for (sum, value) in pixel.iter_mut().zip(from[source]) {
                    *sum += value * tap;
                }
            }
        }
        out
    };
    let once = pass(photo, true);
    photo.copy_from_slice(&pass(&once, false));
}
