//! `dgnet query`: a user's SQL as a table, CSV or JSON.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::{DONE, output};
use crate::store::Db;
use crate::store::query::{Cell, ROW_CAP, Table, query};

/// Ask the results database in SQL. Reading only: nothing can be changed.
///
/// Views made for people: `runs` (a line per cell), `final` (a column per metric, a line per finished
/// cell), `curves` (every value along training), `last_values`, `comparisons` (paired with the baseline
/// by seed). `dgnet query "select * from metric_name"` lists the metrics.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dgnet query \"select arm, avg(mAP), count(*) from final group by arm\"
  dgnet query \"select * from comparisons where metric = 'mAP'\" --format csv > mAP.csv
  dgnet query \"select step, value from curves where arm = 'full' and seed = 1 and metric = 'loss_total'\"")]
pub struct Args {
    /// One reading statement
    #[arg(value_name = "SQL")]
    sql: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// A list of objects
    Json,
}

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    let answer = query(&Db::file(runs), &args.sql)?;
    output::data(&match args.format {
        Format::Table => as_table(&answer),
        Format::Csv => as_csv(&answer),
        Format::Json => as_json(&answer),
    })?;
    if answer.capped {
        output::talk(&format!(
            "only the first {ROW_CAP} rows are shown\n  hint: add `limit` and `offset`, or aggregate"
        ));
    }
    Ok(DONE)
}

fn as_table(answer: &Table) -> String {
    let text = |cell: &Cell| match cell {
        Cell::Null => String::new(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => rounded(*value),
        Cell::Text(value) => value.clone(),
        Cell::Blob(bytes) => format!("<{} bytes>", bytes.len()),
    };
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(text).collect()).collect();
    let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    let is_number = |cell: &Cell| matches!(cell, Cell::Integer(_) | Cell::Real(_) | Cell::Null);
    let right: Vec<&str> = columns
        .iter()
        .enumerate()
        .filter(|(index, _)| answer.rows.iter().all(|row| is_number(&row[*index])))
        .map(|(_, name)| *name)
        .collect();
    output::table(&columns, &right, &rows)
}

/// Six significant digits: CSV and JSON carry every bit.
fn rounded(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && !(1e-4..1e9).contains(&size) {
        return format!("{value:.5e}");
    }
    let digits = if size < 1.0 { 6 } else { 5_usize.saturating_sub(size.log10() as usize) };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn as_csv(answer: &Table) -> String {
    let quoted = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let line = |fields: Vec<String>| format!("{}\n", fields.join(","));
    let field = |cell: &Cell| match cell {
        Cell::Null => String::new(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => value.to_string(),
        Cell::Text(value) => quoted(value),
        Cell::Blob(bytes) => hex(bytes),
    };
    let header = line(answer.columns.iter().map(|name| quoted(name)).collect());
    let rows = answer.rows.iter().map(|row| line(row.iter().map(field).collect()));
    std::iter::once(header).chain(rows).collect()
}

fn as_json(answer: &Table) -> String {
    let value = |cell: &Cell| match cell {
        Cell::Null => Json::Null,
        Cell::Integer(value) => Json::from(*value),
        Cell::Real(value) if value.is_finite() => Json::from(*value),
        Cell::Real(value) => Json::from(value.to_string()),
        Cell::Text(value) => Json::from(value.as_str()),
        Cell::Blob(bytes) => Json::from(hex(bytes)),
    };
    let rows = answer.rows.iter().map(|row| {
        let object: Map<String, Json> =
            answer.columns.iter().cloned().zip(row.iter().map(value)).collect();
        Json::Object(object)
    });
    format!("{:#}\n", Json::Array(rows.collect()))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Table {
        Table {
            columns: vec!["arm".into(), "mAP".into(), "n".into()],
            rows: vec![
                vec![Cell::Text("a, \"b\"".into()), Cell::Real(0.1 + 0.2), Cell::Integer(3)],
                vec![Cell::Null, Cell::Real(f64::INFINITY), Cell::Blob(vec![1, 255])],
            ],
            capped: false,
        }
    }

    #[test]
    fn csv_and_json_carry_every_bit() {
        assert_eq!(
            as_csv(&answer()),
            "arm,mAP,n\n\"a, \"\"b\"\"\",0.30000000000000004,3\n,inf,01ff\n"
        );
        let json: Json = serde_json::from_str(&as_json(&answer())).unwrap_or_default();
        assert_eq!(json[0]["mAP"], Json::from(0.1 + 0.2));
        assert_eq!((&json[1]["arm"], &json[1]["mAP"]), (&Json::Null, &Json::from("inf")));
    }

    #[test]
    fn people_see_six_digits() {
        let seen = [0.3, 0.1 + 0.2, 1234.5678, 2.5e-7, 0.0, 1e12, -3.0].map(rounded);
        assert_eq!(seen, ["0.3", "0.3", "1234.57", "2.50000e-7", "0", "1.00000e12", "-3"]);
        assert!(as_table(&answer()).contains("<2 bytes>"));
    }
}
