#![allow(clippy::unwrap_used)]

use super::*;
use crate::report::against::against;
use crate::store::Marks;
use crate::store::ingest::Writer;
use crate::store::records::{ArmRecord, CellRecord, EndState, QueryLine, RunSpec, StudyRecord};
use crate::store::run_dir::tests::{begin, end, spec};
use crate::store::run_writer::RunWriter;
use crate::store::{RunDir, study_dir};

/// Studies with given mAPs, written as workers write them.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, spec: &RunSpec, state: EndState, value: f64, queries: &[QueryLine]) {
        let run = RunDir::create(self.root(), spec).unwrap();
        let mut lines = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
        lines.metrics(5, &[("mAP", value), ("loss_total", 1.0 - value)]).unwrap();
        // as a teacher generates nothing
        if spec.arm != "teacher_only" && spec.arm != "other_teacher" {
            lines.metrics(5, &[("diversity", value)]).unwrap();
        }
        lines.queries(queries).unwrap();
        lines.end(&end(state, 1, 5)).unwrap();
    }

    /// Arms with a mAP per seed, from 1; `data` is the key of their data set.
    fn study(&self, name: &str, data: &str, arms: &[(&str, &[f64])]) {
        let mut record = StudyRecord {
            name: name.into(),
            primary: "mAP".into(),
            equal_within: 0.005,
            baseline: arms[0].0.into(),
            ..StudyRecord::default()
        };
        for (place, (arm, values)) in arms.iter().enumerate() {
            record.arms.push(ArmRecord {
                name: (*arm).into(),
                label: (*arm).into(),
                ..ArmRecord::default()
            });
            for (seed, value) in (1..).zip(*values) {
                let uid = format!("{:08x}", blake(name, place, seed));
                let mut spec = spec(name, arm, seed, &uid);
                spec.stages.data = data.into();
                std::sync::Arc::make_mut(&mut spec.settings).loss.lambda_prim = place as f64;
                self.run(&spec, EndState::Done, *value, &queries(*value, 30));
                record.cells.push(CellRecord { arm: (*arm).into(), seed, uid: spec.uid });
            }
        }
        study_dir::write(self.root(), &record).unwrap();
        self.index(name);
    }

    fn index(&self, study: &str) {
        let mut writer = Writer::open(self.root()).unwrap().unwrap();
        for run in RunDir::list(self.root()).unwrap() {
            writer.tail(&run).unwrap();
        }
        writer.study(study).unwrap();
        writer.close().unwrap();
    }

    fn compare(
        &self,
        one: &str,
        other: &str,
        metric: Option<&str>,
    ) -> Result<Pairwise, ReportError> {
        pairwise(&Db::file(self.root()), [one, other], metric, None)
    }
}

fn blake(name: &str, place: usize, seed: u64) -> u32 {
    let hash = blake3::hash(format!("{name} {place} {seed}").as_bytes());
    u32::from_le_bytes([0, 1, 2, 3].map(|k| hash.as_bytes()[k]))
}

/// Two queries of each person, whose APs scatter around a value.
fn queries(value: f64, persons: u32) -> Vec<QueryLine> {
    (0..persons * 2)
        .map(|k| QueryLine {
            step: 5,
            query: format!("{:04}_c{}.png", k / 2, k % 2),
            ap: Some(value + 0.05 * f64::from(k).sin()),
            first_hit: Some(1 + k % 3),
        })
        .collect()
}

#[test]
fn arms_of_a_study_are_compared_by_seed() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61, 0.63, 0.60]), ("less", &[0.58, 0.597, 0.57])]);
    let told = lab.compare("full", "less", None).unwrap();
    let estimate = told.estimate.clone().unwrap();
    assert_eq!(estimate.n, 3);
    assert!((estimate.mean + 0.031).abs() < 1e-12);
    assert_eq!(told.improvement, Some(0.0));
    assert!((told.wilcoxon.unwrap().p - 0.25).abs() < 1e-12);
    assert!(
        told.sentences[0].starts_with("`less` is worse than `full` by 3.1 points mAP")
            && told.sentences[0].contains("`loss.lambda_prim` in `full` helps"),
        "{:?}",
        told.sentences
    );
    assert!(told.persons.is_none(), "queries speak only where there is one seed");
    let turned = lab.compare("less", "full", None).unwrap();
    assert!(turned.sentences[0].starts_with("`full` is better than `less`"));
    assert_eq!(turned.improvement, Some(1.0));
}

