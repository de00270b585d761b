//! `dgnet generate`: pictures and data sets drawn by a finished run. A picture is written whole and
//! never over another one; a data set goes on where it stopped.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Exit;
use super::caught;
use super::job::{Stop, WorkerError};
use super::trained::Trained;
use crate::eval::pictures::spread;
use crate::eval::sheets::{self, Artist};
use crate::eval::swap::{self, Pair};
use dgnet::data::Photo;
use dgnet::data::generated::{self, Item, RECORD, TABLE};
use dgnet::data::loader::Images;
use dgnet::data::market::{GALLERY, QUERY, TRAIN};
use dgnet::data::pixels::{self, Rgb8, encode_jpeg, encode_png};
use dgnet::spec::request::{Amount, Codes, Photos, Request, What};
use dgnet::store::files::{create_folder, read_json, read_optional, write_atomic, write_json};
use dgnet::store::{RunDir, RunLock, StoreError};

/// Quality of the JPEGs that are written.
const JPEG_QUALITY: u8 = 95;
/// Images drawn at a time in a data set. Part of what decides their last bits, so never a setting.
const BATCH: usize = 32;

/// Draws what the request (JSON) asks for.
pub fn generate(runs: &Path, request: &str, stop: &Stop) -> Result<Exit, WorkerError> {
    let request: Request = serde_json::from_str(request)
        .map_err(|error| WorkerError::Refused(format!("the request cannot be read: {error}")))?;
    caught(|| {
        let trained = Trained::open(runs, &RunDir::new(&request.run))?;
        match &request.what {
            What::Set(amount) => set(&trained, amount, &request.to, stop),
            sheet => {
                let (done, of) = (1, 1);
                put(&request.to, &draw(&trained, sheet)?)?;
                progress(done, of);
                Ok(Exit::Done)
            }
        }
    })
}

/// Tells the process that waits for this one how far the work is.
fn progress(done: usize, of: usize) {
    let mut out = std::io::stdout().lock();
    // nobody who listens is no error
    let _ = writeln!(out, "{done} {of}").and_then(|()| out.flush());
}

fn draw(trained: &Trained, what: &What) -> Result<Rgb8, WorkerError> {
    let networks = &trained.networks;
    let artist = Artist::new(networks.code_encoder(), &networks.generator, trained.device);
    let file = |path: &PathBuf| load(trained, std::slice::from_ref(path));
    Ok(match what {
        What::Grid { appearance, structure } => {
            let columns = photos(trained, appearance, "generate.appearance")?;
            sheets::matrix(&artist, &columns, &photos(trained, structure, "generate.structure")?)
        }
        What::Wear { appearance, structure } => {
            let structures = photos(trained, structure, "generate.structure")?;
            sheets::wear(&artist, &file(appearance)?[0], &structures)
        }
        What::Between { first, last, steps, codes } => {
            let changes = (*codes != Codes::Structure, *codes != Codes::Appearance);
            sheets::between(&artist, &file(first)?[0], &file(last)?[0], *steps, changes)
        }
        What::Set(_) => return Err(WorkerError::Refused("a data set is no picture".to_owned())),
    })
}

/// Photos of a request at the networks' size.
fn photos(trained: &Trained, from: &Photos, stream: &str) -> Result<Vec<Rgb8>, WorkerError> {
    let count = match from {
        Photos::Files(files) => return load(trained, files),
        Photos::HeldOut(count) => *count as usize,
    };
    let dataset = trained.dataset()?;
    let known = dataset.query.iter().chain(&dataset.gallery).filter(|photo| photo.person > 0);
    let known: Vec<Photo> = known.cloned().collect();
    let chosen = spread(&known, count, stream);
    if chosen.len() < count {
        return Err(WorkerError::Refused(format!(
            "the data set `{}` has {} held-out persons, not {count}\n  hint: `--held-out {}`",
            dataset.root.display(),
            chosen.len(),
            chosen.len()
        )));
    }
    let files: Vec<PathBuf> = chosen.into_iter().map(|at| known[at].path.clone()).collect();
    load(trained, &files)
}

fn load(trained: &Trained, files: &[PathBuf]) -> Result<Vec<Rgb8>, WorkerError> {
    let (height, width) = trained.size();
    let read = |file: &PathBuf| {
        pixels::read(file).and_then(|picture| pixels::resize(&picture, height, width))
    };
    Ok(files.iter().map(read).collect::<Result<_, _>>()?)
}

