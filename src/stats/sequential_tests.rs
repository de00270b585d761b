//! The rule by itself, and what it promises, tried on simulated studies whose truth is known.

use super::*;
use crate::stats::resample::Splitmix;
use crate::stats::{Family, sign_flip, verdict};

const MIN: usize = 4;
const MAX: usize = 12;

fn normal(words: &mut Splitmix) -> f64 {
    let uniform =
        |words: &mut Splitmix| ((words.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let radius = (-2.0 * uniform(words).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(words)).cos()
}

/// Light tails.
fn flat(words: &mut Splitmix) -> f64 {
    (words.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// Heavy tails: now and then a seed is ten times as noisy.
fn wild(words: &mut Splitmix) -> f64 {
    let scale = if words.below(10) == 0 { 10.0 } else { 1.0 };
    scale * normal(words)
}

type Noise = fn(&mut Splitmix) -> f64;

/// Differences of arms that share the baseline, by arm: true effects in standard deviations.
fn study(words: &mut Splitmix, noise: Noise, effects: &[f64], seeds: usize) -> Vec<Vec<f64>> {
    let base: Vec<f64> = (0..seeds).map(|_| noise(words)).collect();
    effects
        .iter()
        .map(|effect| base.iter().map(|b| (noise(words) - b) / 2.0_f64.sqrt() + effect).collect())
        .collect()
}

fn run(looks: &Looks, band: f64, arms: &[Vec<f64>]) -> Course {
    follow(looks, arms.len(), band, |arm, n| arms[arm].get(..n).map(<[f64]>::to_vec))
}

fn different(arm: &Followed) -> bool {
    matches!(arm.decision, Some(Decision::Worse | Decision::Better))
}

/// Share of 2,000 studies in which some arm that does not differ is called different.
fn false_claims(noise: Noise, effects: &[f64], min: usize, max: usize) -> f64 {
    let looks = Looks::between(min, max);
    let mut words = Splitmix::new(4 + effects.len() as u64 + 100 * max as u64);
    let wrong = (0..2_000).filter(|_| {
        let course = run(&looks, 0.0, &study(&mut words, noise, effects, max));
        course.arms.iter().zip(effects).any(|(arm, effect)| *effect == 0.0 && different(arm))
    });
    wrong.count() as f64 / 2_000.0
}

// 2,000 studies know a rate of 5 % to 0.5 points; the bound is the nominal rate and two of those
const NOMINAL: f64 = 0.05 + 0.01;

#[test]
fn looks_are_evenly_spaced_and_their_shares_sum_to_one() {
    let at = |min, max| Looks::between(min, max).at().to_vec();
    assert_eq!(at(4, 12), [4, 6, 8, 10, 12]);
    assert_eq!((at(3, 5), at(6, 6), at(2, 64)), (vec![3, 4, 5], vec![6], vec![2, 18, 33, 49, 64]));
    for (min, max) in [(4, 12), (2, 2), (2, 3), (5, 64)] {
        let looks = Looks::between(min, max);
        let sum: f64 = (0..looks.at().len()).map(|look| looks.share(look)).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{min} {max}");
    }
}

#[test]
fn the_t_test_is_that_of_the_books() {
    // the density integrated by Simpson's rule
    let p = t_test(&[-0.031, -0.012, -0.028, 0.004, -0.019, -0.022, -0.037, -0.011]);
    assert!((p - 0.003_956_199_655_154).abs() < 1e-12, "{p}");
    assert!((t_test(&[0.031, 0.028, 0.034]) - 0.003_107_205_854_263).abs() < 1e-12);
    assert_eq!(t_test(&[0.25; 4]), 0.125);
    assert_eq!((t_test(&[0.0; 4]), t_test(&[1.0]), t_test(&[-1.0, 1.0])), (1.0, 1.0, 1.0));
}

#[test]
fn a_decided_arm_needs_no_more_pairs_and_an_open_one_does() {
    let looks = Looks::between(4, 12);
    let clear = vec![-0.30, -0.31, -0.29, -0.305];
    let open = vec![-0.03, 0.04, 0.02, -0.01];
    let course = run(&looks, 0.005, &[clear.clone(), open.clone()]);
    assert_eq!(course.arms[0].decision, Some(Decision::Worse));
    assert_eq!((course.arms[1].decision, course.next, course.looks), (None, Some(6), 1));
    // the open one goes on alone, and the first stays as it was
    let longer = [open, vec![0.01, -0.02]].concat();
    let course = run(&looks, 0.005, &[clear.clone(), longer]);
    assert_eq!((course.arms[0].looks, course.arms[1].looks, course.next), (1, 2, Some(8)));
    let course = run(&looks, 0.005, &[clear.clone(), vec![0.001, -0.001, 0.0, 0.0005]]);
    assert_eq!(course.arms[1].decision, Some(Decision::NoDifference));
    assert_eq!(course.next, None);
    // nothing is looked at before the first look is whole
    let course = run(&looks, 0.005, &[clear, vec![0.1; 3]]);
    assert_eq!((course.looks, course.next, course.arms[0].p), (0, Some(4), None));
}

#[test]
fn a_diverged_run_counts_as_the_worst_that_the_look_has_seen() {
    let value = |v| Some(Outcome::Value(v));
    let (arm, base) = ([value(3.0), Some(Outcome::Diverged), value(9.0)], [value(2.0); 3]);
    assert_eq!(differences(&arm, &base, 2, true), Some(vec![1.0, -2.0]));
    assert_eq!(differences(&arm, &base, 2, false), Some(vec![1.0, 1.0]));
    assert_eq!(differences(&[value(1.0), None], &base, 2, true), None);
    assert_eq!(differences(&arm, &base, 4, true), None);
}

#[test]
fn the_last_look_is_the_end() {
    let looks = Looks::between(2, 3);
    let course = run(&looks, 0.0, &[vec![-0.03, 0.04, 0.02]]);
    assert_eq!((course.looks, course.next, course.arms[0].decision), (2, None, None));
}

#[test]
fn family_wise_errors_stay_at_the_nominal_rate() {
    for family in [1, 3, 6] {
        let rate = false_claims(normal, &vec![0.0; family], MIN, MAX);
        assert!(rate <= NOMINAL, "{family}: {rate}");
        assert!(rate > 0.01, "{family}: {rate}, a rule that never decides says nothing");
    }
    // few and many looks
    for (min, max) in [(2, 3), (3, 20), (4, 64)] {
        let rate = false_claims(normal, &[0.0, 0.0], min, max);
        assert!(rate <= NOMINAL, "{min} to {max}: {rate}");
    }
}

#[test]
fn real_differences_beside_them_do_not_raise_false_claims() {
    for effects in [[2.0, 0.0, 0.0], [2.0, 1.0, 0.0]] {
        let rate = false_claims(normal, &effects, MIN, MAX);
        assert!(rate <= NOMINAL, "{effects:?}: {rate}");
    }
}

#[test]
fn other_noise_than_the_normal_does_little_harm() {
    for (name, noise) in [("flat", flat as Noise), ("wild", wild)] {
        let rate = false_claims(noise, &[0.0, 0.0, 0.0], MIN, MAX);
        assert!(rate <= NOMINAL, "{name}: {rate}");
    }
}

#[test]
fn a_large_effect_is_found_as_often_with_a_fifth_fewer_seeds() {
    let looks = Looks::between(MIN, MAX);
    for family in [1_usize, 3, 6] {
        let mut words = Splitmix::new(20 + family as u64);
        let (mut adaptive, mut fixed, mut seeds, tries) = (0, 0, 0, 500);
        for _ in 0..tries {
            let arms = study(&mut words, normal, &vec![2.0; family], MAX);
            let course = run(&looks, 0.0, &arms);
            adaptive += course.arms.iter().filter(|arm| different(arm)).count();
            seeds += course.arms.iter().map(|arm| looks.at()[arm.looks - 1]).sum::<usize>();
            // the design of `seeds: 12`: the exact test, Holm
            let tests: Vec<_> = arms.iter().map(|d| sign_flip(d).map(|test| test.p)).collect();
            fixed += holm(&tests).iter().filter(|p| p.is_some_and(|p| p <= ALPHA)).count();
        }
        let all = (tries * family) as f64;
        let (adaptive, fixed) = (adaptive as f64 / all, fixed as f64 / all);
        let saved = 1.0 - seeds as f64 / (all * MAX as f64);
        assert!(adaptive >= fixed - 0.05, "{family}: power {adaptive} against {fixed}");
        assert!(saved >= 0.2, "{family}: {saved} of the seeds saved");
    }
}

#[test]
fn a_difference_that_matters_is_rarely_called_none_at_any_look() {
    // a true difference of exactly the band is the hardest case
    let looks = Looks::between(MIN, MAX);
    for spread in [0.2, 0.5, 1.0] {
        let mut words = Splitmix::new(31);
        let wrong = (0..2_000).filter(|_| {
            let arm: Vec<f64> = (0..MAX).map(|_| 1.0 + spread * normal(&mut words)).collect();
            run(&looks, 1.0, &[arm]).arms[0].decision == Some(Decision::NoDifference)
        });
        let rate = wrong.count() as f64 / 2_000.0;
        assert!(rate <= NOMINAL, "{spread}: {rate}");
    }
}

#[test]
fn repeated_intervals_cover_at_every_look_at_once() {
    let looks = Looks::between(MIN, MAX);
    let mut words = Splitmix::new(41);
    let covered = (0..1_000).filter(|_| {
        let arm: Vec<f64> = (0..MAX).map(|_| 0.3 + normal(&mut words)).collect();
        looks.at().iter().enumerate().all(|(look, n)| {
            let interval = t_interval(&arm[..*n], 1.0 - ALPHA * looks.share(look)).unwrap();
            interval.low <= 0.3 && 0.3 <= interval.high
        })
    });
    let share = covered.count() as f64 / 1_000.0;
    assert!(share >= 0.95 - 0.014, "{share}");
}

#[test]
fn one_planned_look_is_the_usual_interval() {
    let differences = [-0.031, -0.012, -0.028, 0.004, -0.019];
    let once = paired_at(&Looks::between(5, 5), 0, &differences).unwrap();
    let usual = paired(&differences).unwrap();
    assert!((once.t95.unwrap().low - usual.t95.unwrap().low).abs() < 1e-12);
    let more = paired_at(&Looks::between(5, 9), 0, &differences).unwrap();
    assert!(more.t95.unwrap().low < usual.t95.unwrap().low);
    assert!(more.t90.unwrap().high > usual.t90.unwrap().high);
    // the verdict of a study that looks once is unchanged by all this
    let family = Family { size: 1, p: Some(0.5) };
    assert!(matches!(
        verdict(&usual, 0.005, Some(family), 0).decision,
        Decision::Inconclusive { .. }
    ));
}
