//! Plans over runs folders that are only written down.

use super::*;

fn study(arms: &[(&str, f64)], seeds: &[u64]) -> Study {
    let arms = arms.iter().map(|(name, lambda)| {
        let mut settings = Settings::default();
        settings.loss.lambda_prim = *lambda;
        crate::spec::Arm {
            name: (*name).into(),
            label: (*name).into(),
            overrides: Arc::default(),
            settings: Arc::new(settings),
            origins: crate::spec::study::Origins::default(),
        }
    });
    Study {
        name: "s".into(),
        question: String::new(),
        file: "s.yaml".into(),
        source: "study: s".into(),
        primary: "mAP".into(),
        equal_within: 0.005,
        seeds: seeds.to_vec(),
        adaptive: None,
        prune: None,
        baseline: "full".into(),
        confirm: vec![],
        devices: vec![],
        arms: arms.collect(),
        slurm: crate::spec::Slurm::default(),
        notes: vec![],
    }
}

#[test]
fn the_seeds_that_holm_needs() {
    let needed = [1, 3, 6, 12, 25].map(seeds_for_family);
    assert_eq!(needed, [6, 7, 8, 9, 10]);
}

#[test]
fn equal_cells_share_a_run_and_teachers_are_shared_by_seed() {
    let runs = tempfile::tempdir().unwrap();
    let study = study(&[("full", 2.0), ("same", 2.0), ("less", 1.0)], &[1, 2]);
    let plan = plan(&study, runs.path()).unwrap();
    assert_eq!((plan.cells.len(), plan.open_runs().len()), (6, 4));
    let same = &plan.cells[2];
    assert_eq!(same.same_as, Some(("full".into(), 1)));
    assert!(same.run.path().ends_with(format!("s/full/seed-1-{}", &same.spec.uid[..8])));
    let teachers: Vec<_> =
        plan.shared.iter().filter(|shared| shared.0 == StageKind::Teacher).collect();
    assert_eq!(teachers.iter().map(|shared| shared.2).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(plan.smallest_p(), 0.5);
}

#[test]
fn a_finished_run_leaves_nothing_to_do_also_for_another_study() {
    let runs = tempfile::tempdir().unwrap();
    let first = plan(&study(&[("full", 2.0)], &[1]), runs.path()).unwrap();
    let run = RunDir::create(runs.path(), &first.cells[0].spec).unwrap();
    std::fs::write(
        run.path().join("end.json"),
        r#"{"state":"done","reason":null,"attempt":1,"step":1,"ended_at":1,"wall_s":1,"cpu_s":1,"peak_bytes":1}"#,
    )
    .unwrap();
    let mut other = study(&[("renamed", 2.0)], &[1]);
    other.name = "t".into();
    let second = plan(&other, runs.path()).unwrap();
    assert!(second.open_runs().is_empty());
    assert_eq!(second.cells[0].run, run);
    assert_eq!(second.cells[0].action(), "nothing");
}

#[test]
fn an_unknown_cell_is_refused_with_what_there_is() {
    let runs = tempfile::tempdir().unwrap();
    let made = || plan(&study(&[("full", 2.0), ("less", 1.0)], &[1, 2]), runs.path()).unwrap();
    let text = made().only("ful", 1).unwrap_err().to_string();
    assert!(text.contains("no arm `ful`") && text.contains("full, less"), "{text}");
    assert!(made().only("full", 3).is_err());
    assert_eq!(made().only("less", 2).unwrap().cells.len(), 1);
}
