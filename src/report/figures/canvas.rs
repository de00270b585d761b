//! A small canvas over plotters' bitmap backend: sizes in CSS pixels, drawn four times as large and
//! averaged down to two, so that a chart is smooth and the same bytes on every machine. What is drawn
//! goes to an SVG file as well.
//! Knows colours and shapes, not charts.

use std::cell::RefCell;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::lettering;
use super::svg::Svg;

/// Drawn pixels per CSS pixel.
const DRAWN: f64 = 4.0;
/// Drawn pixels per kept pixel, each way; pictures are kept at twice their CSS size.
const AVERAGED: u32 = 2;
/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw a chart: {0}")]
pub struct FigureError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for FigureError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// An encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// PNG, at twice the CSS size.
    pub png: Vec<u8>,
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
    /// The same as SVG.
    pub svg: String,
}

/// Where text is anchored horizontally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// x is its left end.
    Left,
    /// x is its middle.
    Middle,
    /// x is its right end.
    Right,
}

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub struct Type {
    /// Em in CSS pixels.
    pub size: f64,
    /// Semibold instead of regular.
    pub bold: bool,
    /// Colour.
    pub colour: RGBColor,
}

/// On and off lengths of a dashed line, in CSS pixels; empty for a solid one.
pub type Dash = &'static [f64];

/// The shape that marks a curve, so that it survives grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Filled circle.
    Circle,
    /// Filled square.
    Square,
    /// Filled triangle.
    Triangle,
    /// Filled diamond.
    Diamond,
}

/// A surface to draw on.
pub struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
    svg: RefCell<Svg>,
}

/// Draws a picture of `width` x `height` CSS pixels.
///
/// # Errors
/// What `draw` returns, an unusable font, or a picture too large to encode.
pub fn render(
    width: u32,
    height: u32,
    paper: RGBColor,
    draw: impl FnOnce(&Canvas<'_>) -> Result<(), FigureError>,
) -> Result<Picture, FigureError> {
    let (w, h) = (width * DRAWN as u32, height * DRAWN as u32);
    let mut drawn = vec![0_u8; w as usize * h as usize * 3];
    let svg = {
        let area = BitMapBackend::with_buffer(&mut drawn, (w, h)).into_drawing_area();
        area.fill(&paper)?;
        let canvas = Canvas { area, svg: RefCell::new(Svg::new(width, height, paper)) };
        draw(&canvas)?;
        canvas.area.present()?;
        let Canvas { svg, .. } = canvas;
        svg.into_inner().finish()
    };
    let kept = average(&drawn, w as usize, h as usize);
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive)
        .write_image(&kept, w / AVERAGED, h / AVERAGED, ExtendedColorType::Rgb8)
        .map_err(|error| FigureError(error.to_string()))?;
    Ok(Picture { png, width, height, svg })
}

/// Means of 2x2 pixels.
fn average(drawn: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut kept = Vec::with_capacity(drawn.len() / 4);
    for rows in drawn.chunks_exact(width * 6).take(height / 2) {
        let (upper, lower) = rows.split_at(width * 3);
        for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for channel in 0..3 {
                let sum = [a[channel], a[channel + 3], b[channel], b[channel + 3]];
                kept.push((sum.iter().map(|v| u16::from(*v)).sum::<u16>().div_ceil(4)) as u8);
            }
        }
    }
    kept
}

fn px(value: f64) -> i32 {
    (value * DRAWN).round() as i32
}

