//! A validation split of a training part, so that choices are made on people whom the test never sees:
//! the first persons train, the last ones are searched for. Photos are linked or copied, never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{DataError, Dataset, Photo, own};

/// What a split holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Persons and photos to train on.
    pub train: (usize, usize),
    /// Persons searched for.
    pub validation: usize,
    /// Queries: the first photo of a person under a camera.
    pub query: usize,
    /// Photos searched in.
    pub gallery: usize,
}

/// Writes to `out` a set of one's own in which the last `people` persons of `dataset`'s training part, in
/// the order of their ids, are query and gallery, and the others train (651 and 100 for Market-1501).
///
/// # Errors
/// `DataError::Layout` for fewer persons than that and for two photos of one name, `DataError::Io` where
/// something cannot be written.
pub fn write(dataset: &Dataset, people: usize, out: &Path) -> Result<Counts, DataError> {
    let ids: Vec<i64> = dataset.classes().into_keys().collect();
    if people == 0 || people + 2 > ids.len() {
        return Err(DataError::Layout {
            path: dataset.root.clone(),
            reason: format!("its training part has {} persons", ids.len()),
            hint: format!("{people} of them cannot be kept for validation"),
        });
    }
    let first = ids[ids.len() - people];
    let mut names = BTreeSet::new();
    if let Some(photo) = dataset.train.iter().find(|photo| !names.insert(photo.name())) {
        return Err(DataError::Layout {
            path: photo.path.clone(),
            reason: "another photo has the same name".to_owned(),
            hint: "names must differ within a training part".to_owned(),
        });
    }
    let seen = photos_by_camera(dataset);
    // a query leaves a photo under its own camera and needs a match under another
    let has_query = |photo: &Photo| {
        let cameras = &seen[&photo.person];
        cameras.len() > 1 && cameras[&photo.camera] > 1
    };
    let mut validated = dataset.train.iter().filter(|photo| photo.person >= first);
    if !validated.any(has_query) {
        return Err(DataError::Layout {
            path: dataset.root.clone(),
            reason: format!("none of its last {people} persons can be searched for"),
            hint: "a query needs another photo under its camera and one under another".to_owned(),
        });
    }
    let photos = out.join("photos");
    fs::create_dir_all(&photos).map_err(|source| DataError::io("create", &photos, source))?;
    let mut counts =
        Counts { train: (ids.len() - people, 0), validation: people, query: 0, gallery: 0 };
    let mut queried = BTreeSet::new();
    let mut table = String::from("path,person,camera,split\n");
    for photo in &dataset.train {
        let split = if photo.person < first {
            counts.train.1 += 1;
            "train"
        } else if has_query(photo) && queried.insert((photo.person, photo.camera)) {
            counts.query += 1;
            "query"
        } else {
            counts.gallery += 1;
            "gallery"
        };
        let name = photo.name();
        let failed = |error| DataError::io("read", &photo.path, error);
        let source = photo.path.canonicalize().map_err(failed)?;
        let target = photos.join(&name);
        // a link costs no space; it is refused across file systems
        fs::hard_link(&source, &target)
            .or_else(|_| fs::copy(&source, &target).map(drop))
            .map_err(|source| DataError::io("write", &target, source))?;
        let quoted = name.replace('"', "\"\"");
        let _ = writeln!(table, "\"photos/{quoted}\",{},{},{split}", photo.person, photo.camera);
    }
    let file = out.join(own::TABLE);
    fs::write(&file, table).map_err(|source| DataError::io("write", &file, source))?;
    Ok(counts)
}

/// Photos of every training person under each camera.
fn photos_by_camera(dataset: &Dataset) -> BTreeMap<i64, BTreeMap<u32, usize>> {
    let mut all: BTreeMap<i64, BTreeMap<u32, usize>> = BTreeMap::new();
    for Photo { person, camera, .. } in &dataset.train {
        *all.entry(*person).or_default().entry(*camera).or_default() += 1;
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::layout;

    #[test]
    fn the_last_persons_are_searched_for_and_nobody_is_lost() {
        let set = tempfile::tempdir().unwrap();
        let root = set.path().join("market");
        let put = |folder: &str, name: &str| {
            fs::create_dir_all(root.join(folder)).unwrap();
            fs::write(root.join(folder).join(name), name).unwrap();
        };
        for person in [2, 5, 7, 30] {
            for camera in [1, 3] {
                for frame in [1, 2] {
                    put(
                        "bounding_box_train",
                        &format!("{person:04}_c{camera}s1_00000{frame}_00.jpg"),
                    );
                }
            }
        }
        put("query", "0001_c1s1_000001_00.jpg");
        put("bounding_box_test", "0001_c2s1_000001_00.jpg");
        let out = set.path().join("split");
        let counts = write(&layout::read(&root).unwrap(), 2, &out).unwrap();
        assert_eq!(counts, Counts { train: (2, 8), validation: 2, query: 4, gallery: 4 });
        let split = layout::read(&out).unwrap();
        let people: Vec<i64> = split.query.iter().map(|photo| photo.person).collect();
        assert_eq!(people, [7, 7, 30, 30]);
        assert!(split.train.iter().all(|photo| photo.person < 7));
        let error = write(&layout::read(&root).unwrap(), 3, &out).unwrap_err().to_string();
        assert!(error.contains("has 4 persons"), "{error}");
    }
}
