//! Arms in two metrics: points with names, and the line of those that no other point beats in both.

use plotters::style::Color;

use super::axis::Scale;
use super::canvas::{Anchor, Canvas, FigureError, Marker, Picture, Type, render};
use super::layout::{Name, Rect, beside};
use super::response::{heading, small};
use super::theme::Theme;

/// An arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// Name.
    pub label: String,
    /// Value across and upwards, in shown units.
    pub at: (f64, f64),
    /// Lines either way, across and upwards; 0 for none.
    pub spread: (f64, f64),
    /// Whether no other beats it in both.
    pub in_front: bool,
    /// Whether the others are compared with it.
    pub is_baseline: bool,
}

/// The chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Title and unit of what goes upwards.
    pub title: String,
    /// Its direction.
    pub subtitle: String,
    /// What goes across, with its direction.
    pub axis: String,
    /// Whether more is better, across and upwards.
    pub higher: (bool, bool),
    /// Arms; earlier ones choose the places of their names first.
    pub spots: Vec<Spot>,
}

/// Radius of a point, CSS pixels.
const DOT: f64 = 4.2;

struct Frame {
    area: Rect,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let Rect { left, top, right, bottom } = self.area;
        (left + self.x.place(x) * (right - left), bottom - self.y.place(y) * (bottom - top))
    }
}

/// Draws it.
///
/// # Errors
/// What the backend says.
pub fn draw(
    chart: &Scatter,
    theme: &Theme,
    width: u32,
    height: u32,
) -> Result<Picture, FigureError> {
    render(width, height, theme.paper, |canvas| {
        heading(&chart.title, &chart.subtitle, f64::from(width), canvas, theme)?;
        let frame = frame(chart, canvas, theme, (f64::from(width), f64::from(height)));
        axes(chart, &frame, canvas, theme)?;
        canvas.line(&stairs(chart, &frame), 1.4, theme.better, &[])?;
        for spot in &chart.spots {
            cross(spot, &frame, canvas, theme)?;
        }
        names_and_marks(chart, &frame, canvas, theme)
    })
}

fn frame(
    chart: &Scatter,
    canvas: &Canvas<'_>,
    theme: &Theme,
    (width, height): (f64, f64),
) -> Frame {
    let scale = |values: &dyn Fn(&Spot) -> (f64, f64)| {
        let (low, high) = chart
            .spots
            .iter()
            .map(values)
            .flat_map(|(value, spread)| [value, value - spread, value + spread])
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        Scale::linear(low, high)
    };
    let y = scale(&|spot| (spot.at.1, spot.spread.1));
    let widest = y
        .ticks(5)
        .iter()
        .map(|(_, label)| canvas.width_of(label, small(theme.soft)))
        .fold(0.0, f64::max);
    let area = Rect { left: 20.0 + widest, top: 46.0, right: width - 16.0, bottom: height - 44.0 };
    Frame { area, x: scale(&|spot| (spot.at.0, spot.spread.0)), y }
}

fn axes(
    chart: &Scatter,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let Rect { left, top, right, bottom } = frame.area;
    let soft = small(theme.soft);
    for (value, label) in frame.y.ticks(5) {
        let y = bottom - frame.y.place(value) * (bottom - top);
        canvas.line(&[(left, y), (right, y)], 1.0, theme.grid, &[])?;
        canvas.text(&label, (left - 8.0, y + 3.8), Anchor::Right, soft)?;
    }
    canvas.line(&[(left, bottom), (right, bottom)], 1.0, theme.faint, &[])?;
    let mut free = f64::NEG_INFINITY;
    for (value, label) in frame.x.ticks(((right - left) / 90.0).max(2.0) as usize) {
        let x = left + frame.x.place(value) * (right - left);
        let half = canvas.width_of(&label, soft) / 2.0;
        canvas.line(&[(x, bottom), (x, bottom + 4.0)], 1.0, theme.faint, &[])?;
        if x - half > free && x + half < right + 14.0 {
            canvas.text(&label, (x, bottom + 17.0), Anchor::Middle, soft)?;
            free = x + half + 8.0;
        }
    }
    let axis = canvas.fitted(&chart.axis, right - 8.0, soft);
    canvas.text(&axis, (right, bottom + 35.0), Anchor::Right, soft)
}

/// The edge of what the front beats: flat and upright pieces between its points, out to the frame.
fn stairs(chart: &Scatter, frame: &Frame) -> Vec<(f64, f64)> {
    let mut front: Vec<(f64, f64)> =
        chart.spots.iter().filter(|s| s.in_front).map(|s| frame.at(s.at)).collect();
    // from the worst across to the best; screen y grows downwards
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    if !chart.higher.0 {
        front.reverse();
    }
    let (Some(first), Some(last)) = (front.first().copied(), front.last().copied()) else {
        return Vec::new();
    };
    let Rect { left, top, right, bottom } = frame.area;
    let start = if chart.higher.0 { left } else { right };
    let end = if chart.higher.1 { bottom } else { top };
    let mut line = vec![(start, first.1), first];
    for pair in front.windows(2) {
        line.extend([(pair[0].0, pair[1].1), pair[1]]);
    }
    line.push((last.0, end));
    line
}

