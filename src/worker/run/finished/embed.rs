//! Features of single photos, for whoever wants to search with them.

use std::path::Path;

use super::network::Loaded;
use super::{Report, say};
use crate::run::WorkerError;
use dgnet::data::loader::Images;
use dgnet::data::{Photo, pixels};
use dgnet::store::inquiry::{Answer, Embed, Embedded};

/// Answers with the features of every photo, in the order asked for.
pub fn answer(asked: &Embed, report: &mut Report) -> Result<(), WorkerError> {
    let net = Loaded::open(&asked.network)?;
    let (height, width) = (net.settings.image.height as usize, net.settings.image.width as usize);
    let batch = net.settings.eval.batch.max(1) as usize;
    report.total = asked.images.len() as u64;
    for paths in asked.images.chunks(batch) {
        let mut images = Images::empty(height, width);
        for path in paths {
            match pixels::read(path).and_then(|picture| pixels::resize(&picture, height, width)) {
                Ok(picture) => {
                    images.photos.push(nobody(path));
                    images.pictures.push(picture);
                }
                Err(error) => {
                    let (image, reason) = (path.clone(), error.to_string());
                    say(&Answer::Unreadable { image, reason })?;
                }
            }
        }
        let found = net.features(&images);
        let row = |half: &[f32], at: usize| -> Vec<f32> {
            half.chunks_exact(found.dims.max(1)).nth(at).unwrap_or_default().to_vec()
        };
        for (at, photo) in images.photos.iter().enumerate() {
            let (primary, fine) = (row(&found.primary, at), row(&found.fine, at));
            say(&Answer::Embedded(Embedded { image: photo.path.clone(), primary, fine }))?;
        }
        report.advance(paths.len())?;
    }
    Ok(())
}

/// A photo of whom nothing is known.
fn nobody(path: &Path) -> Photo {
    Photo { path: path.to_owned(), person: -1, camera: 0 }
}
