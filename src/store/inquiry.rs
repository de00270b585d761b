//! What `dgnet` asks a worker about finished networks, and what the worker answers: one request as JSON
//! on its standard input, answers on its standard output, one JSON value a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::spec::Settings;
use crate::stats::ranking::CameraPair;

/// A network on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its name in answers: as the user wrote it.
    pub name: String,
    /// The weights file.
    pub weights: PathBuf,
    /// Settings to build it with.
    pub settings: Settings,
    /// Whether the settings are the network's own. Otherwise depth, width and the length of the feature
    /// follow from the shapes in the file.
    pub exact: bool,
    /// Whether the number of threads is the settings'; otherwise all of the machine are used.
    pub own_threads: bool,
}

/// A data set on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSet {
    /// Its name in answers: as the user wrote it.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inquiry {
    /// How well networks re-identify the people of data sets.
    Evaluate(Evaluate),
    /// The features of photos.
    Embed(Box<Embed>),
}

/// Evaluation of networks on data sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// The networks.
    pub networks: Vec<Network>,
    /// The data sets.
    pub data: Vec<DataSet>,
    /// Positions of the networks and data sets that are put together, in the order of the answers.
    pub pairs: Vec<(usize, usize)>,
    /// Weights of the fine half of a query's feature; empty for the settings' `eval.fine_weight`.
    pub fine_weights: Vec<f64>,
    /// Also after k-reciprocal re-ranking.
    pub rerank: bool,
    /// Also with all photos of a query's person under its camera.
    pub multi_query: bool,
    /// Also for every pair of cameras.
    pub per_camera: bool,
}

/// Features of photos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embed {
    /// The network.
    pub network: Network,
    /// The photos.
    pub images: Vec<PathBuf>,
}

/// How queries and gallery were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// One photo a query: the official protocol.
    Single,
    /// All photos of the query's person under its camera.
    MultiQuery,
    /// One photo a query, after k-reciprocal re-ranking.
    Reranked,
}

impl Protocol {
    /// For tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::MultiQuery => "multi-query",
            Self::Reranked => "re-ranked",
        }
    }
}

/// One row of an evaluation; rates are shares of 1, over the usable queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The network.
    pub checkpoint: String,
    /// The data set.
    pub data: String,
    /// How queries and gallery were compared.
    pub protocol: Protocol,
    /// Weight of the fine half; none for a network with one head.
    pub fine_weight: Option<f64>,
    /// Share of queries whose first photo is a true match.
    pub rank1: f64,
    /// The same for the first five.
    pub rank5: f64,
    /// The same for the first ten.
    pub rank10: f64,
    /// Mean trapezoidal average precision.
    #[serde(rename = "mAP")]
    pub map: f64,
    /// Mean plain average precision.
    #[serde(rename = "mAP_standard")]
    pub map_standard: f64,
    /// Mean inverse negative penalty.
    #[serde(rename = "mINP")]
    pub minp: f64,
    /// Queries.
    pub queries: usize,
    /// Queries with a true match, over which the rates are taken.
    pub usable_queries: usize,
    /// Gallery photos.
    pub gallery: usize,
    /// Pairs of a query's and a gallery photo's camera, where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cameras: Vec<CameraPair>,
}

/// The features of one photo, each half of unit length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedded {
    /// The photo.
    pub image: PathBuf,
    /// Of the primary head, or of the only one.
    pub primary: Vec<f32>,
    /// Of the fine head; empty for a network with one head.
    pub fine: Vec<f32>,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Photos done of all.
    Progress {
        /// Photos whose features are known.
        done: u64,
        /// Photos in all.
        total: u64,
    },
    /// A row.
    Evaluated(Box<Evaluated>),
    /// A photo's features.
    Embedded(Embedded),
    /// A photo that cannot be read; the others go on.
    Unreadable {
        /// The photo.
        image: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something worth knowing.
    Note(String),
    /// The request cannot be answered; nothing follows.
    Failed {
        /// Why.
        reason: String,
        /// Whether the input is to blame, rather than the program or the machine.
        refused: bool,
    },
}
