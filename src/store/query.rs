//! A user's SQL: one reading statement, on a read-only connection of its own, with bounds on time,
//! memory and rows. Formatting is the command line's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement, TypeInfo, ValueRef};

use super::db::Db;
use super::error::StoreError;
use text::{numbered, parts, reading_statement};

mod text;

/// Rows returned at most.
pub const ROW_CAP: usize = 10_000;
/// A statement that takes longer is stopped.
pub const TIME_LIMIT: Duration = Duration::from_mins(1);
/// Memory of the database engine at most, in bytes.
const HEAP_LIMIT: &str = "1073741824";

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A float.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows in the order of the answer.
    pub rows: Vec<Vec<Cell>>,
    /// Whether rows beyond [`ROW_CAP`] were left out.
    pub capped: bool,
}

/// Answers one reading statement (`SELECT`, `WITH`, `VALUES`, `EXPLAIN`) from the database at `path`.
///
/// # Errors
/// [`StoreError::Query`] for anything else, for SQL that the engine refuses (with the nearest names for
/// an unknown table or column), and for a statement that runs too long.
pub fn query(path: &Path, sql: &str) -> Result<Table, StoreError> {
    query_with(path, sql, &BTreeMap::new())
}

/// [`query`] with values for the parameters `:name` of the statement; those without one are null.
pub fn query_with(
    path: &Path,
    sql: &str,
    values: &BTreeMap<String, Cell>,
) -> Result<Table, StoreError> {
    query_within(path, sql, values, Bounds { rows: ROW_CAP, time: TIME_LIMIT })
}

/// [`query_with`] for files: every row, and ten times the time.
pub fn query_all(
    path: &Path,
    sql: &str,
    values: &BTreeMap<String, Cell>,
) -> Result<Table, StoreError> {
    query_within(path, sql, values, Bounds { rows: usize::MAX, time: TIME_LIMIT * 10 })
}

/// Memory of an answer, at most.
const ANSWER_LIMIT: usize = 2 << 30;

/// How much a statement may bring and take.
#[derive(Clone, Copy)]
struct Bounds {
    rows: usize,
    time: Duration,
}

fn query_within(
    path: &Path,
    sql: &str,
    values: &BTreeMap<String, Cell>,
    bounds: Bounds,
) -> Result<Table, StoreError> {
    let limit = bounds.time;
    let statement = reading_statement(sql)?;
    let (statement, wanted) = numbered(&statement);
    if let Some(name) = values.keys().find(|name| !wanted.contains(name)) {
        return Err(StoreError::Query {
            reason: format!("the query has no parameter `:{name}`"),
            hint: Some(match wanted.as_slice() {
                [] => "a parameter is written `:name` in the SQL".to_owned(),
                names => format!("it has {}", names.join(", ")),
            }),
        });
    }
    let mut db = Db::open_read(path)?;
    let started = Instant::now();
    let mut too_large = false;
    let answer = db.with("answering a query", async |connection| {
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA hard_heap_limit = {HEAP_LIMIT}")))
            .execute(&mut *connection)
            .await?;
        connection
            .lock_handle()
            .await?
            .set_progress_handler(10_000, move || started.elapsed() < limit);
        let prepared =
            (&mut *connection).prepare(AssertSqlSafe(statement.clone()).into_sql_str()).await?;
        let columns = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let mut table = Table { columns, rows: Vec::new(), capped: false };
        let mut asked = prepared.query();
        for name in &wanted {
            asked = match values.get(name) {
                None | Some(Cell::Null) => asked.bind(None::<i64>),
                Some(Cell::Integer(value)) => asked.bind(*value),
                Some(Cell::Real(value)) => asked.bind(*value),
                Some(Cell::Text(value)) => asked.bind(value.clone()),
                Some(Cell::Blob(value)) => asked.bind(value.clone()),
            };
        }
        let mut held = 0;
        let mut rows = asked.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            if table.rows.len() == bounds.rows {
                table.capped = true;
                break;
            }
            let cells = (0..table.columns.len()).map(|index| cell(&row, index));
            let cells: Vec<Cell> = cells.collect::<Result<_, _>>()?;
            held += cells.iter().map(size).sum::<usize>();
            if held > ANSWER_LIMIT {
                too_large = true;
                break;
            }
            table.rows.push(cells);
        }
        Ok(table)
    });
    if too_large {
        return Err(StoreError::Query {
            reason: format!("the answer takes more than {} MB", ANSWER_LIMIT >> 20),
            hint: Some("ask for fewer rows or columns".to_owned()),
        });
    }
    let late = started.elapsed() >= limit;
    answer.map_err(|error| match error {
        StoreError::Database { source, .. } => explain(&mut db, &source, late, limit),
        other => other,
    })
}