/// How sure a point is: faint, so that forty of them stay a background.
fn cross(
    spot: &Spot,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let ((x, y), (across, up)) = (spot.at, spot.spread);
    for ends in [[(x - across, y), (x + across, y)], [(x, y - up), (x, y + up)]] {
        let is_drawn = ends.iter().all(|end| end.0.is_finite() && end.1.is_finite());
        if is_drawn && ends[0] != ends[1] {
            canvas.line(&ends.map(|end| frame.at(end)), 1.0, theme.faint, &[])?;
        }
    }
    Ok(())
}

fn mark(
    spot: &Spot,
    at: (f64, f64),
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let shape = if spot.is_baseline { Marker::Diamond } else { Marker::Circle };
    let colour = match (spot.is_baseline, spot.in_front) {
        (true, _) => theme.ink,
        (_, true) => theme.better,
        _ => theme.open,
    };
    canvas.marker(at, DOT + 1.2, theme.paper, shape)?;
    canvas.marker(at, DOT, colour, shape)?;
    // hollow: another arm beats it
    if spot.in_front { Ok(()) } else { canvas.marker(at, DOT - 1.6, theme.paper, shape) }
}

/// Points, and names where they find room, the front first; a name that stands off has a line to its point.
fn names_and_marks(
    chart: &Scatter,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let room = (frame.area.right - frame.area.left) * 0.3;
    let style = |spot: &Spot| Type {
        bold: spot.in_front || spot.is_baseline,
        ..small(if spot.in_front { theme.ink } else { theme.soft })
    };
    let points: Vec<(f64, f64)> = chart.spots.iter().map(|spot| frame.at(spot.at)).collect();
    let texts: Vec<String> =
        chart.spots.iter().map(|spot| canvas.fitted(&spot.label, room, style(spot))).collect();
    let wanted: Vec<Name> = chart
        .spots
        .iter()
        .zip(&texts)
        .map(|(spot, text)| Name {
            size: (canvas.width_of(text, style(spot)), 13.0),
            insists: spot.in_front || spot.is_baseline,
        })
        .collect();
    let outer = Rect {
        left: frame.area.left + 2.0,
        top: frame.area.top - 14.0,
        right: frame.area.right + 14.0,
        bottom: frame.area.bottom - 2.0,
    };
    let stairs = stairs(chart, frame);
    let lines: Vec<Rect> = stairs.windows(2).map(|l| Rect::along(l[0], l[1], 1.0)).collect();
    let places = beside(&points, &wanted, DOT + 1.0, outer, &lines);
    for (at, place) in points.iter().zip(&places) {
        if let Some(end) = place.and_then(|place| place.lead(*at)) {
            canvas.line(&[*at, end], 0.8, theme.soft, &[])?;
        }
    }
    for spot in chart.spots.iter().rev() {
        mark(spot, frame.at(spot.at), canvas, theme)?;
    }
    for ((spot, text), place) in chart.spots.iter().zip(&texts).zip(places) {
        let Some(place) = place else { continue };
        let halo = theme.paper.mix(0.75);
        canvas.rect((place.left, place.top), (place.right, place.bottom), halo)?;
        canvas.text(text, (place.left, place.bottom - 2.8), Anchor::Left, style(spot))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;

    fn chart(at: &[(f64, f64)], higher: (bool, bool)) -> Scatter {
        let spot = |at: &(f64, f64)| Spot {
            label: "an_arm_with_a_long_name".into(),
            at: *at,
            spread: (0.3, 0.2),
            in_front: true,
            is_baseline: false,
        };
        Scatter {
            title: "mAP (%)".into(),
            subtitle: "higher is better".into(),
            axis: "swap psnr (dB)".into(),
            higher,
            spots: at.iter().map(spot).collect(),
        }
    }

    #[test]
    fn the_line_never_runs_through_what_beats_it() {
        let frame = Frame {
            area: Rect { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 },
            x: Scale::exact(0.0, 100.0),
            y: Scale::exact(0.0, 100.0),
        };
        let both = stairs(&chart(&[(80.0, 20.0), (20.0, 80.0)], (true, true)), &frame);
        assert_eq!(both, [(0.0, 20.0), (20.0, 20.0), (20.0, 80.0), (80.0, 80.0), (80.0, 100.0)]);
        let less = stairs(&chart(&[(20.0, 20.0), (80.0, 80.0)], (false, true)), &frame);
        assert_eq!(less, [(100.0, 20.0), (80.0, 20.0), (80.0, 80.0), (20.0, 80.0), (20.0, 100.0)]);
    }

    #[test]
    fn demanding_points_draw() {
        for at in [vec![], vec![(0.5, 0.5)], vec![(1.0, 2.0); 40], vec![(1e-6, 1e12), (1e6, -1e12)]]
        {
            let mut chart = chart(&at, (true, false));
            draw(&chart, &LIGHT, 360, 300).unwrap();
            chart.spots.iter_mut().take(1).for_each(|spot| spot.spread = (f64::NAN, f64::INFINITY));
            draw(&chart, &LIGHT, 360, 300).unwrap();
        }
    }
}
