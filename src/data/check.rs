//! What a data set holds and what is wrong with it, with baselines that tell whether colour or outline
//! alone would solve it. Reads every photo, changes nothing, prints nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::Serialize;

use super::layout::{self, Layout};
use super::{DataError, Dataset, Photo, pixels};

mod baselines;

pub use baselines::Baseline;
use baselines::Histogram;

/// Everything that [`check`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The folder.
    pub root: PathBuf,
    /// Its layout.
    pub layout: Layout,
    /// The published set that it seems to be, with its counts.
    pub published: Option<Published>,
    /// Training, query, gallery and, where there is one, multi-query folder.
    pub splits: Vec<Split>,
    /// Photos that cannot be used: damaged, unreadable, misnamed, or links out of the set.
    pub problems: Vec<Problem>,
    /// Groups of photos of equal content, relative to `root`; the multi-query folder is left out, since it
    /// repeats photos by design.
    pub duplicates: Vec<Vec<PathBuf>>,
    /// Persons in training and test alike, distractors and junk aside.
    pub shared_people: Vec<i64>,
    /// Queries, by file name, without a true match in the gallery.
    pub queries_without_match: Vec<String>,
    /// True matches of a query: mean, least, most.
    pub matches: Spread,
    /// Gallery photos of the query's person under its camera, which are ignored: mean, least, most.
    pub same_camera: Spread,
    /// Ranking by RGB histograms (8x8x8 bins, intersection) alone.
    pub histogram: Option<Baseline>,
    /// Ranking by the overlap of silhouettes alone; known for drawn people only.
    pub silhouette: Option<Baseline>,
}

impl Report {
    /// Whether every photo can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Counts of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Split {
    /// The folder's name.
    pub folder: &'static str,
    /// Photos, junk and distractors included.
    pub photos: usize,
    /// Persons, without junk and distractors.
    pub people: usize,
    /// Photos per camera.
    pub cameras: BTreeMap<u32, usize>,
    /// Photos of person -1.
    pub junk: usize,
    /// Photos of person 0.
    pub distractors: usize,
}

/// Counts of a published set: training, query and gallery photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Its name.
    pub name: &'static str,
    layout: Layout,
    /// Photos of the three parts, junk and distractors included.
    pub photos: [usize; 3],
    /// Persons of the training part.
    pub train_people: usize,
}

const PUBLISHED: [Published; 3] = [
    Published {
        name: "Market-1501",
        layout: Layout::Market,
        photos: [12_936, 3_368, 19_732],
        train_people: 751,
    },
    Published {
        name: "DukeMTMC-reID",
        layout: Layout::Market,
        photos: [16_522, 2_228, 17_661],
        train_people: 702,
    },
    Published {
        name: "MSMT17",
        layout: Layout::Msmt17,
        photos: [32_621, 11_659, 82_161],
        train_people: 1_041,
    },
];

/// The published set that has this layout and about so many training photos.
fn published(layout: Layout, train: usize) -> Option<Published> {
    let near = |set: &&Published| train.abs_diff(set.photos[0]) * 20 < set.photos[0];
    PUBLISHED.iter().filter(|set| set.layout == layout).find(near).copied()
}

/// A photo that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The photo, relative to the set's folder.
    pub file: PathBuf,
    /// What is wrong, in words.
    pub reason: String,
}

/// A distribution in three numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Mean; 0 of nothing.
    pub mean: f64,
    /// Least.
    pub min: usize,
    /// Most.
    pub max: usize,
}

impl Spread {
    fn of(counts: &[usize]) -> Self {
        Self {
            mean: counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64,
            min: counts.iter().min().copied().unwrap_or(0),
            max: counts.iter().max().copied().unwrap_or(0),
        }
    }
}

/// Checks the set below `root`.
///
/// # Errors
/// `DataError` where there is no set to report on: no such folder, or folders of the layout missing.
pub fn check(root: &Path) -> Result<Report, DataError> {
    check_with_progress(root, &|_, _| {})
}

