//! The walking figure: turns joints and an appearance into shaded shapes, painted from back to front.
//! Geometry only; colours come from `clothes`.

use tiny_skia::Path;

use super::body::{Joints, Point, View};
use super::canvas::{Canvas, Layer, Rgb, capsule, ellipse, noise, polygon, times};
use super::clothes::{self, Spot, paint};
use super::factors::{Appearance, BagKind, Camera, LowerCut, Structure, UpperCut};

mod head;

type Shade<'a> = Box<dyn Fn(f32, f32) -> Rgb + 'a>;

struct Part<'a> {
    /// Painted in ascending order.
    order: f32,
    path: Path,
    shade: Shade<'a>,
}

/// Cross-sections of an upright body part, from top to bottom: height, half width, half depth.
type Profile = Vec<[f32; 3]>;

struct Figure<'a> {
    look: &'a Appearance,
    structure: &'a Structure,
    view: View,
    joints: Joints,
    parts: Vec<Part<'a>>,
}

/// Paints a person with `look` in `structure`.
pub fn paint_person(
    canvas: &mut Canvas,
    look: &Appearance,
    structure: &Structure,
    camera: &Camera,
) {
    shadow(canvas, structure, camera);
    let mut figure = Figure {
        look,
        structure,
        view: View::new(structure, camera),
        joints: Joints::new(structure),
        parts: Vec::with_capacity(32),
    };
    figure.legs();
    figure.trunk();
    figure.arms();
    figure.bag();
    figure.head();
    figure.hair();
    figure.hat();
    let mut parts = figure.parts;
    parts.sort_by(|a, b| a.order.total_cmp(&b.order));
    for part in parts {
        canvas.fill(&part.path, Layer::Person, 1.0, &*part.shade);
    }
}

fn shadow(canvas: &mut Canvas, structure: &Structure, camera: &Camera) {
    let height = structure.height;
    let centre = [structure.x - camera.light[0] * 0.1 * height, structure.foot - 0.012 * height];
    for (size, opacity) in [(1.0, 0.2), (0.75, 0.25)] {
        let radius = [0.17 * height * size, 0.028 * height * size];
        if let Some(path) = ellipse(centre, radius) {
            canvas.fill(&path, Layer::Scene, opacity, &|_, _| [0.03, 0.03, 0.05]);
        }
    }
}

impl<'a> Figure<'a> {
    fn push(&mut self, order: f32, path: Option<Path>, shade: Shade<'a>) {
        if let Some(path) = path {
            self.parts.push(Part { order, path, shade });
        }
    }

    /// A tapered round limb between two points; radii in body heights.
    fn limb(
        &mut self,
        order: f32,
        ends: [Point; 2],
        radii: [f32; 2],
        ink: impl Fn(Spot) -> Rgb + 'a,
    ) {
        let scale = self.view.scale;
        let [from, to] = ends.map(|point| self.view.place(point));
        let radii = radii.map(|radius| radius * scale);
        let line = [to[0] - from[0], to[1] - from[1]];
        let length = (line[0] * line[0] + line[1] * line[1]).sqrt().max(1e-4);
        // Across the limb, towards the right of the picture.
        let mut across = [line[1] / length, -line[0] / length];
        if across[0] < 0.0 {
            across = [-across[0], -across[1]];
        }
        let light = self.light();
        let shade = move |x: f32, y: f32| {
            let (dx, dy) = (x - from[0], y - from[1]);
            let along = ((dx * line[0] + dy * line[1]) / (length * length)).clamp(0.0, 1.0);
            let radius = radii[0] + (radii[1] - radii[0]) * along;
            let u = ((dx * across[0] + dy * across[1]) / radius).clamp(-1.0, 1.0);
            let near = (1.0 - u * u).sqrt();
            let (side, front) = light.turn_back(u, near);
            let lit = light.shade([u * across[0], -u * across[1], near], x, y);
            times(ink(Spot { side, front, along }), lit)
        };
        self.push(order, capsule(from, to, radii), Box::new(shade));
    }

