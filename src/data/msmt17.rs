//! The MSMT17 layout: lists of photos beside a training and a test folder (V1: `train`, `test`; V2:
//! `mask_train_v2`, `mask_test_v2`). Person ids restart at 0 in the test part and cameras have two
//! digits; both are made unambiguous here. No photo is opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::market::inside;
use super::{DataError, Dataset, Photo};

/// The list that only this layout has.
pub const TRAIN_LIST: &str = "list_train.txt";
const VALIDATION_LIST: &str = "list_val.txt";
const QUERY_LIST: &str = "list_query.txt";
const GALLERY_LIST: &str = "list_gallery.txt";
/// Added to the ids of test persons, so that they are nobody of the training part; all ids are counted
/// from 1, since 0 means a distractor elsewhere.
const TEST_PEOPLE: i64 = 100_000;

/// Reads the layout below `root`. As in the published protocol, `list_val.txt` belongs to training.
///
/// # Errors
/// `DataError::Layout` for a missing list or folder, `DataError::Io` where a list cannot be read.
pub fn scan(root: &Path) -> Result<(Dataset, Vec<DataError>), DataError> {
    let real = root.canonicalize().map_err(|source| DataError::io("read", root, source))?;
    let folder = |names: [&'static str; 2]| {
        names.into_iter().find(|name| root.join(name).is_dir()).ok_or_else(|| DataError::Layout {
            path: root.to_owned(),
            reason: format!("it has neither a folder `{}` nor `{}`", names[0], names[1]),
            hint: "MSMT17 V1 has `train` and `test`, V2 `mask_train_v2` and `mask_test_v2`".into(),
        })
    };
    let (train, test) = (folder(["train", "mask_train_v2"])?, folder(["test", "mask_test_v2"])?);
    let mut problems = Vec::new();
    let mut part = |list: &str, folder: &str, first: i64| {
        read_list(root, &real, list, folder, first, &mut problems)
    };
    let mut training = part(TRAIN_LIST, train, 1)?;
    if root.join(VALIDATION_LIST).is_file() {
        training.extend(part(VALIDATION_LIST, train, 1)?);
    }
    let mut dataset = Dataset {
        root: root.to_owned(),
        train: training,
        query: part(QUERY_LIST, test, TEST_PEOPLE)?,
        gallery: part(GALLERY_LIST, test, TEST_PEOPLE)?,
        multi_query: Vec::new(),
    };
    for photos in [&mut dataset.train, &mut dataset.query, &mut dataset.gallery] {
        photos.sort_by_key(Photo::name);
    }
    Ok((dataset, problems))
}

/// Lines `<path below the folder> <person>`; the camera is the third field of the file's name.
fn read_list(
    root: &Path,
    real: &Path,
    list: &str,
    folder: &str,
    first: i64,
    problems: &mut Vec<DataError>,
) -> Result<Vec<Photo>, DataError> {
    let file = root.join(list);
    let text = fs::read_to_string(&file).map_err(|source| DataError::io("read", &file, source))?;
    let mut photos = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |reason: &str| DataError::Layout {
            path: file.clone(),
            reason: format!("line {}: {reason}", number + 1),
            hint: "a line reads `0000/0000_000_01_0303morning_0008_0.jpg 0`".to_owned(),
        };
        let parsed = line.trim().rsplit_once(' ').and_then(|(path, person)| {
            let camera = path.rsplit('/').next()?.split('_').nth(2)?.parse::<u32>().ok()?;
            Some((path.trim(), person.parse::<u32>().ok()?, camera))
        });
        let Some((relative, person, camera)) = parsed else {
            problems.push(wrong("it gives no photo, person and camera"));
            continue;
        };
        let path = root.join(folder).join(relative);
        if !path.is_file() {
            problems.push(wrong(&format!("there is no photo `{}`", path.display())));
            continue;
        }
        match inside(&path, real) {
            Ok(()) => {
                let photo = Photo { path: path.clone(), person: first + i64::from(person), camera };
                photos.insert(path, photo);
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok(photos.into_values().collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::layout::{self, Layout};

    fn put(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn lists_and_restarting_ids_are_read() {
        let set = tempfile::tempdir().unwrap();
        let root = set.path();
        for path in [
            "mask_train_v2/0000/0000_000_01_0303morning_0008_0.jpg",
            "mask_train_v2/0000/0000_001_14_0303noon_0008_0.jpg",
            "mask_test_v2/0000/0000_000_02_0302afternoon_0008_0.jpg",
            "mask_test_v2/0000/0000_001_15_0302afternoon_0009_0.jpg",
        ] {
            put(root, path);
        }
        let list = |name: &str, lines: &str| fs::write(root.join(name), lines).unwrap();
        list(TRAIN_LIST, "0000/0000_000_01_0303morning_0008_0.jpg 0\n");
        list(VALIDATION_LIST, "0000/0000_001_14_0303noon_0008_0.jpg 0\n");
        list(QUERY_LIST, "0000/0000_000_02_0302afternoon_0008_0.jpg 0\n");
        list(
            GALLERY_LIST,
            "0000/0000_001_15_0302afternoon_0009_0.jpg 0\nx 0\n0000/none_0_3_x.jpg 1\n",
        );
        assert_eq!(Layout::of(root), Layout::Msmt17);
        let (dataset, problems) = layout::scan(root).unwrap();
        let of = |photos: &[Photo]| -> Vec<(i64, u32)> {
            photos.iter().map(|photo| (photo.person, photo.camera)).collect()
        };
        assert_eq!(of(&dataset.train), [(1, 1), (1, 14)]);
        assert_eq!(of(&dataset.query), [(TEST_PEOPLE, 2)]);
        assert_eq!(of(&dataset.gallery), [(TEST_PEOPLE, 15)]);
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("line 2: it gives no photo"), "{told:?}");
        assert!(told[1].contains("line 3: there is no photo"), "{told:?}");
    }
}