/// Memory that a value takes in an answer.
fn size(cell: &Cell) -> usize {
    let held = match cell {
        Cell::Text(text) => text.len(),
        Cell::Blob(bytes) => bytes.len(),
        Cell::Null | Cell::Integer(_) | Cell::Real(_) => 0,
    };
    std::mem::size_of::<Cell>() + held
}

fn cell(row: &sqlx::sqlite::SqliteRow, index: usize) -> Result<Cell, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let kind = value.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "INTEGER" => Cell::Integer(row.try_get_unchecked(index)?),
        "REAL" => Cell::Real(row.try_get_unchecked(index)?),
        "BLOB" => Cell::Blob(row.try_get_unchecked(index)?),
        _ => Cell::Text(row.try_get_unchecked(index)?),
    })
}

/// Turns the engine's complaint into one that helps.
fn explain(db: &mut Db, source: &sqlx::Error, late: bool, limit: Duration) -> StoreError {
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
    let hint = if let Some(name) = engine.strip_prefix("no such table: ") {
        tables(db).ok().map(|tables| nearest(name, &tables, "tables and views"))
    } else if let Some(name) = engine.strip_prefix("no such column: ") {
        let name = name.rsplit('.').next().unwrap_or(name);
        columns(db).ok().map(|columns| nearest(name, &columns, "columns"))
    } else if engine.contains("syntax error") {
        Some("the database speaks SQLite's SQL; texts go in single quotes".into())
    } else if is_damage(&engine) {
        Some("the file is damaged; `dgnet reindex` rebuilds it from the run folders".into())
    } else {
        None
    };
    StoreError::Query { reason: format!("the query cannot be answered: {engine}"), hint }
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

fn columns(db: &mut Db) -> Result<Vec<String>, StoreError> {
    db.with("listing columns", async |connection| {
        sqlx::query_scalar(
            "SELECT DISTINCT info.name FROM sqlite_master AS item, pragma_table_info(item.name) AS info
             WHERE item.type IN ('view', 'table') ORDER BY info.name",
        )
        .fetch_all(connection)
        .await
    })
}

/// Whether the engine says that the file is not a whole database.
pub(super) fn is_damage(engine: &str) -> bool {
    ["malformed", "not a database", "disk I/O error"].iter().any(|words| engine.contains(words))
}

pub(super) fn nearest(name: &str, known: &[String], what: &str) -> String {
    let near = |other: &&String| {
        strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase()) <= 2
            || strsim::jaro_winkler(name, other) > 0.88
    };
    let close: Vec<_> = known.iter().filter(near).map(|name| format!("`{name}`")).collect();
    if close.is_empty() {
        format!("known {what}: {}", known.join(", "))
    } else {
        format!("did you mean {}?", close.join(" or "))
    }
}

