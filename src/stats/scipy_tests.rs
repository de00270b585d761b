//! Every statistic against SciPy's, to 1e-9: `tests/fixtures/stats/make.py` writes the vectors.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;

use super::clusters::{Cluster, bootstrap_interval, ratio};
use super::interval::{acceleration_of, bca_ends, t_quantile};
use super::*;

const VECTORS: &str = include_str!("../../tests/fixtures/stats/vectors.json");

#[derive(Deserialize)]
struct Vectors {
    summaries: Vec<Summary>,
    t_quantiles: Vec<Quantile>,
    t_intervals: Vec<Ends>,
    pairs: Vec<Pairs>,
    large_wilcoxon: Vec<Test>,
    all_signs: Vec<Test>,
    improvement: Vec<Improvement>,
    mean_bootstrap: Vec<Bootstrap>,
    cluster_bootstrap: Vec<Persons>,
    designs: Vec<Design>,
}

#[derive(Deserialize)]
struct Summary {
    values: Vec<f64>,
    mean: f64,
    sd: Option<f64>,
    median: f64,
    iqm: f64,
    quantiles: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Quantile {
    p: f64,
    df: f64,
    t: f64,
}

#[derive(Deserialize)]
struct Ends {
    values: Vec<f64>,
    level: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Pairs {
    differences: Vec<f64>,
    sign_flip: f64,
    wilcoxon: f64,
    g_z: Option<f64>,
}

#[derive(Deserialize)]
struct Test {
    differences: Vec<f64>,
    p: f64,
}

#[derive(Deserialize)]
struct Improvement {
    x: Vec<f64>,
    y: Vec<f64>,
    p: f64,
}

#[derive(Deserialize)]
struct Bootstrap {
    values: Vec<f64>,
    indices: Vec<Vec<usize>>,
    level: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Persons {
    sums: Vec<f64>,
    counts: Vec<usize>,
    indices: Vec<Vec<usize>>,
    mean: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Design {
    levels: Vec<Vec<u8>>,
    values: Vec<Vec<f64>>,
    effects: Vec<EffectEnds>,
}

#[derive(Deserialize)]
struct EffectEnds {
    factors: Vec<usize>,
    mean: f64,
    low: f64,
    high: f64,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

#[test]
fn summaries() {
    for case in vectors().summaries {
        close(mean(&case.values).unwrap(), case.mean);
        assert_eq!(sd(&case.values).is_some(), case.sd.is_some());
        close(sd(&case.values).unwrap_or(0.0), case.sd.unwrap_or(0.0));
        close(median(&case.values).unwrap(), case.median);
        close(iqm(&case.values).unwrap(), case.iqm);
        for (share, expected) in case.quantiles {
            close(quantile(&case.values, share).unwrap(), expected);
        }
    }
}

#[test]
fn t_quantiles_and_intervals() {
    for case in vectors().t_quantiles {
        close(t_quantile(case.p, case.df), case.t);
    }
    for case in vectors().t_intervals {
        let found = t_interval(&case.values, case.level).unwrap();
        close(found.low, case.low);
        close(found.high, case.high);
    }
}

#[test]
fn paired_tests_with_ties_and_zeros() {
    let cases = vectors().pairs;
    let zeros = |case: &Pairs| wilcoxon(&case.differences).unwrap().zeros > 0;
    let tied = |case: &Pairs| wilcoxon(&case.differences).unwrap().tied;
    assert!(cases.iter().any(zeros) && cases.iter().any(tied), "the vectors must hold both");
    for case in cases {
        let found = paired(&case.differences).unwrap();
        close(found.test.p, case.sign_flip);
        close(wilcoxon(&case.differences).unwrap().p, case.wilcoxon);
        assert_eq!(found.g_z.is_some(), case.g_z.is_some());
        close(found.g_z.unwrap_or(0.0), case.g_z.unwrap_or(0.0));
    }
}

#[test]
fn wilcoxon_of_many_pairs() {
    for case in vectors().large_wilcoxon {
        let found = wilcoxon(&case.differences).unwrap();
        assert_eq!(found.exact, found.n <= wilcoxon::EXACT_UP_TO);
        close(found.p, case.p);
    }
}

#[test]
fn drawn_signs_are_within_their_stated_error() {
    for case in vectors().all_signs {
        let found = sign_flip(&case.differences).unwrap();
        assert!(found.error > 0.0);
        assert!((found.p - case.p).abs() < 4.0 * found.error, "{found:?} is not {}", case.p);
    }
}

#[test]
fn probability_of_improvement_is_mann_whitney_s() {
    for case in vectors().improvement {
        close(probability_of_improvement(&case.x, &case.y).unwrap(), case.p);
    }
}

#[test]
fn bootstraps_on_the_same_resamples() {
    for case in vectors().mean_bootstrap {
        let n = case.values.len() as f64;
        let drawn = |row: &Vec<usize>| row.iter().map(|k| case.values[*k]).sum::<f64>() / n;
        let mut means: Vec<f64> = case.indices.iter().map(drawn).collect();
        means.sort_by(f64::total_cmp);
        let centre = mean(&case.values).unwrap();
        let acceleration = acceleration_of(case.values.iter().map(|v| v - centre));
        let (low, high) = bca_ends(&means, centre, acceleration, case.level).unwrap();
        close(low, case.low);
        close(high, case.high);
    }
    for case in vectors().cluster_bootstrap {
        let persons: Vec<Cluster> = case
            .sums
            .iter()
            .zip(&case.counts)
            .map(|(sum, n)| Cluster { sum: *sum, n: *n })
            .collect();
        let draws = case.indices.iter().map(|row| ratio(row.iter().map(|k| persons[*k])));
        let found = bootstrap_interval(&persons, draws, 0.95).unwrap();
        close(clustered(&persons).unwrap().mean, case.mean);
        close(found.low, case.low);
        close(found.high, case.high);
    }
}

#[test]
fn effects_are_those_of_least_squares() {
    for case in vectors().designs {
        let levels: Vec<Vec<bool>> =
            case.levels.iter().map(|row| row.iter().map(|l| *l == 1).collect()).collect();
        let values: Vec<Vec<Option<f64>>> =
            case.values.iter().map(|row| row.iter().copied().map(Some).collect()).collect();
        let found = factorial(&levels, &values).unwrap();
        assert_eq!(found.len(), case.effects.len());
        for (found, expected) in found.iter().zip(&case.effects) {
            assert_eq!(found.factors, expected.factors);
            close(found.estimate.mean, expected.mean);
            let interval = found.estimate.t95.unwrap();
            close(interval.low, expected.low);
            close(interval.high, expected.high);
        }
    }
}
