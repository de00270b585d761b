//! `dgnet plan`: what a sweep would do, and whether the seeds can decide anything.

use std::path::Path;

use serde_json::json;

use super::failure::BadInput;
use super::plan_json::as_json;
use super::study_file::StudyArgs;
use super::{DONE, looks, output};
use crate::spec::Study;
use crate::spec::identity::flatten;
use crate::sweep::forecast::{Forecast, Nearest, cost, forecast};
use crate::sweep::progress::duration;
use crate::sweep::{Plan, plan};

/// Show what a sweep would do and whether the seeds can decide anything. Starts nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  dgnet plan ablations.yaml\n  dgnet plan ablations.yaml --show-settings full"
)]
pub struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// Print every setting of this arm and where it was stated
    #[arg(long, value_name = "ARM")]
    show_settings: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let study = args.study.load()?;
    if let Some(name) = &args.show_settings {
        output::data(&settings(&study, name, args.json)?)?;
        return Ok(DONE);
    }
    let plan = plan(&study, runs)?;
    let forecasts = forecast(&plan, runs)?;
    let text =
        if args.json { as_json(&plan, &forecasts, runs)? } else { as_text(&plan, &forecasts) };
    output::data(&text)?;
    Ok(DONE)
}

/// Every setting of an arm with its value and where it comes from.
fn settings(study: &Study, name: &str, as_json: bool) -> anyhow::Result<String> {
    let arm = study.arm(name).ok_or_else(|| {
        let known: Vec<_> = study.arms.iter().map(|arm| arm.name.as_str()).collect();
        BadInput(format!(
            "the study `{}` has no arm `{name}`\n  hint: it has {}",
            study.name,
            known.join(", ")
        ))
    })?;
    let mut values = Vec::new();
    flatten("", &serde_json::to_value(&arm.settings)?, &mut values);
    let origin = |name: &str| arm.origins.get(name).map_or("default", String::as_str).to_owned();
    if as_json {
        let all: serde_json::Map<_, _> = values
            .into_iter()
            .map(|(name, value)| {
                let entry = json!({ "value": value, "origin": origin(&name) });
                (name, entry)
            })
            .collect();
        return Ok(format!("{:#}\n", serde_json::Value::Object(all)));
    }
    let rows: Vec<Vec<String>> = values
        .into_iter()
        .map(|(name, value)| {
            let from = origin(&name);
            vec![name, value.to_string(), from]
        })
        .collect();
    Ok(output::table(&["setting", "value", "stated at"], &[], &rows))
}

/// What a person should know before the time is spent.
pub fn remarks(plan: &Plan) -> Vec<String> {
    let mut remarks: Vec<String> = plan.notes.iter().map(|note| format!("note: {note}")).collect();
    remarks.extend(plan.pruning.iter().flat_map(looks::pruning_remarks));
    if let Some(standing) = &plan.standing {
        remarks.extend(looks::remarks(plan, standing));
        return remarks;
    }
    let (p, needed) = (plan.smallest_p(), plan.seeds_needed());
    if plan.confirm == 0 {
        remarks.push("note: `confirm` is empty, so every comparison is exploratory".into());
    } else if plan.seeds < needed as usize {
        let comparisons = counted(plan.confirm, "comparison");
        remarks.push(format!(
            "note: with {} the smallest two-sided p is {p}; Holm over {comparisons} needs {needed} seeds for 5 %, so `confirm` cannot be decided: the report will give effects and intervals",
            counted(plan.seeds, "seed"),
        ));
    } else {
        remarks.push(format!(
            "{} are enough: the smallest two-sided p is {p}, Holm over {} needs {needed}",
            counted(plan.seeds, "seed"),
            counted(plan.confirm, "comparison")
        ));
    }
    remarks
}

/// Settings that a row of the table shows of what differs, at most.
const SHOWN: usize = 2;

/// Why a run is not there: what sets it apart from the finished run most like it.
fn why(nearest: Option<&Nearest>) -> String {
    let Some(nearest) = nearest else { return "nothing like it is finished".to_owned() };
    let more = nearest.differs.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown: Vec<&str> = nearest.differs.iter().take(SHOWN).map(String::as_str).collect();
    format!("against {}: {}{more}", nearest.name, shown.join(", "))
}

