//! Which charts a report has: from comparisons and curves to drawn pictures with captions and texts
//! for those who cannot see them. Drawing itself is `figures`.

mod designs;
mod forests;
mod fronts;
mod many;

pub use designs::FRACTION;
pub use forests::beside;

use std::collections::BTreeMap;

use serde::Serialize;

use super::ReportError;
use super::compare::Compared;
use super::figures::canvas::Marker;
use super::figures::curves::{self, Curves, Line};
use super::figures::{DARK, LIGHT, Picture, Stroke, Theme, theme};
use super::frames::{Curve, Frames, are_zero};
use super::front::Several;
use super::measure::{Measure, count};
use super::view::ArmView;
use crate::store::rows::StudyData;

/// One rendering of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// File beside the page.
    pub file: String,
    /// For dark screens.
    pub dark: bool,
    /// For narrow screens.
    pub narrow: bool,
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
    /// The PNG.
    #[serde(skip)]
    pub png: Vec<u8>,
    /// The same as SVG; a file beside the PNG's.
    #[serde(skip)]
    pub svg: String,
}

/// Where a chart stands on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The forest chart.
    Differences,
    /// The forest chart of two studies.
    Against,
    /// The primary metric.
    Primary,
    /// A loss.
    Loss,
    /// Another metric that was measured during training.
    Other,
    /// The share of queries found within each rank.
    Cmc,
    /// Effects of factors.
    Effects,
    /// The metric at the levels of one setting.
    Response,
    /// The metric over two settings.
    Heat,
    /// Settings that change together, as parallel axes.
    Parallel,
    /// The primary metric over another one.
    Front,
}

/// A chart with its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Place.
    pub place: Place,
    /// Title.
    pub title: String,
    /// What it shows, for those who cannot see it.
    pub alt: String,
    /// Renderings; the first is the light, wide one.
    pub images: Vec<Image>,
}

/// How an arm's curve looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Legend {
    /// Arm.
    pub arm: String,
    /// Colour on light paper.
    pub light: String,
    /// Colour on dark paper.
    pub dark: String,
    /// SVG dash array.
    pub dash: String,
    /// SVG path of the marker, around (15, 6).
    pub marker: &'static str,
    /// Whether it is the baseline.
    pub is_baseline: bool,
}

/// Curves with a colour of their own, beside the baseline.
const OWN: usize = 7;
const WIDE: u32 = 1040;
const PHONE: u32 = 360;

/// Draws every chart; also the legend, and how many arms are muted in the curves.
pub fn draw_all(
    data: &StudyData,
    frames: &Frames,
    arms: &[Compared],
    views: &[ArmView],
    several: Option<&Several>,
    primary: &Measure,
) -> Result<(Vec<Figure>, Vec<Legend>, usize), ReportError> {
    let strokes = strokes(arms);
    let muted = strokes.iter().filter(|s| **s == Stroke::Background).count();
    let mut figures = Vec::new();
    if arms.iter().any(|a| a.pairs.is_some()) {
        figures.push(forests::differences(data, arms, views, primary)?);
    }
    figures.extend(designs::draw(data, arms, primary)?);
    figures.extend(many::draw(data, arms, primary)?);
    figures.extend(fronts::draw(data, several)?);
    figures.extend(designs::cmc(data, &strokes)?);
    for (place, metric, curves) in charts(data, frames) {
        let measure = Measure::of(metric, &data.defs);
        figures.push(metric_figure(data, place, &measure, curves, &strokes)?);
    }
    Ok((figures, legend(data, &strokes), muted))
}

/// Metrics with a curve: the primary one, the losses, then others with more than one point.
fn charts<'a>(
    data: &StudyData,
    frames: &'a Frames,
) -> impl Iterator<Item = (Place, &'a str, &'a [Curve])> {
    let primary = data.study.primary.clone();
    let place = move |name: &str| match name {
        name if name == primary => Some(Place::Primary),
        name if name.starts_with("loss_") || name == "teacher_loss" => Some(Place::Loss),
        name if name.starts_with("weight_") || name == "lr_scale" => None, // schedules, not results
        _ => Some(Place::Other),
    };
    let order = [Place::Primary, Place::Loss, Place::Other];
    let mut charts: Vec<(Place, &str, &[Curve])> = frames
        .curves
        .iter()
        .filter(|(_, curves)| curves.iter().any(|c| c.points.len() > 1))
        .filter_map(|(name, curves)| place(name).map(|p| (p, name.as_str(), curves.as_slice())))
        .filter(|(place, _, curves)| *place != Place::Loss || !are_zero(curves))
        .collect();
    // the total leads the losses
    charts.sort_by_key(|(p, name, _)| (order.iter().position(|o| o == p), *name != "loss_total"));
    charts.into_iter()
}

