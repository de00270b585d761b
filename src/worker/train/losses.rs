//! Every loss of DG-Net as a pure function of tensors (the definitions of the public release). A term
//! for both directions is computed on the two batches stacked and returned as a pair, because the
//! terms are added over directions and never averaged. Weights enter in `step`, never here; the
//! adversarial game is in `gan`.

use tch::{Kind, Reduction, Tensor};

use crate::model::layers::wide;
use dgnet::spec::settings::TeacherLabels;

/// Mean absolute difference of each half of a stacked batch; the target takes no gradient.
///
/// # Shapes
/// (2B, ...) and (2B, ...) -> (2,)
pub fn l1_pair(x: &Tensor, target: &Tensor) -> Tensor {
    pair_mean(&(wide(x) - wide(target).detach()).abs())
}

/// Mean squared difference of each half of a stacked batch; the target takes no gradient.
///
/// # Shapes
/// (2B, ...) and (2B, ...) -> (2,)
pub fn l2_pair(x: &Tensor, target: &Tensor) -> Tensor {
    pair_mean(&(wide(x) - wide(target).detach()).square())
}

/// Mean of each half of a stacked batch.
///
/// # Shapes
/// (2B, ...) -> (2,)
pub fn pair_mean(x: &Tensor) -> Tensor {
    x.reshape([2, -1]).mean_dim(Some([1].as_slice()), false, None::<Kind>)
}

/// Mean cross entropy of logits with class labels.
///
/// # Shapes
/// (B, K), (B,) -> ()
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    wide(logits).cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, 0.0)
}

/// KL(q || p) summed over classes and batch, divided by the batch size (paper equation 7); classes
/// with q = 0 contribute nothing.
///
/// # Shapes
/// logits of p (B, K), q (B, K) -> ()
pub fn distillation(logits: &Tensor, q: &Tensor) -> Tensor {
    let batch = logits.size()[0] as f64;
    wide(logits).log_softmax(1, None::<Kind>).kl_div(q, Reduction::Sum, false) / batch
}

/// The label q that the teacher gives a generated image, rows renormalised to sum 1.
///
/// # Shapes
/// `asked` gives the teacher's distribution (B, K) and is only called where the style needs it;
/// labels of the appearance and structure providers (B,) -> (B, K)
pub fn teacher_labels(
    style: TeacherLabels,
    asked: impl FnOnce() -> Tensor,
    appearance: &Tensor,
    structure: &Tensor,
    classes: i64,
    kind: Kind,
) -> Tensor {
    let one_hot = |labels: &Tensor| labels.one_hot(classes).to_kind(kind);
    match style {
        TeacherLabels::Soft => asked(),
        TeacherLabels::Hard => one_hot(&asked().argmax(1, false)),
        TeacherLabels::Static => one_hot(appearance),
        TeacherLabels::Uniform => {
            let options = (kind, appearance.device());
            Tensor::full([appearance.size()[0], classes], 1.0 / classes as f64, options)
        }
        TeacherLabels::TwoLabel => {
            let mask = (one_hot(appearance) + one_hot(structure)).clamp_max(1.0);
            let masked = asked() * &mask;
            let total = |x: &Tensor| x.sum_dim_intlist(Some([1].as_slice()), true, None::<Kind>);
            // a teacher that rules both out in 32 bits says nothing of which
            let masked = &masked + total(&masked).eq(0.0) * mask;
            &masked / total(&masked)
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::{distillation, teacher_labels};
    use dgnet::spec::settings::TeacherLabels;

    fn labels_of(style: TeacherLabels) -> Vec<f64> {
        let teacher = || Tensor::from_slice(&[0.7, 0.2, 0.1, 0.1, 0.3, 0.6]).view([2, 3]);
        let (appearance, structure) =
            (Tensor::from_slice(&[1_i64, 2]), Tensor::from_slice(&[2_i64, 2]));
        let q = teacher_labels(style, teacher, &appearance, &structure, 3, Kind::Double);
        Vec::try_from(q.view([-1])).expect("six numbers")
    }

    #[test]
    fn the_five_label_styles() {
        let third = 1.0 / 3.0;
        for (style, expected) in [
            (TeacherLabels::Soft, [0.7, 0.2, 0.1, 0.1, 0.3, 0.6]),
            (TeacherLabels::Hard, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
            (TeacherLabels::Static, [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
            (TeacherLabels::Uniform, [third; 6]),
            (TeacherLabels::TwoLabel, [0.0, 2.0 * third, third, 0.0, 0.0, 1.0]),
        ] {
            for (got, want) in labels_of(style).iter().zip(expected) {
                assert!((got - want).abs() < 1e-12, "{style:?}: {got} is not {want}");
            }
        }
    }

    #[test]
    fn two_labels_that_the_teacher_rules_out_are_equally_likely() {
        let teacher = || Tensor::from_slice(&[0.0, 0.0, 1.0]).view([1, 3]);
        let [appearance, structure] = [0_i64, 1].map(|class| Tensor::from_slice(&[class]));
        let style = TeacherLabels::TwoLabel;
        let q = teacher_labels(style, teacher, &appearance, &structure, 3, Kind::Double);
        assert_eq!(q, Tensor::from_slice(&[0.5, 0.5, 0.0]).view([1, 3]));
    }

    #[test]
    fn distillation_is_zero_for_equal_distributions_and_finite_for_one_hot_labels() {
        let logits = Tensor::from_slice(&[0.5, -1.0, 2.0]).view([1, 3]);
        let p = logits.softmax(1, None::<Kind>);
        assert!(distillation(&logits, &p).double_value(&[]).abs() < 1e-12);
        let one_hot = Tensor::from_slice(&[0.0, 0.0, 1.0]).view([1, 3]);
        let expected = -p.double_value(&[0, 2]).ln();
        assert!((distillation(&logits, &one_hot).double_value(&[]) - expected).abs() < 1e-12);
    }
}
