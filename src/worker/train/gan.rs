//! The adversarial game in its four forms: what D minimises, its gradient penalty, and what G
//! minimises. Everything is summed over scales and directions, as the losses of `losses` are.

use tch::{Kind, Tensor};

use super::losses::pair_mean;
use dgnet::spec::settings::Gan;

/// Weight of the squared outputs of a Wasserstein critic.
const DRIFT: f64 = 0.001;

/// D's loss: real photos against fakes, both directions.
///
/// # Shapes
/// per scale (2B, 1, h, w) for fakes and real photos -> ()
pub fn discriminator(gan: Gan, fake: &[Tensor], real: &[Tensor]) -> Tensor {
    sum(fake.iter().zip(real).map(|(fake, real)| {
        let each = match gan {
            Gan::Lsgan => pair_mean(&fake.square()) + pair_mean(&(real - 1.0).square()),
            Gan::Nsgan | Gan::Log => pair_mean(&false_of(fake)) + pair_mean(&true_of(real)),
            Gan::Wgan => {
                let drift = pair_sum(&fake.square()) + pair_sum(&real.square());
                pair_mean(fake) - pair_mean(real) + drift * DRIFT
            }
        };
        each.sum(None::<Kind>)
    }))
}

/// Weight-free gradient penalty of D: per scale the mean over each batch of the squared L2 norm of
/// d(sum of D's verdicts)/dx, summed over scales and directions. Verdicts are probabilities where D
/// gives logits.
///
/// # Shapes
/// per scale (2B, 1, h, w), photos (2B, 3, H, W) that require gradients -> ()
pub fn gradient_penalty(gan: Gan, judged: &[Tensor], photos: &Tensor) -> Tensor {
    let half = photos.size()[0] as f64 / 2.0;
    sum(judged.iter().map(|map| {
        let verdicts = match gan {
            Gan::Lsgan | Gan::Wgan => map.sum(None::<Kind>),
            Gan::Nsgan | Gan::Log => map.sigmoid().sum(None::<Kind>),
        };
        let gradient = Tensor::run_backward(&[verdicts], &[photos], true, true);
        gradient[0].square().sum(None::<Kind>) / half
    }))
}

/// The generator's adversarial term per direction.
///
/// # Shapes
/// per scale (2B, 1, h, w) -> (2,)
pub fn adversarial(gan: Gan, fake: &[Tensor]) -> Tensor {
    sum(fake.iter().map(|fake| match gan {
        Gan::Lsgan => pair_mean(&(fake - 1.0).square()) * 2.0,
        Gan::Nsgan => pair_mean(&true_of(fake)),
        Gan::Log => -pair_mean(&false_of(fake)),
        Gan::Wgan => pair_sum(&fake.square()) * DRIFT - pair_mean(fake),
    }))
}

/// -log of the probability that a logit gives to "real".
fn true_of(logits: &Tensor) -> Tensor {
    -logits.log_sigmoid()
}

/// -log of the probability that a logit gives to "fake".
fn false_of(logits: &Tensor) -> Tensor {
    -(-logits).log_sigmoid()
}

/// Sum of each half of a stacked batch.
fn pair_sum(x: &Tensor) -> Tensor {
    x.reshape([2, -1]).sum_dim_intlist(Some([1].as_slice()), false, None::<Kind>)
}

