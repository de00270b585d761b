//! `dgnet query`: a user's SQL as a table, CSV or JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::failure::BadInput;
use super::{DONE, output};
use crate::store::export::{csv, hex, write_table};
use crate::store::query::{Cell, ROW_CAP, Table, near_names, parameters, query_all, query_with};
use crate::store::{Db, StoreError};

/// Ask the results database in SQL. Reading only: nothing can be changed.
///
/// Views made for people: `runs` (a line per cell), `final` (a line per finished cell, a column for each
/// metric that decides), `last_values` (the last value of every metric), `curves` (every value along
/// training), `comparisons` (paired with the baseline by seed), `camera_pairs`. `dgnet query "select *
/// from metric_name"` lists the metrics, `dgnet schema --database` every column.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dgnet query \"select arm, avg(mAP), count(*) from final group by arm\"
  dgnet query --list
  dgnet query --name ranking --param study=ablations --format markdown
  dgnet query \"select * from comparisons where metric = 'mAP'\" --format csv > mAP.csv
  dgnet query \"select * from curves\" --output curves.parquet
  dgnet query \"select step, value from curves where arm = 'full' and seed = 1 and metric = 'loss_total'\"")]
pub struct Args {
    /// One reading statement
    #[arg(value_name = "SQL", required_unless_present_any = ["list", "name"])]
    sql: Option<String>,
    /// A query of the library instead of SQL
    #[arg(long, value_name = "NAME", conflicts_with = "sql")]
    name: Option<String>,
    /// List the library and the parameters of its queries
    #[arg(long)]
    list: bool,
    /// Value of the parameter `:KEY`; may be given more than once. It is a text unless it is exactly how a
    /// number is spelled in short: `3`, `0.5`, not `007`
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// How to print the answer [default: table, or what the name of `--output` ends with]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write every row to a Parquet or CSV file instead of printing
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const NEEDS_FILE: &str =
    "Parquet goes to a file\n  hint: `--format parquet --output answer.parquet`";

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// A list of objects
    Json,
    /// A table for a README or an issue
    Markdown,
    /// A `tabular` for a paper
    Latex,
    /// A Parquet file; needs `--output`
    Parquet,
}

/// The library: name and SQL; the first line of each says what it answers.
const LIBRARY: [(&str, &str); 7] = [
    ("ranking", include_str!("../../schema/queries/ranking.sql")),
    ("pictures", include_str!("../../schema/queries/pictures.sql")),
    ("hard_queries", include_str!("../../schema/queries/hard_queries.sql")),
    ("changed_queries", include_str!("../../schema/queries/changed_queries.sql")),
    ("cameras", include_str!("../../schema/queries/cameras.sql")),
    ("cost", include_str!("../../schema/queries/cost.sql")),
    ("trouble", include_str!("../../schema/queries/trouble.sql")),
];

pub fn run(args: &Args, runs: &Path) -> anyhow::Result<u8> {
    if args.list {
        output::data(&library()?)?;
        return Ok(DONE);
    }
    let (file, mut values) = (Db::file(runs), values(&args.param)?);
    let sql = match &args.name {
        Some(name) => named(name)?,
        None => args.sql.as_deref().unwrap_or_default(),
    };
    if args.name.is_some() {
        // the library's queries ask about everything where a parameter is null
        for name in parameters(sql)? {
            values.entry(name).or_insert(Cell::Null);
        }
    }
    if let Some(path) = &args.output {
        let path = file_name(path, args.format)?;
        let answer = query_all(&file, sql, &values)?;
        write_table(&path, &answer)?;
        output::talk(&format!("{}: {} rows", path.display(), answer.rows.len()));
        return Ok(DONE);
    }
    let answer = query_with(&file, sql, &values)?;
    print(&answer, args.format.unwrap_or(Format::Table))?;
    if answer.rows.is_empty()
        && let Some(hint) = near_names(&file, sql, &values)?
    {
        output::talk(&format!("no rows\n  hint: {hint}"));
    }
    Ok(DONE)
}

/// The file to write, whose ending says how.
fn file_name(path: &Path, format: Option<Format>) -> Result<PathBuf, BadInput> {
    let wanted = match format {
        None => return named_so(path),
        Some(Format::Parquet) => "parquet",
        Some(Format::Csv) => "csv",
        Some(_) => {
            return Err(BadInput(
                "--output writes Parquet or CSV\n  hint: other formats are printed; `> FILE` keeps them".into(),
            ));
        }
    };
    match path.extension() {
        None => Ok(path.with_extension(wanted)),
        Some(end) if end == wanted => Ok(path.to_owned()),
        Some(end) => Err(BadInput(format!(
            "--format {wanted} does not go with a file that ends in `.{}`\n  hint: leave one of the two out",
            end.to_string_lossy()
        ))),
    }
}

