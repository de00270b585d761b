//! What a column holds: as its table or view says, else as columns of that name usually do; metrics
//! of `final` as `spec::metrics` defines them.

use super::Item;
use crate::spec::metrics::{self, Direction};

/// Columns that mean the same wherever they are not said to be something else.
pub(super) const COMMON: &[(&str, &str)] = &[
    ("study", "name of the study"),
    ("arm", "name of the arm: one configuration of the study"),
    ("seed", "seed of everything random but the data"),
    (
        "uid",
        "identity of the run: hash of its active settings, seed, data and recipe version, 64 hex \
         digits",
    ),
    ("run_uid", "identity of the run: `uid` in `run`"),
    ("run", "number of the run: `id` in `run_number`"),
    ("folder", "folder of the run, relative to the runs folder"),
    (
        "state",
        "planned, running, done, failed, diverged, interrupted (stopped on request) or stale (it \
         began, nobody works at it, and no record says how it ended)",
    ),
    ("attempt", "number of the last attempt, from 1; 0 before the first"),
    ("steps", "training steps planned"),
    ("recipe", "version of the recipe: raised by every change of the program that moves numbers"),
    (
        "data_key",
        "key of the data: hash of the drawn set's settings or of the folder's files, 32 hex \
         digits",
    ),
    ("failure", "why it failed or diverged, for people; null where it did neither"),
    ("wall_s", "wall time of all attempts, s; null before the run is done, failed or diverged"),
    ("cpu_s", "CPU time of all attempts, s; null before the run is done, failed or diverged"),
    ("metric", "name of the metric: `name` in `metric_name`"),
    ("step", "training steps finished when it was measured"),
    ("value", "value in the unit of the metric; null where not finite"),
];

/// Types of columns that a view computes: the database declares none.
pub(super) const COMPUTED: &[(&str, &str, &str)] = &[
    ("comparisons", "difference", "real"),
    ("last_values", "step", "integer"),
    ("notes", "at", "text"),
    ("notes", "text", "text"),
    ("runs", "started", "text"),
    ("runs", "peak_mib", "real"),
    ("runs", "tags", "text"),
    ("runs", "note", "text"),
    ("runs", "archived", "integer"),
];

/// What a column holds, with its unit; `None` where nothing says so.
pub(super) fn about(item: &Item, column: &str) -> Option<String> {
    let said = |columns: &[(&str, &str)]| {
        let entry = columns.iter().find(|(name, _)| *name == column);
        entry.map(|(_, about)| (*about).to_owned())
    };
    let metric = || if item.name == "final" { of_metric(column) } else { None };
    said(item.columns).or_else(metric).or_else(|| said(COMMON))
}

/// The type of a column: as declared, else as the view computes it.
pub(super) fn kind(item: &str, column: &str, declared: &str) -> String {
    let computed = COMPUTED.iter().find(|(view, name, _)| *view == item && *name == column);
    match computed {
        Some((_, _, kind)) if declared.is_empty() => (*kind).to_owned(),
        _ => declared.to_lowercase(),
    }
}

/// What a metric measures, its unit and which way is better.
fn of_metric(name: &str) -> Option<String> {
    let metric = metrics::lookup(name)?;
    let unit = match metric.unit {
        "" if metrics::is_share(name) => "0 to 1",
        "" => "no unit",
        unit => unit,
    };
    let better = match metric.direction {
        Direction::Higher => ", higher is better",
        Direction::Lower => ", lower is better",
        Direction::None => "",
    };
    Some(format!("{}; {unit}{better}", metric.about))
}
