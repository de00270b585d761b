//! A plan for programs.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::looks;
use crate::sweep::Plan;
use crate::sweep::forecast::{Forecast, cost};

/// The whole plan. Cells are written from where they lie: there may be a hundred thousand.
#[derive(Serialize)]
struct Whole<'a> {
    study: &'a str,
    cells: Vec<Cell<'a>>,
    #[serde(flatten)]
    rest: Json,
}

#[derive(Serialize)]
struct Cell<'a> {
    nearest: Option<Json>,
    arm: &'a str,
    seed: u64,
    uid: &'a str,
    folder: String,
    state: &'static str,
    missing: Vec<&'static str>,
    same_as: Option<Json>,
}

/// Pretty JSON, with a newline at its end.
pub fn as_json(plan: &Plan, forecasts: &[Forecast], runs: &Path) -> anyhow::Result<String> {
    // forecasts come in the order of their cells
    let nearest = |at: usize| {
        let forecast = forecasts.binary_search_by_key(&at, |forecast| forecast.cell).ok()?;
        let nearest = forecasts[forecast].nearest.as_ref()?;
        Some(json!({
            "run": nearest.name,
            "differs": nearest.differs,
            "seconds": nearest.seconds,
            "bytes": nearest.bytes,
        }))
    };
    let cells = plan.cells.iter().enumerate().map(|(at, cell)| Cell {
        nearest: nearest(at),
        arm: &cell.arm,
        seed: cell.seed,
        uid: &cell.spec.uid,
        folder: cell.run.relative(runs),
        state: cell.state.as_str(),
        missing: cell.missing.iter().map(|kind| kind.as_str()).collect(),
        same_as: cell.same_as.as_ref().map(|(arm, seed)| json!({ "arm": arm, "seed": seed })),
    });
    let whole = Whole { study: &plan.study, cells: cells.collect(), rest: rest(plan, forecasts) };
    Ok(format!("{}\n", serde_json::to_string_pretty(&whole)?))
}

fn rest(plan: &Plan, forecasts: &[Forecast]) -> Json {
    let shared: Vec<_> = plan
        .shared
        .iter()
        .map(|(kind, key, runs)| json!({ "kind": kind.as_str(), "key": key, "runs": runs }))
        .collect();
    let forks: Vec<_> = plan
        .forks
        .iter()
        .map(|fork| {
            let cells = fork.cells.iter().map(|&at| &plan.cells[at]);
            json!({
                "steps": fork.steps,
                "key": fork.key,
                "arms": cells.map(|cell| &cell.arm).collect::<Vec<_>>(),
                "seed": plan.cells[fork.cells[0]].seed,
                "saves": fork.saves(),
                "published": fork.published,
            })
        })
        .collect();
    let cost = cost(plan, forecasts);
    json!({
        "runs_to_train": plan.open_runs().len(),
        "shared": shared,
        "forks": forks,
        "steps_alone": plan.steps_alone(),
        "steps_saved": plan.steps_saved(),
        "seconds": cost.seconds,
        "seconds_saved": cost.saved_seconds,
        "bytes": cost.bytes,
        "runs_without_forecast": cost.unknown,
        "seeds": plan.seeds,
        "confirm": plan.confirm,
        // the exact test decides only where seeds are given
        "smallest_p": plan.standing.is_none().then(|| plan.smallest_p()),
        "seeds_needed": plan.standing.is_none().then(|| plan.seeds_needed()),
        "looks": plan.standing.as_ref().map(|standing| looks::as_json(plan, standing)),
        "prune": plan.pruning.as_ref().map(looks::pruning_as_json),
        "notes": plan.notes,
    })
}
