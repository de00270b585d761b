//! Learning curves: mean over seeds as a line, smallest to largest seed as a band, one chart a metric.

use plotters::style::{Color, RGBColor};

use super::axis::Scale;
use super::canvas::{Anchor, Canvas, FigureError, Picture, Type, render};
use super::layout::apart;
use super::theme::{Stroke, Theme, between};

/// Axis of curves that begin at 1 and end near 100 %.
pub const RANK: &str = "rank";
/// Points up to which a curve shows each of them, with the range of the seeds as a line instead of a band.
const FEW: usize = 6;
/// Distance of such lines at the same step, CSS pixels.
const BESIDE: f64 = 5.0;

/// One arm's curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Name at its end, where lines are labelled directly.
    pub label: String,
    /// How it is drawn.
    pub stroke: Stroke,
    /// (step, mean, low, high) in shown units, by step.
    pub points: Vec<(f64, f64, f64, f64)>,
}

/// A chart of curves.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// What is measured.
    pub title: String,
    /// Its unit and direction.
    pub subtitle: String,
    /// What is along the bottom.
    pub axis: &'static str,
    /// Whether values that span orders of magnitude get a logarithmic axis.
    pub may_be_log: bool,
    /// Curves; later ones are drawn over earlier ones.
    pub lines: Vec<Line>,
    /// Names at the right ends of the lines that are not background.
    pub named: bool,
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// Line and band.
    Curve,
    /// A few points joined by a line, so many places beside their steps.
    Points(f64),
    /// One value, of something trained elsewhere: level across the chart.
    Level,
}

/// The plotting rectangle and its scales.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
    /// Pixels of a place beside a step.
    beside: f64,
}

impl Frame {
    /// Where the points of a line are: across, mean, low, high.
    fn places(&self, line: &Line, form: Form) -> Vec<(f64, f64, f64, f64)> {
        let place = |p: &(f64, f64, f64, f64)| {
            let shift = if let Form::Points(place) = form { place * self.beside } else { 0.0 };
            (self.x(p.0) + shift, self.y(p.1), self.y(p.2), self.y(p.3))
        };
        let mut places: Vec<_> = line.points.iter().map(place).collect();
        if let (Form::Level, [(_, mean, low, high)]) = (form, places.as_slice()) {
            places = [self.left, self.right].map(|x| (x, *mean, *low, *high)).to_vec();
        }
        places
    }

    fn x(&self, step: f64) -> f64 {
        self.left + self.x.place(step) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - self.top)
    }
}

/// Draws it on a paper.
///
/// # Errors
/// What the backend says.
pub fn draw(chart: &Curves, theme: &Theme) -> Result<Picture, FigureError> {
    render(chart.width, chart.height, theme.paper, |canvas| {
        let forms = forms(chart);
        let frame = frame(chart, &forms, canvas, theme);
        let lines = || chart.lines.iter().zip(forms.iter().copied());
        heading(chart, &frame, canvas, theme)?;
        axes(&frame, chart.axis, canvas, theme)?;
        for (line, form) in lines() {
            canvas.of_arm(&line.label, || spread(line, form, &frame, canvas, theme))?;
        }
        for (line, form) in lines() {
            canvas.of_arm(&line.label, || strokes(line, form, &frame, canvas, theme))?;
        }
        if chart.named { names(chart, &forms, &frame, canvas, theme) } else { Ok(()) }
    })
}

/// How each line is drawn: all as curves, or where none has more than a few values all as points. An arm of a
/// single value (the teacher, which is trained elsewhere) has no place on the axis of the others.
fn forms(chart: &Curves) -> Vec<Form> {
    let longest = chart.lines.iter().map(|line| line.points.len()).max().unwrap_or(0);
    let stands_out = |line: &&Line| line.stroke != Stroke::Background && line.points.len() > 1;
    let middle = chart.lines.iter().filter(stands_out).count() as f64 / 2.0 - 0.5;
    let mut place = -1.0;
    let form = |line: &Line| match line.points.len() {
        0 | 1 if longest > 1 => Form::Level,
        _ if !(2..=FEW).contains(&longest) => Form::Curve,
        _ if !stands_out(&line) => Form::Points(0.0),
        _ => {
            place += 1.0;
            Form::Points(place - middle)
        }
    };
    chart.lines.iter().map(form).collect()
}

