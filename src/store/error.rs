//! What can go wrong with run folders, stages and the database, in words a user can act on.

use std::io;
use std::path::{Path, PathBuf};

/// Why a result cannot be written, read or queried.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be used.
    #[error("cannot {action} `{}`: {source}{}", path.display(), io_hint(source, path))]
    Io {
        /// read, write, create, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A record is not what its format says.
    #[error("`{}` is damaged: {reason}\n  hint: {hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A name that would leave its folder or confuse a shell.
    #[error(
        "`{name}` cannot name a {what}: use 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`, not beginning with `.`"
    )]
    Name {
        /// study, arm, picture, ...
        what: &'static str,
        /// The name as given.
        name: String,
    },
    /// Somebody else holds a lock that is needed.
    #[error("{what} is in use by another process (it holds `{}`)\n  hint: {hint}", path.display())]
    Locked {
        /// What is in use.
        what: String,
        /// The lock file.
        path: PathBuf,
        /// What to do about it.
        hint: String,
    },
    /// The database comes from a later version of this program.
    #[error(
        "`{}` was written by a newer dgnet (its schema has version {found}, this program knows {known})\n  hint: update dgnet, or move the file away and let `dgnet reindex` rebuild it from the run folders",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its last migration.
        found: i64,
        /// The last migration known here.
        known: i64,
    },
    /// A file of that name that is no database of this program.
    #[error(
        "`{}` is no results database: another program made it\n  hint: move it away, or choose another folder with `--runs DIR`",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Rebuilding would throw away the only copy of results.
    #[error(
        "`{}` holds results of {runs} run{} that the run folders here do not have: it is the only copy, so nothing was done\n  hint: bring the run folders back (`--runs DIR` names another place), or move the file away first",
        path.display(),
        if *runs == 1 { "" } else { "s" }
    )]
    OnlyCopy {
        /// The database.
        path: PathBuf,
        /// Runs that would be lost, wholly or in part.
        runs: usize,
    },
    /// The database refused a statement of ours.
    #[error("the database `{}` failed while {doing}: {source}{}", path.display(), sql_hint(source))]
    Database {
        /// The database.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// sqlx's reason.
        source: Box<sqlx::Error>,
    },
    /// The database does not exist yet.
    #[error(
        "there is no database at `{}`\n  hint: `dgnet sweep STUDY` fills it; `dgnet reindex` rebuilds it from run folders; `--runs DIR` names another folder",
        path.display()
    )]
    NoDatabase {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A study, arm or the like that the database does not know.
    #[error("unknown {what} `{name}`\n  hint: {hint}")]
    Unknown {
        /// study, arm, ...
        what: &'static str,
        /// The name as given.
        name: String,
        /// Near or known names.
        hint: String,
    },
    /// A name that more than one study, arm or run has.
    #[error("ambiguous {what} `{name}`\n  hint: it may be {hint}")]
    Ambiguous {
        /// arm, run, ...
        what: &'static str,
        /// The name as given.
        name: String,
        /// The names to choose from.
        hint: String,
    },
    /// A user's SQL was refused or failed.
    #[error("{reason}{}", hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default())]
    Query {
        /// What is wrong with it.
        reason: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

impl StoreError {
    /// For `map_err`: an input/output error of `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err`: a database error.
    pub(crate) fn sql(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.into();
        move |source| Self::Database { path, doing, source: Box::new(source) }
    }
}

/// What to do about a refusal of the system, as a line of its own; empty where nobody knows.
#[must_use]
pub fn io_hint(source: &io::Error, path: &Path) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!(
            "\n  hint: {}; free some space and start again, finished work is kept",
            free(path).map_or_else(
                || "the disk is full".to_owned(),
                |free| format!("the disk is full ({free} bytes are free there for this user)")
            )
        ),
        io::ErrorKind::FileTooLarge => {
            "\n  hint: a limit on the size of files is reached (`ulimit -f`, or the file system's own); raise it and start again, finished work is kept".into()
        }
        io::ErrorKind::PermissionDenied => {
            "\n  hint: check the owner and the permissions of the folder, or choose another with `--runs DIR`".into()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "\n  hint: the file system is mounted read-only; choose another folder with `--runs DIR`".into()
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
            "\n  hint: something else has that name; move it away, or choose another folder with `--runs DIR`".into()
        }
        _ => String::new(),
    }
}

/// Bytes that a user may still write where `path` lies.
#[must_use]
pub fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|folder| folder.is_dir())?;
    let system = rustix::fs::statvfs(there).ok()?;
    Some(system.f_bavail * system.f_frsize)
}

/// Whether a reason says that nothing more can be written: disk, quota or limit. Reasons cross processes
/// and foreign libraries as words, so the words are what there is to look at.
#[must_use]
pub fn no_room(reason: &str) -> bool {
    // ENOSPC, EDQUOT, EFBIG, SQLite's
    ["(os error 28)", "(os error 122)", "(os error 27)", "database or disk is full"]
        .iter()
        .any(|words| reason.contains(words))
}

fn sql_hint(source: &sqlx::Error) -> &'static str {
    let text = source.to_string();
    if text.contains("disk is full") {
        "\n  hint: free some space and start again; the run folders hold every result"
    } else if text.contains("malformed") || text.contains("not a database") {
        "\n  hint: the file is damaged; move it away and let `dgnet reindex` rebuild it from the run folders"
    } else if text.contains("readonly") {
        "\n  hint: the file or its folder cannot be written; check their permissions"
    } else if text.contains("is locked") {
        "\n  hint: another program holds it alone; close that one, or wait until it is done"
    } else if text.contains("disk I/O error") {
        "\n  hint: the disk is full or broken; the run folders hold every result, and `dgnet reindex` rebuilds the database"
    } else if text.contains("unable to open") {
        "\n  hint: something else has that name, or it cannot be read; move it away, and `dgnet reindex` rebuilds the database"
    } else {
        ""
    }
}
