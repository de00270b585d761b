//! What intervals and verdicts promise, tried on simulated studies whose truth is known. Seeds are
//! fixed, so each test always sees the same studies; the bounds leave three standard errors.
#![allow(clippy::unwrap_used)]

use super::clusters::{Cluster, clustered};
use super::resample::Splitmix;
use super::*;

/// Studies with normal noise.
struct World(Splitmix);

impl World {
    fn new(seed: u64) -> Self {
        Self(Splitmix::new(seed))
    }

    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn sample(&mut self, n: usize, centre: f64, spread: f64) -> Vec<f64> {
        (0..n).map(|_| centre + spread * self.normal()).collect()
    }
}

/// Share of `tries` in which something happens.
fn share(tries: u32, mut happens: impl FnMut() -> bool) -> f64 {
    f64::from((0..tries).map(|_| u32::from(happens())).sum::<u32>()) / f64::from(tries)
}

const SIZES: [usize; 4] = [3, 5, 8, 20];

#[test]
fn t_intervals_cover_what_they_claim() {
    for n in SIZES {
        let mut world = World::new(1);
        let covered = share(4000, || {
            let interval = t_interval(&world.sample(n, 0.6, 0.02), 0.95).unwrap();
            interval.low <= 0.6 && 0.6 <= interval.high
        });
        assert!((0.939..0.961).contains(&covered), "n {n}: {covered}");
    }
}

#[test]
fn the_interval_of_a_mean_covers_at_every_size() {
    // the one that tables show: t below 20 values, BCa from there on
    for (n, least, tries) in [(3, 0.935, 2000), (5, 0.935, 2000), (8, 0.935, 2000), (20, 0.88, 150)]
    {
        let mut world = World::new(2);
        let covered = share(tries, || {
            let interval = mean_interval(&world.sample(n, 0.6, 0.02), 0.95).unwrap();
            interval.low <= 0.6 && 0.6 <= interval.high
        });
        assert!(covered >= least, "n {n}: {covered}");
    }
}

#[test]
fn sign_flip_intervals_cover_at_least_what_they_claim() {
    for (n, tries) in [(6, 2000), (8, 2000), (12, 300)] {
        let mut world = World::new(3);
        let covered = share(tries, || {
            let interval = sign_flip_interval(&world.sample(n, 0.01, 0.02), 0.95).unwrap();
            interval.low <= 0.01 && 0.01 <= interval.high
        });
        assert!(covered >= 0.935, "n {n}: {covered}");
    }
    // at 20 pairs through the test that it inverts, which needs no sorted million
    let mut world = World::new(4);
    let covered = share(150, || {
        let shifted = world.sample(20, 0.0, 0.02);
        sign_flip(&shifted).unwrap().p > 0.05
    });
    assert!(covered >= 0.89, "n 20: {covered}");
}

#[test]
fn three_and_five_seeds_have_no_sign_flip_interval() {
    let mut world = World::new(5);
    for n in [3, 5] {
        assert_eq!(sign_flip_interval(&world.sample(n, 0.0, 1.0), 0.95), None);
    }
}

#[test]
fn tests_reject_true_nulls_no_more_often_than_they_say() {
    for (n, tries) in [(3, 2000), (5, 2000), (8, 2000), (20, 150)] {
        let mut world = World::new(6);
        let (mut flips, mut ranks) = (0, 0);
        for _ in 0..tries {
            let differences = world.sample(n, 0.0, 0.02);
            flips += u32::from(sign_flip(&differences).unwrap().p <= 0.05);
            ranks += u32::from(wilcoxon(&differences).unwrap().p <= 0.05);
        }
        let allowed = if n == 20 { 0.11 } else { 0.065 };
        let rate = |count: u32| f64::from(count) / f64::from(tries);
        assert!(rate(flips) <= allowed && rate(ranks) <= allowed, "n {n}: {flips} {ranks}");
        if n < 6 {
            assert_eq!((flips, ranks), (0, 0), "{n} pairs cannot reach 0.05");
        }
    }
}

/// What verdicts outside a corrected family are decided by; the sign flips of 20 pairs would sort a million.
fn by_t(differences: &[f64]) -> Paired {
    Paired {
        n: differences.len(),
        mean: mean(differences).unwrap(),
        sd: sd(differences),
        t95: t_interval(differences, 0.95),
        t90: t_interval(differences, 0.90),
        flip95: None,
        test: SignFlip { p: 1.0, error: 0.0 },
        g_z: None,
    }
}

#[test]
fn arms_that_do_not_differ_are_rarely_called_different() {
    for n in SIZES {
        let mut world = World::new(7);
        let wrong = share(3000, || {
            let pairs = by_t(&world.sample(n, 0.0, 0.02));
            let decision = verdict(&pairs, 0.005, None, 0).decision;
            matches!(decision, Decision::Worse | Decision::Better)
        });
        assert!(wrong <= 0.062, "n {n}: {wrong}");
    }
}

#[test]
fn a_difference_that_matters_is_rarely_called_none() {
    // a true difference of exactly the band is the hardest case
    for n in SIZES {
        let mut world = World::new(8);
        let wrong = share(3000, || {
            let pairs = by_t(&world.sample(n, 0.005, 0.004));
            verdict(&pairs, 0.005, None, 0).decision == Decision::NoDifference
        });
        assert!(wrong <= 0.062, "n {n}: {wrong}");
    }
}

