//! One's own photos: a table `dataset.csv` with the columns path, person, camera and split, or folders
//! `<split>/<person>/<camera>/`, where a split is train, query, gallery or multi_query. No photo is opened.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};

use super::market::{inside, is_photo};
use super::{DataError, Dataset, Photo};

/// The table.
pub const TABLE: &str = "dataset.csv";
/// The training part where there is no table.
pub const TRAIN: &str = "train";

const SPLITS: [&str; 4] = [TRAIN, "query", "gallery", "multi_query"];
const COLUMNS: [&str; 4] = ["path", "person", "camera", "split"];

/// Reads the photos below `root`.
///
/// # Errors
/// `DataError::Layout` for a table without the right columns or a set without training photos, queries
/// or gallery; `DataError::Io` where something cannot be read.
pub fn scan(root: &Path) -> Result<(Dataset, Vec<DataError>), DataError> {
    let real = root.canonicalize().map_err(|source| DataError::io("read", root, source))?;
    let (mut parts, mut problems) =
        if root.join(TABLE).is_file() { of_table(root, &real)? } else { of_folders(root, &real)? };
    for photos in &mut parts {
        photos.sort_by(|a, b| (a.name(), &a.path).cmp(&(b.name(), &b.path)));
    }
    for (name, photos) in SPLITS.iter().zip(&parts).take(3) {
        if photos.is_empty() && problems.is_empty() {
            return Err(DataError::Layout {
                path: root.to_owned(),
                reason: format!("it has no photo in its part `{name}`"),
                hint: "a set needs training photos, queries and a gallery".to_owned(),
            });
        }
    }
    problems.extend(unusable(&mut parts));
    let [train, query, gallery, multi_query] = parts;
    Ok((Dataset { root: root.to_owned(), train, query, gallery, multi_query }, problems))
}

