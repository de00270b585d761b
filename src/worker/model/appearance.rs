//! The appearance encoder E_a, which is at the same time the re-ID network (paper sections 3.1, 3.2):
//! a residual network, a part-pooled appearance code, and the primary and fine heads.

use tch::Tensor;
use tch::nn::Path;

use super::Pass;
use super::layers::{Init, Linear, upsample2};
use super::norms::{BatchNorm, interleaved, stacked};
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

    /// Several batches come and go [`interleaved`].
    ///
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
        self.backbone.forward(&enlarge(&interleaved(photo, pass), self.upsample), pass)
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
        self.seen(&self.map(photo, pass), pass)
    }

    /// What a training pass and a frozen copy give for the same photos, at little more than the price of one: gradients of the
    /// first reach E_a alone, those of the second the photos alone.
    ///
    /// # Shapes
    /// those of [`Self::forward`], two times
    #[must_use]
    pub fn forward_twice(&self, photo: &Tensor, batches: i64) -> [Seen; 2] {
        let passes = [Pass::TRAIN.of(batches), Pass::FROZEN.of(batches)];
        let [trained, frozen] = passes;
        let photo = enlarge(&interleaved(photo, trained), self.upsample);
        let [map, lent] = self.backbone.forward_twice(&photo, passes);
        [self.seen(&map, trained), self.seen(&lent, frozen)]
    }

    fn seen(&self, map: &Tensor, pass: Pass) -> Seen {
        let pooled = Self::pooled(map);
        Seen {
            code: stacked(&self.code_of(map), pass),
            primary: stacked(&self.primary.forward(&pooled, pass), pass),
            fine: stacked(&self.fine.forward(&pooled, pass), pass),
        }
    }

    /// The appearance code of a pass whose logits nobody wants, without a graph where it is detached. It leaves the
    /// traces of any pass, in the heads' batch norms as well.
    ///
    /// # Shapes
    /// photo (N, 3, H, W) -> (N, C * parts)
    pub fn code(&self, photo: &Tensor, pass: Pass) -> Tensor {
        let code = || self.forward(photo, pass).code;
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

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind, Tensor};

    use super::{AppearanceEncoder, Pass};
    use dgnet::spec::settings::{Appearance, Backbone};

    /// Two of the same weights, in 64 bits and without dropout.
    fn twins() -> [(VarStore, AppearanceEncoder); 2] {
        let cfg = Appearance {
            backbone: Backbone::Resnet10,
            width: 4,
            feature: 8,
            dropout_primary: 0.0,
            dropout_fine: 0.0,
            ..Appearance::default()
        };
        let mut twins = [0; 2].map(|_| {
            let mut vars = VarStore::new(Device::Cpu);
            let encoder = AppearanceEncoder::new(&vars.root(), &cfg, 5);
            vars.double();
            (vars, encoder)
        });
        let [(one, _), (other, _)] = &mut twins;
        other.copy(one).expect("they are alike");
        twins
    }

    fn photos(count: i64) -> Tensor {
        Tensor::randn([count, 3, 32, 16], (Kind::Double, Device::Cpu))
    }

    fn apart(one: &Tensor, other: &Tensor) -> f64 {
        (one - other).abs().max().double_value(&[])
    }

    #[test]
    fn stacked_batches_are_passes_one_after_the_other() {
        let [(at_once, encoder), (in_turn, other)] = twins();
        let x = photos(12);
        for pass in [Pass::TRAIN, Pass::FROZEN, Pass::EVAL] {
            let seen = encoder.forward(&x, pass.of(3));
            let each = x.chunk(3, 0).iter().map(|x| other.forward(x, pass)).collect::<Vec<_>>();
            let all = |part: fn(&super::Seen) -> &Tensor| {
                Tensor::cat(&each.iter().map(part).collect::<Vec<_>>(), 0)
            };
            for (got, want) in [
                (&seen.code, all(|seen| &seen.code)),
                (&seen.primary, all(|seen| &seen.primary)),
                (&seen.fine, all(|seen| &seen.fine)),
            ] {
                assert!(apart(got, &want) < 1e-10, "{pass:?}: {}", apart(got, &want));
            }
            if pass == Pass::TRAIN {
                let loss = |logits: &Tensor| logits.square().sum(None::<Kind>);
                (loss(&seen.primary) + loss(&seen.fine)).backward();
                for seen in &each {
                    (loss(&seen.primary) + loss(&seen.fine)).backward();
                }
            }
        }
        let in_turn = in_turn.variables();
        for (name, got) in at_once.variables() {
            let want = &in_turn[&name];
            assert!(apart(&got, want) < 1e-12, "{name}: {}", apart(&got, want));
            if got.requires_grad() {
                let (got, want) = (got.grad(), want.grad());
                let scale = want.abs().max().double_value(&[]).max(1.0);
                assert!(apart(&got, &want) / scale < 1e-10, "the gradient of {name}");
            }
        }
    }

    #[test]
    fn a_pass_can_be_differentiated_after_another_has_moved_the_statistics() {
        let [(_, encoder), _] = twins();
        let first = encoder.forward(&photos(4), Pass::TRAIN);
        let _ = encoder.forward(&photos(8), Pass::TRAIN.of(2));
        first.primary.sum(None::<Kind>).backward();
    }

    #[test]
    fn a_pass_for_its_code_leaves_the_traces_of_any() {
        let [(whole, encoder), (code, other)] = twins();
        let x = photos(8);
        let before = code.variables()["classifier1.add_block.1.running_mean"].copy();
        let _ = encoder.forward(&x, Pass::TRAIN.of(2));
        let _ = other.code(&x, Pass::TRAIN.of(2));
        let code = code.variables();
        assert!(apart(&before, &code["classifier1.add_block.1.running_mean"]) > 0.0);
        for (name, want) in whole.variables() {
            assert_eq!(code[&name], want, "{name}");
        }
    }
}
