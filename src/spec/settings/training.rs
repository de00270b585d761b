//! `train`, `eval`, `pictures`: how long and how fast, on which device, and what is measured and kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Autocast to bfloat16; the teacher's labels and what is made of D's maps and slope stay in 32 bits (on a GPU with
    /// products as `tf32`).
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
    /// On a GPU, record the kernels of a step once and start them in one call (CUDA graphs); not with
    /// `structure.input: edges`, which the host finds. Cannot change results.
    pub graphs: bool,
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
            graphs: true,
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
