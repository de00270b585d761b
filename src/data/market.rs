//! The Market-1501 layout: folders of photos whose names carry person and camera. Names are read here
//! and only here; no photo is opened.

use std::fs;
use std::path::{Path, PathBuf};

use super::{DataError, Dataset, Photo};

/// Training photos.
pub const TRAIN: &str = "bounding_box_train";
/// Queries.
pub const QUERY: &str = "query";
/// Gallery.
pub const GALLERY: &str = "bounding_box_test";
/// All photos of the query persons, for multi-query; may be missing.
pub const MULTI_QUERY: &str = "gt_bbox";

/// What a photo's name must look like.
const RULE: &str = "photos are named `<person>_c<camera>...`, for example \
    `0002_c1s1_000451_03.jpg`, `-1_c3s2_081467_05.jpg` or `0005_c2_f0046985.jpg`";

/// Reads the layout below `root`; every split is sorted by file name.
///
/// # Errors
/// `DataError::Layout` for a missing or empty folder, a photo whose name does not follow the rule, and a
/// symbolic link that leaves `root`; `DataError::Io` where a folder cannot be listed.
pub fn read(root: &Path) -> Result<Dataset, DataError> {
    let (dataset, problems) = scan(root)?;
    problems.into_iter().next().map_or(Ok(dataset), Err)
}

/// As [`read`], but photos that cannot be used are left out and returned as problems, for reports that
/// name them all.
///
/// # Errors
/// As for [`read`], where a whole folder is unusable.
pub fn scan(root: &Path) -> Result<(Dataset, Vec<DataError>), DataError> {
    let real = root.canonicalize().map_err(|source| DataError::io("read", root, source))?;
    let missing: Vec<String> = [TRAIN, QUERY, GALLERY]
        .iter()
        .filter(|name| !root.join(name).is_dir())
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        return Err(DataError::Layout {
            path: root.to_owned(),
            reason: format!("it has no folder {}", missing.join(", ")),
            hint: nested_hint(root),
        });
    }
    let mut problems = Vec::new();
    let mut split = |name: &str| split(root, &real, name, &mut problems);
    let train = split(TRAIN)?;
    let query = split(QUERY)?;
    let gallery = split(GALLERY)?;
    let multi_query =
        if root.join(MULTI_QUERY).is_dir() { split(MULTI_QUERY)? } else { Vec::new() };
    let dataset = Dataset { root: root.to_owned(), train, query, gallery, multi_query };
    for (name, photos) in
        [(TRAIN, &dataset.train), (QUERY, &dataset.query), (GALLERY, &dataset.gallery)]
    {
        if photos.is_empty() && problems.is_empty() {
            return Err(DataError::Layout {
                path: root.join(name),
                reason: "it holds no photo".to_owned(),
                hint: "photos end in .jpg, .jpeg or .png and lie in the folder itself".to_owned(),
            });
        }
    }
    Ok((dataset, problems))
}

// Archives often unpack into one more folder.
fn nested_hint(root: &Path) -> String {
    let inner = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(TRAIN).is_dir())
        .min();
    inner.map_or_else(
        || format!("the Market-1501 layout has the folders `{TRAIN}`, `{QUERY}` and `{GALLERY}`"),
        |path| format!("did you mean `{}`?", path.display()),
    )
}

fn split(
    root: &Path,
    real: &Path,
    name: &str,
    problems: &mut Vec<DataError>,
) -> Result<Vec<Photo>, DataError> {
    let folder = root.join(name);
    inside(&folder, real)?;
    let mut photos = Vec::new();
    // Walking starts behind the folder's own link, which `inside` has allowed.
    for entry in
        walkdir::WalkDir::new(folder.join(".")).min_depth(1).max_depth(1).sort_by_file_name()
    {
        let entry = entry.map_err(|error| DataError::io("list", &folder, error.into()))?;
        let path = folder.join(entry.file_name());
        if !is_photo(&path) || entry.file_type().is_dir() {
            continue;
        }
        let checked =
            if entry.path_is_symlink() { inside(&path, real) } else { Ok(()) }.and_then(|()| {
                parse_name(&path).ok_or_else(|| DataError::Layout {
                    path: path.clone(),
                    reason: "its name gives no person and camera".to_owned(),
                    hint: RULE.to_owned(),
                })
            });
        match checked {
            Ok((person, camera)) => photos.push(Photo { path, person, camera }),
            Err(problem) => problems.push(problem),
        }
    }
    Ok(photos)
}

pub(super) fn inside(path: &Path, real_root: &Path) -> Result<(), DataError> {
    let target = path.canonicalize().map_err(|source| DataError::io("read", path, source))?;
    if target.starts_with(real_root) {
        return Ok(());
    }
    Err(DataError::Layout {
        path: path.to_owned(),
        reason: format!("it is a symbolic link out of the set, to `{}`", target.display()),
        hint: "give the real folder, or copy the photos into the set".to_owned(),
    })
}

/// Whether a name is that of a photo; hidden files and those of other programs (`Thumbs.db`) are not.
pub(super) fn is_photo(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    !hidden && ["jpg", "jpeg", "png"].iter().any(|known| extension == *known)
}

