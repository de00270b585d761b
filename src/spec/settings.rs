//! The settings of one training run, as plain data: what each section of a study file may say, with
//! the release's values as defaults. Resolution, validation and hashing live beside it; nothing here
//! reads a file, and nothing here knows tensors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that describes one run but its seed. Every section is optional in a study file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the photos come from.
    pub data: Data,
    /// The size at which every network sees the photos.
    pub image: Image,
    /// The structure encoder `E_s`.
    pub structure: Structure,
    /// The appearance encoder `E_a`, which is also the re-ID network.
    pub appearance: Appearance,
    /// The decoder G.
    pub decoder: Decoder,
    /// The multi-scale discriminator D.
    pub discriminator: Discriminator,
    /// The teacher: a plain re-ID baseline that labels generated images.
    pub teacher: Teacher,
    /// Weights of the losses and their ramps.
    pub loss: Loss,
    /// Augmentation of the training photos.
    pub augment: Augment,
    /// Optimizers, length and batch.
    pub train: Train,
    /// Evaluation during and after training.
    pub eval: Eval,
    /// The pictures that are kept of a finished run.
    pub pictures: Pictures,
}

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
    #[schemars(range(min = 8, max = 1_024))]
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

/// Where the teacher comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeacherSource {
    /// Trained here on the real training photos, once per seed.
    #[default]
    Train,
    /// Read from `path`.
    Checkpoint,
    /// No teacher: `loss.lambda_prim` must be 0.
    None,
}

/// The label q that the teacher gives a generated image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeacherLabels {
    /// Mean of its distributions over the image and its mirror image (release style 0).
    #[default]
    Soft,
    /// The arg max of that, one-hot (style 1).
    Hard,
    /// One-hot of the appearance provider's label; the teacher is not asked (style 2).
    Static,
    /// 1/K for every class (LSRO, style 3).
    Uniform,
    /// `soft` masked to the appearance and the structure provider's labels (style 4).
    TwoLabel,
}

/// Which statistics the teacher's batch norms use while it teaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeacherBatchNorm {
    /// Those of the generated batch (the release).
    #[default]
    Batch,
    /// The running ones.
    Running,
}

/// The teacher and how it was, or is to be, trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Teacher {
    /// train | checkpoint | none.
    pub source: TeacherSource,
    /// The teacher's checkpoint, for `source: checkpoint`: ours, or a PyTorch file with public names.
    pub path: Option<String>,
    /// Teachers that are trained, each from other weights and in another order; their distributions are averaged.
    #[schemars(range(min = 1, max = 64))]
    pub count: u32,
    /// Share of the training photos that a teacher from `path` must put into the right class, else the
    /// run is refused; 0 for any.
    #[schemars(range(min = 0, max = 1))]
    pub min_accuracy: f64,
    /// `soft | hard | static | uniform | two_label`.
    pub labels: TeacherLabels,
    /// Statistics of its batch norms while it teaches: batch | running.
    pub batch_norm: TeacherBatchNorm,
    /// resnet10 | resnet18 | resnet34 | resnet50.
    pub backbone: Backbone,
    /// Channels of its first stage.
    #[schemars(range(min = 1, max = 1_024))]
    pub width: u32,
    /// Stride of its last stage: 1 or 2.
    #[schemars(range(min = 1, max = 2))]
    pub last_stride: u32,
    /// Length of its feature.
    #[schemars(range(min = 1, max = 65_536))]
    pub feature: u32,
    /// Dropout before its classifier.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f64,
    /// A safetensors or PyTorch file with the backbone's weights under torchvision's names.
    pub weights: Option<String>,
    /// Passes over the training photos.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: u32,
    /// Photos per step.
    #[schemars(range(min = 2, max = 65_536))]
    pub batch: u32,
    /// Learning rate of the head; the backbone's is a tenth of it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Keeps one photo of every person with at least three out of the teacher's training and measures
    /// `teacher_accuracy` on those; otherwise it is measured on the training photos.
    pub hold_out: bool,
    /// The learning rate falls to a tenth after this many epochs.
    #[schemars(range(min = 1))]
    pub decay_epoch: u32,
}

impl Default for Teacher {
    fn default() -> Self {
        Self {
            source: TeacherSource::Train,
            path: None,
            count: 1,
            min_accuracy: 0.5,
            labels: TeacherLabels::Soft,
            batch_norm: TeacherBatchNorm::Batch,
            backbone: Backbone::Resnet50,
            width: 64,
            last_stride: 2,
            feature: 512,
            dropout: 0.5,
            weights: None,
            epochs: 60,
            batch: 32,
            learning_rate: 0.05,
            hold_out: false,
            decay_epoch: 40,
        }
    }
}

/// When the code losses have their weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodeSchedule {
    /// They rise after the warm-up (the release).
    #[default]
    Ramped,
    /// From the first step on (the paper).
    Constant,
}

