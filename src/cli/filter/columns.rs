//! What runs can be asked for by name: the columns of `runs` and `final`, and what they hold.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::failure::BadInput;
use crate::store::query::{Cell, nearest, query, query_with};
use crate::store::{Db, StoreError};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers.
    Number,
    /// Texts.
    Text,
    /// Nobody knows: it has no declared type and no value yet.
    Unknown,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// As the view spells it.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

impl Column {
    /// Its name as SQL.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }
}

/// The columns that runs have, and the metrics, of which not all are columns.
#[derive(Debug)]
pub struct Columns {
    /// The columns in the order of the views.
    pub list: Vec<Column>,
    /// Names of metrics.
    pub metrics: Vec<String>,
}

impl Columns {
    /// The column of that name, whatever its case.
    pub fn find(&self, name: &str) -> Result<&Column, BadInput> {
        let is_it = |other: &str| other.eq_ignore_ascii_case(name);
        if let Some(column) = self.list.iter().find(|column| is_it(&column.name)) {
            return Ok(column);
        }
        let hint = if let Some(metric) = self.metrics.iter().find(|metric| is_it(metric)) {
            format!(
                "it is a metric: `dgnet query \"select study, arm, seed, value from last_values where metric = '{metric}'\"`"
            )
        } else if name.contains('.') {
            let key = name.replace('\'', "''");
            format!(
                "settings are asked in SQL: `dgnet query \"select study, arm, seed, value from cell join setting using (run_uid) where key = '{key}'\"`"
            )
        } else {
            let known: Vec<String> = self.list.iter().map(|column| column.name.clone()).collect();
            nearest(name, &known, "columns")
        };
        Err(BadInput(format!("runs have no column `{name}`\n  hint: {hint}")))
    }
}

/// The columns of a view with their declared types.
pub fn of_view(file: &Path, view: &str) -> Result<Vec<Column>, StoreError> {
    let sql = "SELECT name, type FROM pragma_table_info(:view) ORDER BY cid";
    let values = BTreeMap::from([("view".to_owned(), Cell::Text(view.to_owned()))]);
    let rows = query_with(file, sql, &values)?.rows;
    Ok(rows
        .into_iter()
        .filter_map(|row| match row.as_slice() {
            [Cell::Text(name), Cell::Text(declared)] => {
                let kind = match declared.as_str() {
                    "INTEGER" | "INT" | "REAL" | "NUM" => Kind::Number,
                    "TEXT" => Kind::Text,
                    _ => Kind::Unknown,
                };
                Some(Column { name: name.clone(), kind })
            }
            _ => None,
        })
        .collect())
}

/// Tells what the columns without a declared type hold from their values.
pub fn look_at_values(file: &Path, view: &str, columns: &mut [Column]) -> Result<(), StoreError> {
    let mut unknown: Vec<&mut Column> =
        columns.iter_mut().filter(|column| column.kind == Kind::Unknown).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    // of the names of types, `text` is the last
    let kinds: Vec<String> = unknown
        .iter()
        .map(|column| format!("max(nullif(typeof({}), 'null'))", column.quoted()))
        .collect();
    let rows = query(file, &format!("SELECT {} FROM {view}", kinds.join(", ")))?.rows;
    for (column, kind) in unknown.iter_mut().zip(rows.iter().flatten()) {
        column.kind = match kind {
            Cell::Text(kind) if kind == "text" => Kind::Text,
            Cell::Text(kind) if kind == "integer" || kind == "real" => Kind::Number,
            _ => Kind::Unknown,
        };
    }
    Ok(())
}

/// Names of all metrics.
pub fn metrics(file: &Path) -> Result<Vec<String>, StoreError> {
    Ok(Db::open_read(file)?.metric_defs()?.into_iter().map(|def| def.name).collect())
}
