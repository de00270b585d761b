//! What `dgnet generate` asks of a worker: plain serde types that travel as one argument. Nothing is
//! drawn here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A piece of drawing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Run folder whose weights draw.
    pub run: PathBuf,
    /// File or folder to write.
    pub to: PathBuf,
    /// What to draw.
    pub what: What,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Every appearance (columns) in every structure (rows).
    Grid {
        /// Columns.
        appearance: Photos,
        /// Rows.
        structure: Photos,
    },
    /// One appearance in many structures.
    Wear {
        /// Gives the appearance.
        appearance: PathBuf,
        /// Give the structures.
        structure: Photos,
    },
    /// From one photo to another in equal steps of the code.
    Between {
        /// Where the way begins, and what stays as it is.
        first: PathBuf,
        /// Where it ends.
        last: PathBuf,
        /// Images on the way, both ends included.
        steps: u32,
        /// Which codes change.
        codes: Codes,
    },
    /// A data set in the Market-1501 layout.
    Set(Amount),
}

/// Photos to draw from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Photos {
    /// These files.
    Files(Vec<PathBuf>),
    /// So many held-out photos of the run's data set, each of another person.
    HeldOut(u32),
}

/// Codes that change on the way from one photo to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codes {
    /// The appearance code alone.
    Appearance,
    /// The structure code alone.
    Structure,
    /// A strip for each.
    Both,
}

/// How much of a data set is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Persons of each part (training, test), the first by id; all where `None`.
    pub persons: Option<u32>,
    /// Photos of a person that give an appearance, at most.
    pub appearances: u32,
    /// Structures in which every appearance is shown, each of another person's photo.
    pub structures: u32,
    /// Seed of which photos.
    pub seed: u64,
}
