//! The appearance encoder E_a, which is at the same time the re-ID network (paper sections 3.1, 3.2):
//! a residual network, a part-pooled appearance code, and the primary and fine heads.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{BatchNorm, Init, Linear, upsample2};
use super::resnet::{Resnet, out_channels};
use dgnet::spec::settings::{Appearance, Upsample};

/// Photos with at most so many rows are doubled before E_a and the teacher see them.
const UPSAMPLE_ROWS: i64 = 128;

/// A photo as E_a and the teacher see it.
///
/// # Shapes
/// (N, 3, H, W) -> the same, or (N, 3, 2H, 2W) where small photos are doubled
pub fn enlarge(photo: &Tensor, upsample: Upsample) -> Tensor {
    if upsample == Upsample::Auto && photo.size()[2] <= UPSAMPLE_ROWS {
        upsample2(photo)
    } else {
        photo.shallow_clone()
    }
}

/// Linear, batch norm, dropout, linear classifier.
#[derive(Debug)]
pub struct Head {
    embed: Linear,
    norm: BatchNorm,
    dropout: f64,
    classifier: Linear,
}

impl Head {
    /// Builds a head: its embedding under `embed`, its classifier under `classifier`.
    pub fn new(vs: &Path, from: i64, feature: u32, dropout: f64, classes: i64) -> Self {
        let (add, feature) = (vs / "add_block", i64::from(feature));
        Self {
            embed: Linear::new(&(&add / 0), from, feature, Init::HeFanOut),
            norm: BatchNorm::new(&(&add / 1), feature),
            dropout,
            classifier: Linear::new(
                &(vs / "classifier" / 0),
                feature,
                classes,
                Init::Normal(0.001),
            ),
        }
    }

    /// The re-ID feature: the output of the head's batch norm.
    ///
    /// # Shapes
    /// (N, C) -> (N, feature)
    pub fn feature(&self, pooled: &Tensor, pass: Pass) -> Tensor {
        self.norm.forward(&self.embed.forward(pooled, pass), pass)
    }

    /// # Shapes
    /// (N, C) -> logits (N, K)
    pub fn forward(&self, pooled: &Tensor, pass: Pass) -> Tensor {
        let feature = self.feature(pooled, pass);
        let kept =
            if self.dropout > 0.0 { feature.dropout(self.dropout, pass.dropout) } else { feature };
        self.classifier.forward(&kept, pass)
    }
}

/// What one pass through E_a gives.
#[derive(Debug)]
pub struct Seen {
    /// Appearance code, detached unless settings say otherwise: (N, C * parts), channel-major.
    pub code: Tensor,
    /// Logits of the primary head: (N, K).
    pub primary: Tensor,
    /// Logits of the fine head: (N, K).
    pub fine: Tensor,
}

/// E_a.
#[derive(Debug)]
pub struct AppearanceEncoder {
    backbone: Resnet,
    primary: Head,
    fine: Head,
    parts: i64,
    upsample: Upsample,
    detach_code: bool,
}

/// Length of the appearance code.
#[must_use]
pub fn code_length(cfg: &Appearance) -> i64 {
    out_channels(cfg.backbone, cfg.width) * i64::from(cfg.parts)
}

impl AppearanceEncoder {
    /// Builds E_a for `classes` identities under `vs`.
    pub fn new(vs: &Path, cfg: &Appearance, classes: i64) -> Self {
        let channels = out_channels(cfg.backbone, cfg.width);
        let head = |name, dropout| Head::new(&(vs / name), channels, cfg.feature, dropout, classes);
        Self {
            backbone: Resnet::new(&(vs / "model"), cfg.backbone, cfg.width, cfg.last_stride),
            primary: head("classifier1", cfg.dropout_primary),
            fine: head("classifier2", cfg.dropout_fine),
            parts: i64::from(cfg.parts),
            upsample: cfg.upsample,
            detach_code: cfg.detach_code,
        }
    }

    fn map(&self, photo: &Tensor, pass: Pass) -> Tensor {
        self.backbone.forward(&enlarge(photo, self.upsample), pass)
    }

    fn code_of(&self, map: &Tensor) -> Tensor {
        let (n, height) = (map.size()[0], map.size()[2]);
        let map = if self.detach_code { &map.detach() } else { map };
        // parts that do not share rows: see `pooled`
        if height % self.parts == 0 {
            return map.reshape([n, map.size()[1] * self.parts, -1]).max_dim(2, false).0;
        }
        map.adaptive_max_pool2d([self.parts, 1]).0.reshape([n, -1])
    }

    /// The largest value of each channel. (The gradient of libtorch's adaptive pooling is not the same bits every
    /// time on a GPU.)
    fn pooled(map: &Tensor) -> Tensor {
        map.flatten(2, 3).max_dim(2, false).0
    }

    /// # Shapes
    /// photo (N, 3, H, W) -> code (N, C * parts), two times logits (N, K)
    #[must_use]
    pub fn forward(&self, photo: &Tensor, pass: Pass) -> Seen {
        let map = self.map(photo, pass);
        let pooled = Self::pooled(&map);
        Seen {
            code: self.code_of(&map),
            primary: self.primary.forward(&pooled, pass),
            fine: self.fine.forward(&pooled, pass),
        }
    }

    /// The appearance code alone, without a graph where it is detached. Running statistics follow `pass`.
    ///
    /// # Shapes
    /// photo (N, 3, H, W) -> (N, C * parts)
    pub fn code(&self, photo: &Tensor, pass: Pass) -> Tensor {
        let code = || self.code_of(&self.map(photo, pass));
        if self.detach_code { tch::no_grad(code) } else { code() }
    }

    /// The two halves of the re-ID feature (the outputs of the heads' batch norms).
    ///
    /// # Shapes
    /// photo (N, 3, H, W) -> primary (N, feature), fine (N, feature)
    pub fn features(&self, photo: &Tensor) -> (Tensor, Tensor) {
        tch::no_grad(|| {
            let pooled = Self::pooled(&self.map(photo, Pass::EVAL));
            (self.primary.feature(&pooled, Pass::EVAL), self.fine.feature(&pooled, Pass::EVAL))
        })
    }
}
