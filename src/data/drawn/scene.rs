//! What stands around the person: the scene of each camera, with fixed geometry, and occluders in the
//! foreground. Never paints people's clothes.

use super::camera::blur;
use super::canvas::{Canvas, Layer, Rgb, capsule, ellipse, hash, mix, noise, polygon, times};
use super::clothes::paint;
use super::factors::{Camera, Occluder, OccluderKind, SceneKind, Structure};
use super::shots::MAX_SHIFT;

/// The lens is focused on the people: blur of the scene behind them, standard deviation in frame heights.
const OUT_OF_FOCUS: f32 = 0.02;
/// How far scenes are greyed: streets are paler than clothes.
const PALE: f32 = 0.4;

/// A camera's scene, painted once at the canvas's resolution with room for every shift of the crop.
#[derive(Debug, Clone)]
pub struct Backdrop {
    margin: usize,
    width: usize,
    pixels: Vec<Rgb>,
}

impl Backdrop {
    /// For a canvas of this size in pixels.
    pub fn new(camera: &Camera, height: usize, width: usize) -> Self {
        let margin = (MAX_SHIFT * height as f32).ceil() as usize + 1;
        let (rows, columns) = (height + 2 * margin, width + 2 * margin);
        let place = |index: usize| (index as f32 + 0.5 - margin as f32) / height as f32;
        let mut pixels: Vec<Rgb> = (0..rows * columns)
            .map(|index| {
                let (x, y) = (place(index % columns), place(index / columns));
                let below = y - camera.horizon;
                let ink =
                    if below > 0.0 { floor(camera, x, below) } else { wall(camera, x, -below) };
                let grey = ink.iter().sum::<f32>() / 3.0;
                mix(ink, [grey; 3], PALE)
            })
            .collect();
        blur(&mut pixels, columns, OUT_OF_FOCUS * height as f32);
        Self { margin, width: columns, pixels }
    }

    /// Fills the canvas with the scene, shifted as this photo's crop is.
    pub fn paint(&self, canvas: &mut Canvas, shift: [f32; 2]) {
        let limit = self.margin as f32;
        let start = shift.map(|part| {
            let pixels = (part * canvas.height as f32).round().clamp(-limit, limit);
            (limit + pixels) as usize
        });
        let width = canvas.width;
        for (row, line) in canvas.pixels.chunks_exact_mut(width).enumerate() {
            let at = (row + start[1]) * self.width + start[0];
            line.copy_from_slice(&self.pixels[at..at + width]);
        }
    }
}

fn odd(value: f32) -> bool {
    value.floor().rem_euclid(2.0) >= 1.0
}

/// Distance from `value` to the nearest line of a grid of this pitch.
fn grid(value: f32, pitch: f32) -> f32 {
    let cell = (value / pitch).rem_euclid(1.0);
    cell.min(1.0 - cell) * pitch
}

/// The vertical part, `up` frame heights above the floor.
fn wall(camera: &Camera, x: f32, up: f32) -> Rgb {
    let (base, accent) = (paint(camera.wall), paint(camera.accent));
    let rough = 0.9 + 0.2 * noise(camera.seed, x * 22.0, up * 22.0);
    let ink = match camera.scene {
        SceneKind::Brick => brick(camera, base, accent, x, up),
        SceneKind::Park => park(camera, base, x, up),
        SceneKind::Shop => shop(base, accent, x, up),
        SceneKind::Underpass => underpass(camera, base, accent, x, up),
        SceneKind::Fence => fence(camera, base, accent, x, up),
        SceneKind::Plaza => plaza(base, accent, x, up),
    };
    // The foot of a wall is always a little darker.
    times(ink, rough * if up < 0.03 { 0.72 } else { 1.0 })
}

