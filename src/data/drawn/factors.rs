//! The factors behind every drawn photo, as plain data: who wears what (appearance), how it was seen
//! (structure) and by which camera. This is the content of `factors.json`; nothing here draws.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::rng::Rng;

/// An sRGB colour, 0..=255 a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colour(pub [u8; 3]);

/// What a person looks like, whatever the pose: the part that re-ID must recognise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appearance {
    pub skin: Colour,
    pub hair: Colour,
    pub upper: Upper,
    pub lower: Lower,
    pub shoes: Colour,
    pub bag: Option<Bag>,
    pub hat: Option<Hat>,
}

/// The garment of the upper body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upper {
    pub cut: UpperCut,
    pub main: Colour,
    pub second: Colour,
    pub pattern: Pattern,
    pub print: Option<Print>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpperCut {
    TShirt,
    LongSleeve,
    /// Open over a shirt of the second colour.
    Jacket,
    Vest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    Plain,
    Hoops,
    Stripes,
    Checks,
    Dots,
    /// Lower half in the second colour.
    Halves,
    /// Shoulders and sleeves in the second colour.
    Yoke,
    /// One broad band around the chest.
    Band,
    /// Left and right in different colours.
    Harlequin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    pub place: Place,
    pub shape: Shape,
    pub colour: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Chest,
    Back,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Disk,
    Square,
    Cross,
}

/// The garment of the legs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lower {
    pub cut: LowerCut,
    pub main: Colour,
    pub second: Colour,
    pub pattern: LowerPattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LowerCut {
    Trousers,
    Shorts,
    Skirt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LowerPattern {
    Plain,
    /// A stripe down the outer seam.
    Seam,
    /// From the knee down in the second colour.
    Cuffs,
    Hoops,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bag {
    pub kind: BagKind,
    pub colour: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BagKind {
    Backpack,
    Shoulder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hat {
    pub kind: HatKind,
    pub colour: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HatKind {
    Cap,
    Beanie,
}

/// The shape of the hair: structure, as in DG-Net; its colour is appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HairShape {
    Cropped,
    Short,
    Bob,
    Long,
    Bun,
    Tail,
}

/// Structure of one photo: body, pose, place in the frame, scene, light, what stands in the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    /// Index into [`Factors::cameras`].
    pub camera: usize,
    pub body: Body,
    /// Radians; 0 faces the camera, positive turns to the right of the picture.
    pub yaw: f32,
    /// Phase of the walking cycle, radians.
    pub phase: f32,
    /// Length of the step, radians of the hip.
    pub stride: f32,
    /// Forward lean, body heights at the shoulders.
    pub lean: f32,
    /// Centre of the person, frame heights from the left.
    pub x: f32,
    /// Ground under the person, frame heights from the top.
    pub foot: f32,
    /// Height of the person, frame heights.
    pub height: f32,
    /// Shift of the crop in the camera's scene, frame heights.
    pub shift: [f32; 2],
    /// Exposure of this photo relative to its camera's.
    pub exposure: f32,
    /// Extra gain per channel: white balance that drifts.
    pub balance: [f32; 3],
    pub occluder: Option<Occluder>,
    /// Seed of folds and sensor noise.
    pub grain: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Width of trunk and limbs, 1 for the average.
    pub girth: f32,
    /// Width of the shoulders, 1 for the average.
    pub shoulders: f32,
    pub hair: HairShape,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Occluder {
    pub kind: OccluderKind,
    /// Frame heights from the left.
    pub x: f32,
    /// Share of the frame's height that it reaches, from below.
    pub reach: f32,
    pub colour: Colour,
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OccluderKind {
    Pole,
    Plant,
    Bonnet,
    Passer,
    Bicycle,
}

/// One camera: its scene and what it does to colours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    pub scene: SceneKind,
    pub wall: Colour,
    pub accent: Colour,
    pub floor: Colour,
    /// Where the wall meets the floor, frame heights from the top.
    pub horizon: f32,
    pub seed: u64,
    /// Direction to the light: right, up, towards the camera; length 1.
    pub light: [f32; 3],
    pub ambient: f32,
    pub diffuse: f32,
    /// Gain per channel.
    pub tint: [f32; 3],
    pub gamma: f32,
    /// 1 keeps colours, 0 is grey.
    pub saturation: f32,
    /// Standard deviation in pixels of a photo 128 high.
    pub blur: f32,
    /// Standard deviation, 1 is white.
    pub noise: f32,
    /// How much higher distant things stand in the picture.
    pub pitch: f32,
    /// Multiplies the size of people.
    pub scale: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SceneKind {
    Brick,
    Park,
    Shop,
    Underpass,
    Fence,
    Plaza,
}

/// The split in which a photo lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    Train,
    Query,
    Gallery,
}

/// One photo: which appearance (none for an empty scene) in which structure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shot {
    pub split: Split,
    /// Person id as in the file name.
    pub person: i64,
    /// Index into [`Factors::looks`].
    pub look: Option<usize>,
    pub structure: Structure,
}

/// Everything needed to render every photo of a set, and every swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Factors {
    /// [`super::DRAW_VERSION`] of the program that drew it.
    pub version: u32,
    pub seed: u64,
    pub height: u32,
    pub width: u32,
    pub cameras: Vec<Camera>,
    pub looks: Vec<Appearance>,
    /// By file name.
    pub shots: BTreeMap<String, Shot>,
}

/// Uniform in [low, high), kept to four decimals so that the file stays small and exact.
pub fn range(rng: &mut Rng, low: f32, high: f32) -> f32 {
    (rng.range(f64::from(low), f64::from(high)) * 1e4).round() as f32 / 1e4
}

/// One of `items`, which must not be empty.
pub fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.below(items.len())]
}
