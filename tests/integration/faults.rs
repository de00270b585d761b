//! Disks that are full, files with flipped bits, folders that are none, clocks that jump: each ends as
//! ARCHITECTURE.md says.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::support::{Place, TINY, fingerprint};

pub const FULL: [&str; 6] = ["run", "tiny.yaml", "--arm", "full", "--seed", "1"];

pub fn place() -> Place {
    let place = Place::new();
    place.study(TINY);
    place
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Fails, in words that help, with this code.
fn refused(output: &Output, code: i32, expected: &[&str]) {
    let said = words(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for expected in expected.iter().chain(&["hint: "]) {
        assert!(said.contains(expected), "`{expected}` is missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// The files of a stage's kind by name.
pub fn stage(place: &Place, kind: &str) -> PathBuf {
    let stages = std::fs::read_dir(place.runs().join(".stages").join(kind)).unwrap().flatten();
    let shown = |path: &PathBuf| !path.file_name().unwrap().to_string_lossy().starts_with('.');
    stages.map(|entry| entry.path()).find(|path| path.is_dir() && shown(path)).unwrap()
}

pub fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

/// Changes a JSON record.
pub fn edit(file: &Path, change: impl FnOnce(&mut Json)) {
    let mut record: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut record);
    std::fs::write(file, record.to_string()).unwrap();
}

/// A run of `full` that was stopped after two checkpoints.
pub fn stopped() -> Place {
    let place = place();
    let mut run = place.command(&FULL).spawn().unwrap();
    let since = Instant::now();
    while crate::damage::checkpoints(&place).len() < 2 {
        assert!(since.elapsed() < Duration::from_mins(2) && run.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = Pid::from_raw(i32::try_from(run.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    place
}

/// What a disk that takes nothing does to a run; the file names it.
#[test]
fn a_full_disk_fails_the_run_by_name_and_the_same_command_goes_on() {
    let straight = place();
    straight.succeed(&FULL);
    let run = straight.run_folder("full");
    let run = run.strip_prefix(straight.path()).unwrap();
    for file in ["heartbeat", "checkpoints/step-000000003.safetensors.tmp"] {
        let place = place();
        let path = place.path().join(run).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink("/dev/full", &path).unwrap();
        let output = place.dgnet(&FULL);
        refused(
            &output,
            1,
            &["No space left on device", file, "bytes are free", "the disk is full"],
        );
        let end = std::fs::read_to_string(place.run_folder("full").join("end.json")).unwrap();
        assert!(end.contains("No space left on device") && end.contains(file), "{end}");
        let _ = std::fs::remove_file(&path);
        place.succeed(&FULL);
        assert_eq!(fingerprint(&place), fingerprint(&straight), "{file}");
    }
}

/// Files that cannot grow beyond a size, whoever writes them: photos, weights, the database.
#[test]
fn wherever_writing_ends_the_same_command_goes_on_later() {
    let straight = place();
    straight.succeed(&["sweep", "tiny.yaml", "--no-report"]);
    let expected = fingerprint(&straight);
    let mut failed = 0;
    for kilobytes in [1, 24, 150, 260] {
        let place = place();
        let script = format!(
            "trap '' XFSZ; ulimit -f {}; exec {} sweep tiny.yaml --no-report",
            2 * kilobytes,
            env!("CARGO_BIN_EXE_dgnet")
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(place.path()).env("NO_COLOR", "1");
        let output = shell.env_remove("DGNET_RUNS").output().unwrap();
        let said = words(&output);
        if !output.status.success() {
            failed += 1;
            assert!(matches!(output.status.code(), Some(1 | 3)), "{kilobytes} kB: {said}");
            assert!(
                said.contains("hint: ") && !said.contains("panicked"),
                "{kilobytes} kB: {said}"
            );
        }
        place.succeed(&["sweep", "tiny.yaml", "--no-report"]);
        assert_eq!(fingerprint(&place), expected, "{kilobytes} kB: {said}");
    }
    assert!(failed >= 3, "the limits limit nothing");
}

/// A small file system of its own that fills up; needs the right to mount one.
#[test]
fn a_small_disk_that_grows_later_ends_with_the_same_bits() {
    let straight = place();
    straight.succeed(&["sweep", "tiny.yaml", "--no-report"]);
    let expected = fingerprint(&straight);
    // full of photos, and of weights
    for kilobytes in [900, 2500] {
        let place = place();
        let program = env!("CARGO_BIN_EXE_dgnet");
        let script = format!(
            "mkdir runs kept && mount -t tmpfs -o size={kilobytes}k tmpfs runs || exit 77
             {program} sweep tiny.yaml --no-report > said.txt 2>&1; echo $? > code.txt
             mount -o remount,size=200m runs
             {program} sweep tiny.yaml --no-report >> said.txt 2>&1; echo $? >> code.txt
             cp -a runs/. kept"
        );
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", &script]).current_dir(place.path());
        let tried = command.env_remove("DGNET_RUNS").env("NO_COLOR", "1").status();
        if !tried.as_ref().is_ok_and(std::process::ExitStatus::success) {
            assert!(std::env::var_os("DGNET_REQUIRE_MOUNT").is_none(), "{tried:?}");
            eprintln!("left out: no file system can be mounted here ({tried:?})");
            return;
        }
        let said = std::fs::read_to_string(place.path().join("said.txt")).unwrap();
        let codes = std::fs::read_to_string(place.path().join("code.txt")).unwrap();
        assert_eq!(codes, "1\n0\n", "{kilobytes} kB: {said}");
        // a worker says so, or SQLite in its own words
        let full = ["the disk is full", "database or disk is full"];
        let told = full.iter().any(|words| said.contains(words)) && said.contains("hint: ");
        assert!(told, "{kilobytes} kB: {said}");
        assert!(!said.contains("panicked"), "{kilobytes} kB: {said}");
        std::fs::remove_dir(place.runs()).unwrap();
        std::fs::rename(place.path().join("kept"), place.runs()).unwrap();
        assert_eq!(fingerprint(&place), expected, "{kilobytes} kB: {said}");
    }
}

#[test]
fn places_that_cannot_be_used_are_named_before_anything_is_trained() {
    let sweep = ["sweep", "tiny.yaml", "--no-report"];
    let place = place();
    std::fs::write(place.runs(), "a file").unwrap();
    refused(&place.dgnet(&sweep), 1, &["`runs`", "--runs DIR"]);
    std::fs::remove_file(place.runs()).unwrap();
    symlink("/nowhere/at/all", place.runs()).unwrap();
    refused(&place.dgnet(&sweep), 1, &["`runs`", "--runs DIR"]);
    std::fs::remove_file(place.runs()).unwrap();

    std::fs::create_dir_all(place.runs().join("tiny")).unwrap();
    std::fs::write(place.runs().join("tiny/full"), "a file").unwrap();
    refused(&place.dgnet(&sweep), 1, &["runs/tiny/full"]);
    std::fs::remove_file(place.runs().join("tiny/full")).unwrap();

    std::fs::create_dir(place.runs().join("results.db")).unwrap();
    refused(&place.dgnet(&sweep), 1, &["results.db"]);
    std::fs::remove_dir(place.runs().join("results.db")).unwrap();
    assert!(!place.runs().join(".stages/teacher").exists(), "something was trained");

    // the folders are the truth: whatever becomes of the database, nothing is trained again
    place.succeed(&FULL);
    let values =
        ["query", "select metric, step, value from curves order by 1, 2", "--format", "csv"];
    let before = place.succeed(&values);
    std::fs::write(
        place.runs().join("results.db"),
        "no database, but long enough to be read as one",
    )
    .unwrap();
    refused(&place.dgnet(&FULL), 1, &["results.db", "dgnet reindex"]);
    place.succeed(&["reindex"]);
    assert_eq!(place.succeed(&values), before);

    let doctor = || place.dgnet(&["doctor", "--stages", "--json"]);
    let well = doctor();
    assert_eq!(well.status.code(), Some(0), "{}", words(&well));
    let photo = stage(&place, "data").join("factors.json");
    let bytes = std::fs::read(&photo).unwrap();
    flip(&photo);
    let found: Json = serde_json::from_slice(&doctor().stdout).unwrap();
    let bad = |found: &Json| -> Vec<String> {
        let all = found["findings"].as_array().unwrap().iter();
        all.filter(|finding| finding["well"] == false).map(|f| f["text"].to_string()).collect()
    };
    assert!(matches!(&bad(&found)[..], [one] if one.contains(".stages/data/")), "{found}");
    std::fs::write(&photo, bytes).unwrap();

    // a record that is no longer one
    let end = place.run_folder("full").join("end.json");
    std::fs::write(&end, "{").unwrap();
    refused(&place.dgnet(&FULL), 1, &["end.json", "is damaged"]);
    let found: Json = serde_json::from_slice(&doctor().stdout).unwrap();
    assert!(matches!(&bad(&found)[..], [one] if one.contains("end.json")), "{found}");
}

/// Permissions do not bind root: it steps down where it can.
#[test]
fn a_folder_that_cannot_be_written_is_refused_with_the_reason() {
    let place = place();
    let program = env!("CARGO_BIN_EXE_dgnet");
    let mode = |mode: &str, what: &Path| {
        assert!(Command::new("chmod").arg(mode).arg(what).status().unwrap().success());
    };
    std::fs::create_dir(place.runs()).unwrap();
    mode("755", place.path());
    let as_nobody = |arguments: &[&str]| {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(place.path()).env_remove("DGNET_RUNS").output()
    };
    if !as_nobody(&["--version"]).is_ok_and(|output| output.status.success()) {
        eprintln!("left out: nobody cannot start `{program}`");
        return;
    }
    let sweep = ["sweep", "tiny.yaml", "--no-report"];
    mode("555", &place.runs());
    refused(&as_nobody(&sweep).unwrap(), 1, &["Permission denied", "permissions of the folder"]);
    mode("000", &place.runs());
    refused(&as_nobody(&sweep).unwrap(), 1, &["Permission denied", "permissions of the folder"]);
    mode("755", &place.runs());

    // a database that is only read: what is trained is safe, and reading goes on
    place.succeed(&FULL);
    mode("a-w", &place.runs().join("results.db"));
    let read = as_nobody(&["query", "select count(*) from run", "--format", "csv"]).unwrap();
    assert!(words(&read).contains("\n1\n"), "{}", words(&read));
    refused(&as_nobody(&sweep).unwrap(), 1, &["Permission denied"]);
}

/// Times in records are for people: nothing is decided and no duration is counted by them.
#[test]
fn clocks_that_jump_change_nothing() {
    let straight = place();
    straight.succeed(&FULL);
    for shift in [1e9, -1e9] {
        let place = stopped();
        let folder = place.run_folder("full");
        edit(&folder.join("begin.json"), |json| {
            json["started_at"] = (json["started_at"].as_f64().unwrap() + shift).into();
        });
        edit(&folder.join("pause.json"), |json| {
            json["at"] = (json["at"].as_f64().unwrap() + shift).into();
        });
        let year = if shift > 0.0 { "205801010000" } else { "199401010000" };
        let touched = Command::new("sh")
            .args(["-c", &format!("find runs -exec touch -t {year} {{}} +")])
            .current_dir(place.path())
            .status();
        assert!(touched.unwrap().success());
        let seen = place.succeed(&["watch", "tiny.yaml", "--once", "--json"]);
        assert!(seen.contains("\"interrupted\":1"), "{seen}");
        place.succeed(&FULL);
        assert_eq!(fingerprint(&place), fingerprint(&straight));
        let took =
            ["query", "select wall_s between 0.1 and 600, cpu_s > 0 from run", "--format", "csv"];
        assert_eq!(place.succeed(&took).lines().nth(1), Some("1,1"));
    }
}

#[test]
fn what_a_diverged_generator_feeds_has_diverged_and_is_not_tried_again() {
    let place = Place::new();
    let (head, _) = TINY.split_once("arms:").unwrap();
    let arms = "  full: {}\n  wild: { train.feeding: offline, train.lr_generator: 1e30 }\n  teacher_only: { train.mode: teacher_only }\n";
    place.study(&format!("{head}arms:\n{arms}"));
    let sweep = ["sweep", "tiny.yaml", "--no-report", "--only", "wild"];
    assert_eq!(place.dgnet(&sweep).status.code(), Some(3));
    let end = || {
        let bytes = std::fs::read(place.run_folder("wild").join("end.json")).unwrap();
        serde_json::from_slice::<Json>(&bytes).unwrap()
    };
    let first = end();
    assert_eq!(first["state"], "diverged", "{first}");
    assert!(
        first["reason"].as_str().unwrap().starts_with("generator of seed 1 diverged"),
        "{first}"
    );
    assert_eq!(place.dgnet(&sweep).status.code(), Some(3));
    assert_eq!(end(), first, "a result stays");
    let again = [&sweep[..], &["--retry", "diverged"]].concat();
    assert_eq!(place.dgnet(&again).status.code(), Some(3));
    assert_eq!(end()["state"], "diverged");
    assert_ne!(end()["ended_at"], first["ended_at"], "it was asked for");
}
