//! `teacher` and `loss`: who labels generated images, and what each loss weighs and when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Backbone;

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
