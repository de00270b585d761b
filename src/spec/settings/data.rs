//! `data`, `image`, `augment`: where photos come from, their size, and what training does to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the photos come from: a folder in the Market-1501 layout, or people that the program draws.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// A folder in the Market-1501 layout; without it, people are drawn.
    pub path: Option<String>,
    /// What is drawn when no `path` is given.
    pub drawn: Drawn,
}

/// Size and seed of a set of drawn people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drawn {
    /// Identities, training and test together.
    #[schemars(range(min = 4, max = 100_000))]
    pub ids: u32,
    /// Share of the identities that is kept for query and gallery.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub test_share: f64,
    /// Cameras, each with its own scene, light, tint, blur and scale.
    #[schemars(range(min = 2, max = 99))]
    pub cameras: u32,
    /// Photos of an identity under one camera that saw it, at least.
    #[schemars(range(min = 1, max = 1_000))]
    pub photos_min: u32,
    /// Photos of an identity under one camera that saw it, at most.
    #[schemars(range(min = 1, max = 1_000))]
    pub photos_max: u32,
    /// Height of a photo in pixels.
    #[schemars(range(min = 16, max = 1_024))]
    pub height: u32,
    /// Width of a photo in pixels.
    #[schemars(range(min = 16, max = 1_024))]
    pub width: u32,
    /// Seed of everything drawn; the same seed gives the same bytes.
    pub seed: u64,
}

impl Default for Drawn {
    fn default() -> Self {
        Self {
            ids: 160,
            test_share: 0.4,
            cameras: 4,
            photos_min: 1,
            photos_max: 3,
            height: 128,
            width: 64,
            seed: 1,
        }
    }
}

/// The size at which every network sees the photos, in pixels; both must be divisible by 4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Image {
    /// Height in pixels.
    #[schemars(range(min = 8, max = 4_096), extend("multipleOf" = 4))]
    pub height: u32,
    /// Width in pixels.
    #[schemars(range(min = 8, max = 4_096), extend("multipleOf" = 4))]
    pub width: u32,
}

impl Default for Image {
    fn default() -> Self {
        Self { height: 256, width: 128 }
    }
}

/// Augmentation of training photos. Random erasing touches the identity loss on real photos only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability of a horizontal flip.
    #[schemars(range(min = 0, max = 1))]
    pub flip: f64,
    /// Pixels by which the edge is repeated before the random crop.
    #[schemars(range(max = 1_024))]
    pub pad: u32,
    /// Probability of erasing a rectangle.
    #[schemars(range(min = 0, max = 1))]
    pub erasing: f64,
    /// Smallest and largest share of the photo that is erased.
    #[schemars(inner(range(min = 0, max = 1)))]
    pub erasing_area: [f64; 2],
    /// Smallest and largest height/width ratio of the erased rectangle.
    #[schemars(inner(range(min = 0)))]
    pub erasing_aspect: [f64; 2],
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            flip: 0.5,
            pad: 10,
            erasing: 0.5,
            erasing_area: [0.02, 0.4],
            erasing_aspect: [0.3, 3.3],
        }
    }
}
