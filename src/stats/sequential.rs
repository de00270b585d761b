//! Looking more than once: pairs are added until the comparisons of a family are decided, and the
//! error rates are those of a study that looks once.
//!
//! The rule. There are at most [`LOOKS_MAX`] looks, evenly spaced from the least to the most pairs. Look
//! k may spend a share w_k of the error rate: half of it belongs to the last look, the rest in equal parts
//! to the others, so that the shares sum to 1 (a spending function fixed in advance, Lan and DeMets
//! 1983, Biometrika 70:659, here spent by the union bound instead of the looks' joint distribution). At
//! every look a comparison has the two-sided p of the paired t test on all of its pairs; its sequential p
//! is the smallest p_k / w_k so far.
//!
//! Why it holds. Under the null P(p_k / w_k <= a) <= w_k a at each look, so P(some look has p_k / w_k <= a)
//! <= a for every a, whatever the dependence between looks and whenever one stops: the sequential p
//! is a p value. Holm's correction of such p values keeps the family-wise error rate under any
//! dependence between comparisons (Holm 1979), the common baseline's included. A p never rises, so what
//! is rejected stays rejected, and a decided comparison may stop.
//!
//! Intervals are repeated ones (Jennison and Turnbull 1989, JRSS B 51:305): at look k the t
//! interval of level 1 - 0.05 w_k; all of them together cover with at least 95 %. Equality is decided
//! alike, by two one-sided tests at 0.05 w_k each, that is by the interval of level 1 - 2 * 0.05 w_k inside the
//! band: over all looks a difference of the size of the band is called none in at most 5 %. As in a study
//! that looks once, equality is not corrected over the family.
//!
//! What it assumes is the t test's: differences of seeds are normal. Light tails at the first look make it
//! bolder than it says and heavy tails more careful (tried in the simulations beside this file). The
//! exact sign-flip test cannot take its place: its smallest p, 2 / 2^n, decides nothing at few seeds.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::holm::holm;
use super::interval::{t_interval, t_quantile};
use super::paired::{Paired, paired};
use super::verdict::{ALPHA, Decision, smallest_p};
use super::{mean, sd};

/// Most looks: more of them save few seeds and make each weaker (Pocock 1982, Biometrics 38:153).
pub const LOOKS_MAX: usize = 5;
/// Share of the error rate that the last look may spend.
pub const LAST_SHARE: f64 = 0.5;

/// The looks of a study, planned before the first run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    at: Vec<usize>,
}

impl Looks {
    /// Looks from `min` to `max` pairs: both ends, and up to three evenly between them.
    #[must_use]
    pub fn between(min: usize, max: usize) -> Self {
        let steps = max.saturating_sub(min).min(LOOKS_MAX - 1);
        let at = |k: usize| min + ((max - min) * k + steps / 2) / steps.max(1);
        Self { at: if steps == 0 { vec![min] } else { (0..=steps).map(at).collect() } }
    }

    /// Pairs at each look, ascending.
    #[must_use]
    pub fn at(&self) -> &[usize] {
        &self.at
    }

    /// Share of the error rate that a look may spend; a look that is not planned has that of the first.
    #[must_use]
    pub fn share(&self, look: usize) -> f64 {
        match self.at.len() {
            1 => 1.0,
            looks if look + 1 == looks => LAST_SHARE,
            looks => (1.0 - LAST_SHARE) / (looks - 1) as f64,
        }
    }

    /// How far from zero the mean difference must be at a look for a verdict, in standard deviations of
    /// the differences, where none of the family's `size` comparisons is decided yet.
    #[must_use]
    pub fn reach(&self, look: usize, size: usize) -> f64 {
        let n = self.at[look.min(self.at.len() - 1)] as f64;
        let tail = ALPHA * self.share(look) / (2.0 * size.max(1) as f64);
        t_quantile(1.0 - tail, n - 1.0) / n.sqrt()
    }
}

/// The deciding metric of a run that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Its value at the last step.
    Value(f64),
    /// The run diverged and counts as the worst possible value.
    Diverged,
}

/// Differences `arm - baseline` of the first `n` seeds, in the metric's own unit; `None` while one of them is
/// missing. A diverged run counts as 0 where higher is better and else as the largest value among
/// these runs, so that what a look saw never changes later.
#[must_use]
pub fn differences(
    arm: &[Option<Outcome>],
    base: &[Option<Outcome>],
    n: usize,
    higher: bool,
) -> Option<Vec<f64>> {
    let first = |of: &[Option<Outcome>]| of.get(..n)?.iter().copied().collect::<Option<Vec<_>>>();
    let (arm, base) = (first(arm)?, first(base)?);
    let largest = arm.iter().chain(&base).fold(0.0_f64, |largest, outcome| match outcome {
        Outcome::Value(value) => largest.max(*value),
        Outcome::Diverged => largest,
    });
    let value = |outcome: &Outcome| match outcome {
        Outcome::Value(value) => *value,
        Outcome::Diverged if higher => 0.0,
        Outcome::Diverged => largest,
    };
    Some(arm.iter().zip(&base).map(|(arm, base)| value(arm) - value(base)).collect())
}

