//! Opening the results database: one connection behind a blocking face, migrations, the journal that
//! fits the file system. What is written and read lives in `ingest`, `read` and `query`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::{Builder, Runtime};

use super::error::StoreError;
use super::files::with_suffix;
use super::run_dir::RunLock;

static MIGRATIONS: Migrator = sqlx::migrate!("schema/migrations");

/// Name of the database inside the runs folder.
pub const FILE: &str = "results.db";

/// How long a program that holds the database alone is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the results database; every call blocks until it is answered.
#[derive(Debug)]
pub struct Db {
    path: PathBuf,
    runtime: Runtime,
    connection: Option<SqliteConnection>,
}

impl Db {
    /// Where the database of a runs folder lies.
    #[must_use]
    pub fn file(runs_root: &Path) -> PathBuf {
        runs_root.join(FILE)
    }

    /// Opens for writing: creates the file and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for a database of a later version, [`StoreError::Foreign`] for another program's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            Self::refuse_foreign(path)?;
        }
        let journal =
            if on_network(path) { SqliteJournalMode::Delete } else { SqliteJournalMode::Wal };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(journal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE);
        let mut db = Self::connect(path, &options)?;
        let found = db.check_version()?;
        if found > 0 && found < known() {
            db.back_up(found)?;
        }
        db.with("creating its tables", async |connection| {
            MIGRATIONS.run(connection).await.map_err(|error| sqlx::Error::Migrate(Box::new(error)))
        })?;
        Ok(db)
    }

    /// Opens for reading only; also while a sweep writes, and from a folder that cannot be written.
    ///
    /// # Errors
    /// [`StoreError::NoDatabase`] when there is none, [`StoreError::Newer`] when it is too new,
    /// [`StoreError::Foreign`] when it is something else.
    pub fn open_read(path: &Path) -> Result<Self, StoreError> {
        Self::open_read_within(path, PATIENCE)
    }

    /// The same, for somebody who does not wait longer than that for a program that holds the file alone.
    ///
    /// # Errors
    /// Those of [`Db::open_read`].
    pub fn open_read_within(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::NoDatabase { path: path.to_owned() });
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(patience)
            // rows come from a thread of their own: many at a time, sorted in memory
            .row_buffer_size(4096)
            .pragma("temp_store", "memory")
            .pragma("query_only", "1");
        let mut db = Self::connect(path, &options)?;
        match db.check_version()? {
            // nobody has begun it yet, or its first writer is about to
            0 => return Err(StoreError::NoDatabase { path: path.to_owned() }),
            found if found == known() => return Ok(db),
            _ => drop(db),
        }
        Self::migrate(path)?;
        Self::connect(path, &options)
    }

    /// Looks before anything is written: already the choice of a journal changes the file. What cannot be
    /// looked at so (a journal to roll back first) is left to the writer.
    fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
        let options =
            SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(PATIENCE);
        match Self::connect(path, &options).and_then(|mut db| db.check_version()) {
            Err(error @ (StoreError::Newer { .. } | StoreError::Foreign { .. })) => Err(error),
            _ => Ok(()),
        }
    }

    /// The runs that a file knows, whatever its version, each with its number of values; none where there is no
    /// file, `None` where it cannot be read.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Foreign`].
    pub(super) fn runs_in(path: &Path) -> Result<Option<BTreeMap<String, i64>>, StoreError> {
        if !path.exists() {
            return Ok(Some(BTreeMap::new()));
        }
        let options =
            SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(PATIENCE);
        let Ok(mut db) = Self::connect(path, &options) else { return Ok(None) };
        let found = db.known_runs();
        // the file is renamed or removed next: nobody may hold it any more
        if let Some(connection) = db.connection.take() {
            let _ = db.runtime.block_on(connection.close());
        }
        match found {
            Ok(runs) => Ok(Some(runs)),
            Err(error @ (StoreError::Newer { .. } | StoreError::Foreign { .. })) => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn known_runs(&mut self) -> Result<BTreeMap<String, i64>, StoreError> {
        if self.check_version()? == 0 {
            return Ok(BTreeMap::new());
        }
        let runs: Vec<(String, i64)> = self.with("reading its runs", async |connection| {
            sqlx::query_as(
                "SELECT run.uid, count(metric.run) FROM run LEFT JOIN run_number USING (uid)
                 LEFT JOIN metric ON metric.run = run_number.id GROUP BY run.uid",
            )
            .fetch_all(connection)
            .await
        })?;
        Ok(runs.into_iter().collect())
    }

    /// Brings the database of an older version up to date for somebody who only wants to read.
    fn migrate(path: &Path) -> Result<(), StoreError> {
        let lock_file = path.with_file_name(".writer.lock");
        let Some(_lock) = RunLock::acquire_file(&lock_file)? else {
            return Err(StoreError::Locked {
                what: "the results database, which an older dgnet wrote,".into(),
                path: lock_file,
                hint: "its sweep is running; wait for it, then ask again".into(),
            });
        };
        Self::open(path)?.close()
    }

    /// Copies the file beside itself as `results.db.v<N>.bak` before its schema changes.
    fn back_up(&mut self, version: i64) -> Result<(), StoreError> {
        let copy = with_suffix(&self.path, &format!(".v{version}.bak"));
        if copy.exists() {
            return Ok(());
        }
        // a copy that is not whole must not pass for one
        let partial = copy.with_extension("bak.partial");
        let _ = std::fs::remove_file(&partial);
        let target = partial.to_string_lossy().into_owned();
        self.with("backing it up", async |connection| {
            sqlx::query("VACUUM INTO ?").bind(target).execute(connection).await.map(|_| ())
        })?;
        std::fs::rename(&partial, &copy).map_err(StoreError::io("rename", &partial))
    }

    /// What SQLite finds wrong with the file.
    pub fn integrity(&mut self) -> Result<Option<String>, StoreError> {
        let words: Vec<String> = self.with("checking it", async |connection| {
            sqlx::query_scalar("PRAGMA integrity_check(5)").fetch_all(connection).await
        })?;
        let words = words.join("; ");
        Ok((words != "ok").then_some(words))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folds the write-ahead log into the file and closes it, so that it can be copied as it is.
    pub fn close(mut self) -> Result<(), StoreError> {
        // a reader may hold the log open: then the next writer folds it in
        let _ = self.with("closing", async |connection| {
            sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await?;
            sqlx::raw_sql("PRAGMA journal_mode = DELETE").execute(connection).await
        });
        let Some(connection) = self.connection.take() else { return Ok(()) };
        self.runtime.block_on(connection.close()).map_err(StoreError::sql("closing", &self.path))
    }

    /// Does asynchronous work on the connection and waits for it.
    pub(super) fn with<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let Some(connection) = self.connection.as_mut() else {
            return Err(StoreError::sql(doing, &self.path)(sqlx::Error::PoolClosed));
        };
        self.runtime.block_on(work(connection)).map_err(StoreError::sql(doing, &self.path))
    }

    fn connect(path: &Path, options: &SqliteConnectOptions) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StoreError::io("open", path))?;
        let connection = runtime
            .block_on(SqliteConnection::connect_with(options))
            .map_err(StoreError::sql("opening it", path))?;
        Ok(Self { path: path.to_owned(), runtime, connection: Some(connection) })
    }

    /// The last migration in the file; 0 for a new one.
    fn check_version(&mut self) -> Result<i64, StoreError> {
        let (found, others): (i64, i64) = self.with("reading its version", async |connection| {
            // the list of migrations is made before our first table
            let (there, others): (i64, i64) = sqlx::query_as(
                "SELECT count(*) FILTER (WHERE name = '_sqlx_migrations'),
                        count(*) FILTER (WHERE tbl_name <> '_sqlx_migrations') FROM sqlite_master",
            )
            .fetch_one(&mut *connection)
            .await?;
            if there == 0 {
                return Ok((0, others));
            }
            let found = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
            Ok((sqlx::query_scalar(found).fetch_one(connection).await?, others))
        })?;
        if found == 0 && others > 0 {
            return Err(StoreError::Foreign { path: self.path.clone() });
        }
        if found > known() {
            return Err(StoreError::Newer { path: self.path.clone(), found, known: known() });
        }
        Ok(found)
    }
}

fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Whether the file lies on a file system that several machines share: a write-ahead log needs shared
/// memory, which those do not give.
#[must_use]
pub fn on_network(path: &Path) -> bool {
    // f_type of NFS, SMB, CIFS, SMB2, FUSE, Lustre, Ceph, AFS, 9p, GPFS, BeeGFS, OCFS2, GFS2
    const SHARED: [u64; 13] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x6573_5546,
        0x0bd0_0bd0,
        0x00c3_6400,
        0x5346_414f,
        0x0102_1997,
        0x4750_4653,
        0x1983_0326,
        0x7461_636f,
        0x0116_1970,
    ];
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    rustix::fs::statfs(folder)
        .is_ok_and(|stat| SHARED.contains(&(stat.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_database_is_one_plain_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        Db::open(&path).unwrap().close().unwrap();
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, [FILE]);
        Db::open_read(&path).unwrap();
    }

    #[test]
    fn a_newer_database_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        let mut db = Db::open(&path).unwrap();
        db.with("testing", async |connection| {
            sqlx::raw_sql("UPDATE _sqlx_migrations SET version = 99 WHERE version = 2")
                .execute(connection)
                .await
        })
        .unwrap();
        db.close().unwrap();
        for error in [Db::open(&path).unwrap_err(), Db::open_read(&path).unwrap_err()] {
            assert!(error.to_string().contains("newer dgnet"), "{error}");
        }
    }

    #[test]
    fn an_older_database_is_migrated_and_kept_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        let mut db = Db::open(&path).unwrap();
        db.with("testing", async |connection| {
            sqlx::raw_sql(
                "DROP VIEW camera_pairs; DROP TABLE camera_pair; DROP VIEW notes; DROP VIEW runs; DROP TABLE mark; CREATE VIEW runs AS SELECT 1 AS a;
                 ALTER TABLE study DROP COLUMN adaptive; ALTER TABLE study DROP COLUMN prune;
                 DELETE FROM _sqlx_migrations WHERE version >= 3;
                 INSERT INTO study VALUES ('s', 'kept?', 'mAP', 0, 'full', '[]', '', '', 0)",
            )
            .execute(connection)
            .await
        })
        .unwrap();
        db.close().unwrap();
        let mut db = Db::open_read(&path).unwrap();
        assert_eq!(db.study("s").unwrap().question, "kept?");
        assert!(db.marks("s").unwrap().is_empty());
        let backup = folder.path().join("results.db.v2.bak");
        let mut old = Db::connect(&backup, &SqliteConnectOptions::new().filename(&backup)).unwrap();
        assert_eq!(old.check_version().unwrap(), 2);
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut other = Db::connect(&path, &options).unwrap();
        other
            .with("testing", async |connection| {
                sqlx::raw_sql("CREATE TABLE experiments (id)").execute(connection).await
            })
            .unwrap();
        other.close().unwrap();
        let before = std::fs::read(&path).unwrap();
        for error in [Db::open(&path).unwrap_err(), Db::open_read(&path).unwrap_err()] {
            assert!(error.to_string().contains("another program made it"), "{error}");
        }
        assert!(matches!(Db::runs_in(&path), Err(StoreError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "").unwrap();
        assert!(matches!(Db::open_read(&path), Err(StoreError::NoDatabase { .. })));
        assert!(std::fs::read(&path).unwrap().is_empty());
        // killed before its first table was made: ours
        Db::connect(&path, &SqliteConnectOptions::new().filename(&path))
            .unwrap()
            .with("testing", async |connection| {
                sqlx::raw_sql("CREATE TABLE _sqlx_migrations (version INTEGER PRIMARY KEY)")
                    .execute(connection)
                    .await
            })
            .unwrap();
        assert_eq!(Db::runs_in(&path).unwrap(), Some(BTreeMap::new()));
    }

    #[test]
    fn a_missing_and_a_foreign_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = Db::file(folder.path());
        assert!(matches!(Db::open_read(&path), Err(StoreError::NoDatabase { .. })));
        assert!(!path.exists());
        std::fs::write(&path, b"this is not a database, but a text that is long enough").unwrap();
        let text = Db::open(&path).unwrap_err().to_string();
        assert!(text.contains("dgnet reindex"), "{text}");
    }
}