/// The baseline in ink; then every arm a colour while they last, else the largest differences.
fn strokes(arms: &[Compared]) -> Vec<Stroke> {
    let mut others: Vec<usize> = (0..arms.len()).filter(|i| !arms[*i].is_baseline).collect();
    if others.len() > OWN {
        let size = |i: &usize| arms[*i].pairs.as_ref().map_or(0.0, |p| p.mean.abs());
        others.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        others.truncate(OWN);
        others.sort_unstable();
    }
    let own: BTreeMap<usize, usize> = others.into_iter().enumerate().map(|(k, i)| (i, k)).collect();
    arms.iter()
        .enumerate()
        .map(|(i, arm)| match own.get(&i) {
            _ if arm.is_baseline => Stroke::Baseline,
            Some(place) => Stroke::Own(*place),
            None => Stroke::Background,
        })
        .collect()
}

fn legend(data: &StudyData, strokes: &[Stroke]) -> Vec<Legend> {
    data.arms
        .iter()
        .zip(strokes)
        .filter(|(_, stroke)| **stroke != Stroke::Background)
        .map(|(arm, stroke)| Legend {
            arm: arm.name.clone(),
            light: theme::hex(stroke.colour(&LIGHT)),
            dark: theme::hex(stroke.colour(&DARK)),
            dash: stroke.dash().iter().map(f64::to_string).collect::<Vec<_>>().join(" "),
            marker: marker_path(stroke.marker()),
            is_baseline: *stroke == Stroke::Baseline,
        })
        .collect()
}

fn marker_path(marker: Marker) -> &'static str {
    match marker {
        Marker::Circle => "M11.5 6a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
        Marker::Square => "M12 3h6v6h-6z",
        Marker::Triangle => "M15 1.8l3.8 7h-7.6z",
        Marker::Diamond => "M15 1.6l4.4 4.4l-4.4 4.4l-4.4-4.4z",
    }
}

fn metric_figure(
    data: &StudyData,
    place: Place,
    measure: &Measure,
    of: &[Curve],
    strokes: &[Stroke],
) -> Result<Figure, ReportError> {
    let mut lines: Vec<Line> = of
        .iter()
        .filter_map(|curve| {
            let scaled = |v: f64| v * measure.scale;
            Some(Line {
                label: data.arms.get(curve.arm)?.name.clone(),
                stroke: *strokes.get(curve.arm)?,
                points: curve
                    .points
                    .iter()
                    .map(|p| (p.step, scaled(p.mean), scaled(p.low), scaled(p.high)))
                    .collect(),
            })
        })
        .collect();
    lines.sort_by_key(|line| match line.stroke {
        Stroke::Background => 0,
        Stroke::Own(k) => OWN + 1 - k,
        Stroke::Baseline => OWN + 2,
    });
    let subtitle = [measure.unit.as_str(), measure.direction()]
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    let sizes: &[(u32, u32, bool)] = match place {
        Place::Primary => &[(WIDE, 400, false), (PHONE, 280, true)],
        _ => &[(340, 236, false)],
    };
    let chart = |width, height| Curves {
        title: measure.title(),
        subtitle: subtitle.clone(),
        axis: "training step",
        may_be_log: measure.unit != "%",
        lines: lines.clone(),
        named: width == WIDE,
        width,
        height,
    };
    let stem = format!("curve-{}", file_stem(&measure.name));
    let images = renderings(&stem, sizes, |theme, width, height| {
        curves::draw(&chart(width, height), theme)
    })?;
    let alt = curve_alt(data, measure, of);
    Ok(Figure { place, title: measure.heading(), alt, images })
}

fn curve_alt(data: &StudyData, measure: &Measure, of: &[Curve]) -> String {
    let end = |c: &Curve| Some((data.arms.get(c.arm)?.name.as_str(), c.points.last()?.mean));
    let mut ends: Vec<(&str, f64)> = of.iter().filter_map(end).collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    let range = match (ends.first(), ends.last()) {
        (Some(low), Some(high)) if ends.len() > 1 => format!(
            ": ends between {} ({}) and {} ({})",
            measure.value(low.1),
            low.0,
            measure.value(high.1),
            high.0
        ),
        (Some(only), _) => format!(": ends at {}", measure.value(only.1)),
        _ => String::new(),
    };
    format!("{} during training, {}{range}.", measure.heading(), count(ends.len(), "arm"))
}

fn renderings(
    stem: &str,
    sizes: &[(u32, u32, bool)],
    draw: impl Fn(&Theme, u32, u32) -> Result<Picture, super::figures::FigureError>,
) -> Result<Vec<Image>, ReportError> {
    let mut images = Vec::new();
    for (width, height, narrow) in sizes {
        for theme in [&LIGHT, &DARK] {
            let picture = draw(theme, *width, *height)?;
            let form = if *narrow { "-narrow" } else { "" };
            images.push(Image {
                file: format!("figures/{stem}{form}{}.png", theme.suffix),
                dark: !theme.suffix.is_empty(),
                narrow: *narrow,
                width: picture.width,
                height: picture.height,
                png: picture.png,
                svg: picture.svg,
            });
        }
    }
    Ok(images)
}

/// A metric's name as a file name.
fn file_stem(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .take(64)
        .collect()
}
