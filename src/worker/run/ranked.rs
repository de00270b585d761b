//! Pictures of ranked lists: a few queries, from the best ranked to the worst, with the gallery photos
//! ranked first for each.

use std::path::Path;

use super::job::{Job, WorkerError};
use crate::eval::rank::Features;
use crate::eval::ranked::{lists, sheet};
use dgnet::data::DataError;
use dgnet::data::Photo;
use dgnet::data::pixels::{Rgb8, encode_jpeg, read, resize};
use dgnet::stats::ranking::{is_match, spread};
use dgnet::store::files::write_atomic;
use dgnet::store::records::{ArtifactLine, QueryLine};

/// Gallery photos shown of each list.
const SHOWN: usize = 10;
/// Rows of a photo on the sheet.
const HEIGHT: usize = 128;
const JPEG_QUALITY: u8 = 80;

/// Writes a sheet for each of `count` queries into `folder`, and gives their lines.
pub fn draw(
    job: &Job,
    [query, gallery]: &[Features; 2],
    results: &[QueryLine],
    (count, step): (usize, u64),
    folder: &Path,
) -> Result<Vec<ArtifactLine>, WorkerError> {
    let aps: Vec<Option<f64>> = results.iter().map(|line| line.ap).collect();
    let chosen = spread(&aps, count);
    let weight = job.spec.settings.eval.fine_weight as f32;
    let lists = lists(query, gallery, weight, &chosen);
    let mut lines = Vec::new();
    for ((&at, list), number) in chosen.iter().zip(&lists).zip(1..) {
        let label = query.labels[at];
        let right: Vec<bool> =
            list.iter().map(|&photo| is_match(label, gallery.labels[photo])).collect();
        let shown = list.iter().zip(&right).take(SHOWN);
        let photos: Vec<(Rgb8, bool)> = shown
            .map(|(&photo, right)| Ok((picture(job, &job.dataset.gallery[photo])?, *right)))
            .collect::<Result<_, DataError>>()?;
        let sheet = sheet(&picture(job, &job.dataset.query[at])?, &photos);
        let name = format!("ranked_{number:02}.jpg");
        write_atomic(&folder.join(&name), &encode_jpeg(&sheet, JPEG_QUALITY)?)?;
        lines.push(ArtifactLine {
            name,
            kind: "ranked".to_owned(),
            step,
            media_type: "image/jpeg".to_owned(),
            caption: caption(&job.dataset.query[at], &right, aps[at]),
        });
    }
    Ok(lines)
}

/// A photo at the sheet's size; the networks' shape, the file's detail.
fn picture(job: &Job, photo: &Photo) -> Result<Rgb8, DataError> {
    let image = &job.spec.settings.image;
    let width = HEIGHT * image.width as usize / image.height.max(1) as usize;
    resize(&read(&photo.path)?, HEIGHT, width.max(1))
}

/// What the sheet shows: `query 0012 camera 2: 7 of 10 right, first right at rank 1; ...`.
fn caption(query: &Photo, right: &[bool], ap: Option<f64>) -> String {
    let shown = right.len().min(SHOWN);
    let hits = right.iter().take(SHOWN).filter(|hit| **hit).count();
    let all = right.iter().filter(|hit| **hit).count();
    let first = right.iter().position(|hit| *hit).map_or_else(
        || "none right".to_owned(),
        |place| format!("first right at rank {}", place + 1),
    );
    let ap = ap.map_or_else(String::new, |ap| format!(", average precision {:.1} %", 100.0 * ap));
    let matches = if all == 1 { "match" } else { "matches" };
    format!(
        "query {:04} camera {}: {hits} of {shown} right, {first}; {all} true {matches}{ap}",
        query.person, query.camera
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_states_the_finding() {
        let query = Photo { path: "0012_c2s1_000001_00.jpg".into(), person: 12, camera: 2 };
        let mut right = [vec![true, false, true], vec![false; 9], vec![true]].concat();
        assert_eq!(
            caption(&query, &right, Some(0.6184)),
            "query 0012 camera 2: 2 of 10 right, first right at rank 1; 3 true matches, average precision 61.8 %"
        );
        right[0] = false;
        right[2] = false;
        assert_eq!(
            caption(&query, &right, None),
            "query 0012 camera 2: 0 of 10 right, first right at rank 13; 1 true match"
        );
    }
}
