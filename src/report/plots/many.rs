//! The chart of studies whose arms change several settings at once: parallel coordinates.

use std::fmt::Write;

use super::super::ReportError;
use super::super::compare::Compared;
use super::super::design::{self, Setting};
use super::super::figures::Theme;
use super::super::figures::axis::Scale;
use super::super::figures::parallel::{self, Axis, Line, Parallel};
use super::super::measure::{MINUS, Measure, count};
use super::designs::{level_name, subtitle};
use super::{Figure, PHONE, Place, WIDE, renderings};
use crate::store::rows::StudyData;

/// Lines that one chart can hold.
const LINES: usize = 200;
/// Values of a number up to which each has its own place, at equal distances.
const PLACES: usize = 8;
/// Where zero stands on a logarithmic axis, and where its other values begin.
const ZERO: (f64, f64) = (0.02, 0.12);

/// Parallel coordinates, where the study is one for them.
pub fn draw(
    data: &StudyData,
    arms: &[Compared],
    primary: &Measure,
) -> Result<Option<Figure>, ReportError> {
    let Some((settings, left_out)) = design::many(data) else { return Ok(None) };
    let higher = primary.higher != Some(false);
    // from the worst to the best
    let mut ranked: Vec<(&Compared, f64)> =
        arms.iter().filter_map(|arm| Some((arm, arm.mean?))).collect();
    ranked.sort_by(|a, b| {
        let order = a.1.total_cmp(&b.1).then(b.0.place.cmp(&a.0.place));
        if higher { order } else { order.reverse() }
    });
    if ranked.len() < 2 {
        return Ok(None);
    }
    let shown = thinned(&ranked);
    let mut axes: Vec<(Axis, Vec<f64>)> =
        settings.iter().map(|setting| scaled(setting, &short(&settings, &setting.key))).collect();
    axes.push(metric_axis(primary, arms));
    let (worst, best) = (ranked[0].0, ranked[ranked.len() - 1].0);
    let best_other =
        ranked.iter().rev().find(|(arm, _)| !arm.is_baseline).map(|(arm, _)| arm.place);
    let line = |rank: &usize| {
        let arm = ranked[*rank].0;
        let told = arm.is_baseline || Some(arm.place) == best_other || arm.place == worst.place;
        Line {
            at: axes.iter().map(|(_, at)| at[arm.place]).collect(),
            shade: *rank as f64 / (ranked.len() - 1) as f64,
            is_baseline: arm.is_baseline,
            name: told.then(|| data.arms[arm.place].name.clone()),
        }
    };
    let mut lines: Vec<Line> = shown.iter().map(line).collect();
    lines.sort_by_key(|line| line.is_baseline);
    let thinned = (shown.len() < ranked.len())
        .then(|| format!("{} of {} arms, evenly by rank", shown.len(), ranked.len()));
    let told = [Some(subtitle(primary)), thinned.clone()];
    let chart = Parallel {
        title: primary.title(),
        subtitle: told
            .into_iter()
            .flatten()
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join("; "),
        axes: axes.iter().map(|(axis, _)| axis.clone()).collect(),
        lines,
    };
    let sizes = [(WIDE, 0, false), (PHONE, 0, true)];
    let images = renderings("parallel", &sizes, |theme: &Theme, width, _| {
        parallel::draw(&chart, theme, width)
    })?;
    let keys: Vec<&str> = settings.iter().map(|setting| setting.key.as_str()).collect();
    let mut alt = format!(
        "{} of {} over {}: best {}; worst {}.",
        primary.heading(),
        count(ranked.len(), "arm"),
        keys.join(", "),
        finding(data, best, &settings, primary),
        finding(data, worst, &settings, primary),
    );
    if let Some(thinned) = thinned {
        let _ = write!(alt, " Drawn: {thinned}.");
    }
    if left_out > 0 {
        let _ = write!(alt, " Left out: {} of fewer values.", count(left_out, "setting"));
    }
    let title = format!("{} settings", settings.len());
    Ok(Some(Figure { place: Place::Parallel, title, alt, images }))
}