/// Time and disk that the open runs will take, where finished runs tell.
fn costs(plan: &Plan, forecasts: &[Forecast]) -> Option<String> {
    let cost = cost(plan, forecasts);
    let known = forecasts.len() - cost.unknown;
    if known == 0 {
        return None;
    }
    let saved = if cost.saved_seconds > 0.0 {
        format!(", after {} that shared beginnings save", duration(cost.saved_seconds))
    } else {
        String::new()
    };
    let unknown = if cost.unknown > 0 {
        format!("; nothing is known of {}", counted(cost.unknown, "other"))
    } else {
        String::new()
    };
    Some(format!(
        "judged by finished runs: {} of one worker's time and {:.1} MB on disk for {}{saved}{unknown}",
        duration(cost.seconds),
        cost.bytes as f64 / 1e6,
        counted(known, "run"),
    ))
}

/// Rows and lines of a kind that are printed; what is more is counted.
const ROWS: usize = 200;
const LINES: usize = 12;

/// The first few lines, and how many more there are.
fn few(lines: impl ExactSizeIterator<Item = String>, what: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(LINES);
    let mut shown: Vec<String> = lines.take(LINES).collect();
    if more > 0 {
        shown.push(format!("... and {more} more {what}; `--json` has all"));
    }
    shown
}

fn as_text(plan: &Plan, forecasts: &[Forecast]) -> String {
    let open = plan.open_runs().len();
    // forecasts come in the order of their cells
    let reason = |at: usize| {
        let forecast = forecasts.binary_search_by_key(&at, |forecast| forecast.cell);
        forecast.map_or_else(|_| String::new(), |at| why(forecasts[at].nearest.as_ref()))
    };
    let rows: Vec<Vec<String>> = plan
        .cells
        .iter()
        .take(ROWS)
        .enumerate()
        .map(|(at, cell)| {
            let state = cell.state.as_str().to_owned();
            vec![cell.arm.clone(), cell.seed.to_string(), state, cell.action(), reason(at)]
        })
        .collect();
    let columns = ["arm", "seed", "state", "what would run", "why"];
    // a study of which nothing is open has no reasons, one of which nothing is known only one
    let told = open > 0 && forecasts.iter().any(|forecast| forecast.nearest.is_some());
    let width = if told { 5 } else { 4 };
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row[..width].to_vec()).collect();
    let table = output::table(&columns[..width], &["seed"], &rows);
    let cells = plan.cells.len();
    let mut lines = Vec::new();
    if cells > rows.len() {
        lines.push(format!("... and {} more cells; `--json` has all", cells - rows.len()));
    }
    lines.push(match open {
        0 => "nothing to train".to_owned(),
        open => format!("{} to train for {}", counted(open, "run"), counted(cells, "cell")),
    });
    let shared = plan.shared.iter().map(|(kind, key, runs)| {
        format!("{} {}: made once for {runs} runs", kind.as_str(), &key[..8.min(key.len())])
    });
    lines.extend(few(shared, "shared stages"));
    let forks = plan.forks.iter().map(|fork| {
        let arms = fork.cells.iter().map(|&at| plan.cells[at].arm.clone());
        let arms = few(arms, "arms");
        let state = if fork.published { "is there already" } else { "trained once" };
        format!(
            "steps {}-{} of {} (seed {}): {state}",
            fork.steps - fork.adds + 1,
            fork.steps,
            arms.join(", "),
            plan.cells[fork.cells[0]].seed
        )
    });
    lines.extend(few(forks, "shared beginnings"));
    if plan.steps_saved() > 0 {
        let (saved, alone) = (plan.steps_saved(), plan.steps_alone());
        let share = saved as f64 / alone as f64 * 100.0;
        lines.push(format!(
            "shared beginnings save {saved} of {alone} training steps ({share:.0} %)"
        ));
    }
    lines.extend(costs(plan, forecasts));
    lines.extend(remarks(plan));
    format!("{table}\n{}\n", lines.join("\n"))
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
