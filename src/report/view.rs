//! The view model: everything the page and the tables show, as strings that are ready to print, plus
//! the raw numbers that files for machines carry. Made from rows, frames and comparisons; no markup.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ReportError;
use super::against::Against;
use super::cameras::{self, Cameras};
use super::compare::{Compared, compare, mean_of_finished};
use super::facts::{self, Cost, Fact, Failure, RunLine, StageLine};
use super::figures::forest::Tone;
use super::frames::{Frames, are_zero, frames};
use super::front::{Front, Several};
use super::measure::{Measure, count};
use super::notes;
use super::opinions::{self, Opinion};
use super::pictures::{self, ChangeView, PictureView, Quality, RankedView};
use super::plots::{self, Figure, Legend};
use super::published::{self, Reference};
use super::words::{Speaker, divergence, p_value, rests_on_t, verdict_word};
use crate::stats::{self, Decision, Method, Verdict};
use crate::store::rows::StudyData;

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name of the study.
    pub study: String,
    /// The question.
    pub question: String,
    /// The answer, sentence by sentence; backticks mark names.
    pub answer: Vec<String>,
    /// What the answer depends on.
    pub conditions: Vec<String>,
    /// The strip of facts under the answer.
    pub facts: Vec<Fact>,
    /// Primary metric with unit, for headings.
    pub primary: String,
    /// Unit of a difference.
    pub difference_unit: String,
    /// Headings of the secondary columns.
    pub secondary: Vec<String>,
    /// Arms in the order of the study.
    pub arms: Vec<ArmView>,
    /// Second opinions on the arms that have a value.
    pub opinions: Vec<Opinion>,
    /// Which arms no other beats, where several metrics count.
    pub front: Option<Front>,
    /// Another study beside this one; only where it is asked for.
    pub against: Option<Against>,
    /// Charts.
    pub figures: Vec<Figure>,
    /// How curves are told apart.
    pub legend: Vec<Legend>,
    /// Arms that charts show in grey only.
    pub muted: usize,
    /// Metrics that never had a finite value, and so no chart.
    pub never_finite: Vec<String>,
    /// Losses that are 0 from beginning to end, and so have no chart.
    pub always_zero: Vec<String>,
    /// Arms with a published counterpart.
    pub references: Vec<Reference>,
    /// What people noted.
    pub notes: Vec<Fact>,
    /// Generated pictures.
    pub pictures: Vec<PictureView>,
    /// Their quality in numbers.
    pub quality: Option<Quality>,
    /// Ranked lists of each arm.
    pub ranked: Vec<RankedView>,
    /// Queries that each arm improves and hurts most.
    pub changes: Vec<ChangeView>,
    /// How people are found under one camera among the photos of another.
    pub cameras: Option<Cameras>,
    /// What each arm cost.
    pub costs: Vec<Cost>,
    /// Runs that failed or diverged.
    pub failures: Vec<Failure>,
    /// Shared work.
    pub stages: Vec<StageLine>,
    /// Every run with its command.
    pub runs: Vec<RunLine>,
    /// Versions, processors, commits.
    pub provenance: Vec<Fact>,
    /// The study file.
    pub source: String,
    /// Whether seeds were added while a verdict was open.
    pub adaptive: bool,
}

/// A row of the table of arms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmView {
    /// Name.
    pub name: String,
    /// Label, where it differs from the name.
    pub label: Option<String>,
    /// What it changes, as `loss.lambda_prim = 0`.
    pub changes: Vec<String>,
    /// Whether the others are compared with it.
    pub is_baseline: bool,
    /// `3`, or `2 of 3` while runs are missing.
    pub seeds: String,
    /// Mean of the primary metric.
    pub mean: String,
    /// Its 95 % interval.
    pub interval: String,
    /// Difference to the baseline.
    pub difference: String,
    /// Its 95 % interval.
    pub difference_interval: String,
    /// The sign-flip interval, from 6 pairs on.
    pub flip_interval: String,
    /// p of the comparison.
    pub p: String,
    /// `Holm` or `exploratory`.
    pub p_note: String,
    /// Hedges' g.
    pub effect: String,
    /// Verdict in a few words.
    pub verdict: String,
    /// `diverges 1 of 3`, `about 12 more seeds`.
    pub verdict_note: String,
    /// worse | better | same | open | base | none: how the page colours the verdict.
    pub tone: String,
    /// The verdict as a sentence.
    pub sentence: String,
    /// Secondary metrics.
    pub secondary: Vec<String>,
    /// The numbers behind, in the metric's own unit.
    pub raw: Raw,
}

/// Numbers of a row, unrounded.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Raw {
    /// Seeds with a value.
    pub n: usize,
    /// Final values by seed.
    pub values: Vec<(u64, Option<f64>)>,
    /// Mean.
    pub mean: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// Pairs.
    pub pairs: usize,
    /// Mean difference.
    pub difference: Option<f64>,
    /// Its 95 % t interval.
    pub difference_interval: Option<(f64, f64)>,
    /// Its 90 % t interval.
    pub difference_interval_90: Option<(f64, f64)>,
    /// Its inverted sign-flip interval.
    pub flip_interval: Option<(f64, f64)>,
    /// Sign-flip p.
    pub p: Option<f64>,
    /// After Holm's correction.
    pub p_holm: Option<f64>,
    /// Hedges' g.
    pub g_z: Option<f64>,
    /// Runs that diverged.
    pub diverged: usize,
    /// Secondary metrics, means over finished runs.
    pub secondary: Vec<Option<f64>>,
}