/// Takes out what has a meaning of its own elsewhere (person 0 is a distractor and -1 junk, which only a
/// gallery has) and queries of one name, under which results are kept.
fn unusable(parts: &mut [Vec<Photo>; 4]) -> Vec<DataError> {
    let refuse = |photo: &Photo, reason: &str, hint: &str| DataError::Layout {
        path: photo.path.clone(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    };
    let mut problems = Vec::new();
    for nth in [0, 1, 3] {
        parts[nth].retain(|photo| {
            if photo.person <= 0 {
                problems.push(refuse(
                    photo,
                    "persons 0 (distractors) and -1 (junk) belong in the gallery alone",
                    "number your persons from 1",
                ));
            }
            photo.person > 0
        });
    }
    let mut names = BTreeSet::new();
    parts[1].retain(|photo| {
        let is_new = names.insert(photo.name());
        if !is_new {
            let reason = "another query has the same file name";
            problems.push(refuse(photo, reason, "results are kept by it; rename one"));
        }
        is_new
    });
    problems
}

type Parts = ([Vec<Photo>; 4], Vec<DataError>);

fn of_table(root: &Path, real: &Path) -> Result<Parts, DataError> {
    let file = root.join(TABLE);
    let text = fs::read_to_string(&file).map_err(|source| DataError::io("read", &file, source))?;
    let wrong = |line: usize, reason: String| DataError::Layout {
        path: file.clone(),
        reason: format!("line {line}: {reason}"),
        hint: "columns path,person,camera,split; split is train, query, gallery or multi_query"
            .to_owned(),
    };
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let header = fields(lines.next().map_or("", |(_, line)| line));
    let mut places = [0; 4];
    for (place, wanted) in places.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
        *place = found.ok_or_else(|| wrong(1, format!("there is no column `{wanted}`")))?;
    }
    let (mut parts, mut problems): Parts = Default::default();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let row = fields(line);
        let [path, person, camera, split] =
            places.map(|place| row.get(place).map_or("", |field| field.trim()));
        let parsed = (person.parse::<i64>().ok().filter(|person| *person >= -1))
            .zip(camera.parse::<u32>().ok())
            .zip(SPLITS.iter().position(|known| *known == split));
        let Some(((person, camera), split)) = parsed else {
            problems.push(wrong(number + 1, "person, camera or split cannot be read".to_owned()));
            continue;
        };
        let relative = Path::new(path);
        let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        let path = root.join(relative);
        if !plain || !path.is_file() {
            problems.push(wrong(
                number + 1,
                format!("there is no photo `{}` in the set", path.display()),
            ));
            continue;
        }
        match inside(&path, real) {
            Ok(()) => parts[split].push(Photo { path, person, camera }),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((parts, problems))
}

/// Fields of a line of CSV; quoted ones may hold commas and doubled quotes, not line ends.
fn fields(line: &str) -> Vec<String> {
    let (mut found, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quoted) {
            ('"', true) if rest.peek() == Some(&'"') => {
                rest.next();
                field.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', false) => found.push(std::mem::take(&mut field)),
            (c, _) => field.push(c),
        }
    }
    found.push(field);
    found
}

fn of_folders(root: &Path, real: &Path) -> Result<Parts, DataError> {
    let (mut parts, mut problems): Parts = Default::default();
    for (part, split) in parts.iter_mut().zip(SPLITS) {
        let folder = root.join(split);
        if !folder.is_dir() {
            continue;
        }
        for entry in walkdir::WalkDir::new(&folder).min_depth(3).max_depth(3).sort_by_file_name() {
            let entry = entry.map_err(|error| DataError::io("list", &folder, error.into()))?;
            let path = entry.path();
            if !is_photo(path) || entry.file_type().is_dir() {
                continue;
            }
            let number = |up: usize| path.ancestors().nth(up)?.file_name()?.to_str();
            let person = number(2).and_then(|name| name.parse::<i64>().ok()).filter(|p| *p >= -1);
            let camera = number(1).and_then(|name| name.trim_start_matches('c').parse().ok());
            let checked = inside(path, real).and_then(|()| {
                person.zip(camera).ok_or_else(|| DataError::Layout {
                    path: path.to_owned(),
                    reason: "its folders give no person and camera".to_owned(),
                    hint: "photos lie in `<split>/<person>/<camera>/`, both numbers".to_owned(),
                })
            });
            match checked {
                Ok((person, camera)) => {
                    part.push(Photo { path: path.to_owned(), person, camera });
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    Ok((parts, problems))
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

    fn of(photos: &[Photo]) -> Vec<(i64, u32)> {
        photos.iter().map(|photo| (photo.person, photo.camera)).collect()
    }

    #[test]
    fn folders_by_person_and_camera() {
        let set = tempfile::tempdir().unwrap();
        for path in [
            "train/7/2/a.jpg",
            "query/9/c1/b.jpg",
            "query/9/2/b.jpg",
            "query/0/2/e.jpg",
            "gallery/9/12/c.png",
            "gallery/x/1/d.jpg",
        ] {
            put(set.path(), path);
        }
        assert_eq!(Layout::of(set.path()), Layout::Own);
        let (dataset, problems) = layout::scan(set.path()).unwrap();
        assert_eq!((of(&dataset.train), of(&dataset.query)), (vec![(7, 2)], vec![(9, 2)]));
        assert_eq!(of(&dataset.gallery), [(9, 12)]);
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("give no person and camera"), "{told:?}");
        assert!(told[1].contains("belong in the gallery alone"), "{told:?}");
        assert!(told[2].contains("has the same file name"), "{told:?}");
    }

    #[test]
    fn a_table_names_its_bad_lines_and_cannot_leave_the_set() {
        let set = tempfile::tempdir().unwrap();
        put(set.path(), "photos/a, b.jpg");
        fs::write(
            set.path().join(TABLE),
            "split,path,person,camera\ntrain,\"photos/a, b.jpg\",3,1\nquery,\"photos/a, b.jpg\",4,1\n\
             gallery,\"photos/a, b.jpg\",4,2\ngallery,../x.jpg,4,2\ntest,\"photos/a, b.jpg\",4,2\n",
        )
        .unwrap();
        let (dataset, problems) = layout::scan(set.path()).unwrap();
        assert_eq!((of(&dataset.train), of(&dataset.gallery)), (vec![(3, 1)], vec![(4, 2)]));
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("line 5: there is no photo"), "{told:?}");
        assert!(told[1].contains("line 6: person, camera or split"), "{told:?}");
        fs::write(set.path().join(TABLE), "path,person\n").unwrap();
        let error = layout::scan(set.path()).unwrap_err().to_string();
        assert!(error.contains("line 1: there is no column `camera`"), "{error}");
    }
}
