//! Charts of several metrics at once: the primary one over each other that counts.

use super::super::ReportError;
use super::super::figures::Theme;
use super::super::figures::scatter::{self, Scatter, Spot};
use super::super::front::Several;
use super::super::measure::{Measure, count, list};
use super::{Figure, PHONE, Place, WIDE, file_stem, renderings};
use crate::store::rows::StudyData;

/// One chart a metric beside the primary one.
pub fn draw(data: &StudyData, several: Option<&Several>) -> Result<Vec<Figure>, ReportError> {
    let Some(several) = several else { return Ok(Vec::new()) };
    (1..several.measures.len()).map(|other| figure(data, several, other)).collect()
}

fn figure(data: &StudyData, several: &Several, other: usize) -> Result<Figure, ReportError> {
    let (primary, across) = (&several.measures[0], &several.measures[other]);
    let front = several.front(&[0, other]);
    let mut spots: Vec<Spot> = several
        .points
        .iter()
        .zip(&front)
        .filter_map(|(point, inside)| {
            let arm = &data.arms[point.place];
            let error = |k: usize, measure: &Measure| {
                point.errors[k].map_or(0.0, |error| error * measure.scale)
            };
            Some(Spot {
                label: arm.name.clone(),
                at: (point.means[other]? * across.scale, point.means[0]? * primary.scale),
                spread: (error(other, across), error(0, primary)),
                in_front: *inside,
                is_baseline: arm.name == data.study.baseline,
            })
        })
        .collect();
    // names of the front find their places first, then the baseline's, then the best ones'
    spots.sort_by(|a, b| {
        let rank = |spot: &Spot| (!spot.in_front, !spot.is_baseline);
        let better = if primary.higher == Some(false) {
            a.at.1.total_cmp(&b.at.1)
        } else {
            b.at.1.total_cmp(&a.at.1)
        };
        rank(a).cmp(&rank(b)).then(better)
    });
    let best: Vec<String> =
        spots.iter().filter(|spot| spot.in_front).map(|spot| spot.label.clone()).collect();
    let compared = spots.len();
    let named = |measure: &Measure| format!("{}, {}", measure.heading(), measure.direction());
    let chart = Scatter {
        title: primary.heading(),
        subtitle: primary.direction().to_owned(),
        axis: named(across),
        higher: (across.higher == Some(true), primary.higher == Some(true)),
        spots: merged(spots),
    };
    let stem = format!("front-{}", file_stem(&across.name));
    let sizes = [(WIDE, 360, false), (PHONE, 320, true)];
    let images = renderings(&stem, &sizes, |theme: &Theme, width, height| {
        scatter::draw(&chart, theme, width, height)
    })?;
    let alt = format!(
        "{} over {}, means of {}: no arm beats {} in both.",
        named(primary),
        named(across),
        count(compared, "arm"),
        list(&best)
    );
    let title = format!("{} over {}", primary.title(), across.title());
    Ok(Figure { place: Place::Front, title, alt, images })
}

/// Arms that tie in both are one point with all their names.
fn merged(spots: Vec<Spot>) -> Vec<Spot> {
    let mut merged: Vec<Spot> = Vec::new();
    for spot in spots {
        let same = |other: &&mut Spot| {
            other.at.0.total_cmp(&spot.at.0).is_eq() && other.at.1.total_cmp(&spot.at.1).is_eq()
        };
        if let Some(other) = merged.iter_mut().find(same) {
            other.label = format!("{}, {}", other.label, spot.label);
            other.is_baseline |= spot.is_baseline;
        } else {
            merged.push(spot);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_one_point_with_all_names() {
        let spot = |label: &str, x: f64| Spot {
            label: label.into(),
            at: (x, 1.0),
            spread: (0.0, 0.0),
            in_front: true,
            is_baseline: label == "b",
        };
        let merged = merged(vec![spot("a", 0.0), spot("b", 0.0), spot("c", 2.0)]);
        let labels: Vec<(&str, bool)> =
            merged.iter().map(|spot| (spot.label.as_str(), spot.is_baseline)).collect();
        assert_eq!(labels, [("a, b", true), ("c", false)]);
    }
}