/// Metrics that may stand beside the primary one, in order of preference.
const SECONDARY: [&str; 8] = [
    "mAP",
    "rank1",
    "mAP_standard",
    "swap_nearer",
    "swap_psnr",
    "swap_ssim",
    "recon_l1_ratio",
    "mINP",
];
const SECONDARY_SHOWN: usize = 5;

/// Builds the report of a study.
///
/// # Errors
/// What polars or the charts refuse.
pub fn build(data: &StudyData) -> Result<Report, ReportError> {
    let frames = frames(data)?;
    let primary = Measure::of(&data.study.primary, &data.defs);
    let arms = compare(data, &frames, &primary);
    let secondary = secondary(data, &frames);
    let speaker = Speaker { study: &data.study, arms: &data.arms, primary: &primary };
    let done = data.cells.iter().filter(|c| c.state == "done").count();
    let ended = done + data.cells.iter().filter(|c| c.state == "diverged").count();
    let views: Vec<ArmView> =
        arms.iter().map(|arm| arm_view(data, &frames, &speaker, &secondary, arm)).collect();
    let mean_of = |place: usize, name: &str| mean_of_finished(data, &frames, place, name);
    let several = Several::of(data, &frames, &arms, &primary);
    let references = published::references(data, &mean_of, &views);
    let (figures, legend, muted) =
        plots::draw_all(data, &frames, &arms, &views, several.as_ref(), &primary)?;
    Ok(Report {
        study: data.study.name.clone(),
        question: data.study.question.trim().to_owned(),
        answer: speaker.answer(&arms, ended, data.cells.len()),
        conditions: facts::conditions(data, &primary, &arms),
        facts: facts::strip(data, &primary),
        primary: primary.heading(),
        difference_unit: primary.difference_unit().to_owned(),
        secondary: secondary.iter().map(Measure::heading).collect(),
        arms: views,
        opinions: opinions::opinions(data, &arms, &primary),
        against: None,
        front: several.map(|several| several.summary(data)),
        figures,
        legend,
        muted,
        never_finite: never_finite(data, &frames),
        always_zero: always_zero(&frames),
        references,
        notes: notes::notes(data),
        pictures: pictures::grids(data),
        quality: pictures::quality(data, &frames),
        ranked: pictures::ranked(data),
        changes: pictures::changes(data),
        cameras: cameras::cameras(data, &arms),
        costs: facts::costs(data),
        failures: facts::failures(data),
        stages: facts::stages(data),
        runs: facts::runs(data),
        provenance: facts::provenance(data),
        source: data.study.source.clone(),
        adaptive: data.study.adaptive.is_some(),
    })
}

fn secondary(data: &StudyData, frames: &Frames) -> Vec<Measure> {
    let seen = |name: &str| frames.finals.values().any(|m| m.contains_key(name));
    // where each query has one match, mINP is the plain mAP: one column says both
    let bits = |value: Option<&f64>| value.map(|value| value.to_bits());
    let one_match =
        frames.finals.values().all(|m| bits(m.get("mINP")) == bits(m.get("mAP_standard")));
    SECONDARY
        .iter()
        .copied()
        .filter(|name| *name != data.study.primary && seen(name))
        .filter(|name| *name != "mINP" || !one_match)
        .take(SECONDARY_SHOWN)
        .map(|name| Measure::of(name, &data.defs))
        .collect()
}

fn never_finite(data: &StudyData, frames: &Frames) -> Vec<String> {
    let names: BTreeSet<&str> = data.finals.iter().map(|m| m.metric.as_str()).collect();
    let absent = names.into_iter().filter(|name| !frames.curves.contains_key(*name));
    absent.map(str::to_owned).collect()
}

fn always_zero(frames: &Frames) -> Vec<String> {
    let losses = frames.curves.iter().filter(|(name, _)| name.starts_with("loss_"));
    losses.filter(|(_, curves)| are_zero(curves)).map(|(name, _)| name.clone()).collect()
}