/// Pixels between points at the same step: none where no range would cover another, and never so many that
/// they come near the next step.
fn beside(chart: &Curves, forms: &[Form], pixels_a_step: f64) -> f64 {
    let pointed = || {
        let lines = chart.lines.iter().zip(forms);
        lines.filter(|(line, form)| {
            line.stroke != Stroke::Background && matches!(form, Form::Points(_))
        })
    };
    if !pointed().flat_map(|(line, _)| &line.points).any(|p| p.2 < p.3) {
        return 0.0;
    }
    let mut steps: Vec<f64> = pointed().flat_map(|(l, _)| l.points.iter().map(|p| p.0)).collect();
    steps.sort_by(f64::total_cmp);
    let gaps = steps.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
    let pitch = pixels_a_step * gaps.fold(f64::INFINITY, f64::min);
    BESIDE.min(0.3 * pitch / pointed().count() as f64)
}

/// The steps between which the axis lies: those of the curves, if there are any; from 0, or from 1 for ranks,
/// and where there are only few points close around them.
fn span(chart: &Curves, forms: &[Form]) -> (f64, f64) {
    let steps = |least: usize| {
        let lines = chart.lines.iter().filter(move |line| line.points.len() >= least);
        let ends = lines.flat_map(|line| &line.points).map(|p| p.0);
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
    };
    let (first, last) = if steps(2).1 > 0.0 { steps(2) } else { steps(1) };
    let last = if last > 0.0 { last } else { 1.0 };
    let points = forms.iter().any(|form| matches!(form, Form::Points(_)));
    match () {
        () if chart.axis == RANK => (1.0, last),
        () if points && !forms.contains(&Form::Curve) && first < last => {
            let air = 0.1 * (last - first);
            ((first - air).max(0.0), last + air)
        }
        () => (0.0, last),
    }
}

fn small(colour: RGBColor) -> Type {
    Type { size: 11.0, bold: false, colour }
}

fn frame(chart: &Curves, forms: &[Form], canvas: &Canvas<'_>, theme: &Theme) -> Frame {
    let points = || chart.lines.iter().flat_map(|l| &l.points);
    let low = points().map(|p| p.2).fold(f64::INFINITY, f64::min);
    let high = points().map(|p| p.3).fold(f64::NEG_INFINITY, f64::max);
    let (first, last) = span(chart, forms);
    let y = Scale::fitting(low, high, chart.may_be_log);
    let widest = y
        .ticks(5)
        .iter()
        .map(|(_, label)| canvas.width_of(label, small(theme.soft)))
        .fold(0.0, f64::max);
    let names = chart.lines.iter().filter(|l| chart.named && l.stroke != Stroke::Background);
    let label = names
        .map(|l| canvas.width_of(&l.label, small(theme.ink)))
        .fold(0.0, f64::max)
        .min(f64::from(chart.width) * 0.24);
    let left = 12.0 + widest + 8.0;
    let right = f64::from(chart.width) - 16.0 - if label > 0.0 { label + 26.0 } else { 0.0 };
    Frame {
        left,
        right,
        beside: beside(chart, forms, (right - left) / (last - first)),
        top: 48.0,
        bottom: f64::from(chart.height) - 40.0,
        x: Scale::exact(first, last),
        y,
    }
}

fn heading(
    chart: &Curves,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let room = f64::from(chart.width) - 24.0;
    let title = Type { size: 14.0, bold: true, colour: theme.ink };
    let shown = canvas.fitted(&chart.title, room, title);
    let end = 12.0 + canvas.width_of(&shown, title) + 8.0;
    canvas.text(&shown, (12.0, 24.0), Anchor::Left, title)?;
    let soft = Type { size: 12.0, ..small(theme.soft) };
    let log = frame.y.is_log().then_some("logarithmic");
    let subtitle: Vec<&str> =
        log.into_iter().chain([chart.subtitle.as_str()]).filter(|s| !s.is_empty()).collect();
    let rest = canvas.fitted(&subtitle.join(", "), room - end, soft);
    canvas.text(&rest, (end, 24.0), Anchor::Left, soft)
}