fn brick(camera: &Camera, base: Rgb, accent: Rgb, x: f32, up: f32) -> Rgb {
    let door = (0.02..0.2).contains(&x) && up < 0.52;
    if door {
        let panel = grid(x - 0.02, 0.09) < 0.012 || grid(up, 0.17) < 0.012;
        return times(accent, if panel { 0.7 } else { 1.0 });
    }
    let row = (up / 0.042).floor();
    let along = x + if odd(row) { 0.05 } else { 0.0 };
    if grid(up, 0.042) < 0.004 || grid(along, 0.1) < 0.004 {
        return mix(base, [0.75, 0.73, 0.7], 0.65);
    }
    let tone = hash(camera.seed, (along / 0.1).floor() as i64, row as i64);
    times(base, 0.8 + 0.4 * tone)
}

fn park(camera: &Camera, base: Rgb, x: f32, up: f32) -> Rgb {
    let trunk = (grid(x + 0.11, 0.37) < 0.028) && up < 0.5;
    if trunk {
        return times([0.34, 0.25, 0.18], 0.8 + 0.4 * noise(camera.seed, x * 90.0, up * 12.0));
    }
    let leaves = noise(camera.seed ^ 1, x * 14.0, up * 14.0);
    let clumps = noise(camera.seed ^ 2, x * 5.0, up * 5.0);
    let sky = up > 0.42 + 0.25 * clumps;
    if sky {
        return mix([0.72, 0.82, 0.92], base, 0.25 * leaves);
    }
    times(base, 0.45 + 0.75 * leaves * (0.5 + clumps))
}

fn shop(base: Rgb, accent: Rgb, x: f32, up: f32) -> Rgb {
    if up > 0.54 {
        let letters = (0.58..0.64).contains(&up) && odd(x / 0.035) && up < 0.64;
        return if letters { [0.92, 0.9, 0.84] } else { accent };
    }
    if grid(x - 0.06, 0.26) < 0.014 || up < 0.1 || (up - 0.53).abs() < 0.014 {
        return times(base, 0.55);
    }
    let glare = ((x * 2.0 + up) * 3.0).rem_euclid(1.0);
    let glass = mix(base, [0.62, 0.74, 0.82], 0.25 + if glare < 0.3 { 0.3 } else { 0.0 });
    let goods = up < 0.26 && grid(x, 0.065) > 0.012;
    if goods { mix(glass, accent, 0.35) } else { glass }
}

fn underpass(camera: &Camera, base: Rgb, accent: Rgb, x: f32, up: f32) -> Rgb {
    if (0.3..0.36).contains(&up) {
        return accent;
    }
    if grid(x + 0.03, 0.44) < 0.04 {
        return times(base, 0.62);
    }
    let seam = grid(up, 0.09) < 0.004 || grid(x, 0.09) < 0.004;
    let stain = noise(camera.seed ^ 3, x * 4.0, up * 3.0);
    times(base, (0.75 + 0.35 * stain) * if seam { 0.8 } else { 1.0 })
}

fn fence(camera: &Camera, base: Rgb, accent: Rgb, x: f32, up: f32) -> Rgb {
    if up < 0.36
        && (grid(x, 0.05) < 0.009 || (up - 0.34).abs() < 0.014 || (up - 0.06).abs() < 0.014)
    {
        return [0.26, 0.28, 0.3];
    }
    // Houses behind the fence.
    let house = (x / 0.21).floor();
    let tall = 0.38 + 0.22 * hash(camera.seed, house as i64, 7);
    if up < tall {
        let tone = 0.65 + 0.4 * hash(camera.seed, house as i64, 9);
        let window = grid(x, 0.07) > 0.018 && grid(up, 0.11) > 0.03;
        let plaster = times(mix(base, accent, 0.45), tone);
        return if window { times(plaster, 0.6) } else { plaster };
    }
    mix(base, [1.0, 1.0, 1.0], (up * 0.5).min(0.5))
}

fn plaza(base: Rgb, accent: Rgb, x: f32, up: f32) -> Rgb {
    let bay = (x + 0.09).rem_euclid(0.3);
    if (0.06..0.2).contains(&bay) && (0.2..0.5).contains(&up) {
        let frame = !(0.075..0.185).contains(&bay) || !(0.22..0.48).contains(&up);
        return if frame { [0.86, 0.85, 0.8] } else { [0.2, 0.24, 0.3] };
    }
    if up < 0.14 {
        return times(base, 0.62);
    }
    if (0.56..0.6).contains(&up) { accent } else { base }
}

