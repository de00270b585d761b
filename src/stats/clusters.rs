//! Two arms of one seed, query by query. The queries of one person are alike, so that persons are what
//! is resampled, never queries. It tells how far the difference depends on which persons were asked;
//! it cannot tell how far it depends on the seed.

use super::interval::{Interval, Method, acceleration_of, bca_ends};
use super::resample::Splitmix;
use super::signflip::{SignFlip, sign_flip};

/// Persons from which on an interval is given: below, a bootstrap covers far less than it claims.
pub const CLUSTERS_FROM: usize = 20;
/// Bootstrap resamples.
pub const RESAMPLES: usize = 10_000;
const SEED: u64 = 0x7065_7273;

/// All queries of one person: how many, and the sum of their paired differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cluster {
    /// Sum of `arm - baseline` over the person's queries.
    pub sum: f64,
    /// Queries.
    pub n: usize,
}

/// Estimates of the mean difference over queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustered {
    /// Persons.
    pub clusters: usize,
    /// Queries.
    pub queries: usize,
    /// Mean difference over queries, which is the difference of the two mAPs over these queries.
    pub mean: f64,
    /// 95 % `BCa` interval over persons, from [`CLUSTERS_FROM`] persons on.
    pub interval: Option<Interval>,
    /// Sign-flip test over persons: all differences of a person change their sign together.
    pub test: SignFlip,
}

/// Groups differences by person. `persons[k]` is whom query k shows.
#[must_use]
pub fn clusters<T: Ord>(differences: &[f64], persons: &[T]) -> Vec<Cluster> {
    let mut of = std::collections::BTreeMap::<&T, Cluster>::new();
    for (difference, person) in differences.iter().zip(persons) {
        let cluster = of.entry(person).or_insert(Cluster { sum: 0.0, n: 0 });
        cluster.sum += difference;
        cluster.n += 1;
    }
    of.into_values().collect()
}

/// Estimates from clusters; `None` for none, an empty one, or a sum that is not finite.
#[must_use]
pub fn clustered(clusters: &[Cluster]) -> Option<Clustered> {
    if clusters.iter().any(|c| c.n == 0) {
        return None;
    }
    let sums: Vec<f64> = clusters.iter().map(|c| c.sum).collect();
    let test = sign_flip(&sums)?;
    let mut words = Splitmix::new(SEED);
    let interval = (clusters.len() >= CLUSTERS_FROM).then(|| {
        let draws = (0..RESAMPLES).map(|_| {
            let drawn = (0..clusters.len()).map(|_| clusters[words.below(clusters.len())]);
            ratio(drawn)
        });
        bootstrap_interval(clusters, draws, 0.95)
    });
    Some(Clustered {
        clusters: clusters.len(),
        queries: clusters.iter().map(|c| c.n).sum(),
        mean: ratio(clusters.iter().copied()),
        interval: interval.flatten(),
        test,
    })
}

/// `BCa` interval of the mean over queries from means of resampled clusters.
pub(super) fn bootstrap_interval(
    clusters: &[Cluster],
    draws: impl Iterator<Item = f64>,
    level: f64,
) -> Option<Interval> {
    let mut draws: Vec<f64> = draws.collect();
    draws.sort_by(f64::total_cmp);
    let whole = clusters.iter().fold(Cluster { sum: 0.0, n: 0 }, |all, c| Cluster {
        sum: all.sum + c.sum,
        n: all.n + c.n,
    });
    let without: Vec<f64> =
        clusters.iter().map(|c| (whole.sum - c.sum) / (whole.n - c.n) as f64).collect();
    let centre = super::mean(&without)?;
    let acceleration = acceleration_of(without.iter().map(|v| centre - v));
    let (low, high) = bca_ends(&draws, whole.sum / whole.n as f64, acceleration, level)?;
    Some(Interval { low, high, level, method: Method::Bca })
}

/// Mean over the queries of clusters.
pub(super) fn ratio(clusters: impl Iterator<Item = Cluster>) -> f64 {
    let (sum, n) = clusters.fold((0.0, 0), |(sum, n), c| (sum + c.sum, n + c.n));
    sum / n as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_a_person_count_together() {
        let grouped = clusters(&[0.1, 0.2, 0.4], &["b", "a", "b"]);
        assert_eq!(grouped, [Cluster { sum: 0.2, n: 1 }, Cluster { sum: 0.5, n: 2 }]);
        let all = clustered(&grouped).unwrap();
        assert_eq!((all.clusters, all.queries, all.interval), (2, 3, None));
        assert!((all.mean - 0.7 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn copies_of_a_query_do_not_narrow_the_interval() {
        let one: Vec<Cluster> =
            (0..40).map(|k| Cluster { sum: (f64::from(k) * 1.7).sin(), n: 1 }).collect();
        let ten: Vec<Cluster> = one.iter().map(|c| Cluster { sum: c.sum * 10.0, n: 10 }).collect();
        let (one, ten) = (clustered(&one).unwrap(), clustered(&ten).unwrap());
        let width = |c: &Clustered| c.interval.map(|i| i.high - i.low).unwrap();
        assert!((width(&one) - width(&ten)).abs() < 1e-12);
        assert!((one.test.p - ten.test.p).abs() < 1e-12);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert_eq!(clustered(&[]), None);
        assert_eq!(clustered(&[Cluster { sum: 0.0, n: 0 }]), None);
        assert_eq!(clustered(&[Cluster { sum: f64::NAN, n: 1 }]), None);
    }
}