/// `draw_017 (63.1) with lambda_prim 2, input rgb`.
fn finding(data: &StudyData, arm: &Compared, settings: &[Setting], primary: &Measure) -> String {
    let values: Vec<String> = settings
        .iter()
        .map(|s| format!("{} {}", short(settings, &s.key), shown(&s.values[arm.place])))
        .collect();
    let mean = arm.mean.map_or_else(String::new, |mean| primary.value(mean));
    format!("{} ({mean}) with {}", data.arms[arm.place].name, values.join(", "))
}

/// Ranks of the arms that are drawn: all, or evenly many with the first, the last and the baseline.
fn thinned(ranked: &[(&Compared, f64)]) -> Vec<usize> {
    let all = ranked.len();
    if all <= LINES {
        return (0..all).collect();
    }
    let evenly = |k: usize| k * (all - 1) / (LINES - 2);
    let base = ranked.iter().position(|(arm, _)| arm.is_baseline);
    let mut ranks: Vec<usize> = (0..LINES - 1).map(evenly).chain(base).collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks
}

/// The last part of a dotted key, or all of it where two would look alike.
fn short(settings: &[Setting], key: &str) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let alike = settings.iter().filter(|s| last(&s.key) == last(key)).count();
    if alike > 1 { key.to_owned() } else { last(key) }
}

/// A JSON value for people: a short number as it was written, so that close ones stay apart.
fn shown(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(_) if value.len() <= 7 => value.replace('-', &MINUS.to_string()),
        Ok(number) if number.is_finite() => level_name(number),
        _ => value.trim_matches('"').to_owned(),
    }
}

/// A setting's axis and the place of every arm on it.
fn scaled(setting: &Setting, title: &str) -> (Axis, Vec<f64>) {
    let numbers: Option<Vec<f64>> = setting
        .values
        .iter()
        .map(|value| value.parse::<f64>().ok().filter(|v| v.is_finite()))
        .collect();
    match numbers {
        Some(numbers) if distinct(&numbers).len() > PLACES => continuous(title, &numbers),
        Some(numbers) => {
            // `0.5` and `0.50` are one level
            let levels = distinct(&numbers);
            let of = |v: &f64| levels.iter().position(|level| (*level - *v).abs() <= 0.0);
            let text = |level: &f64| {
                let written = numbers.iter().position(|v| (v - level).abs() <= 0.0);
                shown(written.map_or("", |place| setting.values[place].as_str()))
            };
            even(title, levels.iter().map(text).collect(), numbers.iter().map(of))
        }
        None => {
            let mut levels: Vec<&String> = setting.values.iter().collect();
            levels.sort();
            levels.dedup();
            let of = |value: &String| levels.binary_search(&value).ok();
            let texts = levels.iter().map(|level| shown(level)).collect();
            even(title, texts, setting.values.iter().map(of))
        }
    }
}

fn distinct(numbers: &[f64]) -> Vec<f64> {
    let mut levels: Vec<f64> = numbers.iter().map(|v| v + 0.0).collect(); // -0 is 0
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    levels
}

/// Levels at equal distances, and the level of every arm.
fn even(
    title: &str,
    levels: Vec<String>,
    of: impl Iterator<Item = Option<usize>>,
) -> (Axis, Vec<f64>) {
    let all = levels.len().max(1) as f64;
    let place = |level: usize| (level as f64 + 0.5) / all;
    let at = of.map(|level| level.map_or(0.5, place)).collect();
    let ticks = levels.into_iter().enumerate().map(|(k, text)| (place(k), text)).collect();
    (Axis { title: title.to_owned(), ticks }, at)
}

