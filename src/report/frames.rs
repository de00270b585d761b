//! Rows to tables (polars): final values per run, and curves over seeds. Frames in and out of this
//! file only; everybody else sees plain vectors in a fixed order.

use std::collections::BTreeMap;

use polars::prelude::*;

use crate::store::rows::StudyData;

/// One place on a curve: values over the seeds that still have finite ones there.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Mean step of the bin.
    pub step: f64,
    /// Mean over seeds.
    pub mean: f64,
    /// Smallest seed.
    pub low: f64,
    /// Largest seed.
    pub high: f64,
    /// Seeds.
    pub seeds: u32,
}

/// One arm's curve of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Position of the arm.
    pub arm: usize,
    /// Points, by step.
    pub points: Vec<Point>,
}

/// Whether curves are 0 from beginning to end, as those of a loss that is switched off.
#[must_use]
pub fn are_zero(curves: &[Curve]) -> bool {
    curves.iter().flat_map(|curve| &curve.points).all(|point| point.low == 0.0 && point.high == 0.0)
}

/// What the rows come down to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frames {
    /// (arm position, seed) -> metric -> value at its last step; NaN kept.
    pub finals: BTreeMap<(usize, u64), BTreeMap<String, f64>>,
    /// Metric -> curves, by arm position.
    pub curves: BTreeMap<String, Vec<Curve>>,
}

/// Aggregates a study's metric rows.
///
/// # Errors
/// What polars refuses.
pub fn frames(data: &StudyData) -> PolarsResult<Frames> {
    let names: Vec<&str> = {
        let mut names: Vec<&str> = data.metrics.iter().map(|m| m.metric.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let table = table(data, &names)?;
    Ok(Frames { finals: finals(data), curves: curves(&table, &names)? })
}

/// Columns arm, seed, metric (places), step, bin, value; rows of unknown arms are left out.
fn table(data: &StudyData, names: &[&str]) -> PolarsResult<DataFrame> {
    let (arms, width) = (places(data), data.stretch.max(1));
    let rows: Vec<_> =
        data.metrics.iter().filter_map(|m| arms.get(m.arm.as_str()).map(|arm| (*arm, m))).collect();
    let metric = rows.iter().map(|(_, m)| {
        names.binary_search(&m.metric.as_str()).map_or(u32::MAX, |place| place as u32)
    });
    DataFrame::new(
        rows.len(),
        vec![
            Column::new("arm".into(), rows.iter().map(|(arm, _)| *arm).collect::<Vec<u32>>()),
            Column::new("seed".into(), rows.iter().map(|(_, m)| m.seed).collect::<Vec<u64>>()),
            Column::new("metric".into(), metric.collect::<Vec<u32>>()),
            Column::new("step".into(), rows.iter().map(|(_, m)| m.step).collect::<Vec<u64>>()),
            Column::new(
                "bin".into(),
                rows.iter().map(|(_, m)| m.step / width).collect::<Vec<u64>>(),
            ),
            Column::new("value".into(), rows.iter().map(|(_, m)| m.value).collect::<Vec<f64>>()),
        ],
    )
}

/// Last values by run; those of unknown arms are left out.
fn finals(data: &StudyData) -> BTreeMap<(usize, u64), BTreeMap<String, f64>> {
    let arms = places(data);
    let mut finals: BTreeMap<(usize, u64), BTreeMap<String, f64>> = BTreeMap::new();
    for row in &data.finals {
        if let Some(arm) = arms.get(row.arm.as_str()) {
            let of_run = finals.entry((*arm as usize, row.seed)).or_default();
            of_run.insert(row.metric.clone(), row.value);
        }
    }
    finals
}

/// Arms by name.
fn places(data: &StudyData) -> BTreeMap<&str, u32> {
    data.arms.iter().enumerate().map(|(place, arm)| (arm.name.as_str(), place as u32)).collect()
}

fn curves(table: &DataFrame, names: &[&str]) -> PolarsResult<BTreeMap<String, Vec<Curve>>> {
    let by_seed = [col("metric"), col("arm"), col("bin"), col("seed")];
    let order = ["metric", "arm", "bin", "seed"];
    let points = table
        .clone()
        .lazy()
        .filter(col("value").is_finite())
        .group_by(by_seed)
        .agg([col("value").mean(), col("step").mean()])
        .sort(order, SortMultipleOptions::default()) // sums of floats follow the order of rows
        .group_by_stable([col("metric"), col("arm"), col("bin")])
        .agg([
            col("value").mean().alias("mean"),
            col("value").min().alias("low"),
            col("value").max().alias("high"),
            col("value").count().cast(DataType::UInt32).alias("seeds"),
            col("step").mean().alias("at"),
        ])
        .collect()?;
    let (metric, arm) = (points.column("metric")?.u32()?, points.column("arm")?.u32()?);
    let number = |name: &str| points.column(name).and_then(|c| c.f64().cloned());
    let (at, mean, low, high) = (number("at")?, number("mean")?, number("low")?, number("high")?);
    let seeds = points.column("seeds")?.u32()?;
    let mut curves: BTreeMap<String, Vec<Curve>> = BTreeMap::new();
    for row in 0..points.height() {
        let (Some(metric), Some(arm)) = (metric.get(row), arm.get(row)) else { continue };
        let (Some(step), Some(mean)) = (at.get(row), mean.get(row)) else { continue };
        let (Some(low), Some(high)) = (low.get(row), high.get(row)) else { continue };
        let Some(name) = names.get(metric as usize) else { continue };
        let of_metric = curves.entry((*name).to_owned()).or_default();
        if of_metric.last().is_none_or(|c| c.arm != arm as usize) {
            of_metric.push(Curve { arm: arm as usize, points: Vec::new() });
        }
        if let Some(curve) = of_metric.last_mut() {
            let seeds = seeds.get(row).unwrap_or(0);
            curve.points.push(Point { step, mean, low, high, seeds });
        }
    }
    Ok(curves)
}
