//! The database described for people: every table and view that it really has, its columns with their
//! units, and a query to try.

use std::fmt::Write;
use std::path::Path;

use super::db::Db;
use super::error::StoreError;
use tables::TABLES;
use views::VIEWS;

mod phrases;
mod tables;
mod views;

const INTRODUCTION: &str = "\
# The results database

Made by `dgnet schema --database`; do not edit. `runs/results.db` is an index over the run folders, which stay
the truth: `dgnet reindex` rebuilds it. Times are seconds since 1970 (UTC), columns that end in `_s` are seconds.
Ask it with `dgnet query`, which only reads. The views are made for people; start there. A study has arms; an arm
with a seed is a cell; a run answers it.
";

/// A table or view in words.
struct Item {
    /// Its name.
    name: &'static str,
    /// What it holds, in one sentence.
    about: &'static str,
    /// A query to try.
    example: &'static str,
    /// What its columns hold, with units, where [`phrases::about`] would not know.
    columns: &'static [(&'static str, &'static str)],
}

/// A table or view that the database has.
struct Found {
    kind: String,
    name: String,
    /// Names of the columns and their types as declared, empty where a view computes one.
    columns: Vec<(String, String)>,
}

/// The description as Markdown.
///
/// # Errors
/// When no database can be made in the folder for temporary files.
pub fn describe() -> Result<String, StoreError> {
    let file = std::env::temp_dir().join(format!("dgnet-schema-{}.db", std::process::id()));
    let found = of_fresh(&file);
    // it was made for this alone; one that is left is overwritten by nobody
    let _ = std::fs::remove_file(&file);
    Ok(markdown(&found?))
}

/// What a new database has: the views first, then the tables, in the order in which they were made.
fn of_fresh(file: &Path) -> Result<Vec<Found>, StoreError> {
    let mut db = Db::open(file)?;
    let found = db.with("reading its schema", async |connection| {
        let items: Vec<(String, String)> = sqlx::query_as(
            "SELECT type, name FROM sqlite_master
             WHERE type IN ('table', 'view') AND name NOT LIKE '\\_%' ESCAPE '\\'
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY type DESC, rootpage, name",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut found = Vec::new();
        for (kind, name) in items {
            let columns: Vec<(String, String)> =
                sqlx::query_as("SELECT name, type FROM pragma_table_info(?) ORDER BY cid")
                    .bind(&name)
                    .fetch_all(&mut *connection)
                    .await?;
            found.push(Found { kind, name, columns });
        }
        Ok(found)
    })?;
    db.close()?;
    Ok(found)
}

fn markdown(found: &[Found]) -> String {
    let mut text = String::from(INTRODUCTION);
    for Found { kind, name, columns } in found {
        let _ = write!(text, "\n## {name} ({kind})\n\n");
        let Some(item) = item(name) else { continue };
        let _ = writeln!(text, "{}\n", item.about);
        text.push_str("| column | type | what it is |\n| --- | --- | --- |\n");
        for (column, declared) in columns {
            let kind = phrases::kind(name, column, declared);
            let about = phrases::about(item, column).unwrap_or_default();
            let _ = writeln!(text, "| `{column}` | {kind} | {about} |");
        }
        let _ = write!(text, "\n```sql\n{}\n```\n", item.example);
    }
    text
}

fn item(name: &str) -> Option<&'static Item> {
    VIEWS.iter().chain(TABLES).find(|item| item.name == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::query::query;

    /// A new database and what it has.
    fn fresh() -> (tempfile::TempDir, Vec<Found>) {
        let folder = tempfile::tempdir().unwrap();
        let found = of_fresh(&Db::file(folder.path())).unwrap();
        (folder, found)
    }

    fn has(found: &[Found], item: &str, column: &str) -> bool {
        let item = found.iter().find(|found| found.name == item);
        item.is_some_and(|item| item.columns.iter().any(|(name, _)| name == column))
    }

    #[test]
    fn every_table_and_view_has_a_sentence_and_an_example_that_runs() {
        let (folder, found) = fresh();
        assert!(found.len() > 20);
        for Found { name, .. } in &found {
            let item = item(name).unwrap_or_else(|| panic!("`{name}` is not described"));
            assert!(item.about.ends_with('.') && !item.about.contains(". "), "{name}");
            assert!(item.example.contains(&format!(" from {name}")), "{name}");
            query(&Db::file(folder.path()), item.example).unwrap();
        }
    }

    #[test]
    fn every_column_has_a_type_and_a_phrase() {
        let (_folder, found) = fresh();
        for Found { name, columns, .. } in &found {
            for (column, declared) in columns {
                assert_ne!(phrases::kind(name, column, declared), "", "{name}.{column}");
                let about = phrases::about(item(name).unwrap(), column);
                let about = about.unwrap_or_else(|| panic!("{name}.{column} has no phrase"));
                // a cell of a Markdown table
                let is_phrase = !about.is_empty() && !about.contains(['|', '\n']);
                assert!(is_phrase && !about.ends_with('.'), "{name}.{column}: {about}");
            }
        }
    }

    #[test]
    fn nothing_is_described_that_is_not_there() {
        let (_folder, found) = fresh();
        for item in VIEWS.iter().chain(TABLES) {
            assert_eq!(found.iter().filter(|found| found.name == item.name).count(), 1);
            for (column, _) in item.columns {
                let name = item.name;
                assert!(has(&found, name, column), "{name}.{column}");
                let said = item.columns.iter().filter(|(other, _)| other == column).count();
                assert_eq!(said, 1, "{name}.{column}");
            }
        }
        for (column, about) in phrases::COMMON {
            let is_used = |found: &Found| {
                has(std::slice::from_ref(found), &found.name, column)
                    && phrases::about(item(&found.name).unwrap(), column).as_deref() == Some(*about)
            };
            assert!(found.iter().filter(|found| is_used(found)).count() > 1, "{column}");
        }
        for (view, column, _) in phrases::COMPUTED {
            let item = found.iter().find(|found| found.name == *view).unwrap();
            assert!(
                item.columns.contains(&((*column).to_owned(), String::new())),
                "{view}.{column}"
            );
        }
    }

    #[test]
    fn metrics_are_described_by_their_definitions() {
        let text = describe().unwrap();
        for line in [
            "| `mAP` | real | mean trapezoidal average precision, both heads; 0 to 1, higher is",
            "| `swap_psnr` | real | PSNR of swapped images against the rendered truth; dB, higher",
            "| `step_seconds` | real | wall time of a training step; s, lower is better |",
            "| `recon_l1_ratio` | real | held-out reconstruction L1 over the L1 of predicting the mean \
             training image; no unit, lower is better |",
            "| `position` | integer | order in the study file, from 0 |",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }
}
