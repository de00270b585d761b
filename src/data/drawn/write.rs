//! Writes a drawn set to disk: folders, JPEG files, `factors.json`. The bytes depend on the settings
//! alone, not on how many threads encode.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::{fs, thread};

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::FACTORS_FILE;
use super::factors::{Factors, Shot, Split};
use super::render::{backdrops, render};
use super::scene::Backdrop;
use crate::data::DataError;
use crate::data::pixels::Rgb8;

/// JPEG quality, as high as keeps the truth within a grey level or two of the photo.
const QUALITY: u8 = 95;
const MULTI_QUERY: &str = "gt_bbox";

/// Renders and writes every photo of `factors` on `threads` threads, then `factors.json`.
pub fn write(
    factors: &Factors,
    out: &Path,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), DataError> {
    let folders = [Split::Train, Split::Query, Split::Gallery].map(folder);
    for name in folders.into_iter().chain([MULTI_QUERY]) {
        let path = out.join(name);
        fs::create_dir_all(&path).map_err(|error| DataError::io("create", &path, error))?;
    }
    let scenes = backdrops(factors);
    let shots: Vec<(&String, &Shot)> = factors.shots.iter().collect();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let work = || -> Result<(), DataError> {
        while !failed.load(Ordering::Relaxed) {
            let Some(&(name, shot)) = shots.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            if let Err(error) = photo(factors, &scenes, out, name, shot) {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, shots.len() as u64);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(DataError::Worker("drawing a photo panicked".to_owned())))
        })
    })?;
    let text = serde_json::to_string(factors)
        .map_err(|error| DataError::io("write", &out.join(FACTORS_FILE), error.into()))?;
    save(&out.join(FACTORS_FILE), text.as_bytes())
}

fn folder(split: Split) -> &'static str {
    match split {
        Split::Train => "bounding_box_train",
        Split::Query => "query",
        Split::Gallery => "bounding_box_test",
    }
}

fn photo(
    factors: &Factors,
    scenes: &[Backdrop],
    out: &Path,
    name: &str,
    shot: &Shot,
) -> Result<(), DataError> {
    let path = out.join(folder(shot.split)).join(name);
    let bytes = encode(&picture(factors, scenes, shot, &path)?, &path)?;
    save(&path, &bytes)?;
    if shot.person > 0 && shot.split != Split::Train {
        save(&out.join(MULTI_QUERY).join(name), &bytes)?;
    }
    Ok(())
}

fn picture(
    factors: &Factors,
    scenes: &[Backdrop],
    shot: &Shot,
    path: &Path,
) -> Result<Rgb8, DataError> {
    let unusable = || DataError::Layout {
        path: path.to_owned(),
        reason: format!("cannot draw {}x{} pixels", factors.height, factors.width),
        hint: "choose a smaller `data.drawn.height` and `data.drawn.width`".to_owned(),
    };
    let look = shot.look.and_then(|look| factors.looks.get(look));
    let rendered = render(factors, scenes, look, &shot.structure);
    Ok(rendered.ok_or_else(unusable)?.photo)
}

fn encode(photo: &Rgb8, path: &Path) -> Result<Vec<u8>, DataError> {
    let too_large = |error: String| DataError::Decode { path: PathBuf::from(path), reason: error };
    let side = |pixels: usize| u32::try_from(pixels).map_err(|error| too_large(error.to_string()));
    let (width, height) = (side(photo.width)?, side(photo.height)?);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&photo.data, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| too_large(error.to_string()))?;
    Ok(bytes)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    fs::write(path, bytes).map_err(|error| DataError::io("write", path, error))
}