fn sum(terms: impl Iterator<Item = Tensor>) -> Tensor {
    terms.reduce(|total, term| total + term).unwrap_or_else(|| Tensor::from(0.0))
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind, Tensor};

    use super::{adversarial, discriminator, gradient_penalty};
    use crate::compute::Arithmetic;
    use crate::model::Pass;
    use crate::model::discriminator::Discriminator;
    use crate::model::layers::wide;
    use dgnet::spec::settings::{Discriminator as Config, Gan, NonLocal as Places, Precision};

    const GANS: [Gan; 4] = [Gan::Lsgan, Gan::Nsgan, Gan::Wgan, Gan::Log];

    fn maps(values: [f64; 4]) -> Vec<Tensor> {
        vec![Tensor::from_slice(&values).view([2, 1, 1, 2])]
    }

    #[test]
    fn the_four_games_by_hand() {
        let (fake, real) = (maps([0.5, -1.0, 2.0, 0.0]), maps([1.0, 0.0, -0.5, 1.5]));
        let (f, r) = ([0.5, -1.0, 2.0, 0.0_f64], [1.0, 0.0, -0.5, 1.5_f64]);
        let yes = |x: f64| (1.0 + (-x).exp()).ln();
        let no = |x: f64| (1.0 + x.exp()).ln();
        let mean = |of: &dyn Fn(f64) -> f64, x: [f64; 4]| x.map(of).iter().sum::<f64>() / 2.0;
        let squares = |x: [f64; 4]| x.iter().map(|x| x * x).sum::<f64>();
        let entropy = mean(&no, f) + mean(&yes, r);
        let expected = [
            (
                mean(&|x| x * x, f) + mean(&|x| (x - 1.0) * (x - 1.0), r),
                2.0 * mean(&|x| (x - 1.0) * (x - 1.0), f),
            ),
            (entropy, mean(&yes, f)),
            (
                mean(&|x| x, f) - mean(&|x| x, r) + 0.001 * (squares(f) + squares(r)),
                0.001 * squares(f) - mean(&|x| x, f),
            ),
            (entropy, -mean(&no, f)),
        ];
        for (gan, (judge, generator)) in GANS.into_iter().zip(expected) {
            let got = discriminator(gan, &fake, &real).double_value(&[]);
            assert!((got - judge).abs() < 1e-12, "{gan:?}: D {got} is not {judge}");
            let got = adversarial(gan, &fake).sum(None::<Kind>).double_value(&[]);
            assert!((got - generator).abs() < 1e-12, "{gan:?}: G {got} is not {generator}");
        }
    }

    #[test]
    fn the_penalty_is_the_squared_slope() {
        let photos = Tensor::full([2, 3, 2, 2], 0.3, (Kind::Double, tch::Device::Cpu));
        let photos = photos.set_requires_grad(true);
        let judged = vec![photos.mean_dim(Some([1].as_slice()), true, None::<Kind>) * 6.0];
        // every pixel of every channel has slope 2, there are 12 of each photo
        let plain = gradient_penalty(Gan::Lsgan, &judged, &photos).double_value(&[]);
        assert!((plain - 96.0).abs() < 1e-9, "{plain}");
        let p = 1.0 / (1.0 + (-1.8_f64).exp());
        let slope = 2.0 * p * (1.0 - p);
        let squashed = gradient_penalty(Gan::Nsgan, &judged, &photos).double_value(&[]);
        assert!((squashed - 24.0 * slope * slope).abs() < 1e-9, "{squashed}");
    }

    /// D is narrowed in bf16: its slope and what that does to the weights stay, whatever D is made of.
    #[test]
    fn the_penalty_survives_bf16() {
        let usual = Config { width: 16, ..Config::default() };
        let attentive = Config { non_local: Places::Both, ..usual.clone() };
        for cfg in GANS.map(|gan| Config { gan, ..usual.clone() }).into_iter().chain([attentive]) {
            tch::manual_seed(1);
            let vars = VarStore::new(Device::Cpu);
            let judge = Discriminator::new(&vars.root(), &cfg, 32);
            // as far from the beginning, where slopes are nearly 0, as a training goes
            for weight in vars.trainable_variables() {
                let _ = tch::no_grad(|| weight.shallow_clone().g_mul_scalar_(3.0));
            }
            let photos = Tensor::randn([4, 3, 64, 32], (Kind::Float, Device::Cpu));
            let photos = photos.set_requires_grad(true);
            let slopes = |precision| {
                let arithmetic = Arithmetic::new(precision, Device::Cpu);
                let maps = arithmetic.fast(|| judge.forward(&photos, Pass::TRAIN));
                let is_narrow = precision == Precision::Bf16;
                assert!(maps.iter().all(|map| (map.kind() == Kind::BFloat16) == is_narrow));
                let maps: Vec<Tensor> = maps.iter().map(wide).collect();
                let penalty = gradient_penalty(cfg.gan, &maps, &photos);
                vars.trainable_variables().iter_mut().for_each(Tensor::zero_grad);
                penalty.backward();
                let gradients = vars.trainable_variables().into_iter().map(|weight| weight.grad());
                let all: Vec<Tensor> =
                    gradients.filter(Tensor::defined).map(|of| of.copy().view([-1])).collect();
                (penalty.double_value(&[]), Tensor::cat(&all, 0))
            };
            let (exact, narrow) = (slopes(Precision::Float32), slopes(Precision::Bf16));
            let product =
                |left: &Tensor, right: &Tensor| (left * right).sum(Kind::Double).double_value(&[]);
            let lengths = product(&exact.1, &exact.1) * product(&narrow.1, &narrow.1);
            let cosine = product(&exact.1, &narrow.1) / lengths.sqrt();
            let ratio = narrow.0 / exact.0;
            assert!(
                exact.0 > 0.0 && (ratio - 1.0).abs() < 0.03 && cosine > 0.995,
                "{:?}: penalty {} becomes {}, cosine {cosine}",
                cfg.gan,
                exact.0,
                narrow.0
            );
        }
    }

    #[test]
    fn logits_of_any_size_stay_finite() {
        let far = maps([800.0, -800.0, 1e4, -1e4]);
        for gan in GANS {
            for value in [discriminator(gan, &far, &far), adversarial(gan, &far)] {
                assert!(value.sum(None::<Kind>).double_value(&[]).is_finite(), "{gan:?}");
            }
        }
    }
}
