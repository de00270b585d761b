//! The same shapes as the bitmap's, as SVG text: for papers. Text keeps the width that it was laid out
//! with, whatever font the reader has.

use std::fmt::Write;

use plotters::style::{RGBAColor, RGBColor};

use super::canvas::{Anchor, Type};

/// An SVG file in the making; sizes are CSS pixels.
#[derive(Debug)]
pub struct Svg {
    body: String,
}

type Point = (f64, f64);

impl Svg {
    /// An empty picture on paper.
    #[must_use]
    pub fn new(width: u32, height: u32, paper: RGBColor) -> Self {
        let body = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"'Source Sans 3','Source Sans Pro',Helvetica,Arial,sans-serif\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
            super::theme::hex(paper)
        );
        Self { body }
    }

    /// The file.
    #[must_use]
    pub fn finish(self) -> String {
        self.body + "</svg>\n"
    }

    /// Begins what belongs to an arm; [`Svg::end_of_arm`] ends it.
    pub fn begin_arm(&mut self, name: &str) {
        let _ = writeln!(self.body, "<g data-arm=\"{}\">", escaped(name));
    }

    /// Ends what belongs to an arm.
    pub fn end_of_arm(&mut self) {
        self.body.push_str("</g>\n");
    }

    /// One line of text, `width` wide; `y` is its baseline.
    pub fn text(&mut self, text: &str, at: Point, anchor: Anchor, style: Type, width: f64) {
        let anchor = match anchor {
            Anchor::Left => "start",
            Anchor::Middle => "middle",
            Anchor::Right => "end",
        };
        let weight = if style.bold { " font-weight=\"600\"" } else { "" };
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{weight} text-anchor=\"{anchor}\" fill=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            short(at.0),
            short(at.1),
            short(style.size),
            super::theme::hex(style.colour),
            short(width),
            escaped(text)
        );
    }

    /// A filled rectangle.
    pub fn rect(&mut self, (left, top): Point, (right, bottom): Point, colour: RGBAColor) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{}/>",
            short(left),
            short(top),
            short((right - left).max(0.0)),
            short((bottom - top).max(0.0)),
            fill(colour)
        );
    }

    /// A line through points.
    pub fn line(&mut self, points: &[Point], width: f64, colour: RGBColor, dash: &[f64]) {
        let dashes: Vec<String> = dash.iter().map(|d| short(*d)).collect();
        let dash = if dashes.is_empty() {
            String::new()
        } else {
            format!(" stroke-dasharray=\"{}\"", dashes.join(" "))
        };
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{dash}/>",
            listed(points),
            super::theme::hex(colour),
            short(width)
        );
    }

    /// A filled polygon.
    pub fn polygon(&mut self, points: &[Point], colour: RGBAColor) {
        let _ = writeln!(self.body, "<polygon points=\"{}\"{}/>", listed(points), fill(colour));
    }

    /// A filled circle.
    pub fn dot(&mut self, at: Point, radius: f64, colour: RGBColor) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
            short(at.0),
            short(at.1),
            short(radius),
            super::theme::hex(colour)
        );
    }
}

fn fill(RGBAColor(r, g, b, opacity): RGBAColor) -> String {
    let colour = super::theme::hex(RGBColor(r, g, b));
    if opacity < 1.0 {
        format!(" fill=\"{colour}\" fill-opacity=\"{}\"", short(opacity))
    } else {
        format!(" fill=\"{colour}\"")
    }
}

fn listed(points: &[Point]) -> String {
    let pairs: Vec<String> =
        points.iter().map(|(x, y)| format!("{},{}", short(*x), short(*y))).collect();
    pairs.join(" ")
}

/// Two decimals, none where they are zero.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_numbers_are_short() {
        let mut svg = Svg::new(10, 20, RGBColor(255, 255, 255));
        let style = Type { size: 11.0, bold: true, colour: RGBColor(0, 0, 0) };
        svg.begin_arm("<\">");
        svg.text("<a> & \u{7}b", (1.0, 2.345), Anchor::Right, style, 30.0);
        svg.end_of_arm();
        svg.line(&[(0.0, 0.0), (1.5, 2.0)], 1.0, RGBColor(1, 2, 3), &[2.0, 2.5]);
        let file = svg.finish();
        assert!(file.contains("&lt;a&gt; &amp; b</text>\n</g>"), "{file}");
        assert!(file.contains("<g data-arm=\"&lt;&quot;&gt;\">"), "{file}");
        assert!(
            file.contains("points=\"0,0 1.5,2\"") && file.contains("stroke-dasharray=\"2 2.5\"")
        );
        assert!(file.starts_with("<svg ") && file.ends_with("</svg>\n"));
    }
}