fn axes(frame: &Frame, name: &str, canvas: &Canvas<'_>, theme: &Theme) -> Result<(), FigureError> {
    let type_ = small(theme.soft);
    for (value, label) in frame.y.ticks(5) {
        let y = frame.y(value);
        canvas.line(&[(frame.left, y), (frame.right, y)], 1.0, theme.grid, &[])?;
        canvas.text(&label, (frame.left - 8.0, y + 3.8), Anchor::Right, type_)?;
    }
    let floor = frame.bottom;
    canvas.line(&[(frame.left, floor), (frame.right, floor)], 1.0, theme.faint, &[])?;
    let mut free = f64::NEG_INFINITY;
    let wanted = ((frame.right - frame.left) / 80.0).max(2.0) as usize;
    for (value, label) in frame.x.ticks(wanted) {
        let (x, width) = (frame.x(value), canvas.width_of(&label, type_));
        let left = (x - width / 2.0).min(frame.right + 12.0 - width);
        canvas.line(&[(x, floor), (x, floor + 4.0)], 1.0, theme.faint, &[])?;
        if left > free {
            canvas.text(&label, (left, floor + 17.0), Anchor::Left, type_)?;
            free = left + width + 8.0;
        }
    }
    let middle = f64::midpoint(frame.left, frame.right);
    canvas.text(name, (middle, floor + 33.0), Anchor::Middle, type_)
}

/// Smallest to largest seed.
fn spread(
    line: &Line,
    form: Form,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    if line.stroke == Stroke::Background {
        return Ok(());
    }
    let places = frame.places(line, form);
    let colour = line.stroke.colour(theme);
    if let Form::Points(_) = form {
        return places.iter().try_for_each(|(x, _, low, high)| {
            canvas.line(&[(*x, *low), (*x, *high)], 1.6, between(colour, theme.paper, 0.5), &[])
        });
    }
    let spans: Vec<_> = places.iter().map(|(x, _, low, high)| (*x, *low, *high)).collect();
    canvas.band(&spans, colour.mix(0.13))
}

fn strokes(
    line: &Line,
    form: Form,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let points: Vec<_> = frame.places(line, form).iter().map(|(x, y, ..)| (*x, *y)).collect();
    let colour = line.stroke.colour(theme);
    canvas.line(&points, line.stroke.width(), colour, line.stroke.dash())?;
    if line.stroke == Stroke::Background {
        return Ok(());
    }
    let marked = if let Form::Points(_) = form { points.len() } else { 1 };
    for at in points.iter().rev().take(marked) {
        canvas.marker(*at, 3.2, colour, line.stroke.marker())?;
    }
    Ok(())
}