/// The ground, `below` frame heights under the horizon of the wall, in simple perspective.
fn floor(camera: &Camera, x: f32, below: f32) -> Rgb {
    let base = paint(camera.floor);
    let far = 0.12 / (below + 0.12);
    let (across, along) = ((x - 0.25) * far * 2.2, far * 2.4);
    let grain = 0.88 + 0.24 * noise(camera.seed ^ 5, x * 60.0 * far, below * 70.0);
    let ink = match camera.scene {
        SceneKind::Park => {
            let path = (across + 0.1 - along * 0.1).abs() < 0.3;
            if path { [0.66, 0.58, 0.46] } else { base }
        }
        SceneKind::Fence => {
            let lane = (across - 0.28).abs() < 0.035 && !odd(along * 3.0);
            if lane { [0.86, 0.85, 0.78] } else { base }
        }
        SceneKind::Plaza => {
            let tone =
                hash(camera.seed, (across / 0.1).floor() as i64, (along / 0.12).floor() as i64);
            times(base, 0.8 + 0.35 * tone)
        }
        _ => {
            let seam = grid(across, 0.22) < 0.01 || grid(along, 0.3) < 0.014;
            times(base, if seam { 0.68 } else { 1.0 })
        }
    };
    times(ink, grain)
}

/// Paints what stands before the person, if anything does.
pub fn paint_occluder(canvas: &mut Canvas, structure: &Structure, camera: &Camera) {
    let Some(thing) = &structure.occluder else { return };
    let aspect = canvas.width as f32 / canvas.height as f32;
    match thing.kind {
        OccluderKind::Pole => pole(canvas, thing),
        OccluderKind::Plant => plant(canvas, thing),
        OccluderKind::Bonnet => bonnet(canvas, thing, camera, aspect),
        OccluderKind::Passer => passer(canvas, thing, camera, aspect),
        OccluderKind::Bicycle => bicycle(canvas, thing),
    }
}

fn front(canvas: &mut Canvas, path: Option<tiny_skia::Path>, shade: &dyn Fn(f32, f32) -> Rgb) {
    if let Some(path) = path {
        canvas.fill(&path, Layer::Front, 1.0, shade);
    }
}

fn pole(canvas: &mut Canvas, thing: &Occluder) {
    let (x, half) = (thing.x, 0.018 + 0.05 * (thing.reach - 0.24));
    let ink = paint(thing.colour);
    let shade = |px: f32, py: f32| {
        let ring = (py - 0.3).abs() < 0.012 || (py - 0.72).abs() < 0.012;
        times(ink, (1.05 - 0.5 * ((px - x) / half).abs()) * if ring { 0.7 } else { 1.0 })
    };
    let outline = [[x - half, -0.1], [x + half, -0.1], [x + half, 1.1], [x - half, 1.1]];
    front(canvas, polygon(&outline), &shade);
}

fn plant(canvas: &mut Canvas, thing: &Occluder) {
    for leaf in 0..46_i64 {
        let [angle, far, tone] = [1, 2, 3].map(|salt| hash(thing.seed, leaf, salt));
        let reach = thing.reach * (0.35 + 0.65 * far);
        let (sin, cos) = ((angle - 0.5) * 2.6).sin_cos();
        let tip = [thing.x + sin * reach * 0.75, 1.0 - cos * reach];
        let root = [thing.x + sin * reach * 0.5, 1.02 - cos * reach * 0.72];
        let ink = [0.1 + 0.16 * tone, 0.26 + 0.3 * tone, 0.1 + 0.1 * tone];
        front(canvas, capsule(root, tip, [0.016, 0.008]), &|_, _| ink);
    }
}

