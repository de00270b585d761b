//! All studies at a glance, and a stamp by which somebody who looks again knows that nothing changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::db::Db;
use super::error::StoreError;
use super::files::with_suffix;

/// A study among the others. Ordered by name.
#[derive(Debug, Clone, PartialEq)]
pub struct OverviewRow {
    /// Name.
    pub name: String,
    /// The question, free text.
    pub question: String,
    /// When its file was last planned or one of its runs last began or ended, in seconds since 1970.
    pub changed_at: f64,
    /// Whether it is archived.
    pub archived: bool,
}

impl Db {
    /// Every study with its question and its last change.
    pub fn overview(&mut self) -> Result<Vec<OverviewRow>, StoreError> {
        let rows: Vec<(String, String, f64, bool)> =
            self.with("reading studies", async |connection| {
                sqlx::query_as(
                    "SELECT study.name, study.question,
                            max(study.updated_at, coalesce(max(run.started_at), 0), coalesce(max(run.ended_at), 0)),
                            mark.archived_at IS NOT NULL
                     FROM study
                     LEFT JOIN cell ON cell.study = study.name
                     LEFT JOIN run ON run.uid = cell.run_uid
                     LEFT JOIN mark ON mark.kind = 'study' AND mark.name = study.name
                     GROUP BY study.name ORDER BY study.name",
                )
                .fetch_all(connection)
                .await
            })?;
        let row = |(name, question, changed_at, archived)| OverviewRow {
            name,
            question,
            changed_at,
            archived,
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

/// What tells one state of the database's files from another: inode, length and time of change of the
/// file and of its write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamp {
    /// The state right now; to be taken before reading, so that a change meanwhile is seen the next time.
    #[must_use]
    pub fn of(database: &Path) -> Self {
        let look = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
        };
        Self(vec![look(database), look(&with_suffix(database, "-wal"))])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn a_study_changes_with_its_runs_and_the_stamp_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        let nothing = Stamp::of(&path);
        let mut db = Db::open(&path).unwrap();
        let insert = |sql: &'static str| {
            async move |connection: &mut sqlx::SqliteConnection| {
                sqlx::raw_sql(sql).execute(connection).await
            }
        };
        db.with(
            "testing",
            insert(
                "INSERT INTO study (name, question, primary_name, equal_within, baseline, confirm, file, source, updated_at)
                 VALUES ('b', 'why?', 'mAP', 0, 'full', '[]', '', '', 5), ('a', '', 'mAP', 0, 'full', '[]', '', '', 7);
                 INSERT INTO arm VALUES ('b', 'full', 0, 'full', '{}');
                 INSERT INTO run (uid, folder, state, attempt, seed, step, steps, recipe, data_key, settings, begin, started_at)
                 VALUES ('u', 'b/full/x', 'running', 1, 1, 0, 9, 1, '', '{}', '{}', 11.5);
                 INSERT INTO cell VALUES ('b', 'full', 1, 'u');",
            ),
        )
        .unwrap();
        let there = Stamp::of(&path);
        assert_ne!(nothing, there);
        assert_eq!(there, Stamp::of(&path));
        let told: Vec<_> =
            db.overview().unwrap().into_iter().map(|row| (row.name, row.changed_at)).collect();
        assert_eq!(told, [("a".to_owned(), 7.0), ("b".to_owned(), 11.5)]);
        db.with("testing", insert("UPDATE run SET ended_at = 12")).unwrap();
        assert_ne!(there, Stamp::of(&path));
        assert_eq!(db.overview().unwrap()[1].changed_at, 12.0);
    }
}
