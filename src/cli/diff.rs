//! `dgnet diff`: two runs side by side: the settings that differ and the last values that differ.

use std::collections::BTreeMap;
use std::path::Path;

use super::failure::BadInput;
use super::query::{as_table, objects};
use super::{DONE, output};
use crate::report::measure::Measure;
use crate::store::Db;
use crate::store::query::{Cell, Table, query_with};
use crate::store::rows::MetricDef;

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

const MADE: &str = "
    SELECT max(CASE uid WHEN :a THEN data_key END) AS data_one,
           max(CASE uid WHEN :b THEN data_key END) AS data_other,
           max(CASE uid WHEN :a THEN recipe END) AS recipe_one,
           max(CASE uid WHEN :b THEN recipe END) AS recipe_other
    FROM run WHERE uid IN (:a, :b)";

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let file = Db::file(runs);
    let mut db = Db::open_read(&file)?;
    let (one, other) = (find(&mut db, &args.one)?, find(&mut db, &args.other)?);
    let defs = db.metric_defs()?;
    drop(db);
    let values = BTreeMap::from([
        ("a".to_owned(), Cell::Text(one.uid.clone())),
        ("b".to_owned(), Cell::Text(other.uid.clone())),
    ]);
    let settings = query_with(&file, SETTINGS, &values)?;
    let results = query_with(&file, RESULTS, &values)?;
    let made = query_with(&file, MADE, &values)?;
    let made = made.rows.first().map_or(&[][..], Vec::as_slice);
    let unlike = unlike(made);
    if args.json {
        let whole = serde_json::json!({
            "one": one.uid,
            "other": other.uid,
            "settings": objects(&settings),
            "results": objects(&results),
            "unlike": unlike,
        });
        output::data(&format!("{whole:#}\n"))?;
        return Ok(DONE);
    }
    if one.uid == other.uid {
        output::data("both name the same run\n")?;
        return Ok(DONE);
    }
    output::data(&as_text([&one.name, &other.name], settings, &results, &defs, &unlike))?;
    Ok(DONE)
}

/// A run of the two.
struct Found {
    uid: String,
    /// Its name as it was given; for an id, that of its first cell.
    name: String,
}

fn find(db: &mut Db, given: &str) -> anyhow::Result<Found> {
    let uid = db.find_run(given)?;
    if db.run_folder(&uid)?.is_empty() {
        return Err(BadInput::not_begun(given).into());
    }
    let cell = db.cells_of(&uid)?.into_iter().next().filter(|_| !given.contains('/'));
    let name = cell.map(|(study, arm, seed)| format!("{study}/{arm}/{seed}"));
    Ok(Found { uid, name: name.unwrap_or_else(|| given.to_owned()) })
}

/// What else than settings sets two runs apart; of either the data and the recipe.
fn unlike(made: &[Cell]) -> Vec<String> {
    let [data_one, data_other, recipe_one, recipe_other] = made else { return Vec::new() };
    let mut unlike = Vec::new();
    if data_one != data_other {
        unlike.push("they saw other data: a difference may be that of the data".to_owned());
    }
    if let (Cell::Integer(one), Cell::Integer(other)) = (recipe_one, recipe_other)
        && one != other
    {
        unlike.push(format!(
            "they have other recipes ({one} and {other}): a difference may be that of the recipe"
        ));
    }
    unlike
}

fn as_text(
    names: [&str; 2],
    mut settings: Table,
    results: &Table,
    defs: &[MetricDef],
    unlike: &[String],
) -> String {
    let settings = if settings.rows.is_empty() {
        "the same settings\n".to_owned()
    } else {
        settings.columns = ["setting", names[0], names[1]].map(str::to_owned).to_vec();
        as_table(&settings)
    };
    let results = if results.rows.is_empty() {
        "no last value differs\n".to_owned()
    } else {
        let rows: Vec<Vec<String>> =
            results.rows.iter().filter_map(|row| line(row, defs)).collect();
        let columns = ["metric", names[0], names[1], "difference"];
        output::table(&columns, &columns[1..], &rows)
    };
    let unlike: Vec<String> = unlike.iter().map(|reason| format!("\n{reason}\n")).collect();
    format!("{settings}\n{results}{}", unlike.concat())
}

/// A metric and both values in the units of `dgnet compare`.
fn line(row: &[Cell], defs: &[MetricDef]) -> Option<Vec<String>> {
    let [Cell::Text(metric), one, other, _] = row else { return None };
    let measure = Measure::of(metric, defs);
    let value = |cell: &Cell| match cell {
        Cell::Real(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        _ => None,
    };
    let (one, other) = (value(one), value(other));
    let shown = |value: Option<f64>| value.map_or_else(String::new, |v| measure.value(v));
    // what is listed differs, however little
    let least = |by: f64| format!("{:+.1e}", by * measure.scale).replace('-', "\u{2212}");
    let difference = one.zip(other).map(|(one, other)| match other - one {
        by if by != 0.0 && measure.difference(by) == measure.difference(0.0) => least(by),
        by => measure.difference(by),
    });
    Some(vec![measure.heading(), shown(one), shown(other), difference.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: Vec<Vec<Cell>>) -> Table {
        let columns = ["name", "one", "other", "difference"].map(str::to_owned).to_vec();
        Table { columns, rows, capped: false }
    }

    #[test]
    fn columns_have_names_and_values_their_units() {
        let text = |text: &str| Cell::Text(text.to_owned());
        let settings = table(vec![vec![text("loss.lambda_prim"), text("1.0"), Cell::Null]]);
        let results = table(vec![
            vec![text("mAP"), Cell::Real(0.7), Cell::Real(0.65), Cell::Real(-0.05)],
            vec![text("diversity"), Cell::Real(0.36), Cell::Null, Cell::Null],
            vec![text("rank1"), Cell::Real(0.5), Cell::Real(0.499_998), Cell::Real(-0.000_002)],
        ]);
        let said = as_text(["full/1", "x/1"], settings, &results, &[], &[]);
        assert_eq!(
            said,
            "setting           full/1  x/1\nloss.lambda_prim  1.0\n\n\
             metric      full/1   x/1  difference\n\
             mAP (%)       70.0  65.0        \u{2212}5.0\n\
             diversity    0.360\n\
             rank-1 (%)    50.0  50.0     \u{2212}2.0e\u{2212}4\n"
        );
    }

    #[test]
    fn what_is_the_same_and_what_is_unlike_is_said() {
        let none = || table(Vec::new());
        let data = |key: &str| Cell::Text(key.to_owned());
        let recipes = [Cell::Integer(1), Cell::Integer(2)];
        let reasons = unlike(&[data("dd"), data("ee"), recipes[0].clone(), recipes[1].clone()]);
        let said = as_text(["a/1", "a/2"], none(), &none(), &[], &reasons);
        assert_eq!(
            said,
            "the same settings\n\nno last value differs\n\n\
             they saw other data: a difference may be that of the data\n\n\
             they have other recipes (1 and 2): a difference may be that of the recipe\n"
        );
        assert!(
            unlike(&[data("dd"), data("dd"), recipes[0].clone(), recipes[0].clone()]).is_empty()
        );
    }
}
