//! `dgnet compare`: two arms against each other.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::{DONE, output};
use crate::report::measure::Measure;
use crate::report::opinions::remarks;
use crate::report::pairwise::{Pairwise, pairwise};
use crate::report::words::p_value;
use crate::stats::{self, Decision, Interval};
use crate::store::Db;

/// Compare two arms, paired by seed: difference, interval, tests, a verdict in a sentence.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Arms are named ARM, or STUDY/ARM where several studies have it. The difference is SECOND minus FIRST.
Runs that saw other data or another recipe are refused, never pooled. Where only one seed is there, its
queries are compared, with persons resampled; that says nothing about other seeds.

Examples:
  dgnet compare full no_prim
  dgnet compare full no_prim --metric rank1 --equal-within 0.01
  dgnet compare ablations/full rerun/full --json")]
pub struct Args {
    /// The first arm, usually the baseline
    #[arg(value_name = "FIRST")]
    one: String,
    /// The second
    #[arg(value_name = "SECOND")]
    other: String,
    /// Metric to compare [default: the one that decides the first arm's study]
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Differences up to this do not matter, in the metric's own unit [default: the study's, for its own metric]
    #[arg(long, value_name = "VALUE")]
    equal_within: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let names = [args.one.as_str(), args.other.as_str()];
    let told = pairwise(&Db::file(runs), names, args.metric.as_deref(), args.equal_within)?;
    output::data(&if args.json { as_json(&told) } else { as_text(&told) })?;
    Ok(DONE)
}

fn as_text(told: &Pairwise) -> String {
    let measure = &told.measure;
    let shown = |v: Option<f64>| v.map_or_else(String::new, |v| measure.value(v));
    let [one, other] = &told.sides;
    let rows: Vec<Vec<String>> = told
        .pairs
        .iter()
        .map(|pair| {
            let difference = pair.one.zip(pair.other).map(|(a, b)| measure.difference(b - a));
            vec![
                pair.seed.to_string(),
                shown(pair.one),
                shown(pair.other),
                difference.filter(|_| pair.left_out.is_none()).unwrap_or_default(),
                pair.left_out.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let columns = ["seed", &one.name, &other.name, "difference", "left out because"];
    let table = output::table(&columns, &columns[..4], &rows);
    let sentences = told.sentences.join("\n").replace('`', "");
    format!("{}\n\n{table}\n{}\n{sentences}\n", measure.heading(), numbers(told))
}

/// Means, difference and tests, a line each.
fn numbers(told: &Pairwise) -> String {
    let measure = &told.measure;
    let span = |name: &str, interval: Option<Interval>, difference: bool| {
        interval.map_or_else(String::new, |i| {
            let ends = [i.low, i.high];
            let [low, high] = if difference {
                ends.map(|v| measure.difference(v))
            } else {
                ends.map(|v| measure.bound(v))
            };
            format!("  ({name} {low} to {high})")
        })
    };
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut line = |name: String, text: String| lines.push(vec![name, text]);
    for side in &told.sides {
        let mean = stats::mean(&side.values).map_or_else(String::new, |v| measure.value(v));
        let interval = stats::mean_interval(&side.values, 0.95);
        let extra = if side.values.len() > 3 {
            let [median, iqm] = [stats::median(&side.values), stats::iqm(&side.values)]
                .map(|v| v.map_or_else(String::new, |v| measure.value(v)));
            format!("  median {median}, IQM {iqm}")
        } else {
            String::new()
        };
        line(
            format!("mean of {}", side.name),
            format!("{mean}{}{extra}", span("95 % interval", interval, false)),
        );
    }
    if let Some(estimate) = &told.estimate {
        let how = estimate.t95.map_or("", |_| "95 % t interval");
        line(
            "difference".into(),
            format!("{}{}", measure.difference(estimate.mean), span(how, estimate.t95, true)),
        );
        if let Some(flip) = estimate.flip95 {
            line(
                String::new(),
                span("95 % sign-flip interval", Some(flip), true).trim().to_owned(),
            );
        }
        let error = match estimate.test.error {
            e if e > 0.0 => format!(" +- {e:.1e} (drawn signs)"),
            _ => String::new(),
        };
        if estimate.n > 1 {
            line("p, sign-flip".into(), format!("{}{error}", p_value(estimate.test.p)));
        }
    }
    if let Some(test) = told.wilcoxon.filter(|t| t.n + t.zeros > 1) {
        let notes = remarks(&test);
        let notes =
            if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        line("p, Wilcoxon".into(), format!("{}{notes}", p_value(test.p)));
    }
    if let Some(p) = told.improvement {
        line(format!("P({} better)", told.sides[1].name), format!("{p:.2}"));
    }
    output::table(&["", ""], &[], &lines).trim_start_matches('\n').to_owned()
}

fn as_json(told: &Pairwise) -> String {
    let ends = |i: Option<Interval>| i.map(|i| json!([i.low, i.high]));
    let side = |place: usize| {
        let side = &told.sides[place];
        json!({
            "study": side.study,
            "arm": side.arm,
            "n": side.values.len(),
            "mean": stats::mean(&side.values),
            "interval": ends(stats::mean_interval(&side.values, 0.95)),
            "sd": stats::sd(&side.values),
            "median": stats::median(&side.values),
            "iqm": stats::iqm(&side.values),
        })
    };
    let estimate = told.estimate.as_ref().map(|e| {
        json!({
            "n": e.n,
            "difference": e.mean,
            "sd": e.sd,
            "interval": ends(e.t95),
            "interval_90": ends(e.t90),
            "sign_flip_interval": ends(e.flip95),
            "p_sign_flip": e.test.p,
            "p_sign_flip_error": e.test.error,
            "hedges_g_z": e.g_z,
        })
    });
    let persons = told.persons.as_ref().map(|p| {
        json!({
            "persons": p.clusters,
            "queries": p.queries,
            "difference": p.mean,
            "interval": ends(p.interval),
            "p_sign_flip": p.test.p,
        })
    });
    let whole = json!({
        "metric": told.measure.name,
        "direction": direction(&told.measure),
        "first": side(0),
        "second": side(1),
        "pairs": told.pairs,
        "estimate": estimate,
        "p_wilcoxon": told.wilcoxon.map(|t| t.p),
        "probability_of_improvement": told.improvement,
        "equal_within": told.band,
        "verdict": told.verdict.map(|v| verdict(v.decision)),
        "one_seed": persons,
        "sentences": told.sentences,
    });
    format!("{whole:#}\n")
}

fn direction(measure: &Measure) -> &'static str {
    match measure.higher {
        Some(true) => "higher",
        Some(false) => "lower",
        None => "none",
    }
}

/// What the second arm is, relative to the first.
fn verdict(decision: Decision) -> Json {
    match decision {
        Decision::Worse => json!({ "decision": "worse" }),
        Decision::Better => json!({ "decision": "better" }),
        Decision::NoDifference => json!({ "decision": "no difference that matters" }),
        Decision::Inconclusive { more_seeds } => {
            json!({ "decision": "inconclusive", "more_seeds": more_seeds })
        }
    }
}