impl Canvas<'_> {
    /// Draws what belongs to an arm; in the SVG it can be told apart.
    ///
    /// # Errors
    /// What `draw` returns.
    pub fn of_arm(
        &self,
        name: &str,
        draw: impl FnOnce() -> Result<(), FigureError>,
    ) -> Result<(), FigureError> {
        self.svg.borrow_mut().begin_arm(name);
        let drawn = draw();
        self.svg.borrow_mut().end_of_arm();
        drawn
    }

    /// Width of a text in CSS pixels.
    #[must_use]
    pub fn width_of(&self, text: &str, style: Type) -> f64 {
        f64::from(lettering::width(text, (style.size * DRAWN) as f32, style.bold)) / DRAWN
    }

    /// Writes one line; `y` is its baseline.
    ///
    /// # Errors
    /// What the backend says.
    pub fn text(
        &self,
        text: &str,
        (x, y): (f64, f64),
        anchor: Anchor,
        style: Type,
    ) -> Result<(), FigureError> {
        let width = self.width_of(text, style);
        let shift = match anchor {
            Anchor::Left => 0.0,
            Anchor::Middle => width / 2.0,
            Anchor::Right => width,
        };
        if !text.is_empty() {
            self.svg.borrow_mut().text(text, (x, y), anchor, style, width);
        }
        let start = (((x - shift) * DRAWN) as f32, (y * DRAWN).round() as f32);
        let mut outcome = Ok(());
        lettering::draw(text, (style.size * DRAWN) as f32, style.bold, start, |x, y, ink| {
            let inside = x >= 0 && y >= 0;
            if ink > 0.0 && inside && outcome.is_ok() {
                outcome = self.area.draw_pixel((x, y), &style.colour.mix(f64::from(ink.min(1.0))));
            }
        });
        Ok(outcome?)
    }

    /// The text, shortened with an ellipsis until it fits `width`.
    #[must_use]
    pub fn fitted(&self, text: &str, width: f64, style: Type) -> String {
        if self.width_of(text, style) <= width {
            return text.to_owned();
        }
        let mut letters: Vec<char> = text.chars().collect();
        while letters.pop().is_some() {
            let short = format!("{}\u{2026}", letters.iter().collect::<String>().trim_end());
            if self.width_of(&short, style) <= width {
                return short;
            }
        }
        String::new()
    }

    /// Fills a rectangle.
    ///
    /// # Errors
    /// What the backend says.
    pub fn rect(
        &self,
        (left, top): (f64, f64),
        (right, bottom): (f64, f64),
        colour: RGBAColor,
    ) -> Result<(), FigureError> {
        self.svg.borrow_mut().rect((left, top), (right, bottom), colour);
        self.fill((left, top), (right, bottom), colour)
    }

    fn fill(
        &self,
        (left, top): (f64, f64),
        (right, bottom): (f64, f64),
        colour: RGBAColor,
    ) -> Result<(), FigureError> {
        let corners = [(px(left), px(top)), (px(right), px(bottom))]; // ends are exclusive
        Ok(self.area.draw(&Rectangle::new(corners, colour.filled()))?)
    }

    /// A line through points, with round joins.
    ///
    /// # Errors
    /// What the backend says.
    pub fn line(
        &self,
        points: &[(f64, f64)],
        width: f64,
        colour: RGBColor,
        dash: Dash,
    ) -> Result<(), FigureError> {
        self.svg.borrow_mut().line(points, width, colour, dash);
        for piece in dashed(points, dash) {
            for ends in piece.windows(2) {
                self.segment(ends[0], ends[1], width, colour)?;
            }
            for joint in inner(&piece) {
                self.disc(*joint, width / 2.0, colour)?;
            }
        }
        Ok(())
    }

    fn segment(
        &self,
        a: (f64, f64),
        b: (f64, f64),
        width: f64,
        colour: RGBColor,
    ) -> Result<(), FigureError> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let length = dx.hypot(dy);
        if length <= 0.0 {
            return Ok(());
        }
        let (half, reach) = (width / 2.0, width / 2.0);
        if dx.abs() < 1e-9 {
            let (top, bottom) = (a.1.min(b.1), a.1.max(b.1));
            return self.fill((a.0 - half, top), (a.0 + half, bottom), colour.to_rgba());
        }
        if dy.abs() < 1e-9 {
            let (left, right) = (a.0.min(b.0), a.0.max(b.0));
            return self.fill((left, a.1 - reach), (right, a.1 + reach), colour.to_rgba());
        }
        let (nx, ny) = (-dy / length * half, dx / length * half);
        self.shape(
            &[
                (a.0 + nx, a.1 + ny),
                (b.0 + nx, b.1 + ny),
                (b.0 - nx, b.1 - ny),
                (a.0 - nx, a.1 - ny),
            ],
            colour,
        )
    }

    /// Fills a polygon.
    ///
    /// # Errors
    /// What the backend says.
    pub fn polygon(&self, points: &[(f64, f64)], colour: RGBColor) -> Result<(), FigureError> {
        self.svg.borrow_mut().polygon(points, colour.to_rgba());
        self.shape(points, colour)
    }

    fn shape(&self, points: &[(f64, f64)], colour: RGBColor) -> Result<(), FigureError> {
        let points: Vec<(i32, i32)> = points.iter().map(|(x, y)| (px(*x), px(*y))).collect();
        Ok(self.area.draw(&Polygon::new(points, colour))?)
    }

    /// Fills a circle.
    ///
    /// # Errors
    /// What the backend says.
    pub fn dot(&self, at: (f64, f64), radius: f64, colour: RGBColor) -> Result<(), FigureError> {
        self.svg.borrow_mut().dot(at, radius, colour);
        self.disc(at, radius, colour)
    }

    fn disc(&self, at: (f64, f64), radius: f64, colour: RGBColor) -> Result<(), FigureError> {
        let circle = Circle::new((px(at.0), px(at.1)), px(radius), colour.filled());
        Ok(self.area.draw(&circle)?)
    }

    /// Draws a marker of about `radius`.
    ///
    /// # Errors
    /// What the backend says.
    pub fn marker(
        &self,
        (x, y): (f64, f64),
        radius: f64,
        colour: RGBColor,
        shape: Marker,
    ) -> Result<(), FigureError> {
        let r = radius;
        match shape {
            Marker::Circle => self.dot((x, y), r, colour),
            Marker::Square => {
                let side = r * 0.9;
                self.rect((x - side, y - side), (x + side, y + side), colour.to_rgba())
            }
            Marker::Triangle => self.polygon(
                &[(x, y - r * 1.25), (x + r * 1.1, y + r * 0.8), (x - r * 1.1, y + r * 0.8)],
                colour,
            ),
            Marker::Diamond => {
                let reach = r * 1.3;
                self.polygon(
                    &[(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)],
                    colour,
                )
            }
        }
    }

    /// Fills between two curves over the same ascending x, column by column, so that a translucent
    /// band never darkens where it folds.
    ///
    /// # Errors
    /// What the backend says.
    pub fn band(&self, spans: &[(f64, f64, f64)], colour: RGBAColor) -> Result<(), FigureError> {
        let upper = spans.iter().map(|(x, _, high)| (*x, *high));
        let lower = spans.iter().rev().map(|(x, low, _)| (*x, *low));
        if spans.len() > 1 {
            let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
            self.svg.borrow_mut().polygon(&outline, colour);
        }
        for pair in spans.windows(2) {
            let ((x0, low0, high0), (x1, low1, high1)) = (pair[0], pair[1]);
            for column in px(x0)..px(x1) {
                let share = (f64::from(column) / DRAWN - x0) / (x1 - x0);
                let (top, bottom) = (high0 + (high1 - high0) * share, low0 + (low1 - low0) * share);
                let (top, bottom) = (px(top.min(bottom)), px(top.max(bottom)) + 1);
                let corners = [(column, top), (column + 1, bottom)];
                self.area.draw(&Rectangle::new(corners, colour.filled()))?;
            }
        }
        Ok(())
    }
}

