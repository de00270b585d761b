//! Copies of whole folders that appear at once. Plain files and folders only: nothing in a folder from
//! elsewhere may point out of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;
use crate::store::files::create_folder;

/// What belongs to a process, not to a result.
const LEFT: [&str; 1] = ["lock"];

/// The first symbolic link on the way from a folder down to another.
pub fn link_between(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().take_while(|folder| *folder != root).collect();
    way.reverse();
    let is_link = |path: &&Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    way.into_iter().find(is_link).map(Path::to_path_buf)
}

/// The refusal of a link.
pub fn link_refused(path: &Path) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        reason: "it is a symbolic link or no plain file, which a merge does not follow".into(),
        hint: "copy what it points to in its place, then merge again".into(),
    }
}

/// Copies files and folders below `from` into the folder `to`, with their times.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    create_folder(to)?;
    for entry in walkdir::WalkDir::new(from).min_depth(1).follow_links(false) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(from).to_owned();
            StoreError::io("read", path)(error.into())
        })?;
        let name = entry.file_name().to_string_lossy();
        if LEFT.contains(&name.as_ref()) || name.starts_with('.') && name.contains(".tmp-") {
            continue;
        }
        let target = match entry.path().strip_prefix(from) {
            Ok(inner) => to.join(inner),
            Err(_) => continue,
        };
        if entry.file_type().is_dir() {
            create_folder(&target)?;
        } else if entry.file_type().is_file() {
            copy_file(entry.path(), &target)?;
        } else {
            return Err(link_refused(entry.path()));
        }
    }
    Ok(())
}

/// Copies a file with its time of modification, and brings it to the disk.
pub fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copy = || -> std::io::Result<()> {
        fs::copy(from, to)?;
        let file = File::options().write(true).open(to)?;
        file.set_modified(fs::metadata(from)?.modified()?)?;
        file.sync_all()
    };
    copy().map_err(StoreError::io("copy", from))
}

/// Puts a copy of the folder `from` where `to` is or shall be.
pub fn replace_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside =
        |what: &str| to.with_file_name(format!(".{name}.tmp-{}-{what}", std::process::id()));
    let (fresh, old) = (beside("merge"), beside("old"));
    let copied = copy_folder(from, &fresh);
    let moved = copied.and_then(|()| {
        if to.exists() {
            fs::rename(to, &old).map_err(StoreError::io("rename", to))?;
        }
        fs::rename(&fresh, to).map_err(StoreError::io("rename", &fresh))
    });
    if moved.is_err() {
        // the reason that is reported is the first one
        let _ = fs::remove_dir_all(&fresh);
        if !to.exists() {
            let _ = fs::rename(&old, to);
        }
    }
    let _ = fs::remove_dir_all(&old);
    moved
}
