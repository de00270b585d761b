//! Pairs of cameras: how well people seen by one camera are found among the photos of another, of the
//! baseline and, as differences, of each arm. Rows in, ready strings out; no markup.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::compare::Compared;
use super::facts;
use super::measure::{MINUS, count, number};
use crate::stats;
use crate::store::rows::{CameraRow, StudyData};

/// The matrices of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cameras {
    /// Cameras of queries: rows.
    pub queries: Vec<u32>,
    /// Cameras of gallery photos: columns.
    pub galleries: Vec<u32>,
    /// mAP of the baseline, in per cent.
    pub baseline: Option<Matrix>,
    /// Differences of the other arms to it, in points.
    pub arms: Vec<Matrix>,
    /// `from 5 to 19 queries a pair`.
    pub sizes: String,
    /// Arms whose matrices found no room.
    pub left_out: usize,
}

/// One arm's matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matrix {
    /// Arm.
    pub arm: String,
    /// `3 seeds`.
    pub seeds: String,
    /// The worst and the best pair, as a sentence; backticks mark names.
    pub finding: String,
    /// By query camera, then gallery camera; `None` where no query has a true match.
    pub cells: Vec<Vec<Option<Cell>>>,
}

/// One pair of cameras.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// Mean over seeds, share of 1.
    pub value: f64,
    /// That in per cent or points.
    pub text: String,
    /// Queries, of the first seed that has the pair.
    pub queries: u64,
    /// How deep it is shaded, from -100 to 100: negative is worse.
    pub shade: i32,
}

/// Cells of the page at most; more arms than fit are told by number.
const CELLS: usize = 12_000;
/// Fewest queries of a pair of cameras that the finding speaks of.
const TOLD_FROM: u64 = 5;

type Pair = (u32, u32);
/// Values over seeds, and the queries of the first seed.
type Values = BTreeMap<Pair, (Vec<f64>, u64)>;

/// The matrices, where any arm has one.
#[must_use]
pub fn cameras(data: &StudyData, arms: &[Compared]) -> Option<Cameras> {
    let runs = Runs::of(data);
    let known = data.cameras.iter().map(|row| (row.query_camera, row.gallery_camera)).collect();
    let frame = Frame::new(&known);
    let base = data.study.baseline.as_str();
    let seeds = runs.seeds(base);
    let baseline = (!seeds.is_empty())
        .then(|| frame.matrix(base, seeds.len(), &runs.values(base, &seeds, None), None));
    let mut found: Vec<(&str, usize, Values)> = Vec::new();
    for arm in arms.iter().filter(|arm| !arm.is_baseline) {
        let name = data.arms[arm.place].name.as_str();
        let mut own = runs.seeds(name);
        own.retain(|seed| seeds.contains(seed) && !arm.unlike.contains(seed));
        let values = runs.values(name, &own, Some(base));
        if !values.is_empty() {
            found.push((name, own.len(), values));
        }
    }
    let room = (CELLS / (frame.queries.len() * frame.galleries.len()).max(1)).max(1);
    let left_out = found.len().saturating_sub(room);
    found.truncate(room);
    // one scale for all arms, so that a shade means the same in each
    let means = found.iter().flat_map(|(_, _, values)| values.values());
    let widest = means.filter_map(|(v, _)| stats::mean(v)).fold(0.0, |a: f64, v| a.max(v.abs()));
    let arms = found.iter().map(|(name, n, values)| frame.matrix(name, *n, values, Some(widest)));
    let arms: Vec<Matrix> = arms.collect();
    (baseline.is_some() || !arms.is_empty()).then_some(Cameras {
        baseline,
        arms,
        sizes: sizes(data),
        left_out,
        queries: frame.queries,
        galleries: frame.galleries,
    })
}

/// The rows of every run.
struct Runs<'a> {
    data: &'a StudyData,
    rows: BTreeMap<(&'a str, u64), BTreeMap<Pair, &'a CameraRow>>,
}

impl<'a> Runs<'a> {
    fn of(data: &'a StudyData) -> Self {
        let mut rows: BTreeMap<(&str, u64), BTreeMap<Pair, &CameraRow>> = BTreeMap::new();
        for row in &data.cameras {
            let pairs = rows.entry((row.arm.as_str(), row.seed)).or_default();
            pairs.insert((row.query_camera, row.gallery_camera), row);
        }
        Self { data, rows }
    }

    /// Finished seeds of an arm that have pairs of cameras.
    fn seeds(&self, arm: &str) -> Vec<u64> {
        let mut seeds = facts::finished(self.data, arm);
        seeds.retain(|seed| self.rows.contains_key(&(arm, *seed)));
        seeds
    }

    /// mAP over these seeds, or its difference to the baseline's where one is named.
    fn values(&self, arm: &str, seeds: &[u64], base: Option<&str>) -> Values {
        let mut values = Values::new();
        for seed in seeds {
            let others = base.and_then(|base| self.rows.get(&(base, *seed)));
            for (pair, row) in self.rows.get(&(arm, *seed)).into_iter().flatten() {
                let other = match (base, others.and_then(|others| others.get(pair))) {
                    (None, _) => 0.0,
                    (_, Some(other)) => other.map,
                    (Some(_), None) => continue,
                };
                let entry = values.entry(*pair).or_insert((Vec::new(), row.queries));
                entry.0.push(row.map - other);
            }
        }
        values
    }
}