fn inner(points: &[(f64, f64)]) -> &[(f64, f64)] {
    match points {
        [_, inner @ .., _] => inner,
        _ => &[],
    }
}

/// Cuts a line into its visible pieces.
fn dashed(points: &[(f64, f64)], dash: Dash) -> Vec<Vec<(f64, f64)>> {
    if dash.is_empty() || points.len() < 2 {
        return vec![points.to_vec()];
    }
    let (mut pieces, mut piece) = (Vec::new(), vec![points[0]]);
    let (mut phase, mut left) = (0, dash[0]);
    for ends in points.windows(2) {
        let (mut from, to) = (ends[0], ends[1]);
        let mut length = (to.0 - from.0).hypot(to.1 - from.1);
        while length > left {
            let share = left / length;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            length -= left;
            if phase % 2 == 0 {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![from];
            }
            phase += 1;
            left = dash[phase % dash.len()].max(0.1);
        }
        left -= length;
        if phase % 2 == 0 {
            piece.push(to);
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_line() {
        let pieces = dashed(&[(0.0, 0.0), (10.0, 0.0)], &[2.0, 3.0]);
        let drawn: f64 = pieces.iter().map(|p| p[p.len() - 1].0 - p[0].0).sum();
        assert_eq!(pieces.len(), 2);
        assert!((drawn - 4.0).abs() < 1e-9);
        assert_eq!(dashed(&[(0.0, 0.0), (1.0, 1.0)], &[]).len(), 1);
    }
}