fn arm_view(
    data: &StudyData,
    frames: &Frames,
    speaker: &Speaker<'_>,
    secondary: &[Measure],
    arm: &Compared,
) -> ArmView {
    let row = &data.arms[arm.place];
    let primary = speaker.primary;
    let total = data.cells.iter().filter(|c| c.arm == row.name).count();
    let raw = raw(data, frames, secondary, arm);
    let span = |interval: Option<(f64, f64)>, show: &dyn Fn(f64) -> String| {
        interval.map_or(String::new(), |(low, high)| format!("{} to {}", show(low), show(high)))
    };
    let value = |v: f64| primary.value(v);
    let difference = |v: f64| primary.difference(v);
    let bootstrap = arm.interval.is_some_and(|i| i.method == Method::Bca);
    let interval = span(raw.interval, &|v| primary.bound(v));
    let p = if arm.in_family { raw.p_holm } else { raw.p }.filter(|_| raw.pairs > 1);
    // above 20 pairs signs are drawn: the p has an error of its own
    let drawn = match arm.pairs.as_ref().map(|pairs| pairs.test.error) {
        Some(error) if error > 0.0 => format!(", drawn \u{b1} {error:.0e}"),
        _ => String::new(),
    };
    ArmView {
        name: row.name.clone(),
        label: (row.label != row.name && !row.label.is_empty()).then(|| row.label.clone()),
        changes: row.overrides.iter().map(|(key, value)| format!("{key} = {value}")).collect(),
        is_baseline: arm.is_baseline,
        seeds: if raw.n == total { total.to_string() } else { format!("{} of {total}", raw.n) },
        mean: raw.mean.map_or("\u{2013}".to_owned(), value),
        interval: if bootstrap { format!("{interval} (BCa)") } else { interval },
        difference: raw.difference.map_or(String::new(), difference),
        difference_interval: span(raw.difference_interval, &difference),
        flip_interval: span(raw.flip_interval, &difference),
        p: p.map_or(String::new(), p_value),
        p_note: match (arm.is_baseline || p.is_none(), arm.in_family) {
            (true, _) => String::new(),
            (_, true) if speaker.study.adaptive.is_some() => "Holm, all looks".to_owned(),
            (_, true) => format!("Holm{drawn}"),
            _ => format!("exploratory{drawn}"),
        },
        effect: raw.g_z.map_or(String::new(), |g| super::measure::number(g, 1)),
        verdict: verdict_word(arm).to_owned(),
        verdict_note: verdict_note(arm),
        tone: tone_name(arm).to_owned(),
        sentence: speaker.arm(arm),
        secondary: raw
            .secondary
            .iter()
            .zip(secondary)
            .map(|(v, m)| v.map_or("\u{2013}".to_owned(), |v| m.value(v)))
            .collect(),
        raw,
    }
}

fn raw(data: &StudyData, frames: &Frames, secondary: &[Measure], arm: &Compared) -> Raw {
    let ends = |interval: Option<stats::Interval>| interval.map(|i| (i.low, i.high));
    let pairs = arm.pairs.as_ref();
    Raw {
        n: arm.n(),
        values: arm.seeds.iter().map(|s| (s.seed, s.value)).collect(),
        mean: arm.mean,
        interval: ends(arm.interval),
        pairs: pairs.map_or(0, |p| p.n),
        difference: pairs.map(|p| p.mean),
        difference_interval: pairs.and_then(|p| ends(p.t95)),
        difference_interval_90: pairs.and_then(|p| ends(p.t90)),
        flip_interval: pairs.and_then(|p| ends(p.flip95)),
        p: pairs.map(|p| p.test.p),
        p_holm: arm.p_holm,
        g_z: pairs.and_then(|p| p.g_z),
        diverged: arm.diverged(),
        secondary: secondary
            .iter()
            .map(|metric| mean_of_finished(data, frames, arm.place, &metric.name))
            .collect(),
    }
}

fn verdict_note(arm: &Compared) -> String {
    let more = match arm.verdict.map(|v| v.decision) {
        Some(Decision::Inconclusive { more_seeds: Some(n) }) => {
            Some(format!("about {}", count(n as usize, "more seed")))
        }
        Some(Decision::Inconclusive { more_seeds: None }) if arm.differences.len() == 1 => {
            Some("one seed: no interval".to_owned())
        }
        _ => None,
    };
    let strange = !arm.unlike.is_empty();
    let unlike =
        (strange && arm.differences.is_empty()).then(|| "other data: not compared".to_owned());
    let (pairs, runs) = (arm.differences.len(), arm.seeds.len());
    let gaps = (pairs > 0 && pairs < runs).then(|| {
        let why = if strange { ", the rest on other data" } else { "" };
        format!("{pairs} of {}{why}", count(runs, "pair"))
    });
    let on_t = rests_on_t(arm).map(|_| "by the t interval alone".to_owned());
    [divergence(arm), gaps, more, on_t, unlike].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The tone of the marks of a verdict.
#[must_use]
pub fn tone(verdict: Option<Verdict>) -> Tone {
    match verdict.map(|v| v.decision) {
        Some(Decision::Worse) => Tone::Worse,
        Some(Decision::Better) => Tone::Better,
        Some(Decision::NoDifference) => Tone::Same,
        Some(Decision::Inconclusive { .. }) | None => Tone::Open,
    }
}

fn tone_name(arm: &Compared) -> &'static str {
    match (arm.is_baseline, arm.verdict.is_some(), tone(arm.verdict)) {
        (true, ..) => "base",
        (_, false, _) => "none",
        (.., Tone::Worse) => "worse",
        (.., Tone::Better) => "better",
        (.., Tone::Same) => "same",
        (.., Tone::Open) => "open",
    }
}