    /// An upright part with elliptic cross-sections around `centre` (x and z), leaning with the trunk.
    fn barrel(
        &mut self,
        order: f32,
        profile: &[[f32; 3]],
        centre: [f32; 2],
        ink: impl Fn(Spot) -> Rgb + 'a,
    ) {
        let (Some(top), Some(bottom)) = (profile.first(), profile.last()) else { return };
        let (top, bottom) = (top[0], bottom[0]);
        let (lean, scale) = (self.joints.lean, self.view.scale);
        let axis = move |rise: f32| {
            let share = ((rise - 0.5) / 0.32).clamp(0.0, 1.2);
            [centre[0], rise, centre[1] + lean * share]
        };
        let edge = |level: &[f32; 3], sign: f32| {
            let middle = self.view.place(axis(level[0]));
            let half = self.view.half_width(level[1], level[2]) * scale;
            [middle[0] + sign * half, middle[1]]
        };
        let right = profile.iter().map(|level| edge(level, 1.0));
        let left = profile.iter().rev().map(|level| edge(level, -1.0));
        let outline: Vec<[f32; 2]> = right.chain(left).collect();
        let light = self.light();
        let lift = self.view.rise(self.view.place(axis(0.5))[1]) - 0.5;
        let half_widths: Vec<[f32; 2]> = profile
            .iter()
            .map(|level| [level[0], self.view.half_width(level[1], level[2])])
            .collect();
        let shade = move |x: f32, y: f32| {
            let rise = light.rise(y) - lift;
            let half = interpolate(&half_widths, rise).max(1e-3) * scale;
            let u = ((x - light.place(axis(rise))[0]) / half).clamp(-1.0, 1.0);
            let near = (1.0 - u * u).sqrt();
            let (side, front) = light.turn_back(u, near);
            let along = ((top - rise) / (top - bottom)).clamp(0.0, 1.0);
            times(ink(Spot { side, front, along }), light.shade([u, 0.12, near], x, y))
        };
        self.push(order, polygon(&outline), Box::new(shade));
    }

    fn light(&self) -> Light {
        Light { view: self.view.clone(), grain: self.structure.grain }
    }

    fn legs(&mut self) {
        let look = self.look;
        let girth = self.structure.body.girth;
        let bare = look.lower.cut == LowerCut::Skirt;
        let short = look.lower.cut == LowerCut::Shorts;
        let thigh = if bare { [0.054, 0.04] } else { [0.06, 0.05] };
        let shin = if bare || short { [0.039, 0.025] } else { [0.046, 0.04] };
        for (leg, side) in self.joints.legs.into_iter().zip([-1.0, 1.0]) {
            let [hip, knee, ankle, toe] = leg;
            let order = -1.0 + self.view.depth(knee) + 0.5 * self.view.depth(hip);
            self.limb(order, [ankle, toe], [0.03, 0.026], move |spot| {
                times(paint(look.shoes), if spot.along > 0.9 { 0.9 } else { 1.0 })
            });
            self.limb(order + 0.001, [knee, ankle], shin.map(|r| r * girth), move |spot| {
                clothes::leg(look, side, Spot { along: 0.5 + spot.along * 0.5, ..spot })
            });
            self.limb(order + 0.002, [hip, knee], thigh.map(|r| r * girth), move |spot| {
                clothes::leg(look, side, Spot { along: spot.along * 0.5, ..spot })
            });
        }
    }

    fn profile(&self, levels: &[[f32; 3]], broad: f32) -> Profile {
        let sink = self.joints.sink;
        let girth = self.structure.body.girth;
        levels.iter().map(|l| [l[0] - sink, l[1] * girth * broad, l[2] * girth]).collect()
    }

    fn trunk(&mut self) {
        let look = self.look;
        let hips = if look.lower.cut == LowerCut::Skirt {
            let reach = 0.1 + 0.12 * self.structure.stride;
            vec![
                [0.56, 0.092, 0.066],
                [0.48, 0.108, 0.082],
                [0.4, 0.122, 0.07 + reach * 0.4],
                [0.29, 0.138, reach],
            ]
        } else {
            vec![[0.56, 0.092, 0.066], [0.5, 0.102, 0.072], [0.455, 0.1, 0.068], [0.43, 0.07, 0.05]]
        };
        let hips = self.profile(&hips, 1.0);
        self.barrel(-0.3, &hips, [0.0, 0.0], move |spot| clothes::waist(look, spot));
        let trunk = [
            [0.866, 0.034, 0.034],
            [0.852, 0.06, 0.046],
            [0.838, 0.094, 0.055],
            [0.818, 0.112, 0.062],
            [0.74, 0.106, 0.072],
            [0.66, 0.093, 0.068],
            [0.58, 0.096, 0.069],
            [0.5, 0.105, 0.075],
            [0.475, 0.105, 0.074],
        ];
        let trunk = self.profile(&trunk, self.structure.body.shoulders);
        self.barrel(0.0, &trunk, [0.0, 0.0], move |spot| clothes::trunk(look, spot));
    }

