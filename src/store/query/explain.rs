//! What helps after a refusal of the engine or an answer without rows: the names that the database knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::near::{did_you_mean, few, near, nearest};
use super::text::parts;
use super::{Cell, is_damage};
use crate::store::db::Db;
use crate::store::error::StoreError;

/// Kinds of things that people name, and the names of each.
type Names = [(&'static str, Vec<String>); 3];

/// Turns the engine's complaint into one that helps.
pub fn explain(db: &mut Db, source: &sqlx::Error, late: bool, limit: Duration) -> StoreError {
    let engine = match source {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    };
    if late && engine.contains("interrupt") {
        return StoreError::Query {
            reason: format!("the query was stopped after {} s", limit.as_secs_f64()),
            hint: Some("narrow it down, for example with `where study = '...'`".into()),
        };
    }
    let hint = hint(db, &engine);
    StoreError::Query { reason: format!("the query cannot be answered: {engine}"), hint }
}

fn hint(db: &mut Db, engine: &str) -> Option<String> {
    if let Some(name) = engine.strip_prefix("no such table: ") {
        return tables(db).ok().map(|tables| nearest(last(name), &tables, "tables and views"));
    }
    if let Some(name) = engine.strip_prefix("no such column: ") {
        return column_hint(db, last(name)).ok();
    }
    if let Some(name) = engine.strip_prefix("no such function: ") {
        let functions = functions(db).ok()?;
        return did_you_mean(name, functions.iter().map(String::as_str));
    }
    if engine.contains("syntax error") {
        return Some("the database speaks SQLite's SQL; texts go in single quotes".into());
    }
    is_damage(engine)
        .then(|| "the file is damaged; `dgnet reindex` rebuilds it from the run folders".into())
}

/// The last part of a name such as `main.finl`.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// What an unknown column may be: a column of something else, a name without its quotes, a slip.
fn column_hint(db: &mut Db, name: &str) -> Result<String, StoreError> {
    let columns = columns(db)?;
    let is_it = |other: &str| other.eq_ignore_ascii_case(name);
    let holders = columns.iter().filter(|(_, column)| is_it(column));
    let holders: Vec<String> = holders.map(|(table, _)| format!("`{table}`")).collect();
    if !holders.is_empty() {
        return Ok(format!("it is a column of {}", holders.join(", ")));
    }
    for (kind, names) in names(db)? {
        let Some(name) = names.iter().find(|other| is_it(other)) else { continue };
        return Ok(if kind == "metric" {
            format!("it is a metric: `select value from last_values where metric = '{name}'`")
        } else {
            format!("the {kind} of that name goes in single quotes: `'{name}'`")
        });
    }
    let columns: BTreeSet<String> = columns.into_iter().map(|(_, column)| column).collect();
    Ok(nearest(name, &columns.into_iter().collect::<Vec<_>>(), "columns"))
}

fn tables(db: &mut Db) -> Result<Vec<String>, StoreError> {
    db.with("listing tables", async |connection| {
        // the views first: they are what people are looking for
        sqlx::query_scalar(
            "SELECT name FROM sqlite_master WHERE type IN ('view', 'table') AND name NOT LIKE '\\_%' ESCAPE '\\'
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type DESC, name",
        )
        .fetch_all(connection)
        .await
    })
}

/// Every table or view and column; the views first.
fn columns(db: &mut Db) -> Result<Vec<(String, String)>, StoreError> {
    db.with("listing columns", async |connection| {
        sqlx::query_as(
            "SELECT item.name, info.name FROM sqlite_master AS item, pragma_table_info(item.name) AS info
             WHERE item.type IN ('view', 'table') AND item.name NOT LIKE '\\_%' ESCAPE '\\'
               AND item.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY item.type DESC, item.name, info.cid",
        )
        .fetch_all(connection)
        .await
    })
}

fn functions(db: &mut Db) -> Result<Vec<String>, StoreError> {
    db.with("listing functions", async |connection| {
        sqlx::query_scalar("SELECT DISTINCT name FROM pragma_function_list ORDER BY name")
            .fetch_all(connection)
            .await
    })
}

fn names(db: &mut Db) -> Result<Names, StoreError> {
    let arms = db.with("listing arms", async |connection| {
        sqlx::query_scalar("SELECT DISTINCT name FROM arm ORDER BY name")
            .fetch_all(connection)
            .await
    })?;
    let metrics = db.metric_defs()?.into_iter().map(|def| def.name).collect();
    Ok([("arm", arms), ("study", db.studies()?), ("metric", metrics)])
}

/// A question whose answer is empty may have misspelled a name: the text of the statement or of its
/// parameters that is nearest to the name of an arm, a study or a metric and is none.
///
/// # Errors
/// An unreadable database.
pub fn near_names(
    path: &Path,
    sql: &str,
    values: &BTreeMap<String, Cell>,
) -> Result<Option<String>, StoreError> {
    let names = names(&mut Db::open_read(path)?)?;
    // SQLite takes a name in double quotes for a text where no column has it
    let quotes = ['\'', '"'];
    let quoted =
        parts(sql).into_iter().filter(|(is_code, part)| !is_code && part.starts_with(quotes));
    let quoted = quoted.map(|(_, part)| part.trim_matches(quotes));
    let given = values.values().filter_map(|value| match value {
        Cell::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let slips = quoted.chain(given).filter_map(|text| Some((text, near_name(text, &names)?)));
    let best = slips.min_by_key(|(_, (edits, ..))| *edits);
    Ok(best.map(|(text, (_, kind, name))| {
        format!("no arm, study or metric is called `{text}`: did you mean the {kind} `{name}`?")
    }))
}

/// Edits, kind and name of what a text probably means; `None` where it is a name, or near none.
fn near_name<'a>(text: &str, names: &'a Names) -> Option<(usize, &'static str, &'a str)> {
    if names.iter().any(|(_, known)| known.iter().any(|name| name == text)) {
        return None;
    }
    let of_kind = |(kind, known): &'a (&'static str, Vec<String>)| {
        let near = near(text, known.iter().map(String::as_str))?;
        Some((near.edits, *kind, *near.names.first()?))
    };
    let found = names.iter().filter_map(of_kind).filter(|(edits, ..)| *edits <= few(text));
    found.min_by_key(|(edits, ..)| *edits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::query::query;

    /// A database that knows a study, its arms and two metrics.
    fn database() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        let mut db = Db::open(&path).unwrap();
        db.with("testing", async |connection| {
            sqlx::raw_sql(
                "INSERT INTO study (name, question, primary_name, equal_within, baseline, confirm, file, source, updated_at)
                 VALUES ('components', '?', 'mAP', 0, 'full', '[]', '', '', 0);
                 INSERT INTO arm VALUES ('components', 'full', 0, '', '{}'), ('components', 'no_prim', 1, '', '{}');
                 INSERT INTO metric_name (name, unit, direction) VALUES ('mAP', '', 'higher'), ('fid', '', 'lower')",
            )
            .execute(connection)
            .await
        })
        .unwrap();
        db.close().unwrap();
        (folder, path)
    }

    #[test]
    fn a_misspelled_name_is_noticed_and_its_kind_told() {
        let (_folder, path) = database();
        let hint = |sql: &str| near_names(&path, sql, &BTreeMap::new()).unwrap();
        for (sql, expected) in [
            ("select * from final where arm = 'ful'", "`ful`: did you mean the arm `full`?"),
            ("select * from final where arm='no_prime'", "did you mean the arm `no_prim`?"),
            ("select * from runs where study='componets'", "did you mean the study `components`?"),
            ("select * from final where arm = \"ful\"", "did you mean the arm `full`?"),
            ("select * from curves where metric = 'mAPP'", "did you mean the metric `mAP`?"),
        ] {
            let found = hint(sql).unwrap_or_default();
            assert!(found.ends_with(expected), "{sql}: {found}");
        }
        assert_eq!(hint("select * from curves where metric = 'mAP' and arm = 'full'"), None);
        assert_eq!(hint("select * from runs where state = 'failed' and note = ''"), None);
        let given = BTreeMap::from([("arm".to_owned(), Cell::Text("ful".into()))]);
        let found = near_names(&path, "select * from final where arm = :arm", &given).unwrap();
        assert!(found.is_some_and(|hint| hint.contains("the arm `full`")));
    }

    #[test]
    fn an_unknown_name_gets_what_it_may_be() {
        let (_folder, path) = database();
        for (sql, expected) in [
            ("select * from finl", "did you mean `final`?"),
            ("select * from main.finl", "did you mean `final`?"),
            ("select f.mapp from final f", "did you mean `mAP`?"),
            ("select mAP from runs", "it is a column of `camera_pairs`, `final`"),
            (
                "select fid from final",
                "it is a metric: `select value from last_values where metric = 'fid'`",
            ),
            (
                "select * from final where arm = full",
                "the arm of that name goes in single quotes: `'full'`",
            ),
            ("select 1 from runs where study = components", "the study of that name goes"),
            ("select avgg(mAP) from final", "did you mean `avg`?"),
            ("select * from zzzzzz", "known tables and views: camera_pairs"),
        ] {
            let text = query(&path, sql).unwrap_err().to_string();
            assert!(text.contains(expected), "{sql}: {text}");
        }
        let text = query(&path, "select zzzzzz from final").unwrap_err().to_string();
        assert!(text.contains("known columns: ") && !text.contains("checksum"), "{text}");
    }
}
