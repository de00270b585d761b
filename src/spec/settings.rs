//! The settings of one training run, as plain data: what each section of a study file may say, with
//! the release's values as defaults. The sections are in the folder of that name; resolution, validation and
//! hashing live beside it. Nothing here reads a file, and nothing here knows tensors.

mod data;
mod networks;
mod teaching;
mod training;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use data::{Augment, Data, Drawn, Image};
pub use networks::{
    Appearance, Backbone, BlockKind, Decoder, Discriminator, Gan, NonLocal, Structure,
    StructureInput, Upsample,
};
pub use teaching::{CodeSchedule, Loss, Teacher, TeacherBatchNorm, TeacherLabels, TeacherSource};
pub use training::{Device, Eval, Feeding, Mode, Pictures, Precision, Train};

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