fn named_so(path: &Path) -> Result<PathBuf, BadInput> {
    match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("parquet" | "csv") => Ok(path.to_owned()),
        _ => Err(BadInput(format!(
            "`{}` does not say how to write it\n  hint: end it in `.parquet` or `.csv`",
            path.display()
        ))),
    }
}

/// Prints an answer, and says when it was cut.
pub(super) fn print(answer: &Table, format: Format) -> anyhow::Result<()> {
    output::data(&match format {
        Format::Table => as_table(answer),
        Format::Csv => csv(answer),
        Format::Json => as_json(answer),
        Format::Markdown => as_markdown(answer),
        Format::Latex => as_latex(answer),
        Format::Parquet => return Err(BadInput(NEEDS_FILE.into()).into()),
    })?;
    if answer.capped {
        output::talk(&format!(
            "only the first {ROW_CAP} rows are shown\n  hint: `dgnet query SQL --output FILE` writes every row to a file; or aggregate, or add `limit` and `offset`"
        ));
    }
    Ok(())
}

fn library() -> Result<String, StoreError> {
    let rows = LIBRARY.iter().map(|(name, sql)| {
        let about = sql.lines().next().unwrap_or_default().trim_start_matches("-- ");
        Ok(vec![(*name).to_owned(), parameters(sql)?.join(", "), about.to_owned()])
    });
    let rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
    let table = output::table(&["name", "parameters", "answers"], &[], &rows);
    Ok(format!(
        "{table}\nparameters may be left out; for example:\ndgnet query --name ranking --param study=ablations\n"
    ))
}

fn named(name: &str) -> Result<&'static str, BadInput> {
    LIBRARY.iter().find(|(known, _)| *known == name).map(|(_, sql)| *sql).ok_or_else(|| {
        let known: Vec<_> = LIBRARY.iter().map(|(known, _)| *known).collect();
        BadInput(format!("the library has no query `{name}`\n  hint: it has {}", known.join(", ")))
    })
}

/// `key=value` arguments.
fn values(arguments: &[String]) -> Result<BTreeMap<String, Cell>, BadInput> {
    arguments
        .iter()
        .map(|argument| {
            let (name, value) = argument.split_once('=').ok_or_else(|| {
                BadInput(format!("--param {argument}: expected `key=value`\n  hint: for example `--param study=ablations`"))
            })?;
            Ok((name.trim_start_matches([':', '@', '$']).to_owned(), Cell::given(value)))
        })
        .collect()
}

/// What people read in a cell.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => rounded(*value),
        Cell::Text(value) => value.clone(),
        Cell::Blob(bytes) => format!("<{} bytes>", bytes.len()),
    }
}

/// Whether a column holds nothing but numbers, which stand to the right.
fn is_numeric(answer: &Table, index: usize) -> bool {
    let is_number = |cell: &Cell| matches!(cell, Cell::Integer(_) | Cell::Real(_) | Cell::Null);
    answer.rows.iter().all(|row| is_number(&row[index]))
}

fn as_markdown(answer: &Table) -> String {
    let text = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let line = |fields: Vec<String>| format!("| {} |\n", fields.join(" | "));
    let header = line(answer.columns.iter().map(|name| text(name)).collect());
    let rule = (0..answer.columns.len())
        .map(|index| if is_numeric(answer, index) { "---:" } else { "---" }.to_owned());
    let rows =
        answer.rows.iter().map(|row| line(row.iter().map(|cell| text(&shown(cell))).collect()));
    [header, line(rule.collect())].into_iter().chain(rows).collect()
}

fn as_latex(answer: &Table) -> String {
    let text = |text: &str| -> String {
        text.chars()
            .map(|c| match c {
                '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
                '~' => "\\textasciitilde{}".to_owned(),
                '^' => "\\textasciicircum{}".to_owned(),
                '\\' => "\\textbackslash{}".to_owned(),
                c if c.is_control() => " ".to_owned(),
                c => c.to_string(),
            })
            .collect()
    };
    let line = |fields: Vec<String>| format!("{} \\\\\n", fields.join(" & "));
    let columns: String = (0..answer.columns.len())
        .map(|index| if is_numeric(answer, index) { 'r' } else { 'l' })
        .collect();
    let header = line(answer.columns.iter().map(|name| text(name)).collect());
    let rows: String = answer
        .rows
        .iter()
        .map(|row| line(row.iter().map(|cell| text(&shown(cell))).collect()))
        .collect();
    format!(
        "% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{header}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n"
    )
}

