//! Every switch of the paper and the release trains, through both executables.

use crate::support::{Place, TINY};

/// TINY with these arms only, and photos that a critic can halve.
fn study(arms: &str) -> String {
    let (head, _) = TINY.split_once("arms:").unwrap();
    let head = head
        .replace("question: does it run?", "question: which switch?")
        .replace("confirm: [teacher_only]\n", "")
        .replace("steps: 16", "steps: 6");
    format!("{head}arms:{arms}")
}

const ARMS: &str = "
  full: {}
  edges: { structure.input: edges }
  attached: { appearance.detach_code: false }
  slim: { decoder: { block: slim, non_local: true } }
  series: { decoder: { block: series, tanh: true } }
  parallel: { decoder: { block: parallel, dropout: 0.2 } }
  nsgan: { discriminator: { gan: nsgan, non_local: both } }
  wgan: { discriminator: { gan: wgan, penalty: 0.1 } }
  log: { discriminator: { gan: log, penalty: 0 } }
  two_teachers: { teacher.count: 2 }
  equations: { loss: { identity_on_positives: false, fine_on_real: false, code_schedule: constant } }
  no_decay: { train.adam_weight_decay: false }
  offline: { train.feeding: offline }
  offline_fine: { train.feeding: offline, loss.lambda_prim: 0 }
";

#[test]
fn every_switch_trains_and_moves_numbers() {
    let place = Place::new();
    place.study(&study(ARMS));
    let plan = place.succeed(&["plan", "tiny.yaml"]);
    assert!(plan.contains("generator, "), "{plan}");
    place.succeed(&["sweep", "tiny.yaml"]);
    let rows = place.succeed(&[
        "query",
        "select arm, group_concat(metric || value) from last_values where metric in ('loss_total', 'loss_adv', 'loss_prim', 'recon_l1_ratio') group by arm",
        "--format",
        "csv",
    ]);
    assert_eq!(rows.lines().count(), 15, "every arm is done: {rows}");
    let values: std::collections::BTreeSet<&str> = rows
        .lines()
        .skip(1)
        .filter_map(|row| row.split_once(','))
        .map(|(_, values)| values)
        .collect();
    assert_eq!(values.len(), 14, "a switch that moves nothing does nothing: {rows}");
    let trainings = std::fs::read_dir(place.runs().join(".stages/training")).unwrap().flatten();
    let whole = trainings.filter(|entry| entry.path().join("weights.safetensors").is_file());
    assert_eq!(whole.count(), 15, "one generator feeds both offline arms");
}
