//! How a metric is spoken about: its title, unit, scale and digits. Values stay in the metric's own
//! unit everywhere; only text and axes are scaled here.

use crate::spec::metrics::{self, Direction};
use crate::store::rows::MetricDef;

/// A metric as tables and axes show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Name in the database.
    pub name: String,
    /// Unit of a value, empty for none: `%`, `dB`, `s`.
    pub unit: String,
    /// Factor from the stored value to the shown one: 100 for shares shown in per cent.
    pub scale: f64,
    /// Whether larger is better; `None` where neither is.
    pub higher: Option<bool>,
}

impl Measure {
    /// From the definitions of a study, else the program's own; an unknown name gets no unit and no
    /// direction.
    #[must_use]
    pub fn of(name: &str, defs: &[MetricDef]) -> Self {
        let def = defs.iter().find(|d| d.name == name);
        // shares read best in per cent
        let share = metrics::is_share(name);
        let stored = def.map_or("", |d| d.unit.as_str());
        Self {
            name: name.to_owned(),
            unit: if share && stored.is_empty() { "%".to_owned() } else { stored.to_owned() },
            scale: if share { 100.0 } else { 1.0 },
            higher: match (def.map(|d| d.direction.as_str()), metrics::lookup(name)) {
                (Some("higher"), _) => Some(true),
                (Some("lower"), _) => Some(false),
                // before the first run began, the database defines nothing
                (None, Some(known)) if known.direction == Direction::Higher => Some(true),
                (None, Some(known)) if known.direction == Direction::Lower => Some(false),
                _ => None,
            },
        }
    }

    /// The name for people: `rank1` is `rank-1`, underscores are spaces; losses keep their names.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.starts_with("loss_") {
            return self.name.clone();
        }
        match self.name.strip_prefix("rank").map(|rest| rest.split_once('_').unwrap_or((rest, "")))
        {
            Some((k, rest)) if !k.is_empty() => format!("rank-{k} {rest}").trim().to_owned(),
            _ => self.name.replace('_', " "),
        }
    }

    /// A margin of differences as it was stated, with its unit.
    #[must_use]
    pub fn margin(&self, value: f64) -> String {
        let scaled = value * self.scale;
        let decimals = (0..6).find(|d| (scaled * 10f64.powi(*d)).fract().abs() < 1e-9).unwrap_or(6);
        format!("{} {}", number(scaled, decimals as usize), self.difference_unit())
            .trim()
            .to_owned()
    }

    /// Title and unit: `mAP (%)`.
    #[must_use]
    pub fn heading(&self) -> String {
        if self.unit.is_empty() {
            self.title()
        } else {
            format!("{} ({})", self.title(), self.unit)
        }
    }

    /// Unit of a difference: points for percentages.
    #[must_use]
    pub fn difference_unit(&self) -> &str {
        if self.unit == "%" { "points" } else { &self.unit }
    }

    /// A value without its unit.
    #[must_use]
    pub fn value(&self, value: f64) -> String {
        number(value * self.scale, self.digits(value))
    }

    /// An end of an interval: a share never leaves 0 to 100 %.
    #[must_use]
    pub fn bound(&self, value: f64) -> String {
        self.value(if self.unit == "%" { value.clamp(0.0, 1.0) } else { value })
    }

    /// A difference with its sign.
    #[must_use]
    pub fn difference(&self, value: f64) -> String {
        let text = number(value * self.scale, self.digits(value));
        let zero = text.chars().all(|c| !c.is_ascii_digit() || c == '0');
        match text.strip_prefix(MINUS) {
            Some(rest) if zero => rest.to_owned(),
            None if !zero && value > 0.0 => format!("+{text}"),
            _ => text,
        }
    }

    /// The size of a difference with its unit: `3.1 points mAP`, `0.02 dB swap psnr`.
    #[must_use]
    pub fn amount(&self, value: f64) -> String {
        let size = number(value.abs() * self.scale, self.digits(value));
        [size.as_str(), self.difference_unit(), &self.title()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// `higher is better`, `lower is better` or nothing.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        match self.higher {
            Some(true) => "higher is better",
            Some(false) => "lower is better",
            None => "",
        }
    }

    fn digits(&self, value: f64) -> usize {
        if self.unit == "%" { 1 } else { significant(value * self.scale) }
    }
}

/// The sign that is as wide as a plus.
pub const MINUS: char = '\u{2212}';

/// Decimals that leave about three significant digits.
#[must_use]
pub fn significant(value: f64) -> usize {
    match value.abs() {
        v if v >= 100.0 || v == 0.0 || !v.is_finite() => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        _ => 4,
    }
}

/// A number for people: thin spaces between thousands, a true minus, powers of ten where decimals
/// would say nothing.
#[must_use]
pub fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "not a number" } else { "infinite" }.to_owned();
    }
    let size = value.abs();
    if size >= 1e7 || (size > 0.0 && size < 0.5 * 10f64.powi(-(decimals.max(3) as i32) - 1)) {
        return format!("{value:.1e}").replace('-', &MINUS.to_string());
    }
    let text = format!("{size:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && whole.len() > 4 && (whole.len() - place) % 3 == 0 {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 && text.chars().any(|c| c.is_ascii_digit() && c != '0') {
        MINUS.to_string()
    } else {
        String::new()
    };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// Seconds for people: `41 s`, `3 min 20 s`, `2 h 05 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7_200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes for people, in powers of 1024.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return format!("{value:.0} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.2} GiB")
}

/// `1 seed`, `3 seeds`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Words in a row: `a, b and c`.
#[must_use]
pub fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def(name: &str, unit: &str, direction: &str) -> MetricDef {
        MetricDef { name: name.into(), unit: unit.into(), direction: direction.into() }
    }

    #[test]
    fn shares_are_shown_in_per_cent_and_differences_in_points() {
        let map = Measure::of("mAP", &[def("mAP", "", "higher")]);
        assert_eq!(map.value(0.6134), "61.3");
        assert_eq!(map.difference(-0.0312), "\u{2212}3.1");
        assert_eq!(map.difference(0.0312), "+3.1");
        assert_eq!(map.difference(-0.0001), "0.0");
        assert_eq!(map.amount(-0.031), "3.1 points mAP");
        assert_eq!(Measure::of("rank1_fine", &[]).title(), "rank-1 fine");
    }

    #[test]
    fn numbers_of_every_size_stay_short() {
        assert_eq!(number(1_234_567.0, 0), "1\u{2009}234\u{2009}567");
        assert_eq!(number(1.0e12, 0), "1.0e12");
        assert_eq!(number(3.0e-9, 4), "3.0e\u{2212}9");
        assert_eq!(number(f64::NAN, 1), "not a number");
        assert_eq!(number(-0.01, 1), "0.0");
        let loss = Measure::of("loss_img_1", &[def("loss_img_1", "", "lower")]);
        assert_eq!(loss.value(0.123_456), "0.123");
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration(3.21), "3.2 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(7_500.0), "2 h 05 min");
        assert_eq!(bytes(1_610_612_736), "1.50 GiB");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