/// Weights of the losses, and when they enter.
///
/// A ramped weight at step t is `lambda * min(1, max(0, t - ramp_start) / ramp length)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    /// Reconstruction of a photo from its own codes, and with the appearance of another photo of the same person (`λ_img`).
    #[serde(alias = "λ_img")]
    #[schemars(range(min = 0))]
    pub lambda_img: f64,
    /// Identity of generated images, trains the generator (`λ_id`).
    #[serde(alias = "λ_id")]
    #[schemars(range(min = 0))]
    pub lambda_id: f64,
    /// Primary feature learning on generated images with the teacher's labels (`λ_prim`), ramped.
    #[serde(alias = "λ_prim")]
    #[schemars(range(min = 0))]
    pub lambda_prim: f64,
    /// Fine-grained feature mining on generated images (`λ_fine`), ramped.
    #[serde(alias = "λ_fine")]
    #[schemars(range(min = 0))]
    pub lambda_fine: f64,
    /// Reconstruction of the codes of a generated image, ramped.
    #[serde(alias = "λ_code")]
    #[schemars(range(min = 0))]
    pub lambda_code: f64,
    /// Cycle: decoding the codes of generated images back to the photo, ramped.
    #[serde(alias = "λ_cycle")]
    #[schemars(range(min = 0))]
    pub lambda_cycle: f64,
    /// The adversarial term of the generator.
    #[serde(alias = "λ_adv")]
    #[schemars(range(min = 0))]
    pub lambda_adv: f64,
    /// VGG-16 features of a generated image against those of the photo whose structure it has; needs `perceptual_weights`.
    #[schemars(range(min = 0))]
    pub lambda_perceptual: f64,
    /// A file with VGG-16's weights under torchvision's names (`features.0.weight`, ...).
    pub perceptual_weights: Option<String>,
    /// Whether the identity loss on real photos is also taken on the positives (the release).
    pub identity_on_positives: bool,
    /// Whether the fine head also learns from real photos, with the current fine weight (the release).
    pub fine_on_real: bool,
    /// `lambda_code`: ramped | constant.
    pub code_schedule: CodeSchedule,
    /// Step at which ramped weights begin to rise.
    pub ramp_start: u64,
    /// Steps in which `lambda_code` rises to its value; 0 for a jump.
    pub ramp_steps_code: u64,
    /// Steps in which `lambda_cycle`, `lambda_prim` and `lambda_fine` rise to their values; 0 for a jump.
    pub ramp_steps: u64,
    /// Probability that `code_2` trains `E_s` on a detached generated image, drawn once a step; otherwise the gradient goes into the image.
    #[schemars(range(min = 0, max = 1))]
    pub train_structure_probability: f64,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            lambda_img: 5.0,
            lambda_id: 0.5,
            lambda_prim: 2.0,
            lambda_fine: 0.4,
            lambda_code: 1.0,
            lambda_cycle: 2.0,
            lambda_adv: 1.0,
            lambda_perceptual: 0.0,
            perceptual_weights: None,
            identity_on_positives: true,
            fine_on_real: true,
            code_schedule: CodeSchedule::Ramped,
            ramp_start: 30_000,
            ramp_steps_code: 2_000,
            ramp_steps: 4_000,
            train_structure_probability: 0.5,
        }
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

/// What a run trains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// DG-Net: generator and re-ID network together.
    #[default]
    Joint,
    /// Only the teacher, evaluated as the re-ID baseline.
    TeacherOnly,
}

/// Whether the generator goes on learning while its images are fed to `E_a`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Feeding {
    /// Generation and re-ID are one training step (the paper).
    #[default]
    Online,
    /// A generator is trained first without `prim` and `fine`; frozen, it feeds a fresh `E_a`.
    Offline,
}

/// The device that a run uses, written `cpu`, `cuda`, `cuda:1` or `auto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The CPU.
    #[default]
    Cpu,
    /// The first GPU where there is one, else the CPU. Results depend on which.
    Auto,
    /// A GPU by its number.
    Cuda(u32),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Auto => f.write_str("auto"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "cpu" => Ok(Self::Cpu),
            "auto" => Ok(Self::Auto),
            "cuda" => Ok(Self::Cuda(0)),
            other => other
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("`{other}` is no device: expected cpu, auto or cuda:0")),
        }
    }
}

impl JsonSchema for Device {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Device".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(cpu|auto|cuda(:[0-9]{1,3})?)$" })
    }
}

/// The arithmetic of convolutions and matrix products; everything else stays in 32 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Float32,
    /// 32-bit floats whose products are rounded to 10 bits on GPUs that have it.
    Tf32,
    /// Autocast to bfloat16; D and its penalty stay in 32 bits.
    Bf16,
}