fn sizes(data: &StudyData) -> String {
    let of = || data.cameras.iter().map(|row| row.queries);
    match (of().min(), of().max()) {
        (Some(least), Some(most)) if least < most => {
            format!("from {least} to {most} queries a pair")
        }
        (Some(all), _) => format!("{all} queries a pair"),
        _ => String::new(),
    }
}

/// Rows and columns of all matrices.
struct Frame {
    queries: Vec<u32>,
    galleries: Vec<u32>,
}

impl Frame {
    fn new(known: &BTreeSet<Pair>) -> Self {
        let sorted = |of: &dyn Fn(&Pair) -> u32| -> Vec<u32> {
            known.iter().map(of).collect::<BTreeSet<u32>>().into_iter().collect()
        };
        Self { queries: sorted(&|pair| pair.0), galleries: sorted(&|pair| pair.1) }
    }

    /// Means over seeds; `widest` is the largest difference of any arm, `None` for values.
    fn matrix(&self, arm: &str, seeds: usize, values: &Values, widest: Option<f64>) -> Matrix {
        let means: BTreeMap<Pair, f64> = values
            .iter()
            .filter_map(|(pair, (values, _))| Some((*pair, stats::mean(values)?)))
            .collect();
        // a pair of a few queries is the best or the worst by chance
        let mut told = means.clone();
        told.retain(|pair, _| values[pair].1 >= TOLD_FROM);
        let low = means.values().copied().fold(f64::INFINITY, f64::min);
        let high = means.values().copied().fold(f64::NEG_INFINITY, f64::max);
        let shade = |value: f64| match widest {
            Some(widest) if widest > 0.0 => 100.0 * value / widest,
            Some(_) => 0.0,
            None if high > low => 100.0 * (value - low) / (high - low),
            None => 50.0,
        };
        let cell = |pair: Pair| {
            let value = *means.get(&pair)?;
            let text = if widest.is_some() { points(value) } else { number(100.0 * value, 1) };
            let (queries, shade) = (values[&pair].1, shade(value).round() as i32);
            Some(Cell { value, text, queries, shade })
        };
        let row = |query: &u32| self.galleries.iter().map(|g| cell((*query, *g))).collect();
        Matrix {
            arm: arm.to_owned(),
            seeds: count(seeds, "seed"),
            finding: finding(arm, &told, widest.is_some()),
            cells: self.queries.iter().map(row).collect(),
        }
    }
}

/// A difference in points with its sign.
fn points(difference: f64) -> String {
    let text = number(100.0 * difference, 1);
    let zero = text.chars().all(|c| !c.is_ascii_digit() || c == '0');
    if difference > 0.0 && !zero { format!("+{text}") } else { text }
}

fn finding(arm: &str, means: &BTreeMap<Pair, f64>, differences: bool) -> String {
    let mut sorted: Vec<(Pair, f64)> = means.iter().map(|(pair, value)| (*pair, *value)).collect();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let ([(low, worst), ..], [.., (high, best)]) = (sorted.as_slice(), sorted.as_slice()) else {
        return String::new();
    };
    let pair = |(query, gallery): &Pair| format!("camera {query} to {gallery}");
    if !differences {
        let value = |v: f64| format!("{} %", number(100.0 * v, 1));
        return format!(
            "`{arm}` finds people worst from {} ({}) and best from {} ({}).",
            pair(low),
            value(*worst),
            pair(high),
            value(*best)
        );
    }
    let least = if points(*worst).starts_with(MINUS) { "loses most" } else { "gains least" };
    let most = if points(*best).starts_with('+') { "gains most" } else { "loses least" };
    format!(
        "`{arm}` {least} from {} ({}) and {most} from {} ({}).",
        pair(low),
        points(*worst),
        pair(high),
        points(*best)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::build;
    use super::super::demo::{ARMS, pairs_of_cameras, study};

    #[test]
    fn the_worst_and_the_best_pair_are_told() {
        let mut data = study(&ARMS, 3);
        pairs_of_cameras(&mut data, 4);
        let cameras = build(&data).unwrap().cameras.unwrap();
        assert_eq!((cameras.queries.len(), cameras.arms.len()), (4, ARMS.len() - 1));
        let base = cameras.baseline.unwrap();
        assert_eq!(base.cells[1][1], None, "photos of the query's own camera are no matches");
        assert_eq!(base.seeds, "3 seeds");
        assert_eq!(cameras.sizes, "from 5 to 15 queries a pair");
        assert_eq!(
            base.finding,
            "`full` finds people worst from camera 1 to 2 (40.0 %) and best from camera 4 to 3 (65.0 %)."
        );
        let arm = &cameras.arms[0];
        assert!(arm.finding.starts_with("`no_prim` loses most from camera "), "{}", arm.finding);
        let shades = cameras.arms.iter().flat_map(|arm| arm.cells.iter().flatten().flatten());
        let deepest = shades.map(|cell| cell.shade.abs()).max();
        assert_eq!(deepest, Some(100), "one scale for all arms");
    }

    #[test]
    fn other_data_is_not_paired_and_no_file_is_no_section() {
        let mut data = study(&ARMS, 2);
        assert_eq!(build(&data).unwrap().cameras, None);
        pairs_of_cameras(&mut data, 3);
        for cell in data.cells.iter_mut().filter(|cell| cell.arm == "no_prim") {
            cell.data_key = "other".into();
        }
        let cameras = build(&data).unwrap().cameras.unwrap();
        assert_eq!(cameras.arms.len(), ARMS.len() - 2);
    }
}