fn bonnet(canvas: &mut Canvas, thing: &Occluder, camera: &Camera, aspect: f32) {
    let top = 1.0 - thing.reach * 0.85;
    let ink = paint(thing.colour);
    let left = thing.x < aspect * 0.5;
    let turn = |x: f32| if left { x } else { aspect - x };
    let outline: Vec<[f32; 2]> = (0..=16)
        .map(|step| {
            let t = step as f32 / 16.0;
            [turn(t * aspect * 0.95 - 0.02), top + 0.16 * t * t * t]
        })
        .chain([[turn(aspect * 0.97), 1.1], [turn(-0.05), 1.1]])
        .collect();
    let shine = camera.ambient + camera.diffuse * 0.6;
    front(canvas, polygon(&outline), &|_, y| {
        times(ink, shine * (1.15 - 1.1 * (y - top).clamp(0.0, 0.5)))
    });
    let lamp = [turn(aspect * 0.74), top + 0.15];
    front(canvas, ellipse(lamp, [0.045, 0.03]), &|_, _| [0.9, 0.9, 0.82]);
    let grill = [[0.05, 0.18], [0.55, 0.2], [0.55, 0.25], [0.05, 0.23]]
        .map(|[x, y]| [turn(x * aspect), top + y]);
    front(canvas, polygon(&grill), &|_, _| [0.08, 0.08, 0.1]);
}

fn passer(canvas: &mut Canvas, thing: &Occluder, camera: &Camera, aspect: f32) {
    let left = thing.x < aspect * 0.5;
    let side = if left { 0.02 } else { aspect - 0.02 };
    let top = 0.98 - thing.reach * 1.5;
    let ink = paint(thing.colour);
    let lit = |u: f32| camera.ambient + camera.diffuse * (1.0 - u * u).max(0.0).sqrt() * 0.8;
    let head = [side, top - 0.05];
    front(canvas, ellipse(head, [0.06, 0.08]), &|x, _| {
        times([0.2, 0.15, 0.12], lit((x - side) / 0.06))
    });
    let trunk = capsule([side, top + 0.14], [side, 1.1], [0.12, 0.13]);
    front(canvas, trunk, &|x, _| times(ink, lit((x - side) / 0.135)));
}

fn bicycle(canvas: &mut Canvas, thing: &Occluder) {
    let ink = paint(thing.colour);
    let radius = 0.095;
    let (left, right) = ([thing.x - 0.12, 0.89], [thing.x + 0.12, 0.89]);
    let dark = [0.08, 0.08, 0.09];
    for hub in [left, right] {
        let rim = |turn: f32| {
            let (sin, cos) = turn.sin_cos();
            [hub[0] + radius * cos, hub[1] + radius * sin]
        };
        for step in 0..18 {
            let turn = step as f32 / 18.0 * std::f32::consts::TAU;
            let next = (step + 1) as f32 / 18.0 * std::f32::consts::TAU;
            front(canvas, capsule(rim(turn), rim(next), [0.01, 0.01]), &|_, _| dark);
            if step % 3 == 0 {
                front(canvas, capsule(hub, rim(turn), [0.0025, 0.0025]), &|_, _| [0.5; 3]);
            }
        }
    }
    let (saddle, bar, pedal) =
        ([thing.x - 0.05, 0.74], [thing.x + 0.085, 0.72], [thing.x - 0.01, 0.89]);
    let tubes =
        [(left, saddle), (left, pedal), (saddle, pedal), (saddle, bar), (pedal, bar), (bar, right)];
    for (from, to) in tubes {
        front(canvas, capsule(from, to, [0.009, 0.009]), &|_, _| ink);
    }
    let seat = capsule([saddle[0] - 0.03, 0.73], [saddle[0] + 0.02, 0.73], [0.012, 0.008]);
    front(canvas, seat, &|_, _| dark);
    let grip = capsule([bar[0] - 0.02, 0.7], [bar[0] + 0.03, 0.69], [0.008, 0.008]);
    front(canvas, grip, &|_, _| dark);
}
