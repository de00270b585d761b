//! `dgnet generate`: pictures of the right size, data sets that go on where they stopped, refusals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dgnet::data::pixels;

use crate::support::{Place, TINY};

/// A place with a trained `full`.
fn trained() -> Place {
    let place = Place::new();
    place.study(TINY);
    place.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    place
}

const RUN: [&str; 5] = ["tiny.yaml", "--arm", "full", "--seed", "1"];

fn arguments<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["generate", verb], RUN.as_slice(), more].concat()
}

fn photos(place: &Place) -> Vec<PathBuf> {
    let data = place.runs().join(".stages/data");
    let set = std::fs::read_dir(data).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir());
    let folder = set.unwrap().join("query");
    let mut photos: Vec<_> =
        std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect();
    photos.sort();
    photos
}

fn is_jpeg(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "jpg")
}

/// Every file below a folder with its bytes.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn pictures_have_a_cell_for_every_pair_and_are_never_written_over() {
    let place = trained();
    let size = |name: &str| {
        let picture = pixels::read(&place.path().join(name)).unwrap();
        (picture.height, picture.width)
    };
    // photos of 32 x 16, three white pixels between and around
    let sheet = |rows: usize, columns: usize| {
        (rows * 32 + (rows + 1) * 3, columns * 16 + (columns + 1) * 3)
    };

    place.succeed(&arguments("grid", &["--held-out", "3", "--to", "grid.png"]));
    assert_eq!(size("grid.png"), sheet(4, 4));

    let photos = photos(&place);
    let names: Vec<&str> = photos.iter().take(3).map(|p| p.to_str().unwrap()).collect();
    let folder = place.run_folder("full");
    let by_folder = [
        "generate",
        "grid",
        folder.to_str().unwrap(),
        "--appearance",
        names[0],
        names[1],
        "--structure",
        names[2],
        "--to",
        "two.png",
    ];
    place.succeed(&by_folder);
    assert_eq!(size("two.png"), sheet(2, 3));
    let bytes = std::fs::read(place.path().join("two.png")).unwrap();
    place.succeed(&by_folder);
    assert_eq!(bytes, std::fs::read(place.path().join("two.png")).unwrap(), "the same again");

    let more = ["--appearance", names[0], "--held-out", "4", "--to", "wear.jpg"];
    place.succeed(&arguments("wear", &more));
    assert_eq!(size("wear.jpg"), sheet(2, 5));
    let ends = ["--first", names[0], "--last", names[1], "--steps", "4"];
    place.succeed(&arguments("between", &[&ends[..], &["--to", "way.png"]].concat()));
    assert_eq!(size("way.png"), sheet(2, 6));
    place.succeed(&arguments(
        "between",
        &[&ends[..], &["--change", "appearance", "--to", "clothes.png"]].concat(),
    ));
    assert_eq!(size("clothes.png"), sheet(1, 6));

    // the way begins where the first photo is reconstructed, and its ends differ
    let way = pixels::read(&place.path().join("clothes.png")).unwrap();
    let cell = |at: usize| -> Vec<[u8; 3]> {
        let left = 3 + at * 19;
        (3..35)
            .flat_map(|row| (left..left + 16).map(move |column| (row, column)))
            .map(|(row, column)| way.pixel(row, column))
            .collect()
    };
    assert_ne!(cell(1), cell(4), "another appearance");

    std::fs::write(place.path().join("mine.png"), "somebody's").unwrap();
    for (arguments, words) in [
        (arguments("grid", &["--held-out", "3", "--to", "mine.png"]), "is there already"),
        (arguments("grid", &["--held-out", "3", "--to", "x.gif"]), ".png or .jpg"),
        (arguments("grid", &["--held-out", "60", "--to", "x.png"]), "held-out persons, not 60"),
        (
            arguments("wear", &["--appearance", "no.jpg", "--held-out", "1", "--to", "x.png"]),
            "no photo",
        ),
        (
            vec!["generate", "grid", "tiny.yaml", "--held-out", "3", "--to", "x.png"],
            "--arm and --seed",
        ),
        (
            vec![
                "generate",
                "grid",
                "tiny.yaml",
                "--arm",
                "hard_labels",
                "--seed",
                "1",
                "--held-out",
                "3",
                "--to",
                "x.png",
            ],
            "has not been trained",
        ),
    ] {
        let output = place.dgnet(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words) && said.contains("hint:"), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read(place.path().join("mine.png")).unwrap(), b"somebody's");
    assert!(!place.path().join("x.png").exists());
}

#[test]
fn a_generated_set_goes_on_where_it_stopped_and_can_be_used_as_data() {
    let place = trained();
    let set = |to: &'static str| {
        arguments("set", &["--appearances", "2", "--structures", "4", "--to", to])
    };
    place.succeed(&set("whole"));
    let whole = content(&place.path().join("whole"));
    let table = String::from_utf8(whole["generated.csv"].clone()).unwrap();
    let pictures = whole.keys().filter(|name| is_jpeg(name));
    assert_eq!(table.lines().count(), 1 + pictures.count(), "{table}");
    assert!(table.lines().count() > 64, "several batches: {table}");
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        assert!(whole.contains_key(cells[0]), "{row}");
        assert_ne!(cells[3], cells[4], "{row}");
    }
    let check = place.succeed(&["data", "check", "whole"]);
    assert!(check.contains("every photo can be used"), "{check}");
    assert!(!check.contains("query without a true match"), "{check}");

    // stopped by a signal
    let mut process = place.command(&set("stopped")).spawn().unwrap();
    let began = Instant::now();
    // names alone: files come and go meanwhile
    let some = || {
        let files = walkdir::WalkDir::new(place.path().join("stopped")).into_iter().flatten();
        files.filter(|entry| is_jpeg(&entry.file_name().to_string_lossy())).count()
    };
    while some() < 3 && process.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_mins(1), "nothing is drawn");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    let status = process.wait().unwrap();
    assert!(matches!(status.code(), Some(130 | 0)), "{status:?}");
    place.succeed(&set("stopped"));
    assert!(content(&place.path().join("stopped")) == whole, "the same bytes");

    // files lost from the middle of batches come back with the same bytes
    let lost: Vec<_> = whole.keys().filter(|name| is_jpeg(name)).step_by(7).collect();
    for name in &lost {
        std::fs::remove_file(place.path().join("whole").join(name)).unwrap();
    }
    place.succeed(&set("whole"));
    assert!(content(&place.path().join("whole")) == whole, "the same bytes");

    std::fs::create_dir(place.path().join("mine")).unwrap();
    std::fs::write(place.path().join("mine/letter.txt"), "dear").unwrap();
    for (arguments, words) in [
        (set("mine"), "is not empty"),
        (
            arguments("set", &["--structures", "2", "--to", "whole"]),
            "other weights, photos or amounts",
        ),
        (arguments("set", &["--persons", "50", "--to", "new"]), "not 50"),
    ] {
        let output = place.dgnet(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words) && said.contains("hint:"), "{arguments:?}: {said}");
    }
    assert_eq!(content(&place.path().join("mine")).len(), 1, "nothing is added to it");
    std::fs::write(place.path().join("mine/generated.json"), "{}").unwrap();
    let output = place.dgnet(&set("mine"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("of something else"), "{said}");
    assert!(content(&place.path().join("whole")) == whole, "nothing is changed");
}