/// As [`check`]; `progress(done, total)` counts photos, on this thread.
///
/// # Errors
/// As for [`check`].
pub fn check_with_progress(root: &Path, progress: &dyn Fn(u64, u64)) -> Result<Report, DataError> {
    let layout = Layout::of(root);
    let (dataset, problems) = layout::scan(root)?;
    let mut problems: Vec<Problem> = problems.iter().map(|error| problem(root, error)).collect();
    let looked_at: Vec<(&Photo, bool)> = [
        (&dataset.train, false),
        (&dataset.query, true),
        (&dataset.gallery, true),
        (&dataset.multi_query, false),
    ]
    .into_iter()
    .flat_map(|(photos, ranked)| photos.iter().map(move |photo| (photo, ranked)))
    .collect();
    let threads = threads();
    let seen = look_at_all(&looked_at, threads, progress);
    problems.extend(seen.iter().filter_map(|seen| seen.problem.as_ref().map(|e| problem(root, e))));
    let without_copies = seen.len() - dataset.multi_query.len();
    let (matches, same_camera) = relations(&dataset);
    let histograms: Vec<Option<&Histogram>> = seen[dataset.train.len()..without_copies]
        .iter()
        .map(|seen| seen.histogram.as_ref())
        .collect();
    let (query, gallery) = histograms.split_at(dataset.query.len());
    let silhouette = baselines::silhouette(&dataset, threads, &mut problems);
    problems.sort_by(|left, right| left.file.cmp(&right.file));
    Ok(Report {
        root: root.to_owned(),
        layout,
        published: published(layout, dataset.train.len()),
        splits: splits(&dataset, layout),
        duplicates: duplicates(root, &looked_at[..without_copies], &seen[..without_copies]),
        shared_people: shared_people(&dataset),
        queries_without_match: (dataset.query.iter().zip(&matches))
            .filter(|(_, matches)| **matches == 0)
            .map(|(photo, _)| photo.name())
            .collect(),
        matches: Spread::of(&matches),
        same_camera: Spread::of(&same_camera),
        histogram: baselines::histogram(&dataset, query, gallery, threads),
        silhouette,
        problems,
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

fn problem(root: &Path, error: &DataError) -> Problem {
    let (path, reason) = match error {
        DataError::Io { path, source, .. } => (path.as_path(), source.to_string()),
        DataError::Decode { path, reason } | DataError::Layout { path, reason, .. } => {
            (path.as_path(), reason.clone())
        }
        DataError::Worker(message) => (root, message.clone()),
    };
    Problem { file: relative(root, path), reason }
}

/// What one look at a photo gives.
struct Seen {
    content: Option<blake3::Hash>,
    problem: Option<DataError>,
    histogram: Option<Histogram>,
}

fn look_at(photo: &Photo, ranked: bool) -> Seen {
    let mut seen = Seen { content: None, problem: None, histogram: None };
    let picture = pixels::read_bytes(&photo.path).and_then(|bytes| {
        seen.content = Some(blake3::hash(&bytes));
        pixels::decode(&bytes, &photo.path)
    });
    match picture {
        Ok(picture) => seen.histogram = ranked.then(|| Histogram::of(&picture)),
        Err(error) => seen.problem = Some(error),
    }
    seen
}

fn look_at_all(
    photos: &[(&Photo, bool)],
    threads: usize,
    progress: &dyn Fn(u64, u64),
) -> Vec<Seen> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut all = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((photo, ranked)) = photos.get(at) else { break };
                    if sender.send((at, look_at(photo, *ranked))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (done, (at, seen)) in (1..).zip(&receiver) {
            all.insert(at, seen);
            progress(done, photos.len() as u64);
        }
    });
    all.into_values().collect()
}

fn splits(dataset: &Dataset, layout: Layout) -> Vec<Split> {
    let photos = [&dataset.train, &dataset.query, &dataset.gallery, &dataset.multi_query];
    let named = layout.parts().into_iter().zip(photos).enumerate();
    // few sets have a multi-query part
    named
        .filter(|(nth, (_, photos))| *nth < 3 || !photos.is_empty())
        .map(|(_, (folder, photos))| (folder, photos))
        .map(|(folder, photos)| {
            let mut cameras = BTreeMap::new();
            for photo in photos {
                *cameras.entry(photo.camera).or_default() += 1;
            }
            let of = |person| photos.iter().filter(|photo| photo.person == person).count();
            let (junk, distractors) = (of(-1), of(0));
            Split {
                folder,
                photos: photos.len(),
                people: people(photos).len(),
                cameras,
                junk,
                distractors,
            }
        })
        .collect()
}

fn people(photos: &[Photo]) -> BTreeSet<i64> {
    photos.iter().map(|photo| photo.person).filter(|person| *person > 0).collect()
}

fn shared_people(dataset: &Dataset) -> Vec<i64> {
    let test: BTreeSet<i64> = &people(&dataset.query) | &people(&dataset.gallery);
    people(&dataset.train).intersection(&test).copied().collect()
}

/// Per query: true matches, and gallery photos of its person under its camera.
fn relations(dataset: &Dataset) -> (Vec<usize>, Vec<usize>) {
    let mut counts: BTreeMap<i64, BTreeMap<u32, usize>> = BTreeMap::new();
    for photo in dataset.gallery.iter().filter(|photo| photo.person > 0) {
        *counts.entry(photo.person).or_default().entry(photo.camera).or_default() += 1;
    }
    let of = |query: &Photo| {
        let cameras = counts.get(&query.person);
        let all: usize = cameras.map_or(0, |cameras| cameras.values().sum());
        let same = cameras.and_then(|cameras| cameras.get(&query.camera)).copied().unwrap_or(0);
        (all - same, same)
    };
    dataset.query.iter().map(of).unzip()
}

fn duplicates(root: &Path, photos: &[(&Photo, bool)], seen: &[Seen]) -> Vec<Vec<PathBuf>> {
    let mut groups: BTreeMap<[u8; 32], Vec<PathBuf>> = BTreeMap::new();
    for ((photo, _), seen) in photos.iter().zip(seen) {
        if let Some(content) = seen.content {
            groups.entry(*content.as_bytes()).or_default().push(relative(root, &photo.path));
        }
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    for group in &mut groups {
        group.sort();
    }
    groups.sort();
    groups
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
