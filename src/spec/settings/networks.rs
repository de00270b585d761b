//! `structure`, `appearance`, `decoder`, `discriminator`: the sizes and kinds of the four networks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the structure encoder sees of a photo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StructureInput {
    /// The mean of the three normalised channels.
    #[default]
    #[serde(alias = "gray")]
    Grey,
    /// All three channels: the generator may then ignore the appearance code.
    Rgb,
    /// Canny edges of the 8-bit grey picture, from -0.5 to 0.5; no gradient flows through them.
    Edges,
}

/// The structure encoder `E_s`: photo -> `8 * width` channels at a quarter of the size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Structure {
    /// What `E_s` sees of a photo: grey | rgb | edges.
    pub input: StructureInput,
    /// Standard deviation of the noise on edges while `E_s` is trained; only for `input: edges`.
    #[schemars(range(min = 0))]
    pub edge_noise: f64,
    /// Channels of the first layer; the code has eight times as many.
    #[schemars(range(min = 1, max = 1_024))]
    pub width: u32,
    /// Residual blocks before the pyramid of dilated convolutions.
    #[schemars(range(max = 64))]
    pub residual_blocks: u32,
    /// Dilations of the pyramid's three 3x3 branches; each must be smaller than the code's height and width.
    #[schemars(inner(range(min = 1, max = 1_024)))]
    pub dilations: [u32; 3],
}

impl Default for Structure {
    fn default() -> Self {
        Self {
            input: StructureInput::Grey,
            edge_noise: 0.1,
            width: 16,
            residual_blocks: 4,
            dilations: [3, 6, 9],
        }
    }
}

/// A residual network by its usual name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// One basic block a stage.
    Resnet10,
    /// Two basic blocks a stage.
    Resnet18,
    /// 3, 4, 6, 3 basic blocks.
    Resnet34,
    /// 3, 4, 6, 3 bottlenecks.
    #[default]
    Resnet50,
}

/// When small photos are doubled in size before `E_a` and the teacher see them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Upsample {
    /// Photos of at most 128 rows are doubled (the release).
    #[default]
    Auto,
    /// Never.
    Never,
}

/// The appearance encoder `E_a` with its primary and fine heads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Appearance {
    /// The residual network: resnet10 | resnet18 | resnet34 | resnet50.
    pub backbone: Backbone,
    /// Channels of its first stage (64 in torchvision's networks).
    #[schemars(range(min = 1, max = 1_024))]
    pub width: u32,
    /// Stride of its last stage: 1 or 2.
    #[schemars(range(min = 1, max = 2))]
    pub last_stride: u32,
    /// Horizontal parts of the appearance code.
    #[schemars(range(min = 1, max = 64))]
    pub parts: u32,
    /// Length of each head's feature.
    #[schemars(range(min = 1, max = 65_536))]
    pub feature: u32,
    /// Dropout before the primary classifier.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout_primary: f64,
    /// Dropout before the fine classifier.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout_fine: f64,
    /// Whether small photos are doubled in size first: auto | never.
    pub upsample: Upsample,
    /// Whether the appearance code is detached (the release), so that the generator's losses do not train
    /// `E_a` through it; `false` follows the paper's equations.
    pub detach_code: bool,
    /// A safetensors or PyTorch file with the backbone's weights under torchvision's names.
    pub weights: Option<String>,
}

impl Default for Appearance {
    fn default() -> Self {
        Self {
            backbone: Backbone::Resnet50,
            width: 64,
            last_stride: 1,
            parts: 4,
            feature: 512,
            dropout_primary: 0.5,
            dropout_fine: 0.75,
            upsample: Upsample::Auto,
            detach_code: true,
            weights: None,
        }
    }
}

/// How a residual block of G combines convolution and `AdaIN`; the block's input is added at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// Two 3x3 convolutions, each with `AdaIN`.
    #[default]
    Basic,
    /// 1x1 to half the channels, two 3x3 with `AdaIN`, 1x1 back.
    Slim,
    /// Two blocks of AdaIN(conv(x)) + conv(x), then instance norm.
    Series,
    /// Two blocks of conv(x) + AdaIN(x), then instance norm.
    Parallel,
}

/// The decoder G: structure code and `AdaIN` parameters -> photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Decoder {
    /// Their kind: basic | slim | series | parallel.
    pub block: BlockKind,
    /// Residual blocks with `AdaIN`; the appearance code is cut into as many chunks.
    #[schemars(range(min = 1, max = 64))]
    pub residual_blocks: u32,
    /// Hidden width of the networks that turn a chunk into `AdaIN` parameters.
    #[schemars(range(min = 1, max = 65_536))]
    pub mlp_width: u32,
    /// Side of the kernels after each doubling of the map.
    #[schemars(range(min = 1, max = 15))]
    pub up_kernel: u32,
    /// Self-attention over the positions of the map after the residual blocks.
    pub non_local: bool,
    /// A tanh on what G puts out.
    pub tanh: bool,
    /// Dropout on the structure code that enters G.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            block: BlockKind::Basic,
            residual_blocks: 4,
            mlp_width: 512,
            up_kernel: 5,
            non_local: false,
            tanh: false,
            dropout: 0.0,
        }
    }
}

/// The adversarial game.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gan {
    /// Least squares (the release).
    #[default]
    Lsgan,
    /// Cross entropy; the generator maximises log D(fake).
    Nsgan,
    /// A Wasserstein critic of its own shape; a penalty of 0.1 is advised.
    Wgan,
    /// The paper's form: the generator minimises log(1 - D(fake)).
    Log,
}

/// Where D has self-attention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonLocal {
    /// Nowhere.
    #[default]
    None,
    /// Before its residual blocks.
    Before,
    /// After its residual blocks.
    After,
    /// Before and after.
    Both,
}

/// The discriminator D: one network per scale, gradient penalty on real photos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Discriminator {
    /// The game that it plays with G: lsgan | nsgan | wgan | log.
    pub gan: Gan,
    /// Self-attention: none | before | after | both (its residual blocks).
    pub non_local: NonLocal,
    /// Scales; scale k sees the photo average-pooled k times.
    #[schemars(range(min = 1, max = 8))]
    pub scales: u32,
    /// Channels of its first layers.
    #[schemars(range(min = 1, max = 1_024))]
    pub width: u32,
    /// Residual blocks per scale.
    #[schemars(range(max = 64))]
    pub residual_blocks: u32,
    /// Weight of the gradient penalty.
    #[schemars(range(min = 0))]
    pub penalty: f64,
}

impl Default for Discriminator {
    fn default() -> Self {
        Self {
            gan: Gan::Lsgan,
            non_local: NonLocal::None,
            scales: 3,
            width: 32,
            residual_blocks: 4,
            penalty: 0.01,
        }
    }
}