/// Columns for people.
pub(super) fn as_table(answer: &Table) -> String {
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    let right: Vec<&str> = columns
        .iter()
        .enumerate()
        .filter(|(index, _)| is_numeric(answer, *index))
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

fn as_json(answer: &Table) -> String {
    format!("{:#}\n", objects(answer))
}

/// The rows as objects.
pub(super) fn objects(answer: &Table) -> Json {
    let value = |cell: &Cell| match cell {
        Cell::Null => Json::Null,
        Cell::Integer(value) => Json::from(*value),
        Cell::Real(value) if value.is_finite() => Json::from(*value),
        Cell::Real(value) => Json::from(value.to_string()),
        Cell::Text(value) => Json::from(value.as_str()),
        Cell::Blob(bytes) => Json::from(hex(bytes)),
    };
    let names = distinct(&answer.columns);
    let rows = answer.rows.iter().map(|row| {
        let object: Map<String, Json> = names.iter().cloned().zip(row.iter().map(value)).collect();
        Json::Object(object)
    });
    Json::Array(rows.collect())
}

/// Names of columns with numbers behind those that came before: `a`, `a:1`, `a:2`. An object holds each once.
fn distinct(columns: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let numbered = (1..).map(|number| format!("{column}:{number}"));
        let mut candidates = std::iter::once(column.clone()).chain(numbered);
        names.extend(candidates.find(|name| !names.contains(name)));
    }
    names
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
            csv(&answer()),
            "arm,mAP,n\n\"a, \"\"b\"\"\",0.30000000000000004,3\n,inf,01ff\n"
        );
        let json: Json = serde_json::from_str(&as_json(&answer())).unwrap_or_default();
        assert_eq!(json[0]["mAP"], Json::from(0.1 + 0.2));
        assert_eq!((&json[1]["arm"], &json[1]["mAP"]), (&Json::Null, &Json::from("inf")));
    }

    #[test]
    fn columns_of_one_name_all_arrive() {
        let columns = ["mAP", "mAP", "arm", "mAP"].map(str::to_owned).to_vec();
        let rows = vec![vec![1, 2, 3, 4].into_iter().map(Cell::Integer).collect()];
        let json = as_json(&Table { columns, rows, capped: false });
        let json: Json = serde_json::from_str(&json).unwrap_or_default();
        assert_eq!(json[0], serde_json::json!({ "mAP": 1, "mAP:1": 2, "arm": 3, "mAP:2": 4 }));
    }

    #[test]
    fn a_file_s_ending_says_how_it_is_written() {
        let name = |path: &str, format| file_name(Path::new(path), format).map_err(|e| e.0);
        assert_eq!(name("a.parquet", None), Ok("a.parquet".into()));
        assert_eq!(name("a", Some(Format::Csv)), Ok("a.csv".into()));
        assert!(name("a.csv", Some(Format::Parquet)).is_err_and(|e| e.contains("`.csv`")));
        assert!(name("a", None).is_err_and(|e| e.contains("`.parquet` or `.csv`")));
        assert!(name("a.csv", Some(Format::Latex)).is_err());
    }

    #[test]
    fn papers_get_their_own_escapes() {
        assert_eq!(
            as_markdown(&answer()),
            "| arm | mAP | n |\n| --- | ---: | --- |\n| a, \"b\" | 0.3 | 3 |\n|  | inf | <2 bytes> |\n"
        );
        let table = Table {
            columns: vec!["arm".into(), "mAP".into()],
            rows: vec![vec![Cell::Text("a_b & 50 %".into()), Cell::Real(0.5)]],
            capped: false,
        };
        assert_eq!(
            as_latex(&table),
            "% \\usepackage{booktabs}\n\\begin{tabular}{lr}\n\\toprule\narm & mAP \\\\\n\\midrule\na\\_b \\& 50 \\% & 0.5 \\\\\n\\bottomrule\n\\end{tabular}\n"
        );
    }

    #[test]
    fn parameters_are_numbers_where_they_are_spelled_like_one() {
        let given = ["n=3", ":x=0.5", "study=a=b", "$arm=nan"].map(str::to_owned);
        let text = |text: &str| Cell::Text(text.into());
        let expected = [
            ("arm", text("nan")),
            ("n", Cell::Integer(3)),
            ("study", text("a=b")),
            ("x", Cell::Real(0.5)),
        ];
        let expected = expected.map(|(name, cell)| (name.to_owned(), cell)).into();
        assert_eq!(values(&given).ok(), Some(expected));
        assert!(values(&["n".to_owned()]).is_err());
    }

    #[test]
    fn the_list_tells_the_parameters_of_every_query() {
        let list = library().unwrap_or_default();
        let line = |name: &str| {
            let words = list.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            words.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("ranking "), "study Mean,", "{list}");
        assert_eq!(line("cameras "), "study, arm", "{list}");
    }

    #[test]
    fn people_see_six_digits() {
        let seen = [0.3, 0.1 + 0.2, 1234.5678, 2.5e-7, 0.0, 1e12, -3.0].map(rounded);
        assert_eq!(seen, ["0.3", "0.3", "1234.57", "2.50000e-7", "0", "1.00000e12", "-3"]);
        assert!(as_table(&answer()).contains("<2 bytes>"));
    }
}
