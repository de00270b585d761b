//! Colours: two papers and the Okabe-Ito colours tuned to each, with a dash and a marker beside every
//! colour, so that curves stay apart in grey and for every kind of sight.

use std::fmt::Write;

use plotters::style::RGBColor;

use super::canvas::{Dash, Marker};

/// A paper and its inks.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Short name, used in file names: empty for light.
    pub suffix: &'static str,
    /// Background.
    pub paper: RGBColor,
    /// Text and the baseline.
    pub ink: RGBColor,
    /// Secondary text.
    pub soft: RGBColor,
    /// Grid lines.
    pub grid: RGBColor,
    /// Axis lines and arms that are not singled out.
    pub faint: RGBColor,
    /// The band of differences that do not matter.
    pub band: RGBColor,
    /// Worse.
    pub worse: RGBColor,
    /// Better.
    pub better: RGBColor,
    /// No difference that matters.
    pub same: RGBColor,
    /// Undecided.
    pub open: RGBColor,
    /// Curves, in order.
    pub curves: [RGBColor; 7],
}

const fn rgb(hex: u32) -> RGBColor {
    RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// Dark on white.
pub const LIGHT: Theme = Theme {
    suffix: "",
    paper: rgb(0xFF_FF_FF),
    ink: rgb(0x1B_1D_21),
    soft: rgb(0x5D_63_6B),
    grid: rgb(0xEC_ED_EF),
    faint: rgb(0xC4_C8_CC),
    band: rgb(0xEE_F1_F0),
    worse: rgb(0xC2_4E_00),
    better: rgb(0x00_66_A6),
    same: rgb(0x00_80_60),
    open: rgb(0x70_76_7E),
    curves: [
        rgb(0x00_72_B2),
        rgb(0xD5_5E_00),
        rgb(0x00_9E_73),
        rgb(0xCC_79_A7),
        rgb(0xE6_9F_00),
        rgb(0x56_B4_E9),
        rgb(0x8F_85_00),
    ],
};

/// Light on near-black.
pub const DARK: Theme = Theme {
    suffix: "-dark",
    paper: rgb(0x1A_1C_20),
    ink: rgb(0xEC_ED_EE),
    soft: rgb(0xA6_AB_B2),
    grid: rgb(0x2B_2E_34),
    faint: rgb(0x54_59_61),
    band: rgb(0x25_2B_2B),
    worse: rgb(0xF0_8A_48),
    better: rgb(0x5F_B4_EE),
    same: rgb(0x3F_C4_9A),
    open: rgb(0x9A_A0_A8),
    curves: [
        rgb(0x4C_A6_E8),
        rgb(0xF0_7A_2E),
        rgb(0x2F_BF_93),
        rgb(0xE0_96_BF),
        rgb(0xF2_B5_2E),
        rgb(0x8F_CF_F5),
        rgb(0xD6_CB_4A),
    ],
};

impl Theme {
    fn colours(&self) -> impl Iterator<Item = RGBColor> {
        let inks = [self.paper, self.ink, self.soft, self.grid, self.faint, self.band];
        let tones = [self.worse, self.better, self.same, self.open];
        inks.into_iter().chain(tones).chain(self.curves)
    }
}

/// Rules by which a dark screen shows a drawing on light paper in the colours of dark paper.
#[must_use]
pub fn dark_rules() -> String {
    let mut rules = String::from("@media screen and (prefers-color-scheme: dark) {\n");
    for (light, dark) in LIGHT.colours().zip(DARK.colours()).map(|(l, d)| (hex(l), hex(d))) {
        for kind in ["fill", "stroke"] {
            let _ = writeln!(rules, "  .drawing [{kind}=\"{light}\"] {{ {kind}: {dark}; }}");
        }
    }
    rules + "}\n"
}

/// How one arm's curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// The baseline: ink, solid, heavier.
    Baseline,
    /// A colour of its own, by place.
    Own(usize),
    /// One of the many.
    Background,
}

/// A colour between two, from the first at 0 to the second at 1.
#[must_use]
pub fn between(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix =
        |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share) as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Dash patterns, one per colour.
pub const DASHES: [Dash; 7] = [
    &[7.0, 2.5],
    &[2.2, 2.2],
    &[9.0, 2.5, 2.0, 2.5],
    &[4.5, 2.0],
    &[12.0, 3.0],
    &[1.4, 3.2],
    &[6.0, 2.0, 1.5, 2.0, 1.5, 2.0],
];

/// Markers, one per colour.
pub const MARKERS: [Marker; 7] = [
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
];

impl Stroke {
    /// Colour on a paper.
    #[must_use]
    pub fn colour(self, theme: &Theme) -> RGBColor {
        match self {
            Self::Baseline => theme.ink,
            Self::Own(place) => theme.curves[place % theme.curves.len()],
            Self::Background => theme.faint,
        }
    }

    /// Dash pattern.
    #[must_use]
    pub fn dash(self) -> Dash {
        match self {
            Self::Own(place) => DASHES[place % DASHES.len()],
            _ => &[],
        }
    }

    /// Line width in CSS pixels.
    #[must_use]
    pub fn width(self) -> f64 {
        match self {
            Self::Baseline => 2.2,
            Self::Own(_) => 1.7,
            Self::Background => 1.0,
        }
    }

    /// Marker at the end.
    #[must_use]
    pub fn marker(self) -> Marker {
        match self {
            Self::Own(place) => MARKERS[place % MARKERS.len()],
            _ => Marker::Circle,
        }
    }
}

/// `#rrggbb`.
#[must_use]
pub fn hex(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}
