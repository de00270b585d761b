//! The database described for people, from the schema that it really has: every table and view with its
//! columns, what the migrations say of them, and a query to try.

use std::fmt::Write;

use sqlx::Row;

use super::db::Db;
use super::error::StoreError;

/// A query to try for each table and view that people ask.
const EXAMPLES: [(&str, &str); 22] = [
    ("runs", "select arm, seed, state, step, steps from runs where study = 'ablations'"),
    ("final", "select arm, avg(mAP), count(*) from final group by arm"),
    (
        "curves",
        "select step, value from curves where arm = 'full' and seed = 1 and metric = 'loss_total'",
    ),
    ("last_values", "select metric, value from last_values where arm = 'full' and seed = 1"),
    (
        "comparisons",
        "select arm, avg(difference) from comparisons where metric = 'mAP' group by arm",
    ),
    ("study", "select name, question, baseline from study"),
    ("arm", "select name, label, overrides from arm order by study, position"),
    ("cell", "select run_uid, count(*) from cell group by run_uid having count(*) > 1"),
    ("run", "select uid, begin->>'libtorch', begin->>'processor', wall_s from run"),
    ("setting", "select distinct value from setting where key = 'loss.lambda_img'"),
    ("metric_name", "select name, unit, direction from metric_name"),
    ("metric", "select count(*) from metric where nonfinite is not null"),
    ("run_number", "select id, uid from run_number"),
    ("query_result", "select query, avg(ap) from query_result group by query order by 2 limit 10"),
    ("camera_pair", "select query_camera, gallery_camera, avg(mAP) from camera_pair group by 1, 2"),
    (
        "camera_pairs",
        "select query_camera, gallery_camera, avg(mAP) from camera_pairs where arm = 'full' group by 1, 2",
    ),
    ("stage", "select kind, count(*), sum(wall_s) from stage group by kind"),
    ("run_stage", "select key, count(*) from run_stage where kind = 'teacher' group by key"),
    ("artifact", "select name, media_type, length(bytes) from artifact"),
    ("mark", "select name, tags from mark where kind = 'run'"),
    ("notes", "select name, at, text from notes"),
    ("event", "select level, message from event order by at desc limit 10"),
];

/// The description as Markdown.
///
/// # Errors
/// When no database can be made in the folder for temporary files.
pub fn describe() -> Result<String, StoreError> {
    let file = std::env::temp_dir().join(format!("dgnet-schema-{}.db", std::process::id()));
    let described = of_fresh(&file);
    // it was made for this alone; one that is left is overwritten by nobody
    let _ = std::fs::remove_file(&file);
    described
}

fn of_fresh(file: &std::path::Path) -> Result<String, StoreError> {
    let mut db = Db::open(file)?;
    let items = db.with("reading its schema", async |connection| {
        let rows = sqlx::query(
            "SELECT type, name, sql FROM sqlite_master
             WHERE type IN ('table', 'view') AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY type DESC, rootpage, name",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut items = Vec::new();
        for row in rows {
            let (kind, name, sql): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let columns: Vec<(String, String)> =
                sqlx::query_as("SELECT name, type FROM pragma_table_info(?) ORDER BY cid")
                    .bind(&name)
                    .fetch_all(&mut *connection)
                    .await?;
            items.push((kind, name, sql, columns));
        }
        Ok(items)
    })?;
    db.close()?;
    let mut text = String::from(
        "# The results database\n\n\
         Made by `dgnet schema --database`; do not edit. `runs/results.db` is an index over the run folders, which stay\n\
         the truth: `dgnet reindex` rebuilds it. Times are seconds since 1970 (UTC), columns that end in `_s` are seconds.\n\
         Ask it with `dgnet query`, which only reads. The views are made for people; start there.\n",
    );
    for (kind, name, sql, columns) in &items {
        let _ = write!(text, "\n## {name} ({kind})\n\n");
        text.push_str("| column | type | what it is |\n| --- | --- | --- |\n");
        for (column, declared) in columns {
            let about = comment(sql, column).unwrap_or_default();
            let _ = writeln!(text, "| `{column}` | {} | {about} |", declared.to_lowercase());
        }
        if let Some((_, example)) = EXAMPLES.iter().find(|(known, _)| known == name) {
            let _ = write!(text, "\n```sql\n{example}\n```\n");
        }
    }
    Ok(text)
}

/// What the migration says behind a column: the schema keeps its comments.
fn comment(sql: &str, column: &str) -> Option<String> {
    let line = sql.lines().find(|line| line.split_whitespace().next() == Some(column))?;
    let (_, about) = line.split_once("--")?;
    Some(about.trim().replace('|', "\\|"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::query::query;

    #[test]
    fn every_table_is_described_and_every_example_can_be_asked() {
        let text = describe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = Db::file(folder.path());
        Db::open(&file).unwrap().close().unwrap();
        for (name, example) in EXAMPLES {
            assert!(text.contains(&format!("## {name} (")), "{name}");
            query(&file, example).unwrap();
        }
        assert!(text.contains("| `position` | integer | order in the study file, from 0 |"));
    }
}
