//! Draws the scaling curves of `benches/results/scaling.csv`, one PNG a chart, each from its last measurement. Measures
//! nothing.
//!
//!     just bench plots

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use dgnet::report::figures::curves::{Curves, Line, draw};
use dgnet::report::figures::{LIGHT, Stroke};

/// A chart's name in the file, its title, what is up and what is along the bottom.
const CHARTS: [[&str; 4]; 3] = [
    [
        "runs",
        "Training steps of a study",
        "steps/s of all runs, higher is better",
        "runs at a time",
    ],
    ["ranking", "Ranking 3,368 queries", "s, lower is better", "gallery photos"],
    ["plan", "Planning a study", "s, lower is better", "arms"],
];

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
    match plot(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\n  hint: `just bench scaling` measures what is drawn");
            ExitCode::FAILURE
        }
    }
}

/// A line of the file: when and where, chart, series, x, y.
struct Row<'a> {
    session: [&'a str; 4],
    chart: &'a str,
    series: &'a str,
    x: u64,
    y: f64,
}

fn plot(folder: &Path) -> Result<(), Box<dyn Error>> {
    let path = folder.join("scaling.csv");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let rows: Vec<Row<'_>> = text.lines().skip(1).filter_map(row).collect();
    for [chart, title, unit, axis] in CHARTS {
        let of_chart = || rows.iter().filter(|row| row.chart == chart);
        let Some(last) = of_chart().next_back() else { continue };
        let [date, commit, processor, cores] = last.session;
        // measured twice on a day: the later value
        let mut series: BTreeMap<&str, BTreeMap<u64, f64>> = BTreeMap::new();
        for row in of_chart().filter(|row| row.session == last.session) {
            series.entry(row.series).or_default().insert(row.x, row.y);
        }
        let lines = series.into_iter().enumerate().map(|(at, (name, points))| Line {
            label: name.to_owned(),
            stroke: if at == 0 { Stroke::Baseline } else { Stroke::Own(at - 1) },
            points: points.into_iter().map(|(x, y)| (x as f64, y, y, y)).collect(),
        });
        let figure = Curves {
            title: title.to_owned(),
            subtitle: format!("{unit}; {processor}, {cores} cores, {date}, {commit}"),
            axis,
            may_be_log: true,
            lines: lines.collect(),
            named: true,
            width: 760,
            height: 340,
        };
        let path = folder.join(format!("{chart}.png"));
        std::fs::write(&path, draw(&figure, &LIGHT)?.png)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn row(line: &str) -> Option<Row<'_>> {
    let fields: Vec<&str> = line.split(',').collect();
    let [date, commit, processor, cores, chart, series, x, y] = fields[..] else { return None };
    Some(Row {
        session: [date, commit, processor, cores],
        chart,
        series,
        x: x.parse().ok()?,
        y: y.parse().ok()?,
    })
}