/// Names beside the ends, pushed apart until none overlap, each with a thin lead to its line. Curves by rank
/// all end near 100 %: their names stand in the order in which they begin.
fn names(
    chart: &Curves,
    forms: &[Form],
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let mut ends: Vec<(f64, f64, &Line)> = chart
        .lines
        .iter()
        .zip(forms)
        .filter(|(line, _)| line.stroke != Stroke::Background)
        .filter_map(|(line, form)| {
            frame.places(line, *form).last().map(|(x, y, ..)| (*x, *y, line))
        })
        .collect();
    let by_rank = chart.axis == RANK;
    let begins = |line: &Line| line.points.first().map_or(f64::NAN, |p| frame.y(p.1));
    let order = |end: &(f64, f64, &Line)| if by_rank { begins(end.2) } else { end.1 };
    ends.sort_by(|a, b| order(a).total_cmp(&order(b)));
    let wanted: Vec<f64> = if by_rank {
        (0..ends.len()).map(|place| frame.top + 15.0 * place as f64).collect()
    } else {
        ends.iter().map(|e| e.1).collect()
    };
    let places = apart(&wanted, 15.0, frame.top - 6.0, frame.bottom + 6.0);
    let room = f64::from(chart.width) - frame.right - 34.0;
    for ((x, y, line), place) in ends.into_iter().zip(places) {
        let colour = line.stroke.colour(theme);
        let start = frame.right + 8.0;
        let lead = [(x + 5.0, y), (start.max(x + 5.0), y), (start + 12.0, place)];
        let bold = line.stroke == Stroke::Baseline;
        let style = Type { bold, ..small(theme.ink) };
        let text = canvas.fitted(&line.label, room, style);
        canvas.of_arm(&line.label, || {
            if !by_rank {
                canvas.line(&lead, 0.8, theme.faint, &[])?;
            }
            canvas.marker((start + 16.0, place), 3.0, colour, line.stroke.marker())?;
            canvas.text(&text, (start + 23.0, place + 3.8), Anchor::Left, style)
        })?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;

    #[test]
    fn a_single_value_is_a_level_and_leaves_the_axis_to_the_curves() {
        let line = |points| Line { label: "a".into(), stroke: Stroke::Baseline, points };
        let chart = Curves {
            title: "mAP".into(),
            subtitle: String::new(),
            axis: "training step",
            may_be_log: false,
            lines: vec![
                line(vec![(200.0, 1.0, 1.0, 1.0), (400.0, 2.0, 2.0, 2.0)]),
                line(vec![(1360.0, 3.0, 2.5, 3.5)]),
            ],
            named: true,
            width: 320,
            height: 200,
        };
        assert_eq!(forms(&chart), [Form::Points(0.0), Form::Level]);
        assert_eq!(span(&chart, &forms(&chart)), (180.0, 420.0));
    }

    #[test]
    fn points_stay_beside_their_steps_however_many_arms_there_are() {
        let of = |stroke, low| Line {
            label: "a".into(),
            stroke,
            points: vec![(400.0, 1.0, low, 1.0), (800.0, 2.0, 2.0, 2.0)],
        };
        let mut lines: Vec<Line> = (0..30).map(|_| of(Stroke::Background, 0.5)).collect();
        lines.extend((0..7).map(|k| of(Stroke::Own(k), 0.5)));
        let mut chart = Curves {
            title: "mAP".into(),
            subtitle: String::new(),
            axis: "training step",
            may_be_log: false,
            lines,
            named: false,
            width: 340,
            height: 236,
        };
        let reach = |chart: &Curves| {
            let pixels = beside(chart, &forms(chart), 0.5);
            let places = forms(chart).into_iter().map(|form| match form {
                Form::Points(place) => place.abs() * pixels,
                _ => f64::NAN,
            });
            places.fold(0.0, f64::max)
        };
        assert!((1.0..0.3 * 200.0).contains(&reach(&chart)), "{}", reach(&chart));
        chart.lines.iter_mut().for_each(|line| line.points[0].2 = 1.0);
        assert_eq!(reach(&chart), 0.0, "without ranges nothing covers anything");
        chart.lines[0].points = (0..9).map(|k| (f64::from(k), 1.0, 1.0, 1.0)).collect();
        assert!(forms(&chart).iter().all(|form| *form == Form::Curve), "one form a chart");
    }

    #[test]
    fn empty_constant_and_single_point_charts_draw() {
        for points in
            [vec![], vec![(0.0, 1.0, 1.0, 1.0)], vec![(0.0, 2.0, 2.0, 2.0), (9.0, 2.0, 2.0, 2.0)]]
        {
            let line = Line { label: "full".into(), stroke: Stroke::Baseline, points };
            let chart = Curves {
                title: "loss".into(),
                subtitle: String::new(),
                axis: "training step",
                may_be_log: true,
                lines: vec![line],
                named: true,
                width: 320,
                height: 200,
            };
            assert_eq!(draw(&chart, &LIGHT).unwrap(), draw(&chart, &LIGHT).unwrap());
        }
    }
}
