//! The short form of a question about runs: `--where`, `--sort` and `--cols` become one reading
//! statement. Names must be columns and values are parameters, so no text of the user becomes SQL.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::failure::BadInput;
use crate::store::query::{Cell, Table, query_with};
use crate::store::{Db, StoreError};
use columns::{Column, Columns, look_at_values, metrics, of_view};
use condition::condition_sql;

mod columns;
mod condition;

const USUAL: [&str; 6] = ["study", "arm", "seed", "state", "mAP", "rank1"];

/// Which runs, in which order, and what of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filter {
    /// Only runs like these: `arm=full and mAP>0.5`; `~` means "contains", in upper or lower case
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

    /// The runs that it describes. `now`: states that the database does not know yet, by uid.
    pub fn rows(
        &self,
        runs: &Path,
        study: Option<&str>,
        archived: bool,
        now: &BTreeMap<String, String>,
    ) -> anyhow::Result<Table> {
        let file = Db::file(runs);
        let (source, columns) = self.source(&file, now)?;
        let mut values = BTreeMap::new();
        if !now.is_empty() {
            values.insert("now".to_owned(), Cell::Text(serde_json::to_string(now)?));
        }
        let mut wanted: Vec<String> = Vec::new();
        if let Some(study) = study {
            values.insert("study".to_owned(), Cell::Text(study.to_owned()));
            wanted.push("study = :study".to_owned());
        }
        if !archived {
            wanted.push("archived = 0".to_owned());
        }
        if let Some(condition) = &self.condition {
            wanted.push(format!("({})", condition_sql(condition, &columns, &mut values)?));
        }
        let mut sql = format!("SELECT {} FROM {source}", self.shown(&columns)?);
        if !wanted.is_empty() {
            let _ = write!(sql, " WHERE {}", wanted.join(" AND "));
        }
        sql.push_str(&self.order(&columns)?);
        Ok(query_with(&file, &sql, &values)?)
    }

    /// What is asked, and the columns that it has.
    fn source(
        &self,
        file: &Path,
        now: &BTreeMap<String, String>,
    ) -> Result<(String, Columns), StoreError> {
        let mut list = of_view(file, "runs")?;
        // both views tell a run's cost; one of each is enough
        let mut values_only = of_view(file, "final")?;
        values_only.retain(|column| list.iter().all(|other| other.name != column.name));
        if self.condition.is_some() {
            look_at_values(file, "runs", &mut list)?;
        }
        let known = if now.is_empty() { "runs".to_owned() } else { with_states(&list) };
        let listed: Vec<String> = values_only.iter().map(Column::quoted).collect();
        let source = format!(
            "{known} LEFT JOIN (SELECT study, arm, seed, {} FROM final) USING (study, arm, seed)",
            listed.join(", ")
        );
        list.extend(values_only);
        Ok((source, Columns { list, metrics: metrics(file)? }))
    }

    /// `--cols` as SQL.
    fn shown(&self, columns: &Columns) -> Result<String, BadInput> {
        let names: Vec<&str> = match self.cols.as_deref() {
            None => USUAL.to_vec(),
            Some("all") => return Ok("*".to_owned()),
            Some(list) => list.split(',').map(str::trim).collect(),
        };
        if names.contains(&"") {
            return Err(BadInput(
                "--cols: the name of a column is missing\n  hint: for example `--cols arm,seed,mAP`; `--cols all` shows every one".into(),
            ));
        }
        let quoted = names.into_iter().map(|name| columns.find(name).map(Column::quoted));
        Ok(quoted.collect::<Result<Vec<_>, _>>()?.join(", "))
    }

    /// `--sort` as SQL.
    fn order(&self, columns: &Columns) -> Result<String, BadInput> {
        let Some(sort) = &self.sort else { return Ok(String::new()) };
        let (name, order) = match sort.strip_prefix('-') {
            Some(name) => (name, "DESC"),
            None => (sort.as_str(), "ASC"),
        };
        if name.is_empty() {
            return Err(BadInput(
                "--sort: the name of a column is missing\n  hint: for example `--sort -mAP`".into(),
            ));
        }
        Ok(format!(" ORDER BY {} {order} NULLS LAST", columns.find(name)?.quoted()))
    }
}

/// The view of runs with the states of `:now` in the place of its own.
fn with_states(columns: &[Column]) -> String {
    let shown: Vec<String> = columns
        .iter()
        .map(|column| match column.name.as_str() {
            "state" => {
                "coalesce((SELECT value FROM json_each(:now) WHERE key = uid), state) AS state"
                    .to_owned()
            }
            _ => column.quoted(),
        })
        .collect();
    format!("(SELECT {} FROM runs) AS runs", shown.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_can_be_asked_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        Db::open(&Db::file(folder.path())).unwrap().close().unwrap();
        let now = BTreeMap::from([("aa".to_owned(), "interrupted".to_owned())]);
        let rows = |condition: Option<&str>, sort: Option<&str>, cols: Option<&str>| {
            let given = |text: Option<&str>| text.map(str::to_owned);
            let filter =
                Filter { condition: given(condition), sort: given(sort), cols: given(cols) };
            filter.rows(folder.path(), Some("s"), false, &now).map_err(|error| error.to_string())
        };
        let table = rows(Some("map>0.5 and tags~GOOD"), Some("-mAP"), None).unwrap();
        assert_eq!((table.columns.len(), table.rows.len()), (USUAL.len(), 0));
        assert!(rows(Some("started>2026-01-01"), None, Some("all")).unwrap().columns.len() > 30);
        for missing in ["", "arm,,seed", "arm,"] {
            let text = rows(None, None, Some(missing)).unwrap_err();
            assert!(text.starts_with("--cols: the name of a column is missing"), "{text}");
        }
        let text = rows(None, Some("-"), None).unwrap_err();
        assert!(text.starts_with("--sort: the name of a column is missing"), "{text}");
        let text = rows(Some("step>many"), None, None).unwrap_err();
        assert!(text.contains("`step` holds numbers"), "{text}");
    }
}
