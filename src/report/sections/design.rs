//! The section of what a study varies: effects, response curves, heat maps.

use maud::{Markup, html};

use super::super::page::chart;
use super::super::plots::{FRACTION, Place};
use super::super::view::Report;
use super::of;

/// Charts of what was varied.
pub const PLACES: [Place; 4] = [Place::Effects, Place::Response, Place::Heat, Place::Parallel];

/// What the charts of the study's design show.
pub fn section(report: &Report) -> Markup {
    html! {
        @for figure in of(report, Place::Effects) {
            figure.wide {
                (chart(figure))
                figcaption {
                    @if figure.title == FRACTION {
                        "A regular fraction of the combinations of these settings was trained. A row estimates the effect together with "
                        "what stands in brackets, and with interactions of more settings: they cannot be told apart. "
                    } @else {
                        "Every combination of these settings was trained. "
                    }
                    "A row is the mean over all of them of what the change "
                    "does; an interaction (\u{d7}) is half of how much one change depends on the other. Lines: 95 % and 90 % t intervals "
                    "over seeds, uncorrected."
                }
            }
        }
        @for figure in of(report, Place::Parallel) {
            figure.wide {
                (chart(figure))
                figcaption {
                    "A line is an arm: it crosses every axis at its value of that setting and ends at its mean over seeds. Bluer lines rank better "
                    "on the metric; ink: the baseline. Settings of few values, and texts, stand at equal distances."
                }
            }
        }
        @if of(report, Place::Response).next().is_some() {
            div.panels { @for figure in of(report, Place::Response) { figure { (chart(figure)) } } }
            p.note {
                "Dots: means over seeds; lines: 95 % intervals, each of its level alone; ticks: seeds. Levels stand at equal distances. "
                "Blue: the best mean. Shaded: levels that may be the best one, all of them where none can be ruled out; the truly best of those "
                "measured is among them in 95 of 100 studies."
            }
        }
        @if of(report, Place::Heat).next().is_some() {
            div.panels { @for figure in of(report, Place::Heat) { figure { (chart(figure)) } } }
            p.note { "Means over seeds; the stronger the colour, the better, each map on its own scale; empty: no arm or no value." }
        }
    }
}
