//! Which cells a study has look by look, with runs that are only written down.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::store::RunWriter;
use crate::store::records::EndState;
use crate::store::run_dir::tests::{begin, end};
use crate::sweep::plan::plan;

struct Place {
    folder: TempDir,
    study: Study,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.yaml");
        let text = "study: s\nseeds: { min: 4, max: 8, stop: decided }\nconfirm: [a, b]\narms:\n  full: {}\n  a: { loss.lambda_img: 1 }\n  b: { loss.lambda_img: 2 }\n  other: { loss.lambda_img: 3 }\n";
        std::fs::write(&file, text).unwrap();
        let study = Study::load(&file, &[]).unwrap();
        Self { folder, study }
    }

    fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    fn plan(&self) -> Plan {
        plan(&self.study, &self.runs()).unwrap()
    }

    /// Ends every open run of an arm with these values, by seed; `None` diverges.
    fn finish(&self, arm: &str, values: &[Option<f64>]) {
        for cell in self.plan().cells.iter().filter(|cell| cell.arm == arm && cell.is_open()) {
            let Some(value) = values.get(cell.seed as usize - 1) else { continue };
            let run = RunDir::create(&self.runs(), &cell.spec).unwrap();
            let mut lines = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
            lines.metrics(5, &[("mAP", value.unwrap_or(f64::NAN))]).unwrap();
            let state = if value.is_some() { EndState::Done } else { EndState::Diverged };
            lines.end(&end(state, 1, 5)).unwrap();
        }
    }

    /// Seeds of every arm.
    fn seeds(&self) -> [usize; 4] {
        let plan = self.plan();
        assert_eq!(plan.record.cells.len(), plan.cells.len());
        ["full", "a", "b", "other"]
            .map(|arm| plan.cells.iter().filter(|cell| cell.arm == arm).count())
    }
}

const FULL: [Option<f64>; 8] =
    [Some(0.50), Some(0.51), Some(0.49), Some(0.52), Some(0.50), Some(0.48), Some(0.5), Some(0.51)];
/// Far below the baseline.
const WORSE: [Option<f64>; 4] = [Some(0.20), Some(0.212), Some(0.191), Some(0.219)];
/// Above and below it.
const OPEN: [Option<f64>; 8] = [
    Some(0.55),
    Some(0.45),
    Some(0.53),
    Some(0.48),
    Some(0.49),
    Some(0.51),
    Some(0.47),
    Some(0.55),
];

#[test]
fn seeds_are_added_to_what_is_open_and_to_the_baseline() {
    let place = Place::new();
    assert_eq!(place.seeds(), [4, 4, 4, 4]);
    place.finish("full", &FULL);
    place.finish("a", &WORSE);
    assert_eq!(place.seeds(), [4, 4, 4, 4], "no look before every arm has its pairs");
    place.finish("b", &OPEN);
    assert_eq!(place.seeds(), [5, 4, 5, 4], "a look asks nothing of exploratory arms");
    let plan = place.plan();
    let standing = plan.standing.as_ref().unwrap();
    assert_eq!((standing.course.looks, standing.course.next), (1, Some(5)));
    assert_eq!(standing.more(&plan), 6);
    // the runs to come are the new ones, and the exploratory arm's
    assert_eq!(plan.open_runs().len(), 2 + 4);
    place.finish("b", &OPEN);
    assert_eq!(place.seeds(), [5, 4, 5, 4], "the baseline's pair is missing");
    for look in 6..=8 {
        place.finish("full", &FULL);
        place.finish("b", &OPEN);
        assert_eq!(place.seeds(), [look, 4, look, 4]);
    }
    place.finish("full", &FULL);
    place.finish("b", &OPEN);
    place.finish("other", &OPEN);
    let plan = place.plan();
    assert_eq!(place.seeds(), [8, 4, 8, 4], "the most is the end");
    assert!(plan.open_runs().is_empty());
    assert_eq!(plan.standing.as_ref().unwrap().more(&plan), 0);
}

#[test]
fn a_study_whose_verdicts_are_in_stays_small() {
    let place = Place::new();
    place.finish("full", &FULL);
    place.finish("a", &WORSE);
    // diverged runs are the worst possible value, and a verdict
    place.finish("b", &[None; 4]);
    assert_eq!(place.seeds(), [4, 4, 4, 4]);
    let plan = place.plan();
    let course = &plan.standing.as_ref().unwrap().course;
    assert!(course.arms.iter().all(|arm| arm.decision == Some(crate::stats::Decision::Worse)));
}

#[test]
fn cells_follow_from_results_and_not_from_the_order_in_which_they_came() {
    let place = Place::new();
    // somebody trained seeds of another study, or with `dgnet run`, before the first sweep
    place.finish("b", &OPEN[..2]);
    place.finish("full", &FULL[..3]);
    assert_eq!(place.seeds(), [4, 4, 4, 4]);
    place.finish("a", &WORSE);
    place.finish("b", &OPEN);
    place.finish("full", &FULL);
    assert_eq!(place.seeds(), [5, 4, 5, 4]);
}

#[test]
fn what_failed_in_a_round_is_left_out_of_the_next_and_its_shadows_too() {
    let place = Place::new();
    let plan = place.plan();
    let failed = BTreeSet::from([("full".to_owned(), 2), ("other".to_owned(), 4)]);
    let kept = plan.without(&failed);
    assert_eq!((kept.cells.len(), kept.record.cells.len()), (14, 16));
    assert!(!kept.cells.iter().any(|cell| cell.arm == "full" && cell.seed == 2));
}