/// Person and camera of a published file name; `None` where it does not follow the rule.
#[must_use]
pub fn parse_name(path: &Path) -> Option<(i64, u32)> {
    let stem = path.file_stem()?.to_str()?;
    let (person, rest) = stem.split_once('_')?;
    let person = if person == "-1" { -1 } else { i64::try_from(number(person)?).ok()? };
    let place = rest.split('_').next()?.strip_prefix('c')?;
    let (camera, sequence) = match place.split_once('s') {
        Some((camera, sequence)) => (camera, Some(sequence)),
        None => (place, None),
    };
    if let Some(sequence) = sequence {
        number(sequence)?;
    }
    Some((person, u32::try_from(number(camera)?).ok()?))
}

// `parse` alone would accept a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Every file that makes the set, relative to its root, sorted: photos, and what `also` names if present.
pub(super) fn files(dataset: &Dataset, also: &[&str]) -> Vec<PathBuf> {
    let photos = [&dataset.train, &dataset.query, &dataset.gallery, &dataset.multi_query]
        .into_iter()
        .flatten();
    let mut files: Vec<PathBuf> = photos
        .map(|photo| photo.path.strip_prefix(&dataset.root).unwrap_or(&photo.path).to_owned())
        .chain(also.iter().map(PathBuf::from).filter(|name| dataset.root.join(name).is_file()))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in [TRAIN, QUERY, GALLERY] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("0001_c1s1_000001_00.jpg"), "").unwrap();
        }
        for name in names {
            fs::write(root.path().join(name), "").unwrap();
        }
        root
    }

    #[test]
    fn published_names_are_read() {
        let cases = [
            ("0002_c1s1_000451_03.jpg", Some((2, 1))),
            ("-1_c1s2_000401_04.jpg", Some((-1, 1))),
            ("0000_c6s4_002427_06.jpg", Some((0, 6))),
            ("0005_c2_f0046985.jpg", Some((5, 2))),
            ("0001_c12_1.png", Some((1, 12))),
            ("1_c123s45_0.jpg", Some((1, 123))),
            ("0001_c1.jpg", Some((1, 1))),
            ("-2_c1s1_0.jpg", None),
            ("+2_c1s1_0.jpg", None),
            ("0002_cs1_0.jpg", None),
            ("0002_c1x_0.jpg", None),
            ("0002_1_0.jpg", None),
            ("_c1_0.jpg", None),
            ("holiday.jpg", None),
            ("99999999999999999999_c1_0.jpg", None),
        ];
        for (name, expected) in cases {
            assert_eq!(parse_name(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn splits_are_sorted_and_foreign_files_ignored() {
        let root = set(&[
            "query/0003_c2s1_000001_00.jpg",
            "query/0002_c10s1_000001_00.JPG",
            "query/Thumbs.db",
            "query/._0002_c1s1_000001_00.jpg",
            "readme.txt",
        ]);
        let dataset = read(root.path()).unwrap();
        let people: Vec<(i64, u32)> =
            dataset.query.iter().map(|photo| (photo.person, photo.camera)).collect();
        assert_eq!(people, [(1, 1), (2, 10), (3, 2)]);
        assert_eq!(dataset.query[0].path, root.path().join("query/0001_c1s1_000001_00.jpg"));
        assert!(dataset.multi_query.is_empty());
        assert_eq!(dataset.classes(), [(1, 0)].into());
    }

    #[test]
    fn an_unreadable_name_is_refused_with_file_and_rule() {
        let root = set(&["bounding_box_test/me.jpg", "bounding_box_test/you.png"]);
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.contains("bounding_box_test/me.jpg"), "{message}");
        assert!(message.contains("<person>_c<camera>"), "{message}");
        let (dataset, problems) = scan(root.path()).unwrap();
        assert_eq!((dataset.gallery.len(), problems.len()), (1, 2));
    }

    #[test]
    fn missing_and_empty_folders_are_named() {
        let root = set(&[]);
        fs::remove_dir_all(root.path().join(QUERY)).unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.contains("no folder `query`"), "{message}");
        fs::create_dir(root.path().join(QUERY)).unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.contains("no photo"), "{message}");
        let message = read(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(message.contains("/nowhere"), "{message}");
    }

    #[test]
    fn one_folder_too_high_gets_a_hint() {
        let root = set(&[]);
        let outer = tempfile::tempdir().unwrap();
        fs::rename(root.path(), outer.path().join("Market-1501-v15.09.15")).unwrap();
        let message = read(outer.path()).unwrap_err().to_string();
        assert!(message.contains("did you mean"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_inside_the_set() {
        use std::os::unix::fs::symlink;
        let root = set(&[]);
        let inner = root.path().join("query/0001_c1s1_000001_00.jpg");
        symlink(&inner, root.path().join("query/0002_c1s1_000001_00.jpg")).unwrap();
        assert_eq!(read(root.path()).unwrap().query.len(), 2);
        symlink("/etc/passwd", root.path().join("query/0003_c1s1_000001_00.jpg")).unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.contains("symbolic link out of the set"), "{message}");

        let outside = set(&[]);
        let second = set(&[]);
        fs::remove_dir_all(second.path().join(QUERY)).unwrap();
        symlink(outside.path().join(QUERY), second.path().join(QUERY)).unwrap();
        assert!(read(second.path()).is_err());
        let through = tempfile::tempdir().unwrap();
        symlink(outside.path(), through.path().join("set")).unwrap();
        assert!(read(&through.path().join("set")).is_ok(), "the root itself may be a link");
    }
}
