//! A user's SQL: one reading statement, on a read-only connection of its own, with bounds on time,
//! memory and rows. Formatting is the command line's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement, TypeInfo, ValueRef};

use super::db::Db;
use super::error::StoreError;
use explain::explain;
use text::{numbered, reading_statement};

mod explain;
mod near;
mod text;

pub use explain::near_names;
pub(super) use near::did_you_mean;
pub use near::nearest;

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

impl Cell {
    /// A value as people write it: a finite number (`3`, `-1.0`, `.5`, `1e-3`), otherwise a text. What begins
    /// with a sign of plus or with zeros that a number does not need is a text: `007`, `+1`.
    #[must_use]
    pub fn given(text: &str) -> Self {
        let digits = text.trim_start_matches('-').as_bytes();
        let is_padded = matches!(digits, [b'0', b'0'..=b'9', ..]);
        if text.starts_with('+') || is_padded {
            return Self::Text(text.to_owned());
        }
        let whole = text.parse().ok().map(Self::Integer);
        let real = || text.parse().ok().filter(|value: &f64| value.is_finite()).map(Self::Real);
        whole.or_else(real).unwrap_or_else(|| Self::Text(text.to_owned()))
    }
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

/// [`query`] with values for the parameters `:name` of the statement, each of which needs one; that of
/// [`Cell::Null`] is null.
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

/// Names of the parameters of a statement, in their order.
///
/// # Errors
/// [`StoreError::Query`] for a parameter without a name.
pub fn parameters(sql: &str) -> Result<Vec<String>, StoreError> {
    Ok(numbered(sql)?.1)
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
    let (statement, wanted) = numbered(&statement)?;
    check_values(&wanted, values)?;
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

/// Refuses values for parameters that are not there, and parameters that have no value.
fn check_values(wanted: &[String], values: &BTreeMap<String, Cell>) -> Result<(), StoreError> {
    if let Some(name) = values.keys().find(|name| !wanted.contains(name)) {
        return Err(StoreError::Query {
            reason: format!("the query has no parameter `:{name}`"),
            hint: Some(match wanted {
                [] => "a parameter is written `:name` in the SQL".to_owned(),
                names => format!("it has {}", names.join(", ")),
            }),
        });
    }
    let missing: Vec<&String> = wanted.iter().filter(|name| !values.contains_key(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = missing.iter().map(|name| format!("`:{name}`")).collect();
    let given: Vec<String> = missing.iter().map(|name| format!("--param {name}=VALUE")).collect();
    Err(StoreError::Query {
        reason: format!("no value for {}", named.join(", ")),
        hint: Some(format!("add `{}`", given.join(" "))),
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

/// Whether the engine says that the file is not a whole database.
fn is_damage(engine: &str) -> bool {
    ["malformed", "not a database", "disk I/O error"].iter().any(|words| engine.contains(words))
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
            ("none".to_owned(), Cell::Null),
        ]);
        let table = query_with(&path, "select :a + 1, @b, $a, :none, ':c'", &values).unwrap();
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
    fn a_parameter_without_a_value_or_a_name_is_refused() {
        let (_folder, path) = database();
        let values = BTreeMap::from([("a".to_owned(), Cell::Integer(2))]);
        for (sql, expected) in [
            ("select :arm, :a", "no value for `:arm`\n  hint: add `--param arm=VALUE`"),
            ("select @arm, :a", "no value for `:arm`\n"),
            ("select $arm, :a", "no value for `:arm`\n"),
            ("select :größe, :a", "no value for `:größe`\n"),
            (
                "select :a, :b, :c",
                "no value for `:b`, `:c`\n  hint: add `--param b=VALUE --param c=VALUE`",
            ),
            ("select :a, ?", "a parameter needs a name, and `?` has none"),
            ("select :a, ?1", "a parameter needs a name, and `?1` has none"),
        ] {
            let text = query_with(&path, sql, &values).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{sql}: {text}");
        }
        // a dollar sign inside a name begins no parameter
        let table = query_with(&path, "select :a as a$b, '?', [@c]", &values);
        assert!(table.unwrap_err().to_string().contains("no such column"));
        assert_eq!(query_with(&path, "select :a as a$b", &values).unwrap().columns, ["a$b"]);
    }

    #[test]
    fn numbers_are_numbers_and_padded_ones_are_texts() {
        for (text, value) in [("3", Cell::Integer(3)), ("-3", Cell::Integer(-3))] {
            assert_eq!(Cell::given(text), value);
        }
        for (text, value) in [("0.5", 0.5), ("-2.25", -2.25), ("1e-3", 1e-3), ("0.001", 1e-3)] {
            assert_eq!(Cell::given(text), Cell::Real(value));
        }
        for text in ["007", "-00.5", "+5", " 5", "nan", "NaN", "inf", "-inf", "1e999", "1_0", ""] {
            assert_eq!(Cell::given(text), Cell::Text(text.into()));
        }
    }

    #[test]
    fn the_first_word_decides_and_a_refusal_helps() {
        let (_folder, path) = database();
        for (sql, words) in [
            ("delete from study", ["`delete` is refused", "begin with `select`"]),
            (".tables", ["`.tables` is refused", "dgnet schema --database"]),
            ("show tables", ["`show` is refused", "dgnet schema --database"]),
            ("describe final", ["`describe` is refused", "dgnet schema --database"]),
            ("PRAGMA table_info(run)", ["`PRAGMA` is refused", "dgnet schema --database"]),
            ("selct 1", ["`selct` is unknown", "did you mean `select`?"]),
            ("banana 1", ["`banana` is unknown", "begin with `select`"]),
            ("(select 1)", ["`(select` is unknown", "begin with `select`"]),
        ] {
            let text = query(&path, sql).unwrap_err().to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{sql}: {text}");
        }
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
