//! Numbers about numbers: slices in, estimates and decisions out. Pure functions of their arguments,
//! resampling included (its generator is seeded by a constant). Nothing here knows runs, tables,
//! tensors or files; words for people are made by the report.

pub mod clusters;
pub mod factorial;
pub mod gallery;
pub mod holm;
pub mod interval;
pub mod paired;
pub mod pareto;
pub mod places;
pub mod pruning;
pub mod quick;
pub mod ranking;
pub mod rerank;
pub mod resample;
pub mod response;
pub mod sequential;
pub mod signflip;
pub mod summary;
pub mod superiority;
pub mod verdict;
pub mod wilcoxon;

pub use clusters::{Clustered, clustered, clusters};
pub use factorial::{Effect, factorial, fractional};
pub use holm::holm;
pub use interval::{Interval, Method, bca_interval, mean_interval, t_interval, t_quantile};
pub use paired::{Paired, paired};
pub use pareto::pareto_front;
pub use pruning::is_hopeless;
pub use response::{Response, response};
pub use sequential::{Course, Followed, Looks, Outcome, follow, paired_at};
pub use signflip::{SignFlip, sign_flip, sign_flip_interval};
pub use summary::{iqm, median, quantile};
pub use superiority::probability_of_improvement;
pub use verdict::{
    Decision, Family, Verdict, seeds_for_band, seeds_for_family, seeds_needed, smallest_p, verdict,
};
pub use wilcoxon::{Wilcoxon, wilcoxon};

/// Standard error of the mean; `None` where [`sd`] is.
#[must_use]
pub fn standard_error(values: &[f64]) -> Option<f64> {
    sd(values).map(|sd| sd / (values.len() as f64).sqrt())
}

#[cfg(test)]
mod scipy_tests;
#[cfg(test)]
mod simulation_tests;

/// Arithmetic mean; `None` for an empty slice or one with a value that is not finite.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty() && values.iter().all(|v| v.is_finite()))
        .then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation (divisor n - 1); `None` below two values or where one is not finite.
#[must_use]
pub fn sd(values: &[f64]) -> Option<f64> {
    let centre = mean(values)?;
    (values.len() >= 2).then(|| {
        let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
        (squares / (values.len() - 1) as f64).sqrt()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sd_refuse_what_they_cannot_answer() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, f64::NAN]), None);
        assert_eq!(sd(&[1.0]), None);
        assert_eq!(sd(&[1.0, f64::INFINITY]), None);
        assert!((mean(&[0.61, 0.64, 0.58]).unwrap() - 0.61).abs() < 1e-15);
        assert!((sd(&[0.61, 0.64, 0.58]).unwrap() - 0.03).abs() < 1e-12);
    }
}
