//! The fingerprint of a data set: what makes two folders the same data. Times, owners and the place of
//! the folder never count.

use std::fs::File;
use std::path::Path;

use rayon::prelude::*;

use super::{DataError, layout, market};

/// Files beside the photos that belong to the data.
pub(super) const ALSO: [&str; 6] = [
    "factors.json",
    "dataset.csv",
    "list_train.txt",
    "list_val.txt",
    "list_query.txt",
    "list_gallery.txt",
];

/// 32 hexadecimal digits of a BLAKE3 hash over names (relative to `root`) and contents of every photo, and
/// of the tables beside them.
///
/// # Errors
/// As for `layout::read`, and `DataError::Io` for a file that cannot be read.
pub fn of_folder(root: &Path) -> Result<String, DataError> {
    let dataset = layout::read(root)?;
    let files = market::files(&dataset, &ALSO);
    let contents: Vec<_> =
        files.par_iter().map(|file| of_file(&root.join(file))).collect::<Result<_, _>>()?;
    let mut hasher = blake3::Hasher::new();
    for (file, content) in files.iter().zip(&contents) {
        // Lengths keep (name, content) pairs apart.
        let name = file.as_os_str().as_encoded_bytes();
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
        hasher.update(content.as_bytes());
    }
    Ok(hasher.finalize().to_hex().as_str()[..32].to_owned())
}

/// The hash of one file's content.
pub(super) fn of_file(path: &Path) -> Result<blake3::Hash, DataError> {
    let failed = |source| DataError::io("read", path, source);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(failed)?).map_err(failed)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn set(content: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in [market::TRAIN, market::QUERY, market::GALLERY] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("0001_c1s1_000001_00.jpg"), content).unwrap();
        }
        root
    }

    #[test]
    fn it_follows_names_and_contents_and_nothing_else() {
        let (one, two) = (set("a"), set("a"));
        let first = of_folder(one.path()).unwrap();
        assert_eq!(first.len(), 32);
        fs::write(two.path().join("query/Thumbs.db"), "x").unwrap();
        assert_eq!(of_folder(two.path()).unwrap(), first);
        assert_ne!(of_folder(set("b").path()).unwrap(), first);
        let query = two.path().join("query");
        fs::rename(query.join("0001_c1s1_000001_00.jpg"), query.join("0001_c2s1_000001_00.jpg"))
            .unwrap();
        assert_ne!(of_folder(two.path()).unwrap(), first);
        fs::write(one.path().join("factors.json"), "{}").unwrap();
        assert_ne!(of_folder(one.path()).unwrap(), first);
    }
}
