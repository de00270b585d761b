//! The teacher: a plain re-ID baseline (residual network, average pool, one head). Training it is
//! `train::teacher`'s work.

use tch::nn::Path;
use tch::{Kind, Tensor};

use super::appearance::{Head, enlarge};
use super::layers::wide;
use super::norms::{interleaved, stacked};
use super::resnet::{Resnet, out_channels};
use super::{Norm, Pass};
use dgnet::spec::settings::{Teacher, TeacherBatchNorm, Upsample};

/// The teacher network.
#[derive(Debug)]
pub struct TeacherNet {
    backbone: Resnet,
    head: Head,
    upsample: Upsample,
}

impl TeacherNet {
    /// Builds the teacher for `classes` identities under `vs`.
    pub fn new(vs: &Path, cfg: &Teacher, upsample: Upsample, classes: i64) -> Self {
        let channels = out_channels(cfg.backbone, cfg.width);
        Self {
            backbone: Resnet::new(&(vs / "model"), cfg.backbone, cfg.width, cfg.last_stride),
            head: Head::new(&(vs / "classifier"), channels, cfg.feature, cfg.dropout, classes),
            upsample,
        }
    }

    fn pooled(&self, photo: &Tensor, pass: Pass) -> Tensor {
        let map = self.backbone.forward(&enlarge(&interleaved(photo, pass), self.upsample), pass);
        map.mean_dim(Some([2, 3].as_slice()), false, None::<Kind>)
    }

    /// # Shapes
    /// photo (N, 3, H, W) -> logits (N, K)
    pub fn forward(&self, photo: &Tensor, pass: Pass) -> Tensor {
        stacked(&self.head.forward(&self.pooled(photo, pass), pass), pass)
    }

    /// The mean of the teacher's distributions over a photo and its mirror image; no gradient. Two batches lie
    /// stacked in `photo`; each, and each of their mirror images, has its own statistics.
    ///
    /// # Shapes
    /// photo (2B, 3, H, W) -> (2B, K), rows sum to 1
    pub fn distribution(&self, photo: &Tensor, statistics: TeacherBatchNorm) -> Tensor {
        let norm = match statistics {
            TeacherBatchNorm::Batch => Norm::Batch,
            TeacherBatchNorm::Running => Norm::Running,
        };
        let pass = Pass { norm, ..Pass::EVAL }.of(4);
        tch::no_grad(|| {
            let both = Tensor::cat(&[photo, &photo.flip([3])], 0);
            let seen = wide(&self.forward(&both, pass)).softmax(1, None::<Kind>);
            let size = seen.size();
            seen.view([2, size[0] / 2, size[1]]).mean_dim(Some([0].as_slice()), false, None::<Kind>)
        })
    }

    /// The re-ID feature: the output of the head's batch norm.
    ///
    /// # Shapes
    /// photo (N, 3, H, W) -> (N, feature)
    pub fn features(&self, photo: &Tensor) -> Tensor {
        tch::no_grad(|| self.head.feature(&self.pooled(photo, Pass::EVAL), Pass::EVAL))
    }
}

/// The mean of several teachers' distributions; `None` without a teacher.
///
/// # Shapes
/// photo (2B, 3, H, W) -> (2B, K), rows sum to 1
pub fn mean_distribution(
    teachers: &[TeacherNet],
    photo: &Tensor,
    statistics: TeacherBatchNorm,
) -> Option<Tensor> {
    let each = teachers.iter().map(|teacher| teacher.distribution(photo, statistics));
    let sum = each.reduce(|sum, q| sum + q)?;
    Some(if teachers.len() > 1 { sum / teachers.len() as f64 } else { sum })
}
