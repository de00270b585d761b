//! Rules and the arms that they make.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::spec::yaml::{Source, parse};

fn made(text: &str) -> Result<Vec<WrittenArm>, SpecError> {
    let source = Arc::new(Source {
        name: "v.yaml".into(),
        dir: PathBuf::new(),
        text: text.into(),
        has_lines: true,
    });
    arms(&parse(&source)?).map(|(arms, _)| arms)
}

fn names(text: &str) -> Vec<String> {
    made(text).unwrap().into_iter().map(|arm| arm.name).collect()
}

fn refused(text: &str) -> String {
    made(text).map(|arms| arms.len()).unwrap_err().to_string()
}

#[test]
fn a_grid_is_every_combination_but_the_excluded() {
    let text = "- grid: { loss.λ_fine: [0.1, 0.4], loss.lambda_prim: [1, 2] }\n  exclude: { loss.lambda_fine: 0.4, loss.lambda_prim: 1 }\n  include: { loss.lambda_img: 3 }";
    let arms = made(text).unwrap();
    let names: Vec<_> = arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["fine-0.1_prim-1", "fine-0.1_prim-2", "fine-0.4_prim-2", "img-3"]);
    assert_eq!(arms[1].label.as_deref(), Some("λ_fine 0.1, λ_prim 2"));
    assert_eq!(arms[1].layer["loss.lambda_prim"].value, serde_json::json!(2.0));
}

#[test]
fn zip_goes_in_step_and_says_which_list_is_short() {
    assert_eq!(
        names("zip: { loss.lambda_img: [1, 5], loss.lambda_code: [0.5, 1] }"),
        ["img-1_code-0.5", "img-5_code-1"]
    );
    assert_eq!(
        refused("- zip: { loss.lambda_img: [1, 5], loss.lambda_code: [0.5] }"),
        "v.yaml:1:54: `zip`: `loss.lambda_code` has 1 values, `loss.lambda_img` has 2\n    1 | - zip: { loss.lambda_img: [1, 5], loss.lambda_code: [0.5] }\n      |                                                      ^\n  hint: `zip` goes through its lists in step; `grid` combines them"
    );
}

#[test]
fn an_axis_may_depend_on_another() {
    let text = "- grid: { loss.lambda_prim: [0, 2], teacher.labels: [soft, hard] }\n  when: { teacher.labels: { loss.lambda_prim: 2 } }";
    assert_eq!(names(text), ["prim-0", "prim-2_labels-soft", "prim-2_labels-hard"]);
}

#[test]
fn parts_are_taken_away_one_by_one_in_pairs_and_in_all_ways() {
    let of = |rule: &str| {
        names(&format!(
            "- {rule}: [loss.lambda_prim, loss.lambda_fine, {{ structure.input: rgb }}]"
        ))
    };
    assert_eq!(of("leave_one_out"), ["no_prim", "no_fine", "no_input"]);
    assert_eq!(of("add_one_in"), ["only_input", "only_fine", "only_prim"]);
    assert_eq!(of("pairs"), ["no_prim_no_fine", "no_prim_no_input", "no_fine_no_input"]);
    assert_eq!(of("factorial").len(), 7);
    let with =
        "- add_one_in: [loss.lambda_prim, loss.lambda_id]\n  include: { loss.lambda_img: 3 }";
    assert_eq!(names(with), ["only_id", "only_prim", "img-3"]);
    let zero = "- grid: { loss.lambda_prim: [0, 2], structure.input: [gray, rgb] }\n  exclude: [{ loss.lambda_prim: 0.0, structure.input: grey }]";
    assert_eq!(names(zero).len(), 3);
    let arms = made("leave_one_out: [loss.lambda_prim, { structure.input: rgb }]").unwrap();
    assert_eq!(arms[1].layer["structure.input"].value, "rgb");
    assert_eq!(arms[0].label.as_deref(), Some("without λ_prim"));
    assert!(refused("leave_one_out: [loss.lambda_prim, structure.input]").contains("plainly off"));
}

#[test]
fn draws_stay_in_their_ranges_and_depend_on_the_seed_alone() {
    let text = "random: { n: 40, loss.lambda_img: { log: [1, 10] }, loss.lambda_id: [0, 0.5], train.batch: { one_of: [4, 8] } }";
    let of = |text: &str| -> Vec<(f64, f64)> {
        made(text)
            .unwrap()
            .iter()
            .map(|arm| {
                let value = |name: &str| arm.layer[name].value.as_f64().unwrap();
                (value("loss.lambda_img"), value("loss.lambda_id"))
            })
            .collect()
    };
    let points = of(text);
    assert_eq!(points.len(), 40);
    assert!(points.iter().all(|(img, id)| (1.0..=10.0).contains(img) && (0.0..=0.5).contains(id)));
    assert!(points.iter().filter(|(img, _)| *img < 10.0_f64.sqrt()).count().abs_diff(20) < 10);
    assert_eq!(points, of(text));
    assert_ne!(points, of(&text.replace("n: 40", "n: 40, seed: 2")));
    // an even spread leaves no tenth of a range empty
    let even = of("quasi_random: { n: 40, loss.lambda_img: [0, 10], loss.lambda_id: [0, 0.5] }");
    for tenth in 0..10 {
        let low = f64::from(tenth);
        assert!(even.iter().any(|(img, _)| (low..=low + 1.0).contains(img)), "{tenth}");
    }
}