#[test]
fn lower_is_better_turns_everything() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61, 0.63, 0.60]), ("less", &[0.58, 0.597, 0.57])]);
    let told = lab.compare("full", "less", Some("loss_total")).unwrap();
    assert!(told.estimate.as_ref().unwrap().mean > 0.0);
    assert!(told.sentences[0].contains("is worse than"), "{:?}", told.sentences);
    assert_eq!(told.improvement, Some(0.0));
    assert!(told.sentences.iter().any(|s| s.contains("--equal-within")));
    let text = lab.compare("full", "less", Some("loss_totl")).unwrap_err().to_string();
    assert!(text.contains("did you mean `loss_total`"), "{text}");
}

#[test]
fn one_seed_speaks_through_its_queries_and_says_so() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61]), ("less", &[0.58])]);
    let told = lab.compare("full", "less", None).unwrap();
    let persons = told.persons.clone().unwrap();
    assert_eq!((persons.clusters, persons.queries), (30, 60));
    assert!((persons.mean + 0.03).abs() < 1e-9);
    let all = told.sentences.join(" ");
    assert!(all.contains("30 persons resampled") && all.contains("Seeds are not sampled"), "{all}");
    assert!(matches!(told.verdict.unwrap().decision, crate::stats::Decision::Inconclusive { .. }));
}

#[test]
fn other_data_and_other_recipes_are_refused() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61, 0.63])]);
    lab.study("t", "ee", &[("full", &[0.61, 0.63])]);
    let text = lab.compare("s/full", "t/full", None).unwrap_err().to_string();
    assert!(text.contains("saw other data: they are never pooled"), "{text}");
    let text = lab.compare("full", "s/full", None).unwrap_err().to_string();
    assert!(
        text.contains("ambiguous arm `full`") && text.contains("`s/full` or `t/full`"),
        "{text}"
    );
}

#[test]
fn an_arm_that_lacks_the_metric_is_named() {
    let lab = Lab::new();
    let (full, less) = (("full", &[0.61, 0.63][..]), ("teacher_only", &[0.58, 0.597][..]));
    let more = ("more", &[0.6, 0.62][..]);
    lab.study("s", "dd", &[full, less, more, ("other_teacher", &[0.58, 0.597])]);
    let refused = |one, other| lab.compare(one, other, Some("diversity")).unwrap_err().to_string();
    let text = refused("full", "teacher_only");
    assert!(text.starts_with("`teacher_only` has no `diversity`: none of its finished"), "{text}");
    assert!(text.contains("where study = 's' and arm = 'teacher_only'"), "{text}");
    assert_eq!(text, refused("teacher_only", "full"));
    let text = refused("other_teacher", "teacher_only");
    assert!(text.starts_with("neither `other_teacher` nor `teacher_only` has"), "{text}");
    assert!(refused("full", "more").starts_with("`diversity` has no better or worse"));
    let mut db = Db::open_read(&Db::file(lab.root())).unwrap();
    let measure = Measure::of("diversity", &db.metric_defs().unwrap());
    let arms = ["full", "teacher_only"].map(|arm| ("s".to_owned(), arm.to_owned()));
    let met = meet(&mut db, arms, &measure, false).unwrap();
    assert_eq!(met.pairs[0].left_out.as_deref(), Some("teacher_only has no diversity"));
}

#[test]
fn the_rule_is_said_where_interval_and_test_disagree() {
    let lab = Lab::new();
    let (level, outlier) = ([0.60; 6], [0.59, 0.589, 0.588, 0.587, 0.586, 0.40]);
    lab.study("s", "dd", &[("full", &level), ("less", &outlier), ("worse", &[0.57; 6])]);
    let said = |other| lab.compare("full", other, None).unwrap().sentences.join("\n");
    let text = said("less");
    assert!(text.contains("is undecided"), "{text}");
    assert!(text.contains("and it holds zero; the sign-flip test has p = 0.031"));
    assert!(!said("worse").contains("decides"), "both say worse");
    lab.study("t", "dd", &[("few", &[0.61, 0.63, 0.60]), ("fewer", &[0.58, 0.597, 0.57])]);
    let text = lab.compare("few", "fewer", None).unwrap().sentences.join("\n");
    assert!(text.contains("and it leaves zero out; the sign-flip test has p = 0.25"), "{text}");
}

