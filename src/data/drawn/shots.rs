//! How a person was seen: bodies, poses, places in the frame and occluders, drawn at random. Decides
//! structure only; nothing here knows clothes.

use std::f32::consts::PI;

use super::factors::{
    Body, Camera, Colour, HairShape, Occluder, OccluderKind, Structure, pick, range,
};
use crate::data::rng::Rng;

/// Share of photos in which something stands before the person.
const OCCLUDED: f64 = 0.15;

/// How far the crop moves in the camera's scene, frame heights. Small, so that a scene is known by its
/// grey picture.
pub const MAX_SHIFT: f32 = 0.05;

/// A body; build differs little between people, so that silhouettes tell next to nothing.
pub fn body(rng: &mut Rng) -> Body {
    Body {
        girth: range(rng, 1.22, 1.42),
        shoulders: range(rng, 1.12, 1.24),
        hair: pick(
            rng,
            &[
                HairShape::Cropped,
                HairShape::Short,
                HairShape::Short,
                HairShape::Bob,
                HairShape::Long,
                HairShape::Bun,
                HairShape::Tail,
            ],
        ),
    }
}

/// A person of this body, well framed, under camera number `camera` (an index).
pub fn structure(
    rng: &mut Rng,
    body: Body,
    index: usize,
    camera: &Camera,
    aspect: f32,
) -> Structure {
    let heading =
        pick(rng, &[0.0, 0.0, PI, PI, 0.5 * PI, -0.5 * PI, 0.25 * PI, -0.25 * PI, 0.75 * PI]);
    let height = (range(rng, 0.85, 0.94) * camera.scale).min(0.97);
    let foot = 0.5 + height * 0.5 + range(rng, -0.012, 0.02);
    let x = aspect * (0.5 + range(rng, -0.05, 0.05));
    let girth = body.girth * range(rng, 0.93, 1.09);
    let balance = [range(rng, 0.97, 1.03), range(rng, 0.98, 1.02), range(rng, 0.97, 1.03)];
    Structure {
        camera: index,
        body: Body { girth, ..body },
        yaw: heading + range(rng, -0.35, 0.35),
        phase: range(rng, 0.0, 2.0 * PI),
        stride: range(rng, 0.25, 0.6),
        lean: range(rng, 0.0, 0.03),
        x,
        foot,
        height,
        shift: [range(rng, -MAX_SHIFT, MAX_SHIFT), range(rng, -0.025, 0.025)],
        exposure: range(rng, 0.95, 1.05),
        balance,
        occluder: rng.chance(OCCLUDED).then(|| occluder(rng, aspect)),
        grain: rng.next_u64() >> 12,
    }
}

/// A bad detection: only a part of the person lies in the frame.
pub fn botched(rng: &mut Rng, good: Structure, aspect: f32) -> Structure {
    let height = range(rng, 1.3, 2.1);
    let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
    Structure {
        height,
        foot: if rng.chance(0.5) { range(rng, 0.9, 1.0) } else { height + range(rng, 0.0, 0.1) },
        x: aspect * (0.5 + side * range(rng, 0.3, 0.75)),
        ..good
    }
}

fn occluder(rng: &mut Rng, aspect: f32) -> Occluder {
    let kind = pick(
        rng,
        &[
            OccluderKind::Pole,
            OccluderKind::Plant,
            OccluderKind::Bonnet,
            OccluderKind::Passer,
            OccluderKind::Bicycle,
        ],
    );
    let colours: [[u8; 3]; 6] = [
        [60, 64, 70],
        [120, 72, 66],
        [70, 84, 110],
        [190, 190, 186],
        [90, 100, 84],
        [150, 132, 96],
    ];
    Occluder {
        kind,
        x: aspect * range(rng, 0.08, 0.92),
        reach: range(rng, 0.24, 0.42),
        colour: Colour(pick(rng, &colours)),
        seed: rng.next_u64() >> 12,
    }
}
