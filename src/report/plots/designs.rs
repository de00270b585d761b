//! Charts of what a study varies: response curves, heat maps, effects of factors, and the cumulative
//! match curve.

use super::super::ReportError;
use super::super::compare::Compared;
use super::super::design::{self, Factor, Factors, OneSetting, TwoSettings};
use super::super::facts;
use super::super::figures::curves::{self, Curves, Line};
use super::super::figures::forest::{self, Forest, Row, Tone};
use super::super::figures::response::{self, Heat, Level, Response};
use super::super::figures::{Stroke, Theme};
use super::super::measure::{Measure, count, number, significant};
use super::super::words::p_value;
use super::{Figure, OWN, PHONE, Place, WIDE, file_stem, renderings};
use crate::stats;
use crate::store::rows::StudyData;

/// Ranks of the cumulative match curve.
pub const RANKS: u32 = 20;
/// Title of the effects where not every combination was trained.
pub const FRACTION: &str = "Effects, from a fraction of the combinations";
/// Response curves and heat maps at most, each.
const SHOWN: usize = 12;

/// The charts that the study's design asks for.
pub fn draw(
    data: &StudyData,
    arms: &[Compared],
    primary: &Measure,
) -> Result<Vec<Figure>, ReportError> {
    let mut figures = Vec::new();
    if let Some(factors) = design::factors(data).or_else(|| design::fraction(data))
        && let Some(figure) = effects(&factors, arms, primary)?
    {
        figures.push(figure);
    }
    for setting in design::single(data).iter().take(SHOWN) {
        figures.extend(curve(setting, arms, primary, figures.len())?);
    }
    for grid in design::crossed(data).iter().take(SHOWN) {
        figures.extend(heat(grid, arms, primary, figures.len())?);
    }
    Ok(figures)
}

fn values(arm: &Compared, seeds: &[u64]) -> Vec<Option<f64>> {
    let of = |seed: &u64| arm.seeds.iter().find(|s| s.seed == *seed).and_then(|s| s.value);
    seeds.iter().map(of).collect()
}