#[test]
fn studies_on_the_same_data_pair_and_gaps_are_named() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61, 0.63, 0.60])]);
    lab.study("t", "dd", &[("full", &[0.62, 0.64])]);
    let told = lab.compare("s/full", "t/full", None).unwrap();
    assert_eq!(told.estimate.as_ref().unwrap().n, 2);
    let gap = told.pairs[2].left_out.clone();
    assert_eq!(gap.as_deref(), Some("t/full has no such seed"));
    assert!(told.sentences.iter().any(|s| s.starts_with("1 of 3 seeds is no pair")));
}

#[test]
fn archived_runs_are_left_out() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61, 0.63, 0.60]), ("less", &[0.58, 0.597, 0.57])]);
    let run = RunDir::list(lab.root()).unwrap().remove(0);
    Marks::change(lab.root(), run.path(), |m| m.archived_at = Some(1.0)).unwrap();
    lab.index("s");
    assert_eq!(lab.compare("full", "less", None).unwrap().estimate.unwrap().n, 2);
}

#[test]
fn a_study_beside_another_pairs_arms_of_one_name() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61, 0.63, 0.60]), ("less", &[0.58, 0.597, 0.57])]);
    lab.study("t", "dd", &[("full", &[0.58, 0.597, 0.57]), ("more", &[0.5, 0.5, 0.5])]);
    let mut db = Db::open_read(&Db::file(lab.root())).unwrap();
    let told = against(&mut db, "t", "s", false).unwrap();
    assert_eq!((told.only_here, told.only_there), (vec!["more".into()], vec!["less".into()]));
    let [arm] = told.arms.as_slice() else { panic!("{:?}", told.arms) };
    assert_eq!((arm.here.mean.as_str(), arm.there.mean.as_str()), ("58.2", "61.3"));
    assert_eq!((arm.difference.as_str(), arm.pairs), ("\u{2212}3.1", 3));
    assert_eq!((arm.verdict.as_str(), arm.tone), ("worse", "worse"));
    assert!(arm.sentences[0].starts_with("`t/full` is worse than `s/full` by 3.1 points"));
    assert!(arm.sentences.iter().all(|sentence| sentence != ALONE), "the section says it once");
    let pairs: Vec<i64> = arm.raw_pairs.iter().map(|d| (d * 1000.0).round() as i64).collect();
    assert_eq!(pairs, [-30, -33, -30]);
    let [low, high] = arm.raw_interval95.unwrap();
    assert!(low < arm.raw_difference.unwrap() && arm.raw_difference.unwrap() < high);
    let out = lab.root().join("report");
    crate::report::write(&Db::file(lab.root()), "t", Some("s"), &out, false).unwrap();
    let chart = std::fs::read_to_string(out.join("figures/against.svg")).unwrap();
    assert!(chart.contains("worse than s") && chart.contains(">full<"), "{chart}");
    let itself = against(&mut db, "s", "s", false).unwrap_err().to_string();
    assert!(itself.contains("beside itself"), "{itself}");
    assert!(against(&mut db, "s", "x", false).unwrap_err().to_string().contains("`s`"));
}

#[test]
fn arms_on_other_data_stand_side_by_side_and_are_not_compared() {
    let lab = Lab::new();
    lab.study("s", "dd", &[("full", &[0.61, 0.63])]);
    lab.study("t", "ee", &[("full", &[0.51, 0.53])]);
    let out = lab.root().join("report");
    let page = crate::report::write(&Db::file(lab.root()), "t", Some("s"), &out, false).unwrap();
    let (page, json) = (
        std::fs::read_to_string(page).unwrap(),
        std::fs::read_to_string(out.join("report.json")).unwrap(),
    );
    assert!(page.contains("saw other data: they are never pooled."), "the reason is said");
    assert!(page.contains("not compared") && page.contains(">52.0<") && page.contains(">62.0<"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["against"]["arms"][0]["raw_difference"], serde_json::Value::Null);
    assert!(!out.join("figures/against.svg").exists(), "no pair, no chart");
}
