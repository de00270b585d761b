//! What people say about a run or a study: notes, tags, whether it is archived. Kept as `marks.json` in
//! its folder; the database's copy is an index like everything in it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::files::{check_name, read_json, write_json};
use super::run_dir::RunLock;

const FILE: &str = "marks.json";

/// A note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Seconds since 1970.
    pub at: f64,
    /// The text.
    pub text: String,
}

/// `marks.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// Notes, oldest first.
    pub notes: Vec<Note>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// When it was archived, seconds since 1970; `None` where it is not.
    pub archived_at: Option<f64>,
}

impl Marks {
    /// The marks of a run or study folder; none where there is no file.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        Ok(read_json(&folder.join(FILE))?.unwrap_or_default())
    }

    /// Changes the marks of a folder. Changes by several processes come one after the other.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process holds the marks for longer than a moment.
    pub fn change(
        runs_root: &Path,
        folder: &Path,
        change: impl FnOnce(&mut Self),
    ) -> Result<Self, StoreError> {
        let lock = runs_root.join(".marks.lock");
        let _held = RunLock::acquire_file(&lock)?.ok_or_else(|| StoreError::Locked {
            what: "notes and tags".into(),
            path: lock,
            hint: "try again".into(),
        })?;
        let mut marks = Self::read(folder)?;
        change(&mut marks);
        write_json(&folder.join(FILE), &marks)?;
        Ok(marks)
    }

    /// Adds and removes tags: `+good`, `-bad`, and `good`, which adds.
    ///
    /// # Errors
    /// [`StoreError::Name`] for a tag that is not one word of letters, digits, `.`, `_`, `-`.
    pub fn tag(&mut self, changes: &[String]) -> Result<(), StoreError> {
        for change in changes {
            let (adds, tag) = match change.strip_prefix('-') {
                Some(tag) => (false, tag),
                None => (true, change.strip_prefix('+').unwrap_or(change)),
            };
            check_name("tag", tag)?;
            if adds {
                self.tags.insert(tag.to_owned());
            } else {
                self.tags.remove(tag);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_and_go_and_notes_stay() {
        let root = tempfile::tempdir().unwrap();
        let change = |f: &dyn Fn(&mut Marks)| Marks::change(root.path(), root.path(), f).unwrap();
        assert_eq!(Marks::read(root.path()).unwrap(), Marks::default());
        change(&|m| m.tag(&["+good".into(), "b".into()]).unwrap());
        change(&|m| m.notes.push(Note { at: 1.0, text: "first".into() }));
        change(&|m| m.tag(&["-b".into(), "-never_there".into()]).unwrap());
        let marks = Marks::read(root.path()).unwrap();
        assert_eq!(marks.tags.iter().map(String::as_str).collect::<Vec<_>>(), ["good"]);
        assert_eq!(marks.notes.len(), 1);
        let refused = Marks::default().tag(&["+two words".into()]);
        assert!(matches!(refused, Err(StoreError::Name { what: "tag", .. })));
    }
}
