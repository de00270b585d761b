//! The body in space: joints of a walking person and their projection. Units are body heights with
//! x to the person's right hand side of the picture when facing the camera, y up, z forward.

use super::factors::{Camera, Structure};

/// A point of the body.
pub type Point = [f32; 3];

/// How the body is seen: rotation, place and size in the frame, and the light that falls on it.
#[derive(Debug, Clone)]
pub struct View {
    sin: f32,
    cos: f32,
    pitch: f32,
    x: f32,
    foot: f32,
    /// Frame heights per body height.
    pub scale: f32,
    light: Point,
    ambient: f32,
    diffuse: f32,
}

impl View {
    pub fn new(structure: &Structure, camera: &Camera) -> Self {
        let (sin, cos) = structure.yaw.sin_cos();
        Self {
            sin,
            cos,
            pitch: camera.pitch,
            x: structure.x,
            foot: structure.foot,
            scale: structure.height,
            light: camera.light,
            ambient: camera.ambient,
            diffuse: camera.diffuse,
        }
    }

    /// Where a point lies in the frame.
    pub fn place(&self, point: Point) -> [f32; 2] {
        let across = point[0] * self.cos + point[2] * self.sin;
        let rise = point[1] - self.pitch * self.depth(point);
        [self.x + across * self.scale, self.foot - rise * self.scale]
    }

    /// Nearness to the camera, body heights.
    pub fn depth(&self, point: Point) -> f32 {
        point[2] * self.cos - point[0] * self.sin
    }

    /// Visible half width of an upright elliptic cylinder.
    pub fn half_width(&self, across: f32, deep: f32) -> f32 {
        ((across * self.cos).powi(2) + (deep * self.sin).powi(2)).sqrt()
    }

    /// A direction seen in the picture (right, towards the camera) as the person's (side, front).
    pub fn turn_back(&self, right: f32, near: f32) -> (f32, f32) {
        (right * self.cos - near * self.sin, right * self.sin + near * self.cos)
    }

    /// Light on a surface whose normal points (right, up, towards the camera).
    pub fn shade(&self, normal: Point) -> f32 {
        let facing: f32 = normal.iter().zip(self.light).map(|(a, b)| a * b).sum();
        self.ambient + self.diffuse * facing.max(0.0)
    }

    /// The body height at a row of the frame, for points in the body's middle plane.
    pub fn rise(&self, row: f32) -> f32 {
        (self.foot - row) / self.scale
    }
}

/// One leg: hip, knee, ankle, toe.
pub type Leg = [Point; 4];
/// One arm: shoulder, elbow, wrist.
pub type Arm = [Point; 3];

/// Joints of one photo.
pub struct Joints {
    pub legs: [Leg; 2],
    pub arms: [Arm; 2],
    /// Forward shift of the shoulders.
    pub lean: f32,
    pub head: Point,
    /// The whole body sinks by this much at full stride.
    pub sink: f32,
}

pub const HIP: f32 = 0.5;
pub const SHOULDER: f32 = 0.82;
pub const HEAD: f32 = 0.917;

impl Joints {
    pub fn new(structure: &Structure) -> Self {
        let body = structure.body;
        let mut legs = [-1.0, 1.0].map(|side| leg(side, structure));
        let lowest = legs.iter().map(|leg| leg[2][1].min(leg[3][1])).fold(f32::MAX, f32::min);
        let sink = lowest - 0.03;
        for joint in legs.iter_mut().flatten() {
            joint[1] -= sink;
        }
        let arms = [-1.0_f32, 1.0].map(|side| {
            let mut arm = arm(side, structure);
            for joint in &mut arm {
                joint[0] = side * (joint[0].abs() + 0.086 * body.shoulders + 0.021 * body.girth);
                joint[1] -= sink;
                joint[2] += structure.lean;
            }
            arm
        });
        let head = [0.0, HEAD - sink, structure.lean * 1.3 + 0.012];
        Self { legs, arms, lean: structure.lean, head, sink }
    }
}

/// The walking cycle: the hip swings like a sine, the knee bends while its leg comes forward.
fn leg(side: f32, structure: &Structure) -> Leg {
    let phase = structure.phase + if side > 0.0 { std::f32::consts::PI } else { 0.0 };
    let thigh = structure.stride * phase.sin();
    let knee = structure.stride * (0.22 + 1.25 * phase.cos().max(0.0));
    let shin = thigh - knee;
    let hip = [side * 0.052 * structure.body.girth, HIP, 0.0];
    let knee = along(hip, 0.24, thigh);
    let ankle = along(knee, 0.225, shin);
    let foot = shin * 0.75;
    let toe = [
        ankle[0] + side * 0.012,
        ankle[1] + 0.085 * foot.sin() - 0.012,
        ankle[2] + 0.085 * foot.cos(),
    ];
    [hip, knee, ankle, toe]
}

fn arm(side: f32, structure: &Structure) -> Arm {
    let phase = structure.phase + if side > 0.0 { 0.0 } else { std::f32::consts::PI };
    let upper = structure.stride * 0.8 * phase.sin();
    let fore = upper + 0.25 + structure.stride * 0.5 * phase.sin().max(0.0);
    let shoulder = [0.0, SHOULDER - 0.026, 0.0];
    let mut elbow = along(shoulder, 0.165, upper);
    let mut wrist = along(elbow, 0.15, fore);
    elbow[0] = side * 0.03;
    wrist[0] = side * 0.036;
    [shoulder, elbow, wrist]
}

/// The end of a bone that hangs from `from`, swung forward by `angle`.
fn along(from: Point, length: f32, angle: f32) -> Point {
    [from[0], from[1] - length * angle.cos(), from[2] + length * angle.sin()]
}