#[test]
fn a_corrected_family_is_rarely_wrong_anywhere() {
    // four arms share the baseline, whose noise makes their differences alike
    let mut world = World::new(9);
    let wrong = share(1000, || {
        let baseline = world.sample(10, 0.6, 0.02);
        let pairs: Vec<Paired> = (0..4)
            .map(|_| {
                let arm = world.sample(10, 0.6, 0.02);
                let differences: Vec<f64> =
                    arm.iter().zip(&baseline).map(|(arm, base)| arm - base).collect();
                paired(&differences).unwrap()
            })
            .collect();
        let adjusted = holm(&pairs.iter().map(|p| Some(p.test.p)).collect::<Vec<_>>());
        pairs.iter().zip(adjusted).any(|(pairs, p)| {
            let family = Some(Family { size: 4, p });
            let decision = verdict(pairs, 0.005, family, 0).decision;
            matches!(decision, Decision::Worse | Decision::Better)
        })
    });
    assert!(wrong <= 0.071, "{wrong}");
}

#[test]
fn the_seeds_asked_for_suffice_in_four_of_five_studies() {
    let (spread, band) = (0.004, 0.005);
    let n = seeds_for_band(spread, band).unwrap() as usize;
    let mut world = World::new(10);
    let settled = share(1000, || {
        let pairs = paired(&world.sample(n, 0.0, spread)).unwrap();
        verdict(&pairs, band, None, 0).decision == Decision::NoDifference
    });
    assert!(settled >= 0.76, "{settled} with {n} seeds");
}

#[test]
fn intervals_over_persons_cover() {
    // a person's queries share most of their difference; persons have one to six queries
    let mut world = World::new(11);
    let covered = share(100, || {
        let persons: Vec<Cluster> = (0..40)
            .map(|_| {
                let (own, n) = (0.01 + 0.05 * world.normal(), 1 + world.0.below(6));
                let sum = (0..n).map(|_| own + 0.02 * world.normal()).sum();
                Cluster { sum, n }
            })
            .collect();
        let interval = clustered(&persons).unwrap().interval.unwrap();
        interval.low <= 0.01 && 0.01 <= interval.high
    });
    assert!(covered >= 0.86, "{covered}");
}

/// The t intervals of both main effects and the interaction of a 2x2 design, a row of values an arm. For 20
/// seeds without `factorial`, which would sort a million sign flips for an interval that nobody asks for here.
fn effects_by_t(levels: &[Vec<bool>], values: &[Vec<f64>]) -> Vec<Interval> {
    let n = values[0].len();
    if n < 20 {
        let known: Vec<Vec<Option<f64>>> =
            values.iter().map(|of_arm| of_arm.iter().copied().map(Some).collect()).collect();
        let effects = factorial(levels, &known).unwrap();
        return effects.iter().map(|effect| effect.estimate.t95.unwrap()).collect();
    }
    let of_seed = |seed: usize| values.iter().map(|of_arm| of_arm[seed]).collect::<Vec<f64>>();
    let effect = |factors: &[usize]| {
        let effects: Vec<f64> =
            (0..n).map(|seed| factorial::contrast(levels, &of_seed(seed), factors)).collect();
        t_interval(&effects, 0.95).unwrap()
    };
    [&[0][..], &[1], &[0, 1]].map(effect).to_vec()
}

#[test]
fn effects_of_a_design_are_covered() {
    let levels: Vec<Vec<bool>> =
        [[false, false], [true, false], [false, true], [true, true]].map(Vec::from).to_vec();
    for n in SIZES {
        let mut world = World::new(12);
        let (mut main, mut interaction) = (0, 0);
        for _ in 0..2000 {
            let seeds = world.sample(n, 0.6, 0.05);
            let values: Vec<Vec<f64>> = levels
                .iter()
                .map(|l| {
                    let effect = if l[0] { 0.03 } else { 0.0 };
                    seeds.iter().map(|s| s + effect + 0.01 * world.normal()).collect()
                })
                .collect();
            let intervals = effects_by_t(&levels, &values);
            let holds = |interval: Interval, truth: f64| {
                u32::from(interval.low <= truth && truth <= interval.high)
            };
            main += holds(intervals[0], 0.03);
            interaction += holds(intervals[2], 0.0);
        }
        for covered in [main, interaction].map(|count| f64::from(count) / 2000.0) {
            assert!((0.935..0.965).contains(&covered), "n {n}: {covered}");
        }
    }
}

#[test]
fn the_best_level_stays_in_its_region() {
    // two levels share the best mean, the hardest case for losing one of them
    let truth = [0.60, 0.62, 0.62, 0.59, 0.55];
    for n in SIZES {
        let mut world = World::new(13);
        let kept = share(1500, || {
            let seeds = world.sample(n, 0.0, 0.03);
            let values: Vec<Vec<Option<f64>>> = truth
                .iter()
                .map(|t| seeds.iter().map(|s| Some(t + s + 0.01 * world.normal())).collect())
                .collect();
            let curve = response(&[1.0, 2.0, 3.0, 4.0, 5.0], &values, true).unwrap();
            curve.levels[1].may_be_best
        });
        assert!(kept >= 0.94, "n {n}: {kept}");
        assert!(kept < 1.0, "n {n}: a region that never excludes says nothing");
    }
}
