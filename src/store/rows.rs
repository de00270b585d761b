//! What the database answers, as plain rows in a fixed order. `read` fills them; the report and the
//! command line consume them. No SQL and no formatting here.

use std::collections::BTreeMap;

use crate::spec::{Adaptive, Prune};

/// A study and how it decides.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRow {
    /// Name.
    pub name: String,
    /// The question, free text.
    pub question: String,
    /// Name of the deciding metric.
    pub primary: String,
    /// Differences below this do not matter.
    pub equal_within: f64,
    /// Arm that the others are compared to.
    pub baseline: String,
    /// Arms of the corrected family.
    pub confirm: Vec<String>,
    /// Bounds of seeds that are added while a verdict is open.
    pub adaptive: Option<Adaptive>,
    /// When exploratory arms are given up.
    pub prune: Option<Prune>,
    /// Path of the study file as given.
    pub file: String,
    /// The study file, whole.
    pub source: String,
}

/// An arm in the order of the study file.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmRow {
    /// Name.
    pub name: String,
    /// Free text for people; the name where none was given.
    pub label: String,
    /// Dotted setting -> JSON value.
    pub overrides: BTreeMap<String, String>,
}

/// A cell (arm, seed) and the run it points to. Ordered by arm position, then seed.
#[derive(Debug, Clone, PartialEq)]
pub struct CellRow {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// Run.
    pub uid: String,
    /// Folder of the run, relative to the runs folder.
    pub folder: String,
    /// planned | running | done | failed | diverged | stale | interrupted.
    pub state: String,
    /// Attempts so far.
    pub attempt: u32,
    /// Last step seen and steps planned.
    pub step: (u64, u64),
    /// Why it failed or diverged.
    pub failure: Option<String>,
    /// Wall seconds.
    pub wall_s: Option<f64>,
    /// CPU seconds.
    pub cpu_s: Option<f64>,
    /// Largest resident set, bytes.
    pub peak_bytes: Option<u64>,
    /// Recipe version.
    pub recipe: u32,
    /// Key of the data set.
    pub data_key: String,
    /// begin.json of the last attempt (JSON), "{}" before it began.
    pub begin: String,
    /// Whether the run is archived.
    pub archived: bool,
}

/// One place on a run's curve of one metric: its mean over a stretch of steps
/// ([`StudyData::stretch`]). Ordered by arm position, seed, metric name, step.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// Metric name.
    pub metric: String,
    /// Mean step of the finite values, rounded down.
    pub step: u64,
    /// Their mean.
    pub value: f64,
}

/// The last value of one metric of one run. Ordered by arm position, seed, metric name.
#[derive(Debug, Clone, PartialEq)]
pub struct FinalRow {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// Metric name.
    pub metric: String,
    /// Value; NaN and infinities restored.
    pub value: f64,
}

/// A metric's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricDef {
    /// Name.
    pub name: String,
    /// Unit, empty for none.
    pub unit: String,
    /// higher | lower | none: which way is better.
    pub direction: String,
}

/// A picture. Ordered by arm position, seed, name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRow {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// File name.
    pub name: String,
    /// `swap_grid`, ...
    pub kind: String,
    /// Step of the weights that made it.
    pub step: u64,
    /// Media type.
    pub media_type: String,
    /// What it shows.
    pub caption: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A query that an arm ranks otherwise than the baseline. Ordered by arm position, then from the largest
/// gain to the largest loss.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRow {
    /// Arm.
    pub arm: String,
    /// File name of the query.
    pub query: String,
    /// Seeds that both finished.
    pub seeds: u32,
    /// Mean average precision of the baseline over those seeds.
    pub baseline: f64,
    /// The arm's.
    pub value: f64,
}

/// A stage of a study's runs and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRow {
    /// data | teacher | training | evaluation | pictures.
    pub kind: String,
    /// Key.
    pub key: String,
    /// Runs of the study that use it.
    pub used_by: u32,
    /// Wall seconds, where known.
    pub wall_s: Option<f64>,
}

/// How many queries of a run have their first true match at a rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitRow {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// Rank, from 1.
    pub rank: u32,
    /// Queries.
    pub queries: u64,
}

/// How a run finds people under one camera among the photos of another.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraRow {
    /// Arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// Camera of the queries.
    pub query_camera: u32,
    /// Camera of the gallery photos.
    pub gallery_camera: u32,
    /// Queries with a true match there.
    pub queries: u64,
    /// Their mean average precision, 0 to 1.
    pub map: f64,
}

/// Notes and tags of a study or of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkRow {
    /// Whether they are of the study itself.
    pub of_study: bool,
    /// Name of the study, uid of the run.
    pub name: String,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Notes, oldest first.
    pub notes: Vec<super::marks::Note>,
    /// Whether it is archived.
    pub archived: bool,
}

/// Everything the report of one study is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyData {
    /// The study.
    pub study: StudyRow,
    /// Its arms, in the order of the study file.
    pub arms: Vec<ArmRow>,
    /// Its cells, by arm position, then seed.
    pub cells: Vec<CellRow>,
    /// The curves of every metric, by arm position, seed, metric name, step.
    pub metrics: Vec<MetricRow>,
    /// Steps that one place of a curve stands for; at least 1.
    pub stretch: u64,
    /// Every metric's last value, by arm position, seed, metric name.
    pub finals: Vec<FinalRow>,
    /// Definitions of the metrics that occur.
    pub defs: Vec<MetricDef>,
    /// Pictures, by arm position, seed, name.
    pub artifacts: Vec<ArtifactRow>,
    /// Queries that each arm improves and hurts most against the baseline.
    pub changes: Vec<ChangeRow>,
    /// Stages that the study's runs use, by kind, then key.
    pub stages: Vec<StageRow>,
    /// The resolved settings of each arm (of its first run that has any): key -> JSON value.
    pub settings: BTreeMap<String, BTreeMap<String, String>>,
    /// First true matches of the last evaluations, by arm position, seed, rank.
    pub hits: Vec<HitRow>,
    /// Pairs of cameras, by arm position, seed, query camera, gallery camera.
    pub cameras: Vec<CameraRow>,
    /// Notes and tags: the study's first, then by uid.
    pub marks: Vec<MarkRow>,
    /// Archived cells that [`StudyData::hide_archived`] took out.
    pub archived: usize,
}

impl StudyData {
    /// Takes out the cells of archived runs with everything measured in them, and counts them.
    pub fn hide_archived(&mut self) {
        let hidden: std::collections::BTreeSet<(String, u64)> =
            self.cells.iter().filter(|c| c.archived).map(|c| (c.arm.clone(), c.seed)).collect();
        let shown = |arm: &str, seed: u64| !hidden.contains(&(arm.to_owned(), seed));
        if hidden.is_empty() {
            return;
        }
        self.cells.retain(|c| !c.archived);
        self.metrics.retain(|m| shown(&m.arm, m.seed));
        self.finals.retain(|f| shown(&f.arm, f.seed));
        self.artifacts.retain(|a| shown(&a.arm, a.seed));
        self.hits.retain(|h| shown(&h.arm, h.seed));
        self.cameras.retain(|c| shown(&c.arm, c.seed));
        self.archived += hidden.len();
    }
}