#[test]
fn mistakes_are_named_where_they_are() {
    assert!(refused("- grod: {}").contains("v.yaml:1:3: `vary`: unknown key `grod`\n"));
    assert!(
        refused("- grid: { loss.lambda_imgg: [1] }").contains("did you mean `loss.lambda_img`?")
    );
    assert!(refused("- grid: { loss.lambda_img: [x] }").contains("v.yaml:1:29"));
    assert!(refused("- prefix: a").contains("the rule says nothing"));
    let long = format!("- grid: {{ loss.lambda_img: [0.1] }}\n  prefix: {}\n", "ä".repeat(29));
    assert!(refused(&long).contains("may only have"), "{}", refused(&long));
    assert!(refused("- random: { loss.lambda_img: [1, 2] }").contains("needs `n`"));
    let twice =
        "- grid: { loss.lambda_img: [1] }\n- grid: { data.drawn.ids: [4], loss.lambda_img: [1] }\n";
    assert!(made(twice).is_ok());
    assert!(
        refused("- grid: { structure.width: [2] }\n- grid: { appearance.width: [2] }")
            .contains("two rules make an arm `width-2`")
    );
}

#[test]
fn a_fraction_makes_fewer_arms_and_says_what_is_confounded() {
    let text = "factorial: { settings: [loss.lambda_prim, loss.lambda_fine, loss.lambda_id, { structure.input: rgb }], fraction: 1/2 }";
    let source = Arc::new(Source {
        name: "v.yaml".into(),
        dir: PathBuf::new(),
        text: text.into(),
        has_lines: true,
    });
    let (made, notes) = arms(&parse(&source).unwrap()).unwrap();
    // with the base recipe, half of 16; every arm changes an even number of four settings
    assert_eq!(made.len(), 7);
    assert!(made.iter().all(|arm| arm.layer.len() % 2 == 0));
    assert_eq!(made[0].name, "no_prim_no_fine");
    assert_eq!(
        notes,
        [
            "`factorial`: 1/2 of 4 settings, 8 runs a seed with the base recipe, resolution IV: single settings are free of pairs, pairs are confounded with each other: lambda_prim x lambda_fine = lambda_id x input; lambda_prim x lambda_id = lambda_fine x input; lambda_fine x lambda_id = lambda_prim x input"
        ]
    );
    let of = |list: &str, fraction: &str| {
        format!("- factorial: {{ settings: [{list}], fraction: {fraction} }}")
    };
    let three = "loss.lambda_prim, loss.lambda_fine, loss.lambda_id";
    assert_eq!(names(&of(three, "1/2")).len(), 3);
    assert!(refused(&of(three, "1/4")).contains("1/4 of 3 settings cannot tell them apart"));
    for fraction in ["1/3", "0.5", "2/4", "1/1"] {
        assert!(refused(&of(three, fraction)).contains("expected 1/2, 1/4, 1/8"), "{fraction}");
    }
    assert!(refused("- factorial: { fraction: 1/2 }").contains("`settings` is missing"));
    assert!(
        refused("- factorial: { setings: [loss.lambda_id] }").contains("did you mean `settings`?")
    );
    // the full design in the long form
    assert_eq!(names(&format!("- factorial: {{ settings: [{three}] }}")).len(), 7);
}

#[test]
fn rules_that_make_too_many_arms_are_refused_at_their_line() {
    let list =
        |n: u32| (1..=n).map(|k| format!("{}", f64::from(k) / 8.0)).collect::<Vec<_>>().join(", ");
    let text = format!("- grid: {{ loss.lambda_img: [{0}], loss.lambda_prim: [{0}] }}", list(500));
    let said = refused(&text);
    assert!(said.contains("v.yaml:1:3: the grid has more than 200000 points"), "{said}");
    let parts = "loss.lambda_img, loss.lambda_id, loss.lambda_prim, loss.lambda_fine, loss.lambda_code, loss.lambda_cycle, loss.lambda_adv, augment.pad, augment.erasing, train.weight_decay";
    assert!(names(&format!("- factorial: [{parts}]")).len() == 1023);
}
