use super::*;
use crate::spec::Study;
use crate::sweep::plan::plan;

fn planned(lines: &str) -> (tempfile::TempDir, Plan) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.yaml");
    std::fs::write(&file, format!("study: s\n{lines}\n")).unwrap();
    let study = Study::load(&file, &[]).unwrap();
    let plan = plan(&study, &folder.path().join("runs")).unwrap();
    (folder, plan)
}

#[test]
fn costs_are_what_is_left_to_train() {
    let lines = "seeds: 2
train: { steps: 100, decay_at: [] }
loss: { ramp_start: 40 }
teacher: { epochs: 7 }
arms: { full: {}, less: { loss.lambda_prim: 1 }, alone: { train.mode: teacher_only } }";
    let (_folder, plan) = planned(lines);
    let tasks = tasks(&plan);
    let told: Vec<String> = tasks
        .iter()
        .map(|task| format!("{}: {} {}", task.job.label, task.job.batch, task.job.cost))
        .collect();
    let seed = |n: usize| {
        let batch = n - 1;
        [
            format!("teacher of seed {n}: {batch} 7"),
            format!("steps 1-41 of 2 runs, seed {n}: {batch} 41"),
            format!("full seed {n}: {batch} 59"),
            format!("less seed {n}: {batch} 59"),
            format!("alone seed {n}: {batch} 1"),
        ]
    };
    let mut wanted = vec!["the drawn people: 0 1".to_owned()];
    wanted.extend(seed(1).into_iter().chain(seed(2)));
    assert_eq!(told, wanted);
}

#[test]
fn runs_go_where_their_settings_allow() {
    let arms = "arms: { full: {} }";
    let (_cpu, on_cpu) = planned(arms);
    let (_gpu, on_gpu) = planned(&format!("devices: [cuda:1, cuda:0]\n{arms}"));
    assert_eq!(on_gpu.cells[0].spec.settings.train.device, Device::Cuda(0));
    let found = places(&on_gpu, &[], None).unwrap();
    assert_eq!((found.device(0), found.device(1)), (Some(Device::Cuda(1)), Some(Device::Cuda(0))));
    let asked = Slots::parse("cuda:3=2").unwrap();
    let found = places(&on_gpu, &asked, None).unwrap();
    assert_eq!((found.count(), found.device(1)), (2, Some(Device::Cuda(3))));

    let text = places(&on_cpu, &asked, None).unwrap_err().to_string();
    assert!(text.contains("arm `full` says `train.device: cpu`"), "{text}");
    assert!(places(&on_gpu, &Slots::parse("cpu").unwrap(), None).is_err());
    assert_eq!(places(&on_cpu, &[], Some(5)).unwrap().count(), 5);
    assert_eq!(places(&on_cpu, &[], None).unwrap().device(0), None);
    let (_own, own) = planned(&format!("train.device: cuda:2\n{arms}"));
    assert_eq!(places(&own, &[], None).unwrap().device(0), Some(Device::Cuda(2)));
}
