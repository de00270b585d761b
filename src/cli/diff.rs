//! `dgnet diff`: two runs side by side: the settings that differ and the last values that differ.

use std::collections::BTreeMap;
use std::path::Path;

use super::query::{Format, print};
use super::{DONE, output};
use crate::store::Db;
use crate::store::query::{Cell, query_with};

/// Compare two runs: settings and final values that differ.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs are named ARM/SEED, STUDY/ARM/SEED or by the beginning of their id (see `dgnet runs`).\n\nExamples:\n  dgnet diff full/1 no_prim/1\n  dgnet diff ablations/full/1 3f2a9c01 --json"
)]
pub struct Args {
    /// A run
    #[arg(value_name = "RUN")]
    one: String,
    /// Another
    #[arg(value_name = "RUN")]
    other: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const SETTINGS: &str = "
    SELECT key AS setting,
           max(CASE run_uid WHEN :a THEN value END) AS one,
           max(CASE run_uid WHEN :b THEN value END) AS other
    FROM setting WHERE run_uid IN (:a, :b)
    GROUP BY key HAVING one IS NOT other
    ORDER BY key";
const RESULTS: &str = "
    WITH last AS (
        SELECT run_number.uid, metric_name.id AS id, metric_name.name, metric.value
        FROM run_number
        CROSS JOIN metric_name
        JOIN metric ON metric.run = run_number.id AND metric.name = metric_name.id
         AND metric.step = (SELECT max(step) FROM metric
                            WHERE run = run_number.id AND name = metric_name.id)
        WHERE run_number.uid IN (:a, :b))
    SELECT name AS metric,
           max(CASE uid WHEN :a THEN value END) AS one,
           max(CASE uid WHEN :b THEN value END) AS other,
           max(CASE uid WHEN :b THEN value END) - max(CASE uid WHEN :a THEN value END) AS difference
    FROM last
    GROUP BY id HAVING one IS NOT other
    ORDER BY id";

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let file = Db::file(runs);
    let mut db = Db::open_read(&file)?;
    let (one, other) = (db.find_run(&args.one)?, db.find_run(&args.other)?);
    drop(db);
    let values = BTreeMap::from([
        ("a".to_owned(), Cell::Text(one.clone())),
        ("b".to_owned(), Cell::Text(other.clone())),
    ]);
    let settings = query_with(&file, SETTINGS, &values)?;
    let results = query_with(&file, RESULTS, &values)?;
    if args.json {
        let whole = serde_json::json!({
            "one": one,
            "other": other,
            "settings": super::query::objects(&settings),
            "results": super::query::objects(&results),
        });
        output::data(&format!("{whole:#}\n"))?;
        return Ok(DONE);
    }
    if one == other {
        output::data("both name the same run\n")?;
        return Ok(DONE);
    }
    print(&settings, Format::Table)?;
    output::data("\n")?;
    print(&results, Format::Table)?;
    Ok(DONE)
}
