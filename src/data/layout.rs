//! Which layout a folder has, and reading it whatever it is. The layouts themselves are one file each;
//! no photo is opened here.

use std::path::Path;

use serde::Serialize;

use super::{DataError, Dataset, market, msmt17, own};

/// The layouts that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Market-1501, DukeMTMC-reID and CUHK03-NP: `bounding_box_train`, `query`, `bounding_box_test`.
    Market,
    /// MSMT17 V1 or V2: lists beside a training and a test folder.
    Msmt17,
    /// One's own photos: a table `dataset.csv`, or folders `<split>/<person>/<camera>/`.
    Own,
}

impl Layout {
    /// The layout of `root`, judged by the files that only one has.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        if root.join(market::TRAIN).is_dir() {
            Self::Market
        } else if root.join(msmt17::TRAIN_LIST).is_file() {
            Self::Msmt17
        } else if root.join(own::TABLE).is_file() || root.join(own::TRAIN).is_dir() {
            Self::Own
        } else {
            // its complaint names the folders that most people have
            Self::Market
        }
    }

    /// What people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Market => "Market-1501",
            Self::Msmt17 => "MSMT17",
            Self::Own => "own photos",
        }
    }

    /// Names of the training, query, gallery and multi-query parts.
    #[must_use]
    pub fn parts(self) -> [&'static str; 4] {
        match self {
            Self::Market => [market::TRAIN, market::QUERY, market::GALLERY, market::MULTI_QUERY],
            Self::Msmt17 | Self::Own => ["train", "query", "gallery", "multi_query"],
        }
    }
}

/// Reads the data set below `root`; every split is sorted by file name.
///
/// # Errors
/// `DataError::Layout` for what the layout lacks or a photo that does not follow its rule;
/// `DataError::Io` where something cannot be listed or read.
pub fn read(root: &Path) -> Result<Dataset, DataError> {
    let (dataset, problems) = scan(root)?;
    problems.into_iter().next().map_or(Ok(dataset), Err)
}

/// As [`read`], but photos that cannot be used are left out and returned as problems, for reports that
/// name them all.
///
/// # Errors
/// As for [`read`], where a whole part is unusable.
pub fn scan(root: &Path) -> Result<(Dataset, Vec<DataError>), DataError> {
    match Layout::of(root) {
        Layout::Market => market::scan(root),
        Layout::Msmt17 => msmt17::scan(root),
        Layout::Own => own::scan(root),
    }
}
