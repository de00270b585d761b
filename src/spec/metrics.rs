//! The table of metrics: unit, direction and meaning travel with the name. Values are never here.

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Larger is better.
    Higher,
    /// Smaller is better.
    Lower,
    /// Neither: a setting or a schedule that is recorded.
    None,
}

/// The definition of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name in files, tables and SQL.
    pub name: &'static str,
    /// Unit; empty for shares (0 to 1) and dimensionless values.
    pub unit: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// What is measured, in a phrase.
    pub about: &'static str,
}

const fn metric(
    name: &'static str,
    unit: &'static str,
    direction: Direction,
    about: &'static str,
) -> MetricInfo {
    MetricInfo { name, unit, direction, about }
}

/// How the names of shares begin.
const SHARES: [&str; 6] = ["mAP", "mINP", "rank", "swap_nearer", "swap_error", "teacher_accuracy"];

/// Whether the values of a metric are shares, 0 to 1.
#[must_use]
pub fn is_share(name: &str) -> bool {
    SHARES.iter().any(|share| name.starts_with(share))
}

use Direction::{Higher, Lower, None as Neither};

/// Every metric that a run can record, in the order in which they are shown.
pub const METRICS: &[MetricInfo] = &[
    metric("mAP", "", Higher, "mean trapezoidal average precision, both heads"),
    metric("mAP_standard", "", Higher, "mean plain average precision, both heads"),
    metric("mINP", "", Higher, "mean inverse negative penalty, both heads"),
    metric("rank1", "", Higher, "share of queries with a true match at rank 1, both heads"),
    metric("rank5", "", Higher, "share of queries with a true match in the first 5, both heads"),
    metric("rank10", "", Higher, "share of queries with a true match in the first 10, both heads"),
    metric("mAP_primary", "", Higher, "mAP of the primary head alone"),
    metric("rank1_primary", "", Higher, "rank-1 of the primary head alone"),
    metric("mAP_fine", "", Higher, "mAP of the fine head alone"),
    metric("rank1_fine", "", Higher, "rank-1 of the fine head alone"),
    metric("mAP_multi", "", Higher, "mAP with all photos of a query's person under its camera"),
    metric("rank1_multi", "", Higher, "rank-1 of the same"),
    metric("mAP_reranked", "", Higher, "mAP after k-reciprocal re-ranking"),
    metric("rank1_reranked", "", Higher, "rank-1 after k-reciprocal re-ranking"),
    metric("swap_psnr", "dB", Higher, "PSNR of swapped images against the rendered truth"),
    metric(
        "swap_psnr_copy",
        "dB",
        Neither,
        "PSNR of the structure's photo, copied, against the truth",
    ),
    metric("swap_ssim", "", Higher, "SSIM of swapped images against the rendered truth"),
    metric(
        "swap_nearer",
        "",
        Higher,
        "share of held-out pairs whose swapped image is nearer to the truth than both photos",
    ),
    metric(
        "recon_l1_ratio",
        "",
        Lower,
        "held-out reconstruction L1 over the L1 of predicting the mean training image",
    ),
    metric(
        "swap_error_mean",
        "",
        Neither,
        "share of the squared error over a grid of swapped images that is the same in all of them",
    ),
    metric(
        "swap_error_appearance",
        "",
        Neither,
        "share of it that goes with the appearance: wrong alike in every structure",
    ),
    metric(
        "swap_error_structure",
        "",
        Neither,
        "share of it that goes with the structure: wrong alike with every appearance",
    ),
    metric(
        "swap_error_interaction",
        "",
        Neither,
        "share of it that neither explains: wrong in a pair of its own way",
    ),
    metric(
        "diversity",
        "",
        Neither,
        "(1 - SSIM) / 2 in Lab between generated images of one appearance in two structures",
    ),
    metric("diversity_real", "", Neither, "(1 - SSIM) / 2 in Lab between two photos of one person"),
    metric(
        "frechet_teacher",
        "",
        Lower,
        "Frechet distance of generated images to training photos, on the teacher's feature",
    ),
    metric(
        "frechet_primary",
        "",
        Lower,
        "the same on the run's own primary feature, where it has no teacher; not comparable between runs",
    ),
    metric(
        "fid",
        "",
        Lower,
        "the same on Inception-v3's pool_3 feature, over all training photos, images as JPEG",
    ),
    metric("loss_total", "", Lower, "weighted sum of the losses of generator and re-ID network"),
    metric("loss_img_1", "", Lower, "L1 of photos decoded from their own codes"),
    metric("loss_img_2", "", Lower, "L1 of photos decoded with the appearance of another photo"),
    metric("loss_id_s", "", Lower, "cross entropy on real photos"),
    metric("loss_id_c", "", Lower, "cross entropy of the primary head on generated images"),
    metric("loss_code_1", "", Lower, "L1 of the appearance codes of generated images"),
    metric("loss_code_2", "", Lower, "L1 of the structure codes of generated images"),
    metric("loss_cycle", "", Lower, "L1 of photos decoded from the codes of generated images"),
    metric("loss_adv", "", Neither, "adversarial term of the generator"),
    metric("loss_perceptual", "", Lower, "VGG features against those of the structure's photo"),
    metric("loss_prim", "", Lower, "KL of the primary head from the teacher on generated images"),
    metric("loss_fine", "", Lower, "cross entropy of the fine head on generated images"),
    metric("loss_dis", "", Neither, "adversarial loss of the discriminator"),
    metric("loss_dis_penalty", "", Neither, "gradient penalty of the discriminator"),
    metric("teacher_loss", "", Lower, "cross entropy of the teacher on training photos"),
    metric("teacher_accuracy", "", Higher, "share of held-out training photos the teacher knows"),
    metric("step_seconds", "s", Lower, "wall time of a training step"),
    metric("lr_scale", "", Neither, "factor on every learning rate"),
    metric("weight_prim", "", Neither, "ramped weight of loss_prim"),
    metric("weight_fine", "", Neither, "ramped weight of loss_fine"),
    metric("weight_code", "", Neither, "ramped weight of loss_code_1 and loss_code_2"),
    metric("weight_cycle", "", Neither, "ramped weight of loss_cycle"),
];

/// The definition of a metric, if there is one of that name.
pub fn lookup(name: &str) -> Option<&'static MetricInfo> {
    METRICS.iter().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for metric in METRICS {
            assert_eq!(METRICS.iter().filter(|other| other.name == metric.name).count(), 1);
            assert_eq!(lookup(metric.name), Some(metric));
        }
        assert_eq!(lookup("map"), None);
    }
}
