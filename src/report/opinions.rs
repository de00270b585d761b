//! Second opinions: what other summaries and tests say of the values and pairs that the verdicts rest
//! on. They are shown and never decide. Numbers come from `stats`; no markup.

use serde::Serialize;

use super::compare::Compared;
use super::measure::{Measure, count, number, significant};
use super::words::p_value;
use crate::stats::{self, Wilcoxon};
use crate::store::rows::StudyData;

/// One arm, as others would summarise and test it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Opinion {
    /// Arm.
    pub arm: String,
    /// Whether the others are compared with it.
    pub is_baseline: bool,
    /// Median over seeds.
    pub median: String,
    /// Interquartile mean over seeds.
    pub iqm: String,
    /// Standard deviation over seeds, in the unit of a difference.
    pub sd: String,
    /// p of Wilcoxon's signed-rank test, from two pairs on.
    pub wilcoxon: String,
    /// What that p leaves out: `1 equal pair dropped`.
    pub wilcoxon_note: String,
    /// How often a run of the arm beats one of the baseline.
    pub improvement: String,
    /// Hedges' `g_z`.
    pub effect: String,
    /// The numbers behind, in the metric's own unit.
    pub raw: RawOpinion,
}

/// Numbers of an opinion, unrounded.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RawOpinion {
    /// Seeds with a value; diverged ones count as the worst possible, as in the table of arms.
    pub n: usize,
    /// Median.
    pub median: Option<f64>,
    /// Interquartile mean.
    pub iqm: Option<f64>,
    /// Sample standard deviation.
    pub sd: Option<f64>,
    /// Pairs.
    pub pairs: usize,
    /// Wilcoxon's two-sided p, uncorrected.
    pub p_wilcoxon: Option<f64>,
    /// Probability of improvement over the seeds that form pairs, from two on.
    pub probability_of_improvement: Option<f64>,
    /// Hedges' `g_z`.
    pub g_z: Option<f64>,
}

/// Every arm that has a value, in the order of the study.
#[must_use]
pub fn opinions(data: &StudyData, arms: &[Compared], primary: &Measure) -> Vec<Opinion> {
    let base = arms.iter().find(|arm| arm.is_baseline);
    let with_values = arms.iter().filter(|arm| arm.n() > 0);
    with_values.map(|arm| opinion(&data.arms[arm.place].name, arm, base, primary)).collect()
}

fn opinion(name: &str, arm: &Compared, base: Option<&Compared>, primary: &Measure) -> Opinion {
    let values: Vec<f64> = arm.seeds.iter().filter_map(|seed| seed.value).collect();
    let test = stats::wilcoxon(&arm.differences).filter(|test| test.n + test.zeros > 1);
    let raw = RawOpinion {
        n: values.len(),
        median: stats::median(&values),
        iqm: stats::iqm(&values),
        sd: stats::sd(&values),
        pairs: arm.differences.len(),
        p_wilcoxon: test.map(|test| test.p),
        probability_of_improvement: base.and_then(|base| improvement(arm, base, primary)),
        g_z: arm.pairs.as_ref().and_then(|pairs| pairs.g_z),
    };
    let shown =
        |value: Option<f64>, show: &dyn Fn(f64) -> String| value.map_or_else(String::new, show);
    Opinion {
        arm: name.to_owned(),
        is_baseline: arm.is_baseline,
        median: shown(raw.median, &|v| primary.value(v)),
        iqm: shown(raw.iqm, &|v| primary.value(v)),
        sd: shown(raw.sd, &|v| spread(v * primary.scale)),
        wilcoxon: shown(raw.p_wilcoxon, &p_value),
        wilcoxon_note: test.map_or_else(String::new, |test| remarks(&test).join(", ")),
        improvement: shown(raw.probability_of_improvement, &|p| number(p, 2)),
        effect: shown(raw.g_z, &|g| number(g, 1)),
        raw,
    }
}

/// What a p of Wilcoxon's test leaves out or approximates.
#[must_use]
pub fn remarks(test: &Wilcoxon) -> Vec<String> {
    let dropped = (test.zeros > 0).then(|| format!("{} dropped", count(test.zeros, "equal pair")));
    let tied = test.tied.then(|| "tied ranks averaged".to_owned());
    let normal = (!test.exact).then(|| "normal approximation".to_owned());
    [dropped, tied, normal].into_iter().flatten().collect()
}

/// A spread with about two digits that count.
fn spread(value: f64) -> String {
    number(value, significant(value).min(if value >= 0.1 { 2 } else { 4 }))
}

/// Over the seeds that form pairs alone: others may have seen other data.
fn improvement(arm: &Compared, base: &Compared, primary: &Measure) -> Option<f64> {
    let of = |seed: u64| base.seeds.iter().find(|s| s.seed == seed)?.value;
    let pairs: Vec<(f64, f64)> = arm
        .seeds
        .iter()
        .filter(|seed| !arm.is_baseline && !arm.unlike.contains(&seed.seed))
        .filter_map(|seed| Some((seed.value?, of(seed.seed)?)))
        .collect();
    if pairs.len() < 2 {
        return None; // one run beats another or does not: that is no share
    }
    let (own, others): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    if primary.higher == Some(false) {
        stats::probability_of_improvement(&others, &own)
    } else {
        stats::probability_of_improvement(&own, &others)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::super::build;
    use super::super::demo::{ARMS, settle, study};

    #[test]
    fn they_stand_beside_the_verdicts_and_never_move_them() {
        let mut data = study(&ARMS, 8);
        let report = build(&data).unwrap();
        let (base, worst) = (&report.opinions[0], &report.opinions[7]);
        assert!(base.is_baseline && base.wilcoxon.is_empty() && base.improvement.is_empty());
        assert!(!base.median.is_empty() && !base.iqm.is_empty() && !base.sd.is_empty());
        // eight pairs of one sign: 2 / 2^8, and every run of the baseline wins
        assert_eq!(worst.raw.p_wilcoxon, Some(2.0 / 256.0));
        assert_eq!(worst.raw.probability_of_improvement, Some(0.0));
        assert_eq!(worst.raw.g_z, report.arms[7].raw.g_z);
        // where less is better, the same numbers are wins
        for def in data.defs.iter_mut().filter(|def| def.name == "mAP") {
            def.direction = "lower".into();
        }
        assert_eq!(build(&data).unwrap().opinions[7].raw.probability_of_improvement, Some(1.0));
    }

    #[test]
    fn equal_pairs_are_dropped_and_said() {
        let mut data = study(&ARMS[..2], 3);
        for row in data.metrics.iter_mut().filter(|row| row.metric == "mAP") {
            row.value = 0.5;
        }
        settle(&mut data);
        let opinions = build(&data).unwrap().opinions;
        assert_eq!(opinions[1].wilcoxon_note, "3 equal pairs dropped");
        assert_eq!(opinions[1].raw.probability_of_improvement, Some(0.5));
        assert_eq!((opinions[1].effect.as_str(), opinions[1].raw.p_wilcoxon), ("", Some(1.0)));
    }

    #[test]
    fn one_seed_has_a_median_and_no_test() {
        let opinions = build(&study(&ARMS, 1)).unwrap().opinions;
        assert!(opinions.iter().all(|opinion| opinion.wilcoxon.is_empty()));
        assert!(opinions.iter().all(|opinion| opinion.improvement.is_empty()));
        assert!(opinions.iter().all(|opinion| opinion.raw.sd.is_none()));
        assert!(!opinions[3].median.is_empty());
    }
}