/// Writes a new picture; the same bytes may be there already, other ones are somebody's.
fn put(path: &Path, picture: &Rgb8) -> Result<(), WorkerError> {
    let png = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
    let bytes = if png { encode_png(picture)? } else { encode_jpeg(picture, JPEG_QUALITY)? };
    match read_optional(path)? {
        Some(there) if there == bytes => Ok(()),
        Some(_) => Err(WorkerError::Refused(format!(
            "`{}` is there already and is another picture\n  hint: choose a new name",
            path.display()
        ))),
        None => Ok(write_atomic(path, &bytes)?),
    }
}

/// `generated.json`: what a set was asked for, and of which weights and photos.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    run: String,
    step: u64,
    weights: String,
    data: String,
    amount: Amount,
}

/// A data set: every file that is not there yet, then the table.
fn set(trained: &Trained, amount: &Amount, to: &Path, stop: &Stop) -> Result<Exit, WorkerError> {
    let dataset = trained.dataset()?;
    let items = generated::plan(&dataset, amount)?;
    let record = Record {
        run: trained.spec.uid.clone(),
        step: trained.step,
        weights: trained.checksum.clone(),
        data: trained.spec.stages.data.clone(),
        amount: *amount,
    };
    claim(to, &record)?;
    let Some(_lock) = RunLock::acquire_file(&to.join(".lock"))? else { return Ok(Exit::Locked) };
    for folder in [TRAIN, QUERY, GALLERY] {
        create_folder(&to.join(folder))?;
    }
    // batches are cut from the plan, not from what is missing: an image keeps its neighbours, and with
    // them its last bits, whenever it is drawn
    for (done, batch) in (0..).step_by(BATCH).zip(items.chunks(BATCH)) {
        if batch.iter().any(|item| !to.join(&item.file).exists()) {
            if stop.requested() {
                return Ok(Exit::Interrupted);
            }
            for (item, picture) in batch.iter().zip(images(trained, batch)?) {
                let path = to.join(&item.file);
                if !path.exists() {
                    write_atomic(&path, &encode_jpeg(&picture, JPEG_QUALITY)?)?;
                }
            }
        }
        progress(done + batch.len(), items.len());
    }
    let table = generated::table(&dataset.root, &items);
    write_atomic(&to.join(TABLE), table.as_bytes())?;
    Ok(Exit::Done)
}

/// Makes sure that the folder is new or the beginning of this very set.
fn claim(to: &Path, record: &Record) -> Result<(), WorkerError> {
    create_folder(to)?;
    let path = to.join(RECORD);
    let refused = |reason: &str| {
        Err(WorkerError::Refused(format!(
            "`{}` {reason}\n  hint: choose a new folder",
            to.display()
        )))
    };
    match read_json::<Record>(&path) {
        Ok(Some(there)) if there == *record => Ok(()),
        Ok(Some(_)) => refused("holds a data set of other weights, photos or amounts"),
        Err(StoreError::Damaged { .. }) => refused("holds a `generated.json` of something else"),
        Err(error) => Err(error.into()),
        Ok(None) => {
            let mut entries = fs::read_dir(to).map_err(StoreError::io("list", to))?;
            if entries.next().is_some() {
                return refused("is not empty and holds no generated data set");
            }
            Ok(write_json(&path, record)?)
        }
    }
}

fn images(trained: &Trained, batch: &[Item]) -> Result<Vec<Rgb8>, WorkerError> {
    let photos: Vec<Photo> =
        batch.iter().flat_map(|item| [item.appearance.clone(), item.structure.clone()]).collect();
    let (height, width) = trained.size();
    let workers = trained.settings().train.loader_workers.max(1) as usize;
    let images = Images::load(&photos, height, width, workers, &|_, _| {})?;
    let pairs: Vec<Pair> = (0..batch.len()).map(|at| Pair { i: 2 * at, j: 2 * at + 1 }).collect();
    let networks = &trained.networks;
    let drawn = swap::generate(
        networks.code_encoder(),
        &networks.generator,
        &images,
        &pairs,
        trained.device,
    );
    Ok(swap::pictures(&drawn))
}