    fn arms(&mut self) {
        let look = self.look;
        let girth = self.structure.body.girth;
        let loose = match look.upper.cut {
            UpperCut::Jacket => 1.18,
            UpperCut::LongSleeve => 1.08,
            UpperCut::TShirt => 1.0,
            UpperCut::Vest => 0.9,
        };
        for (arm, side) in self.joints.arms.into_iter().zip([-1.0, 1.0]) {
            let [shoulder, elbow, wrist] = arm;
            let place = |view: &View, a: Point, b: Point| {
                let depth = 0.5 * (view.depth(a) + view.depth(b));
                if depth < -0.045 { -2.0 + depth } else { 1.0 + depth }
            };
            let upper = place(&self.view, shoulder, elbow);
            let fore = place(&self.view, elbow, wrist);
            let fingers = [wrist[0], wrist[1] - 0.03, wrist[2] + 0.008];
            self.limb(fore - 0.002, [wrist, fingers], [0.022, 0.019], move |_| paint(look.skin));
            let size = girth * loose;
            self.limb(fore, [elbow, wrist], [0.031 * size, 0.025 * size], move |spot| {
                clothes::arm(look, side, Spot { along: 0.52 + 0.48 * spot.along, ..spot })
            });
            self.limb(
                upper + 0.001,
                [shoulder, elbow],
                [0.039 * size, 0.033 * size],
                move |spot| clothes::arm(look, side, Spot { along: 0.52 * spot.along, ..spot }),
            );
        }
    }

    fn bag(&mut self) {
        let Some(bag) = self.look.bag else { return };
        let colour = paint(bag.colour);
        match bag.kind {
            BagKind::Backpack => {
                let levels = [
                    [0.85, 0.045, 0.03],
                    [0.838, 0.072, 0.044],
                    [0.81, 0.084, 0.05],
                    [0.66, 0.09, 0.056],
                    [0.6, 0.09, 0.056],
                    [0.572, 0.08, 0.048],
                    [0.562, 0.055, 0.03],
                ];
                let profile = self.profile(&levels, 1.0);
                let behind = self.view.depth([0.0, 0.0, -1.0]) < -0.05;
                self.barrel(
                    if behind { -2.5 } else { 0.6 },
                    &profile,
                    [0.0, -0.108],
                    move |spot| {
                        let pocket = spot.along > 0.55 && spot.front < -0.5;
                        let seam =
                            (spot.along - 0.55).abs() < 0.03 || (spot.along - 0.2).abs() < 0.02;
                        times(
                            colour,
                            if seam {
                                0.6
                            } else if pocket {
                                0.88
                            } else {
                                1.0
                            },
                        )
                    },
                );
            }
            BagKind::Shoulder => {
                let levels = [
                    [0.548, 0.03, 0.06],
                    [0.54, 0.036, 0.072],
                    [0.46, 0.042, 0.082],
                    [0.44, 0.036, 0.074],
                    [0.432, 0.026, 0.06],
                ];
                let profile = self.profile(&levels, 1.0);
                let behind = self.view.depth([1.0, 0.0, 0.0]) < -0.3;
                self.barrel(if behind { -2.4 } else { 1.4 }, &profile, [0.142, 0.0], move |spot| {
                    let flap = (spot.along - 0.45).abs() < 0.05;
                    times(colour, if flap { 0.65 } else { 1.0 })
                });
            }
        }
    }
}

/// Light and folds, owned by a shader.
struct Light {
    view: View,
    grain: u64,
}

impl Light {
    fn shade(&self, normal: Point, x: f32, y: f32) -> f32 {
        let folds = 0.93 + 0.14 * noise(self.grain, x * 26.0, y * 18.0);
        // Edges turn away from the sky as well as from the lamp.
        self.view.shade(normal) * folds * (0.8 + 0.2 * normal[2])
    }

    fn turn_back(&self, right: f32, near: f32) -> (f32, f32) {
        self.view.turn_back(right, near)
    }

    fn rise(&self, row: f32) -> f32 {
        self.view.rise(row)
    }

    fn place(&self, point: Point) -> [f32; 2] {
        self.view.place(point)
    }
}

/// The half width at `rise` of levels sorted from top to bottom.
fn interpolate(levels: &[[f32; 2]], rise: f32) -> f32 {
    for pair in levels.windows(2) {
        let [upper, lower] = [pair[0], pair[1]];
        if rise >= lower[0] {
            let share = ((upper[0] - rise) / (upper[0] - lower[0]).max(1e-6)).clamp(0.0, 1.0);
            return upper[1] + (lower[1] - upper[1]) * share;
        }
    }
    levels.last().map_or(0.0, |level| level[1])
}