/// A question whose answer is empty may have misspelled a metric: the texts of the statement that are
/// near the name of one and not its name.
///
/// # Errors
/// An unreadable database.
pub fn near_metrics(path: &Path, sql: &str) -> Result<Option<String>, StoreError> {
    let known: Vec<String> =
        Db::open_read(path)?.metric_defs()?.into_iter().map(|def| def.name).collect();
    let texts = parts(sql).into_iter().filter(|(is_code, part)| !is_code && part.starts_with('\''));
    let found = texts.map(|(_, part)| part.trim_matches('\'')).find_map(|text| {
        let hint = nearest(text, &known, "metrics");
        let is_new = !text.is_empty() && !known.iter().any(|name| name == text);
        (is_new && hint.starts_with("did you mean"))
            .then(|| format!("no metric is called `{text}`: {hint}"))
    });
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        Db::open(&path).unwrap().close().unwrap();
        (folder, path)
    }

    #[test]
    fn every_kind_of_value_comes_back() {
        let (_folder, path) = database();
        let table =
            query(&path, "select 1 as a, 2.5 as b, 'x;y' as c, x'00ff' as d, null as e;").unwrap();
        assert_eq!(table.columns, ["a", "b", "c", "d", "e"]);
        assert_eq!(
            table.rows,
            [[
                Cell::Integer(1),
                Cell::Real(2.5),
                Cell::Text("x;y".into()),
                Cell::Blob(vec![0, 255]),
                Cell::Null
            ]]
        );
        let empty = query(&path, "select arm, mAP from final").unwrap();
        assert_eq!((empty.columns.len(), empty.rows.len()), (2, 0));
    }

    #[test]
    fn nothing_but_reading_is_possible() {
        let (folder, path) = database();
        let before = std::fs::read(&path).unwrap();
        let copy = folder.path().join("copy.db");
        for sql in [
            "delete from study".to_owned(),
            "with x as (select 1) delete from study".to_owned(),
            "with x as (select 1) insert into study select * from study".to_owned(),
            format!("vacuum into '{}'", copy.display()),
            format!("/* select */ attach '{}' as other", copy.display()),
            "-- select\nattach 'x' as other".to_owned(),
            "pragma query_only = 0".to_owned(),
            "select 1; delete from study".to_owned(),
            "select ';' ; pragma user_version = 3".to_owned(),
            "explain select 1; drop table study".to_owned(),
            "select load_extension('x')".to_owned(),
            "begin exclusive".to_owned(),
            String::new(),
            " -- nothing".to_owned(),
        ] {
            assert!(query(&path, &sql).is_err(), "{sql}");
        }
        assert!(!copy.exists());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_misspelled_name_gets_a_suggestion() {
        let (_folder, path) = database();
        let text = query(&path, "select * from finl").unwrap_err().to_string();
        assert!(text.contains("did you mean `final`?"), "{text}");
        let text = query(&path, "select f.mapp from final f").unwrap_err().to_string();
        assert!(text.contains("`mAP`"), "{text}");
        let text = query(&path, "select * from zzzzzz").unwrap_err().to_string();
        assert!(text.contains("known tables and views: camera_pairs"), "{text}");
    }

    #[test]
    fn a_misspelled_metric_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        // the writer defines the metrics
        crate::store::ingest::Writer::open(folder.path()).unwrap().unwrap().close().unwrap();
        let path = Db::file(folder.path());
        let hint = |sql: &str| near_metrics(&path, sql).unwrap();
        let found = hint("select * from curves where metric = 'mAPP'").unwrap();
        assert!(found.contains("`mAPP`") && found.contains("`mAP`"), "{found}");
        assert_eq!(hint("select * from curves where metric = 'mAP' and arm = 'full'"), None);
    }

    #[test]
    fn a_damaged_file_says_how_to_rebuild_it() {
        let (_folder, path) = database();
        let mut bytes = std::fs::read(&path).unwrap();
        let page = 4096;
        assert!(bytes.len() > 3 * page);
        bytes[page..].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let text = query(&path, "select * from final").unwrap_err().to_string();
        assert!(text.contains("dgnet reindex"), "{text}");
    }

    #[test]
    fn parameters_are_values_never_text() {
        let (_folder, path) = database();
        let values = BTreeMap::from([
            ("b".to_owned(), Cell::Text("x'; drop table study".into())),
            ("a".to_owned(), Cell::Integer(2)),
        ]);
        let table = query_with(&path, "select :a + 1, :b, :a, :none, ':c'", &values).unwrap();
        let text = Cell::Text("x'; drop table study".into());
        let expected =
            [Cell::Integer(3), text, Cell::Integer(2), Cell::Null, Cell::Text(":c".into())];
        assert_eq!(table.rows, [expected]);
        let unknown = query_with(&path, "select :aa", &values).unwrap_err().to_string();
        assert!(
            unknown.contains("no parameter `:a`") && unknown.contains("it has aa"),
            "{unknown}"
        );
    }

    #[test]
    fn a_runaway_is_stopped_and_many_rows_are_cut() {
        let (_folder, path) = database();
        let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select ";
        let limit = Bounds { rows: ROW_CAP, time: Duration::from_millis(200) };
        let text =
            query_within(&path, &format!("{endless} count(*) from n"), &BTreeMap::new(), limit)
                .unwrap_err();
        assert!(text.to_string().contains("stopped after 0.2 s"), "{text}");
        let table = query(&path, &format!("{endless} i from n")).unwrap();
        assert_eq!((table.rows.len(), table.capped), (ROW_CAP, true));
    }
}