/// A comparison after the looks that it took part in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Followed {
    /// Looks, up to the one that decided.
    pub looks: usize,
    /// Sequential p.
    pub p: Option<f64>,
    /// The same after Holm's correction over the family.
    pub p_holm: Option<f64>,
    /// What was decided; `None` while it is open. Never [`Decision::Inconclusive`].
    pub decision: Option<Decision>,
}

/// Where a family stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Its comparisons, in the order asked for.
    pub arms: Vec<Followed>,
    /// Looks that have happened.
    pub looks: usize,
    /// Pairs that the next look needs of every open comparison; `None` where there is none to come.
    pub next: Option<usize>,
}

/// Follows a family of `size` comparisons through its looks.
///
/// `pairs(i, n)` are the differences of comparison i over its first n seeds, oriented so that
/// positive is better, or `None` while not all of them are over. A look happens once every open
/// comparison has its pairs, so the course depends on results alone and not on when they came.
#[must_use]
pub fn follow(
    looks: &Looks,
    size: usize,
    band: f64,
    pairs: impl Fn(usize, usize) -> Option<Vec<f64>>,
) -> Course {
    let mut course = Course { arms: vec![Followed::default(); size], looks: 0, next: None };
    for (look, &n) in looks.at.iter().enumerate() {
        let open: Vec<usize> = (0..size).filter(|i| course.arms[*i].decision.is_none()).collect();
        if open.is_empty() {
            return course;
        }
        let Some(seen) = open.iter().map(|i| pairs(*i, n)).collect::<Option<Vec<_>>>() else {
            course.next = Some(n);
            return course;
        };
        course.looks = look + 1;
        for (i, differences) in open.iter().zip(&seen) {
            let arm = &mut course.arms[*i];
            arm.looks = look + 1;
            let p = (t_test(differences) / looks.share(look)).min(1.0);
            arm.p = Some(arm.p.map_or(p, |before| before.min(p)));
        }
        let adjusted = holm(&course.arms.iter().map(|arm| arm.p).collect::<Vec<_>>());
        for (arm, p) in course.arms.iter_mut().zip(adjusted) {
            arm.p_holm = p;
        }
        let equal = 1.0 - 2.0 * ALPHA * looks.share(look);
        for (i, differences) in open.iter().zip(&seen) {
            let inside = t_interval(differences, equal).is_some_and(|i| i.within(band));
            let arm = &mut course.arms[*i];
            let better = mean(differences).is_some_and(|mean| mean > 0.0);
            arm.decision = match arm.p_holm {
                _ if band > 0.0 && inside => Some(Decision::NoDifference),
                Some(p) if p <= ALPHA && better => Some(Decision::Better),
                Some(p) if p <= ALPHA => Some(Decision::Worse),
                _ => None,
            };
        }
    }
    course
}

/// Estimates of the differences at a look: those of [`paired`], with repeated intervals.
#[must_use]
pub fn paired_at(looks: &Looks, look: usize, differences: &[f64]) -> Option<Paired> {
    let spent = ALPHA * looks.share(look);
    let named = |level: f64, spent: f64| {
        t_interval(differences, 1.0 - spent).map(|interval| super::Interval { level, ..interval })
    };
    Some(Paired { t95: named(0.95, spent), t90: named(0.90, 2.0 * spent), ..paired(differences)? })
}

/// Two-sided p of the paired t test. Differences that are all alike show no spread to measure by: what
/// they are worth is then said by their signs.
fn t_test(differences: &[f64]) -> f64 {
    let (Some(centre), Some(spread)) = (mean(differences), sd(differences)) else { return 1.0 };
    let n = differences.len();
    if spread <= 1e-12 * centre.abs() {
        return if centre == 0.0 { 1.0 } else { smallest_p(n as u32) };
    }
    if centre == 0.0 {
        return 1.0;
    }
    let t = centre.abs() / (spread / (n as f64).sqrt());
    StudentsT::new(0.0, 1.0, (n - 1) as f64).map_or(1.0, |of| 2.0 * of.sf(t))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
#[path = "sequential_tests.rs"]
mod tests;