/// Linear, or logarithmic where positive values span orders of magnitude; zero then has a place of its
/// own below them.
fn continuous(title: &str, numbers: &[f64]) -> (Axis, Vec<f64>) {
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = numbers.iter().copied().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    let log = Scale::fitting(least, high, true);
    let scale = if low >= 0.0 && log.is_log() { log } else { Scale::linear(low, high) };
    let lifted = scale.is_log() && low == 0.0;
    let place = |value: f64| match value {
        0.0 if lifted => ZERO.0,
        value if lifted => ZERO.1 + (1.0 - ZERO.1) * scale.place(value),
        value => scale.place(value),
    };
    let zero = lifted.then(|| (ZERO.0, "0".to_owned()));
    let ticks = scale.ticks(6).into_iter().map(|(value, label)| (place(value), label));
    let title = if scale.is_log() { format!("{title} (log)") } else { title.to_owned() };
    let ticks = zero.into_iter().chain(ticks).collect();
    (Axis { title, ticks }, numbers.iter().map(|v| place(*v)).collect())
}

fn metric_axis(primary: &Measure, arms: &[Compared]) -> (Axis, Vec<f64>) {
    let means: Vec<f64> =
        arms.iter().filter_map(|arm| arm.mean).map(|v| v * primary.scale).collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let scale = Scale::linear(low, high);
    let ticks = scale.ticks(6).into_iter().map(|(value, label)| (scale.place(value), label));
    let at = arms.iter().map(|arm| scale.place(arm.mean.unwrap_or(f64::NAN) * primary.scale));
    (Axis { title: primary.heading(), ticks: ticks.collect() }, at.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::super::super::build;
    use super::super::super::demo::searched;
    use super::*;

    #[test]
    fn the_finding_is_said_and_thinning_too() {
        let figure = |arms| {
            let figures = build(&searched(arms, 1)).unwrap().figures;
            figures.into_iter().find(|figure| figure.place == Place::Parallel).unwrap()
        };
        let few = figure(12).alt;
        assert!(
            few.starts_with("mAP (%) of 12 arms over loss.lambda_fine, loss.lambda_id,"),
            "{few}"
        );
        assert!(few.contains(": best full (") && few.contains("; worst draw_"), "{few}");
        assert!(!few.contains("Drawn:"), "{few}");
        let many = figure(300).alt;
        assert!(
            many.contains("Drawn: 199 of 300 arms") || many.contains("Drawn: 200 of 300 arms"),
            "{many}"
        );
    }

    #[test]
    fn zero_has_a_place_on_a_logarithmic_axis() {
        let values: Vec<f64> =
            (0..12).map(|k| if k == 0 { 0.0 } else { 10f64.powi(k - 6) }).collect();
        let (axis, at) = continuous("lambda", &values);
        assert_eq!(axis.title, "lambda (log)");
        assert_eq!(axis.ticks[0], (ZERO.0, "0".to_owned()));
        assert!(at.windows(2).all(|pair| pair[1] > pair[0]) && at[1] >= ZERO.1, "{at:?}");
        let (axis, _) = continuous("lambda", &[-1.0, 0.0, 1e6]);
        assert_eq!(axis.title, "lambda");
    }

    #[test]
    fn few_numbers_and_texts_stand_evenly() {
        let setting = |values: &[&str]| Setting {
            key: "a.b".into(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let (axis, at) = scaled(&setting(&["10", "9", "0.000001"]), "b");
        let labels: Vec<&str> = axis.ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["1.0e\u{2212}6", "9", "10"]);
        assert!(at[2] < at[1] && at[1] < at[0], "{at:?}");
        let (axis, at) = scaled(&setting(&["\"rgb\"", "\"grey\"", "\"rgb\""]), "b");
        assert_eq!((axis.ticks.len(), axis.ticks[0].1.as_str()), (2, "grey"));
        assert_eq!(at, [0.75, 0.25, 0.75]);
        let (axis, at) = scaled(&setting(&["0.5", "0.500000", "0", "-0"]), "b");
        assert_eq!(axis.ticks.len(), 2, "equal numbers are one level: {axis:?}");
        assert_eq!(at, [0.75, 0.75, 0.25, 0.25]);
    }
}
