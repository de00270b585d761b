//! The Frechet distance between two sets of features (Heusel et al. 2017): that of the normal
//! distributions fitted to them. Named after its features wherever it is reported; only on Inception's
//! pool_3 is it the FID. Features in, one number out; which network made them is not known here.

use tch::{Kind, Tensor};

/// A normal distribution fitted to features.
#[derive(Debug)]
pub struct Gaussian {
    /// (D), 64 bits.
    mean: Tensor,
    /// (D, D), unbiased, 64 bits.
    covariance: Tensor,
}

/// Sums from which a [`Gaussian`] is fitted, so that features never have to be held at once.
#[derive(Debug)]
pub struct Moments {
    count: i64,
    sum: Tensor,
    products: Tensor,
    /// Subtracted from every feature, which keeps the sums of products well conditioned.
    origin: Option<Tensor>,
}

impl Moments {
    /// Of no features yet, each of this length.
    #[must_use]
    pub fn new(dims: i64) -> Self {
        let kind = (Kind::Double, tch::Device::Cpu);
        Self {
            count: 0,
            sum: Tensor::zeros([dims], kind),
            products: Tensor::zeros([dims, dims], kind),
            origin: None,
        }
    }

    /// Adds a batch of features.
    ///
    /// # Shapes
    /// (N, D)
    pub fn add(&mut self, features: &Tensor) {
        let features = features.to_device(tch::Device::Cpu).to_kind(Kind::Double);
        let origin = self
            .origin
            .get_or_insert_with(|| features.mean_dim(Some([0].as_slice()), false, None::<Kind>));
        let centred = &features - &*origin;
        self.count += features.size()[0];
        self.sum += centred.sum_dim_intlist(Some([0].as_slice()), false, None::<Kind>);
        self.products += centred.tr().matmul(&centred);
    }

    /// The fit; `None` of fewer than two features.
    #[must_use]
    pub fn fit(&self) -> Option<Gaussian> {
        let origin = self.origin.as_ref().filter(|_| self.count > 1)?;
        let count = self.count as f64;
        let mean = &self.sum / count;
        let outer = mean.outer(&mean) * count;
        let covariance = (&self.products - outer) / (count - 1.0);
        Some(Gaussian { mean: mean + origin, covariance })
    }
}

/// |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)).
///
/// The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is
/// symmetric and has those of C1 C2; eigenvalues that rounding made negative count as 0. So no complex
/// part arises and nothing has to be added to the diagonals, whatever the ranks. Not a number where a
/// feature is not finite.
#[must_use]
pub fn distance(one: &Gaussian, other: &Gaussian) -> f64 {
    let finite = [one, other]
        .iter()
        .flat_map(|side| [&side.mean, &side.covariance])
        .all(|tensor| tensor.isfinite().all().int64_value(&[]) == 1);
    if !finite {
        return f64::NAN;
    }
    let (values, vectors) = one.covariance.linalg_eigh("L");
    let root = (&vectors * values.clamp_min(0.0).sqrt()).matmul(&vectors.tr());
    let product = root.matmul(&other.covariance).matmul(&root);
    let product = (&product + product.tr()) * 0.5;
    let roots = product.linalg_eigvalsh("L").clamp_min(0.0).sqrt().sum(Kind::Double);
    let means = (&one.mean - &other.mean).square().sum(Kind::Double);
    let traces = one.covariance.trace() + other.covariance.trace();
    (means + traces - roots * 2.0).double_value(&[])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;
    use dgnet::data::rng::name_key;

    /// The fill that `tests/golden/frechet.py` shares.
    fn uniform(name: &str, index: usize) -> f64 {
        let step = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut z = name_key(name).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    }

    fn features(name: &str, rows: usize, dims: usize) -> Tensor {
        let values: Vec<f64> = (0..rows * dims)
            .map(|at| {
                let scale = 1.0 + (at % dims) as f64 / 3.0;
                scale * (2.0 * uniform(name, at) - 1.0)
                    + uniform(&format!("{name}.shift"), at % dims)
            })
            .collect();
        Tensor::from_slice(&values).view([rows as i64, dims as i64])
    }

    fn fit(features: &Tensor) -> Gaussian {
        let mut moments = Moments::new(features.size()[1]);
        moments.add(features);
        moments.fit().unwrap()
    }

    fn gaussian(mean: &[f64], variances: &[f64]) -> Gaussian {
        Gaussian {
            mean: Tensor::from_slice(mean),
            covariance: Tensor::from_slice(variances).diag(0),
        }
    }

    #[test]
    fn uncorrelated_features_have_a_closed_form() {
        // |m|^2 + sum (sqrt v - sqrt w)^2
        let one = gaussian(&[1.0, 2.0, 0.0], &[4.0, 9.0, 0.0]);
        let other = gaussian(&[0.0, 2.0, 2.0], &[1.0, 25.0, 16.0]);
        let expected = 5.0 + 1.0 + 4.0 + 16.0;
        assert!((distance(&one, &other) - expected).abs() < 1e-10);
        assert!((distance(&other, &one) - expected).abs() < 1e-10);
    }

    #[test]
    fn commuting_covariances_have_a_closed_form_in_any_basis() {
        // the same rotation of both changes nothing
        let (cos, sin) = (0.8, 0.6);
        let turn = Tensor::from_slice(&[cos, -sin, sin, cos]).view([2, 2]);
        let turned = |variances: &[f64; 2]| Gaussian {
            mean: Tensor::from_slice(&[0.0, 0.0]),
            covariance: turn.matmul(&Tensor::from_slice(variances).diag(0)).matmul(&turn.tr()),
        };
        let value = distance(&turned(&[4.0, 1.0]), &turned(&[9.0, 36.0]));
        assert!((value - (1.0 + 25.0)).abs() < 1e-10, "{value}");
    }

    #[test]
    fn scipy_finds_the_same_distances() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/frechet.json");
        let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let count = |key: &str| case[key].as_u64().unwrap() as usize;
            let name = case["name"].as_str().unwrap();
            let side =
                |of: &str| fit(&features(&format!("{name}.{of}"), count("rows"), count("dims")));
            let (got, expected) =
                (distance(&side("real"), &side("generated")), case["distance"].as_f64().unwrap());
            // scipy's general root of a singular product is itself good to a few digits fewer
            let tolerance = case["tolerance"].as_f64().unwrap();
            assert!((got - expected).abs() < tolerance * expected, "{name}: {got}, not {expected}");
        }
    }

    #[test]
    fn equal_features_are_at_no_distance_also_when_they_are_few() {
        for (rows, dims) in [(40, 6), (5, 12)] {
            let one = fit(&features("same", rows, dims));
            let value = distance(&one, &fit(&features("same", rows, dims)));
            assert!(value.abs() < 1e-6, "{rows}: {value}");
        }
    }

    #[test]
    fn batches_and_an_offset_change_nothing() {
        let all = features("batches", 50, 4);
        let far = &all + 1e6;
        let mut moments = Moments::new(4);
        for from in (0..50).step_by(20) {
            moments.add(&far.narrow(0, from, 20.min(50 - from)));
        }
        let (one, other) = (moments.fit().unwrap(), fit(&all));
        let difference = (&one.covariance - &other.covariance).abs().max().double_value(&[]);
        assert!(difference < 1e-9, "{difference}");
        assert!((distance(&one, &other) - 4.0 * 1e12).abs() < 1e6);
        assert!(Moments::new(4).fit().is_none());
    }
}