/// Optimizers, length and batch of the joint training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// `joint | teacher_only`.
    pub mode: Mode,
    /// How generated images reach `E_a`: online | offline. Offline takes `steps` steps for the generator
    /// and as many for `E_a`.
    pub feeding: Feeding,
    /// Training steps.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: u64,
    /// Photos in each of the two batches of a step; their positives come on top.
    #[schemars(range(min = 2, max = 65_536))]
    pub batch: u32,
    /// Adam's learning rate for `E_s` and G.
    #[schemars(range(min = 0))]
    pub lr_generator: f64,
    /// Adam's learning rate for D.
    #[schemars(range(min = 0))]
    pub lr_discriminator: f64,
    /// Adam's betas.
    #[schemars(inner(range(min = 0, max = 1)))]
    pub betas: [f64; 2],
    /// SGD's learning rate for `E_a`'s backbone.
    #[schemars(range(min = 0))]
    pub lr_backbone: f64,
    /// SGD's learning rate for `E_a`'s heads.
    #[schemars(range(min = 0))]
    pub lr_heads: f64,
    /// SGD's Nesterov momentum.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub momentum: f64,
    /// L2 penalty added to every gradient.
    #[schemars(range(min = 0))]
    pub weight_decay: f64,
    /// Whether it is added under Adam too (the release), or under SGD only.
    pub adam_weight_decay: bool,
    /// Steps at which every learning rate falls to a tenth.
    #[schemars(inner(range(min = 1)))]
    pub decay_at: Vec<u64>,
    /// Threads of one run; results depend on it, so it is never taken from the machine.
    #[schemars(range(min = 1, max = 1_024))]
    pub threads: u32,
    /// cpu | auto | cuda:N.
    pub device: Device,
    /// float32 | tf32 | bf16.
    pub precision: Precision,
    /// Kernels that give the same bits every time, where there are such; on a GPU some are slower, and
    /// those without are used with a warning.
    pub deterministic: bool,
    /// Steps between two lines of metrics. Cannot change results.
    #[schemars(range(min = 1))]
    pub log_every: u64,
    /// Steps between two checkpoints. Cannot change results.
    #[schemars(range(min = 1))]
    pub checkpoint_every: u64,
    /// Threads that decode and augment ahead of the step. Cannot change results.
    #[schemars(range(min = 1, max = 256))]
    pub loader_workers: u32,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            mode: Mode::Joint,
            feeding: Feeding::Online,
            steps: 100_000,
            batch: 8,
            lr_generator: 1e-4,
            lr_discriminator: 1e-4,
            betas: [0.0, 0.999],
            lr_backbone: 2e-3,
            lr_heads: 2e-2,
            momentum: 0.9,
            weight_decay: 5e-4,
            adam_weight_decay: true,
            decay_at: vec![60_000, 90_000, 105_000],
            threads: 1,
            device: Device::Cpu,
            precision: Precision::Float32,
            deterministic: true,
            log_every: 50,
            checkpoint_every: 2_000,
            loader_workers: 1,
        }
    }
}

/// Evaluation during training and at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Eval {
    /// Steps between two evaluations; the last step is always evaluated.
    #[schemars(range(min = 1))]
    pub every: u64,
    /// Photos per forward pass.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: u32,
    /// Weight of the fine half of a query's feature.
    #[schemars(range(min = 0))]
    pub fine_weight: f64,
    /// Held-out pairs (i, j) for which G(`a_i`, `s_j`) is scored, against the true image on drawn people;
    /// and pairs of generated images that the diversity is measured on. 0 for neither.
    #[schemars(range(max = 1_000_000))]
    pub swap_pairs: u32,
    /// Training photos, at most, that the Frechet distance compares with one generated image each; 0 for none.
    #[schemars(range(max = 1_000_000))]
    pub frechet_images: u32,
    /// A safetensors file with Inception-v3 under torchvision's names: at the end also the FID, over all
    /// training photos.
    pub inception_weights: Option<String>,
    /// At the end also multi-query: all photos of a query's person under its camera, where the set has them.
    pub multi_query: bool,
    /// At the end also k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3).
    pub rerank: bool,
}

impl Default for Eval {
    fn default() -> Self {
        Self {
            every: 10_000,
            batch: 64,
            fine_weight: 0.5,
            swap_pairs: 200,
            frechet_images: 2_000,
            inception_weights: None,
            multi_query: false,
            rerank: false,
        }
    }
}

/// The pictures that are kept of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pictures {
    /// Rows (structure) and columns (appearance) of the swap grid; 0 for none.
    #[schemars(range(max = 64))]
    pub grid: u32,
    /// Queries that are shown with the ten gallery photos ranked first, spread over good and bad ones; 0 for none.
    #[schemars(range(max = 64))]
    pub ranked: u32,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { grid: 5, ranked: 5 }
    }
}
