//! The short form of a question about runs: `--where`, `--sort` and `--cols` become one reading
//! statement. Names must be columns and values are parameters, so no text of the user becomes SQL.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::failure::BadInput;
use crate::store::Db;
use crate::store::query::{Cell, Table, query, query_with};

const USUAL: [&str; 6] = ["study", "arm", "seed", "state", "mAP", "rank1"];
/// Longer operators first, so that `<=` is not read as `<`.
const OPERATORS: [&str; 8] = ["<=", ">=", "!=", "==", "=", "<", ">", "~"];

/// Which runs, in which order, and what of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filter {
    /// Only runs like these: `arm=full and mAP>0.5`; `~` means "contains"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Sort by this column; `-mAP` puts the largest first
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Columns to show, separated by commas; `all` shows every one
    #[arg(long, value_name = "COLUMNS")]
    cols: Option<String>,
}

impl Filter {
    /// Whether anything is asked for.
    pub fn is_empty(&self) -> bool {
        self.condition.is_none() && self.sort.is_none() && self.cols.is_none()
    }

    /// The runs that it describes.
    pub fn rows(&self, runs: &Path, study: Option<&str>, archived: bool) -> anyhow::Result<Table> {
        let file = Db::file(runs);
        let columns_of = |view: &str| query(&file, &format!("SELECT * FROM {view} LIMIT 0"));
        let mut known = columns_of("runs")?.columns;
        // both views tell a run's cost; one of each is enough
        let mut values_only = columns_of("final")?.columns;
        values_only.retain(|name| !known.contains(name));
        let listed: Vec<String> = values_only.iter().map(|name| quoted(name)).collect();
        let source = format!(
            "runs LEFT JOIN (SELECT study, arm, seed, {} FROM final) USING (study, arm, seed)",
            listed.join(", ")
        );
        known.extend(values_only);
        let mut values = BTreeMap::new();
        let mut wanted: Vec<String> = Vec::new();
        if let Some(study) = study {
            values.insert("study".to_owned(), Cell::Text(study.to_owned()));
            wanted.push("study = :study".to_owned());
        }
        if !archived {
            wanted.push("archived = 0".to_owned());
        }
        if let Some(condition) = &self.condition {
            wanted.push(format!("({})", condition_sql(condition, &known, &mut values)?));
        }
        let columns = match self.cols.as_deref() {
            None => USUAL.map(quoted).join(", "),
            Some("all") => "*".to_owned(),
            Some(list) => {
                let names = list.split(',').map(|name| column(name.trim(), &known).map(quoted));
                names.collect::<Result<Vec<_>, _>>()?.join(", ")
            }
        };
        let mut sql = format!("SELECT {columns} FROM {source}");
        if !wanted.is_empty() {
            let _ = write!(sql, " WHERE {}", wanted.join(" AND "));
        }
        if let Some(sort) = &self.sort {
            let (name, order) = match sort.strip_prefix('-') {
                Some(name) => (name, "DESC"),
                None => (sort.as_str(), "ASC"),
            };
            let _ = write!(sql, " ORDER BY {} {order} NULLS LAST", quoted(column(name, &known)?));
        }
        Ok(query_with(&file, &sql, &values)?)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The column of that name, whatever its case.
fn column<'a>(name: &str, known: &'a [String]) -> Result<&'a str, BadInput> {
    known.iter().find(|other| other.eq_ignore_ascii_case(name)).map(String::as_str).ok_or_else(
        || {
            let near = known.iter().max_by(|a, b| {
                let near = |other: &str| strsim::jaro_winkler(other, name);
                near(a).total_cmp(&near(b))
            });
            let guess = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            BadInput(format!(
                "runs have no column `{name}`\n  hint: {guess}`--cols all` shows every one"
            ))
        },
    )
}

/// `arm=full and mAP>0.5 or state=failed`; `and` binds tighter, as in SQL.
fn condition_sql(
    condition: &str,
    known: &[String],
    values: &mut BTreeMap<String, Cell>,
) -> Result<String, BadInput> {
    let mut sql = String::new();
    for word in words(condition) {
        if matches!(word.to_ascii_lowercase().as_str(), "and" | "or") {
            let _ = write!(sql, " {} ", word.to_ascii_uppercase());
            continue;
        }
        let at = word.find(['<', '>', '=', '!', '~']);
        let operator = at.and_then(|at| {
            OPERATORS.iter().find(|operator| word[at..].starts_with(**operator)).map(|op| (at, *op))
        });
        let Some((at, operator)) = operator else {
            return Err(BadInput(format!(
                "--where: `{word}` is no condition\n  hint: for example `arm=full and mAP>0.5`; quote values with spaces"
            )));
        };
        let name = quoted(column(word[..at].trim(), known)?);
        let value = word[at + operator.len()..].trim_matches(['"', '\'']);
        let parameter = format!("v{}", values.len());
        let cell = value.parse().map(Cell::Integer);
        let cell = cell.or_else(|_| value.parse().map(Cell::Real));
        let text = Cell::Text(value.to_owned());
        let (test, cell) = match (operator, cell) {
            ("~", _) => (format!("instr({name}, :{parameter}) > 0"), text),
            (operator, Ok(cell)) => (format!("{name} {operator} :{parameter}"), cell),
            (operator, Err::<_, std::num::ParseFloatError>(_)) => {
                (format!("{name} {operator} :{parameter}"), text)
            }
        };
        values.insert(parameter, cell);
        sql.push_str(&test);
    }
    Ok(sql)
}

/// The words of a condition: spaces around operators are no borders, quoted parts stay whole.
fn words(condition: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~');
    let mut rest = condition.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('"' | '\'', None) => {
                quote = Some(c);
                word.push(c);
            }
            (c, Some(open)) => {
                quote = (c != open).then_some(open);
                word.push(c);
            }
            (' ', None) => {
                while rest.peek() == Some(&' ') {
                    rest.next();
                }
                let joins =
                    word.ends_with(is_operator) || rest.peek().copied().is_some_and(is_operator);
                if !joins && !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
            }
            (c, None) => word.push(c),
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["study", "arm", "seed", "state", "mAP", "failure"].map(str::to_owned).to_vec()
    }

    fn sql(condition: &str) -> (String, Vec<Cell>) {
        let mut values = BTreeMap::new();
        let sql = condition_sql(condition, &known(), &mut values);
        (sql.unwrap_or_else(|error| error.0), values.into_values().collect())
    }

    #[test]
    fn conditions_become_columns_and_parameters() {
        let (text, values) = sql("arm = full and map >= 0.5 or failure ~ 'out of memory'");
        assert_eq!(text, "\"arm\" = :v0 AND \"mAP\" >= :v1 OR instr(\"failure\", :v2) > 0");
        let expected =
            [Cell::Text("full".into()), Cell::Real(0.5), Cell::Text("out of memory".into())];
        assert_eq!(values, expected);
    }

    #[test]
    fn nothing_of_the_user_becomes_sql() {
        let (text, values) = sql("arm='x\" or 1=1 --'");
        assert_eq!(text, "\"arm\" = :v0");
        assert_eq!(values, [Cell::Text("x\" or 1=1 --".into())]);
        assert!(sql("1=1").0.contains("no column `1`"));
        assert!(sql("maap>1").0.contains("did you mean `mAP`?"));
        assert!(sql("arm").0.contains("no condition"));
    }
}
