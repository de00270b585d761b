//! Small habits for files that others read while we write: whole records by rename, JSON lines read up
//! to the last newline, names that cannot leave their folder. Knows no record and no run.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;

/// Largest line a JSONL file may have, in bytes; a longer one is damage.
pub const LINE_LIMIT: usize = 16 << 20;

/// Refuses a name that could leave its folder, hide, or confuse a shell.
pub fn check_name(what: &'static str, name: &str) -> Result<(), StoreError> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = (1..=64).contains(&name.len()) && name.chars().all(letters);
    if good && !name.starts_with('.') {
        Ok(())
    } else {
        Err(StoreError::Name { what, name: name.to_owned() })
    }
}

/// The path with something behind its last name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Replaces `path` as a whole: readers see the old bytes or the new ones, also after a power cut.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!(".{name}.tmp-{}-{count}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // the reason that is reported is the first one; a leftover temporary file is harmless
        let _ = fs::remove_file(&temporary);
        StoreError::Io { action: "write", path: path.to_owned(), source }
    })?;
    // not every file system lets a folder be synced; the rename itself is done
    if let Some(folder) = path.parent().and_then(|parent| File::open(parent).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes a record as indented JSON, replacing the file as a whole.
pub fn write_json<T: Serialize>(path: &Path, record: &T) -> Result<(), StoreError> {
    let mut text = serde_json::to_vec_pretty(record).map_err(|error| StoreError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    text.push(b'\n');
    write_atomic(path, &text)
}

/// Reads a JSON record; `None` when there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| StoreError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
        hint: "the file was changed by something else; restore it, or remove its run folder and train again".into(),
    })
}

/// Reads a whole file; `None` when there is none.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// Creates a folder and its parents.
pub fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(StoreError::io("create", path))
}

/// Whole lines of a growing file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes up to and with the last newline that was there; empty when no whole line is new.
    pub bytes: Vec<u8>,
    /// Offset after them: where to read on.
    pub next: u64,
}

/// Reads new whole lines of `path` from `offset`, about `limit` bytes at most. A missing file has no
/// lines; an unfinished last line is left for the next time.
pub fn tail(path: &Path, offset: u64, limit: usize) -> Result<Chunk, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Chunk { bytes: Vec::new(), next: offset });
        }
        Err(source) => {
            return Err(StoreError::Io { action: "read", path: path.to_owned(), source });
        }
    };
    file.seek(SeekFrom::Start(offset)).map_err(StoreError::io("read", path))?;
    let mut bytes = Vec::new();
    let mut take = limit;
    loop {
        let got = (&mut file)
            .take(take as u64)
            .read_to_end(&mut bytes)
            .map_err(StoreError::io("read", path))?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') {
            bytes.truncate(last + 1);
            let next = offset + bytes.len() as u64;
            return Ok(Chunk { bytes, next });
        }
        if got < take {
            return Ok(Chunk { bytes: Vec::new(), next: offset });
        }
        if bytes.len() > LINE_LIMIT {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                reason: format!("a line at byte {offset} is longer than {LINE_LIMIT} bytes"),
                hint: "remove the run folder and train again".into(),
            });
        }
        take = LINE_LIMIT;
    }
}

/// Opens a JSONL file for appending and cuts off an unfinished last line of an attempt that was killed.
/// Only the holder of the run's lock may do this.
pub fn open_lines(path: &Path) -> Result<File, StoreError> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(StoreError::io("open", path))?;
    let length = whole_length(&mut file).map_err(StoreError::io("read", path))?;
    file.set_len(length).map_err(StoreError::io("write", path))?;
    Ok(file)
}

fn whole_length(file: &mut File) -> std::io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["full", "no_prim", "a.b-C9"] {
            check_name("arm", good).unwrap();
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "\u{e4}rm", &"x".repeat(65)] {
            assert!(check_name("arm", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tail_stops_at_the_last_newline_and_goes_on_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        assert_eq!(tail(&path, 0, 8).unwrap(), Chunk { bytes: vec![], next: 0 });
        fs::write(&path, b"one\ntwo\nthr").unwrap();
        let first = tail(&path, 0, 1024).unwrap();
        assert_eq!((first.bytes.as_slice(), first.next), (&b"one\ntwo\n"[..], 8));
        assert_eq!(tail(&path, first.next, 1024).unwrap().bytes, b"");
        fs::write(&path, b"one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&path, first.next, 2).unwrap().bytes, b"three\n");
    }

    #[test]
    fn an_unfinished_line_is_cut_before_the_next_attempt_appends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        for (before, after) in [("", ""), ("half", ""), ("one\nha", "one\n"), ("one\n", "one\n")] {
            fs::write(&path, before).unwrap();
            let mut file = open_lines(&path).unwrap();
            file.write_all(b"next\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after}next\n"));
        }
    }

    #[test]
    fn a_full_disk_is_said_in_words() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = StoreError::Io { action: "write", path: "runs/x".into(), source };
        assert!(error.to_string().contains("hint: the disk is full"), "{error}");
    }
}
