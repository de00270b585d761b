//! Photos on disk and on their way to the step: data-set layouts, drawn people, sampling,
//! augmentation, loading. Plain pixels and slices; no tensor, no network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub mod augment;
pub mod check;
pub mod drawn;
pub mod edges;
pub mod fingerprint;
pub mod layout;
pub mod loader;
pub mod market;
pub mod msmt17;
pub mod own;
pub mod pixels;
pub mod rng;
pub mod sampler;
pub mod split;

/// One photo of a data set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Photo {
    /// The file.
    pub path: PathBuf,
    /// Person id as published: -1 is junk, 0 a distractor.
    pub person: i64,
    /// Camera number as published, from 1; any width.
    pub camera: u32,
}

impl Photo {
    /// The file name, which names the photo in results.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// A re-ID data set: every split sorted by file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dataset {
    /// The folder it was read from.
    pub root: PathBuf,
    /// Training photos.
    pub train: Vec<Photo>,
    /// Queries: one photo per person and camera.
    pub query: Vec<Photo>,
    /// Gallery, junk and distractors included.
    pub gallery: Vec<Photo>,
    /// All photos of the query persons per camera, for multi-query; empty where there are none.
    pub multi_query: Vec<Photo>,
}

impl Dataset {
    /// Class index of every training person: the rank of the id in ascending order.
    #[must_use]
    pub fn classes(&self) -> BTreeMap<i64, i64> {
        let people: BTreeSet<i64> = self.train.iter().map(|photo| photo.person).collect();
        people.into_iter().zip(0..).collect()
    }
}

/// Why a data set or a photo cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} `{path}`: {source}", path = path.display())]
    Io {
        /// read, write, list, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A photo is damaged or too large.
    #[error("cannot decode `{path}`: {reason}\n  hint: `dgnet data check` lists every damaged photo of a set", path = path.display())]
    Decode {
        /// The photo.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// The folder is not a usable data set.
    #[error("`{path}` is not a usable data set: {reason}\n  hint: {hint}", path = path.display())]
    Layout {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A worker thread of the loader died.
    #[error("a loader thread died: {0}")]
    Worker(String),
}

impl DataError {
    /// An I/O error with its path.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
