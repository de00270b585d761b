//! The networks of DG-Net, one file each: a config struct, `new(vs, cfg)`, `forward`. Parameter names
//! are those of public checkpoints. No I/O, no losses, no optimizer.

pub mod appearance;
pub mod block;
pub mod decoder;
pub mod discriminator;
pub mod generator;
pub mod inception;
pub mod layers;
pub mod norms;
pub mod resnet;
pub mod structure;
pub mod teacher;
pub mod vgg;

/// Which statistics batch norm uses, and whether it remembers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Those of the batch; running statistics are updated.
    Train,
    /// Those of the batch; running statistics are left alone.
    Batch,
    /// The running statistics.
    Running,
}

/// How a network is passed through: one argument for what `forward_t`'s bool couples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Batch norm's statistics.
    pub norm: Norm,
    /// Whether dropout drops.
    pub dropout: bool,
    /// Whether parameters are constants: gradients then flow into the input only.
    pub frozen: bool,
    /// How many batches of one size the input holds; batch norm sees each alone. They come stacked to E_a and to the teacher, which
    /// hand them on to their parts as [`norms::interleaved`] has them.
    pub batches: i64,
}

impl Pass {
    /// Training: batch statistics, dropout, gradients for the parameters.
    pub const TRAIN: Self = Self { norm: Norm::Train, dropout: true, frozen: false, batches: 1 };
    /// A frozen copy: batch statistics that leave no trace, no dropout, gradients into the input only.
    pub const FROZEN: Self = Self { norm: Norm::Batch, dropout: false, frozen: true, batches: 1 };
    /// Use of a finished network: running statistics, no dropout, no gradients for the parameters.
    pub const EVAL: Self = Self { norm: Norm::Running, dropout: false, frozen: true, batches: 1 };

    /// The same for so many batches at once. What it gives and every trace that it leaves are those of one pass for each, in
    /// their order, up to the order of sums and to what dropout draws; that they share their convolutions makes it faster.
    #[must_use]
    pub const fn of(self, batches: i64) -> Self {
        Self { batches, ..self }
    }
}
