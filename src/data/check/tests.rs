use std::fs;

use super::*;
use crate::data::market;
use crate::data::pixels::{Rgb8, encode_jpeg, encode_png};

/// A set in which every person wears one colour, so that histograms solve it.
fn set() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in [market::TRAIN, market::QUERY, market::GALLERY] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    for (number, person) in (0_u8..).zip([1, 2, 3]) {
        put(&root, market::TRAIN, person + 100, 1, [number * 12, 0, 0]);
        put(&root, market::QUERY, person, 1, [number * 80 + 2, 200, 0]);
        put(&root, market::GALLERY, person, 1, [number * 80 + 10, 200, 0]);
        put(&root, market::GALLERY, person, 12, [number * 80 + 14, 200, 0]);
    }
    root
}

fn put(
    root: &tempfile::TempDir,
    folder: &str,
    person: i64,
    camera: u32,
    colour: [u8; 3],
) -> PathBuf {
    let name = if person < 0 { "-1".to_owned() } else { format!("{person:04}") };
    let path = root.path().join(folder).join(format!("{name}_c{camera}s1_000001_00.jpg"));
    fs::write(&path, encode_jpeg(&Rgb8::filled(16, 8, colour), 90).unwrap()).unwrap();
    path
}

fn names(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.file.to_str().unwrap()).collect()
}

#[test]
fn a_sound_set_is_counted() {
    let root = set();
    put(&root, market::GALLERY, 0, 2, [9, 9, 9]);
    put(&root, market::GALLERY, -1, 2, [9, 9, 80]);
    let report = check(root.path()).unwrap();
    assert!(report.is_usable() && report.duplicates.is_empty() && report.shared_people.is_empty());
    let gallery = &report.splits[2];
    assert_eq!(gallery.cameras, [(1, 3), (2, 2), (12, 3)].into());
    assert_eq!((gallery.photos, gallery.people, gallery.junk, gallery.distractors), (8, 3, 1, 1));
    assert_eq!(report.matches, Spread { mean: 1.0, min: 1, max: 1 });
    assert_eq!(report.same_camera, Spread { mean: 1.0, min: 1, max: 1 });
    let histogram = report.histogram.unwrap();
    assert_eq!((histogram.map, histogram.rank1, histogram.queries), (1.0, 1.0, 3));
    assert_eq!(report.silhouette, None);
}

#[test]
fn every_damaged_photo_is_named_and_the_rest_still_ranked() {
    let root = set();
    let cut = put(&root, market::QUERY, 1, 1, [1, 2, 3]);
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(root.path().join("query/0002_c1s1_000001_00.jpg"), "").unwrap();
    fs::write(root.path().join("bounding_box_train/0101_c1s1_000001_00.jpg"), "hello").unwrap();
    fs::write(root.path().join("bounding_box_test/holiday.jpg"), "").unwrap();
    let report = check(root.path()).unwrap();
    assert!(!report.is_usable());
    assert_eq!(
        names(&report.problems),
        [
            "bounding_box_test/holiday.jpg",
            "bounding_box_train/0101_c1s1_000001_00.jpg",
            "query/0001_c1s1_000001_00.jpg",
            "query/0002_c1s1_000001_00.jpg",
        ]
    );
    assert_eq!(report.histogram.unwrap().queries, 1);
}

#[test]
fn copies_leaks_and_queries_without_match_are_named() {
    let root = set();
    put(&root, market::TRAIN, 2, 1, [255, 255, 255]);
    put(&root, market::QUERY, 9, 3, [255, 255, 255]);
    let report = check(root.path()).unwrap();
    assert_eq!(report.shared_people, [2]);
    assert_eq!(report.queries_without_match, ["0009_c3s1_000001_00.jpg"]);
    let group = ["bounding_box_train/0002_c1s1_000001_00.jpg", "query/0009_c3s1_000001_00.jpg"];
    assert_eq!(report.duplicates, [group.map(PathBuf::from)]);
}

#[test]
fn multi_query_copies_are_no_duplicates_and_progress_counts_every_photo() {
    let root = set();
    fs::create_dir(root.path().join(market::MULTI_QUERY)).unwrap();
    put(&root, market::MULTI_QUERY, 1, 1, [2, 200, 0]);
    let last = std::cell::Cell::new((0, 0));
    let report = check_with_progress(root.path(), &|done, total| last.set((done, total))).unwrap();
    assert_eq!(last.get(), (13, 13));
    assert_eq!(report.splits.len(), 4);
    assert!(report.duplicates.is_empty());
}

#[test]
fn a_broken_truth_is_a_problem_not_a_failure() {
    let root = set();
    fs::write(root.path().join("factors.json"), "{ nonsense").unwrap();
    let report = check(root.path()).unwrap();
    assert_eq!(names(&report.problems), ["factors.json"]);
}

#[test]
fn what_is_no_set_at_all_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.png"), encode_png(&Rgb8::filled(1, 1, [0; 3])).unwrap()).unwrap();
    assert!(check(root.path()).is_err());
}