fn seeds(arms: &[Compared]) -> Vec<u64> {
    let mut seeds: Vec<u64> = arms.iter().flat_map(|a| a.seeds.iter().map(|s| s.seed)).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

pub fn subtitle(primary: &Measure) -> String {
    let parts = [primary.unit.as_str(), primary.direction()];
    parts.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ")
}

pub fn level_name(value: f64) -> String {
    let text = number(value, significant(value).max(1));
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn curve(
    setting: &OneSetting,
    arms: &[Compared],
    primary: &Measure,
    place: usize,
) -> Result<Option<Figure>, ReportError> {
    let seeds = seeds(arms);
    let x: Vec<f64> = setting.levels.iter().map(|(x, _)| *x).collect();
    let of: Vec<Vec<Option<f64>>> =
        setting.levels.iter().map(|(_, arm)| values(&arms[*arm], &seeds)).collect();
    let Some(found) = stats::response(&x, &of, primary.higher != Some(false)) else {
        return Ok(None);
    };
    let scaled = |v: f64| v * primary.scale;
    let seeds_at = |at: f64| {
        let place = x.iter().position(|x| x.total_cmp(&at).is_eq());
        place.map_or_else(Vec::new, |k| of[k].iter().flatten().copied().map(scaled).collect())
    };
    let levels = found.levels.iter().map(|level| Level {
        label: level_name(level.x),
        mean: scaled(level.mean),
        interval: level.interval.map(|i| (scaled(i.low), scaled(i.high))),
        seeds: seeds_at(level.x),
        may_be_best: level.may_be_best,
    });
    let short = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let beside: Vec<String> = setting
        .beside
        .iter()
        .map(|(key, value)| format!("{} {}", short(key), value.trim_matches('"')))
        .collect();
    let at = if beside.is_empty() { String::new() } else { format!(" at {}", beside.join(", ")) };
    let chart = Response {
        title: primary.title(),
        subtitle: subtitle(primary),
        axis: format!("{}{at}", setting.key),
        levels: levels.collect(),
        best: found.best,
    };
    let stem = format!("response-{place}-{}", file_stem(&setting.key));
    let sizes = [(340, 236, false)];
    let images = renderings(&stem, &sizes, |theme: &Theme, width, height| {
        response::draw(&chart, theme, width, height)
    })?;
    let (low, high) = found.region();
    let best = &found.levels[found.best];
    let region = if low < high {
        format!("levels from {} to {} may be the best", level_name(low), level_name(high))
    } else {
        "no other level may be the best".to_owned()
    };
    let alt = format!(
        "{} at {} of {}{at}: best at {} ({}); {region}.",
        primary.heading(),
        count(found.levels.len(), "level"),
        setting.key,
        level_name(best.x),
        primary.value(best.mean),
    );
    Ok(Some(Figure { place: Place::Response, title: setting.key.clone(), alt, images }))
}

fn heat(
    grid: &TwoSettings,
    arms: &[Compared],
    primary: &Measure,
    place: usize,
) -> Result<Option<Figure>, ReportError> {
    let mean = |x: usize, y: usize| {
        let value = arms[*grid.arms.get(&(x, y))?].mean?;
        Some((value * primary.scale, primary.value(value)))
    };
    let cells: Vec<Vec<_>> =
        (0..grid.ys.len()).map(|y| (0..grid.xs.len()).map(|x| mean(x, y)).collect()).collect();
    let known = cells.iter().flatten().flatten().count();
    if known == 0 {
        return Ok(None);
    }
    let chart = Heat {
        title: primary.title(),
        subtitle: subtitle(primary),
        axes: grid.keys.clone(),
        xs: grid.xs.iter().copied().map(level_name).collect(),
        ys: grid.ys.iter().copied().map(level_name).collect(),
        cells,
        higher: primary.higher != Some(false),
    };
    let title = grid.keys.join(" \u{d7} ");
    let stem = format!("heat-{place}-{}", file_stem(&title));
    let sizes = [(340, 0, false)];
    let images = renderings(&stem, &sizes, |theme: &Theme, width, _| {
        response::draw_heat(&chart, theme, width)
    })?;
    let alt = format!(
        "{} over {} and {}: means of {}.",
        primary.heading(),
        grid.keys[0],
        grid.keys[1],
        count(known, "arm")
    );
    Ok(Some(Figure { place: Place::Heat, title, alt, images }))
}

fn effects(
    design: &Factors,
    arms: &[Compared],
    primary: &Measure,
) -> Result<Option<Figure>, ReportError> {
    let seeds = seeds(arms);
    let levels: Vec<Vec<bool>> = design.arms.iter().map(|(levels, _)| levels.clone()).collect();
    let of: Vec<_> = design.arms.iter().map(|(_, arm)| values(&arms[*arm], &seeds)).collect();
    let whole = levels.len() == 1 << design.factors.len();
    let found =
        if whole { stats::factorial(&levels, &of) } else { stats::fractional(&levels, &of) };
    let Some(found) = found else { return Ok(None) };
    let scaled = |v: f64| v * primary.scale;
    let span = |i: Option<stats::Interval>| i.map(|i| (scaled(i.low), scaled(i.high)));
    let higher = primary.higher != Some(false);
    let rows: Vec<Row> = found
        .iter()
        .filter(|effect| effect.factors.len() <= 2)
        .map(|effect| {
            let estimate = &effect.estimate;
            let clear = estimate.t95.is_some_and(|i| i.excludes_zero());
            let tone = match (clear, (estimate.mean > 0.0) == higher) {
                (false, _) => Tone::Open,
                (true, true) => Tone::Better,
                (true, false) => Tone::Worse,
            };
            let interval = estimate.t95.map_or_else(String::new, |i| {
                format!("  [{} to {}]", primary.difference(i.low), primary.difference(i.high))
            });
            Row {
                label: with_aliases(&design.factors, effect),
                centre: Some(scaled(estimate.mean)),
                wide: span(estimate.t95),
                narrow: span(estimate.t90),
                seeds: Vec::new(),
                tone,
                diverged: false,
                numbers: format!("{}{interval}", primary.difference(estimate.mean)),
                verdict: if estimate.n > 1 {
                    format!("p = {}, {}", p_value(estimate.test.p), count(estimate.n, "seed"))
                } else {
                    "one seed: no interval".to_owned()
                },
            }
        })
        .collect();
    let unit = primary.difference_unit();
    let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    let words = if higher { ("lowers", "raises") } else { ("improves", "worsens") };
    let told: Vec<String> = rows.iter().map(|r| format!("{} {}", r.label, r.numbers)).collect();
    let chart = Forest {
        axis: format!("effect on {}{unit}", primary.title()),
        sides: (format!("\u{2190} {}", words.0), format!("{} \u{2192}", words.1)),
        band: 0.0,
        rows,
    };
    let sizes = [(WIDE, 0, false), (PHONE, 0, true)];
    let images = renderings("effects", &sizes, |theme: &Theme, width, _| {
        forest::draw(&chart, theme, width)
    })?;
    let alt = format!("Effects on {}: {}.", primary.heading(), told.join("; "));
    let title = if whole { "Effects" } else { FRACTION };
    Ok(Some(Figure { place: Place::Effects, title: title.to_owned(), alt, images }))
}

/// An effect with what it cannot be told from: `lambda_prim 2 -> 0 (+ lambda_fine x lambda_id)`.
fn with_aliases(factors: &[Factor], effect: &stats::Effect) -> String {
    let name = effect_name(factors, &effect.factors);
    let names = |of: &Vec<usize>| {
        let keys = of.iter().map(|f| factors[*f].key.rsplit('.').next().unwrap_or_default());
        keys.collect::<Vec<_>>().join(" \u{d7} ")
    };
    let others: Vec<String> = effect.aliases.iter().map(names).collect();
    if others.is_empty() { name } else { format!("{name} (+ {})", others.join(" + ")) }
}

/// `loss.lambda_prim 2 -> 0`, and `a x b` for an interaction.
fn effect_name(factors: &[Factor], of: &[usize]) -> String {
    let short = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    match of {
        [one] => {
            let factor = &factors[*one];
            let value = |text: &str| text.trim_matches('"').to_owned();
            format!(
                "{} {} \u{2192} {}",
                short(&factor.key),
                value(&factor.baseline),
                value(&factor.other)
            )
        }
        several => {
            let names: Vec<String> = several.iter().map(|f| short(&factors[*f].key)).collect();
            names.join(" \u{d7} ")
        }
    }
}

/// Share of queries whose first true match is among the first k, mean over seeds.
pub fn cmc(data: &StudyData, strokes: &[Stroke]) -> Result<Option<Figure>, ReportError> {
    let mut lines = Vec::new();
    for (place, arm) in data.arms.iter().enumerate() {
        let of = |seed: u64| data.hits.iter().filter(move |h| h.arm == arm.name && h.seed == seed);
        let curves: Vec<Vec<f64>> = facts::finished(data, &arm.name)
            .into_iter()
            .filter_map(|seed| {
                let all: u64 = of(seed).map(|h| h.queries).sum();
                let within =
                    |k: u32| of(seed).filter(|h| h.rank <= k).map(|h| h.queries).sum::<u64>();
                let share = |k: u32| 100.0 * within(k) as f64 / all as f64;
                (all > 0).then(|| (1..=RANKS).map(share).collect())
            })
            .collect();
        if curves.is_empty() {
            continue;
        }
        let points = (0..RANKS as usize).map(|k| {
            let at: Vec<f64> = curves.iter().map(|c| c[k]).collect();
            let ends = at
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
            ((k + 1) as f64, stats::mean(&at).unwrap_or(f64::NAN), ends.0, ends.1)
        });
        lines.push(Line {
            label: arm.name.clone(),
            stroke: strokes[place],
            points: points.collect(),
        });
    }
    if lines.is_empty() {
        return Ok(None);
    }
    lines.sort_by_key(|line| match line.stroke {
        Stroke::Background => 0,
        Stroke::Own(k) => OWN + 1 - k,
        Stroke::Baseline => OWN + 2,
    });
    let alt =
        format!("Share of queries found within rank 1 to {RANKS}, {}.", count(lines.len(), "arm"));
    let chart = |width, height| Curves {
        title: "Cumulative match".to_owned(),
        subtitle: "%, higher is better".to_owned(),
        axis: curves::RANK,
        may_be_log: false,
        lines: lines.clone(),
        named: width == WIDE,
        width,
        height,
    };
    let images = renderings(
        "cmc",
        &[(WIDE, 360, false), (PHONE, 280, true)],
        |theme: &Theme, width, height| curves::draw(&chart(width, height), theme),
    )?;
    Ok(Some(Figure { place: Place::Cmc, title: "Cumulative match".to_owned(), alt, images }))
}
