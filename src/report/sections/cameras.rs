//! The section of pairs of cameras: shaded tables, which people, programs and paper can all read.

use maud::{Markup, html};

use super::super::cameras::{Cameras, Cell, Matrix};
use super::super::page::prose;
use super::super::view::Report;

/// The matrix of the baseline, and the differences of the others to fold out.
pub fn section(report: &Report) -> Markup {
    let Some(cameras) = &report.cameras else { return html! {} };
    html! {
        @if let Some(baseline) = &cameras.baseline {
            p { (prose(&baseline.finding)) }
            (matrix(cameras, baseline, "mAP in per cent; the stronger the colour, the better"))
        }
        p.note {
            "Rows: the camera of the queries; columns: that of the gallery photos they are searched among. Empty: no query has "
            "a true match there. Means over seeds, " (cameras.sizes) ". Few queries tell little, and the "
            "extremes of many pairs are large by chance alone: they show where to look, and decide nothing. "
            code { "dgnet query --name cameras" } " has the numbers."
        }
        @for arm in &cameras.arms {
            details {
                summary { code { (arm.arm) } " " span.origin { "difference to the baseline, " (arm.seeds) } }
                p { (prose(&arm.finding)) }
                (matrix(cameras, arm, "Difference in points mAP, paired by seed; blue is better, orange worse, on one scale for all arms"))
            }
        }
        @if cameras.left_out > 0 {
            p.note { "The matrices of " (cameras.left_out) " more arms are left to the query." }
        }
    }
}

fn matrix(cameras: &Cameras, matrix: &Matrix, about: &str) -> Markup {
    html! {
        div.scroll {
            table.cameras {
                caption { code { (matrix.arm) } ", " (matrix.seeds) ". " (about) "." }
                thead {
                    tr {
                        th scope="col" { "Query \u{2192} gallery" }
                        @for gallery in &cameras.galleries { th.n scope="col" { (gallery) } }
                    }
                }
                tbody {
                    @for (query, cells) in cameras.queries.iter().zip(&matrix.cells) {
                        tr {
                            th scope="row" { "camera " (query) }
                            @for cell in cells { (shaded(cell.as_ref())) }
                        }
                    }
                }
            }
        }
    }
}

fn shaded(cell: Option<&Cell>) -> Markup {
    let Some(cell) = cell else { return html! { td.n {} } };
    let side = if cell.shade < 0 { "n down" } else { "n up" };
    let queries =
        if cell.queries == 1 { "1 query".to_owned() } else { format!("{} queries", cell.queries) };
    html! {
        td class=(side) style={ "--shade:" (cell.shade.abs() * 55 / 100) "%" } title=(queries) { (cell.text) }
    }
}
