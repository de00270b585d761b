//! `step_*.json`: whole training steps in float64 through `train::step`; `state_dict_names.json`.

use std::collections::BTreeMap;

use dgnet::spec::settings::{Settings, StructureInput, TeacherLabels, Upsample};
use dgnet::spec::step_plan::{StepPlan, Weights};
use dgnet_worker::model::teacher::TeacherNet;
use dgnet_worker::model::vgg::Vgg;
use dgnet_worker::train::networks::Networks;
use dgnet_worker::train::step::{Guides, Trainer};
use dgnet_worker::train::terms::{Batch, Draws, Outcome};
use libtest_mimic::Failed;
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::{Differences, unit};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Where the steps are computed: the CPU, or what `DGNET_GOLDEN_DEVICE` names (cuda:0).
pub fn device() -> Device {
    let named = std::env::var("DGNET_GOLDEN_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let wanted = named.clone().try_into();
    let found = wanted.and_then(|wanted| {
        dgnet_worker::compute::device(wanted).map_err(|error| error.to_string())
    });
    found.unwrap_or_else(|error: String| panic!("DGNET_GOLDEN_DEVICE={named}: {error}"))
}

/// `off + amp * (2u - 1)`, rounded to float32 and widened again.
fn filled(name: &str, dims: &[i64], off: f64, amp: f64) -> Tensor {
    let count: i64 = dims.iter().product();
    let values: Vec<f64> = (0..count as u64)
        .map(|i| f64::from((off + amp * (2.0 * unit(name, i) - 1.0)) as f32))
        .collect();
    Tensor::from_slice(&values).view(dims).to_device(device())
}

/// The value that the golden page gives a variable of this name and shape.
fn filled_variable(name: &str, dims: &[i64]) -> Tensor {
    let last = name.rsplit('.').next().unwrap_or_default();
    let fan_in: i64 = dims.iter().skip(1).product();
    let (off, amp) = match last {
        _ if dims.len() >= 2 => (0.0, (6.0 / fan_in as f64).sqrt()),
        "weight" | "gamma" | "running_var" => (1.0, 0.1),
        _ => (0.0, 0.05),
    };
    filled(name, dims, off, amp)
}

fn fill(prefix: &str, store: &mut VarStore) {
    store.double();
    tch::no_grad(|| {
        for (name, mut tensor) in store.variables() {
            let value = filled_variable(&format!("{prefix}.{name}"), &tensor.size());
            tensor.copy_(&value);
        }
    });
}

/// The settings of a case: those it carries, or what the published files say in words of their own. The
/// weights are those of the step, ramps already applied.
fn settings_of(case: &Value) -> Result<Settings, Failed> {
    let mut settings = match case.get("settings") {
        Some(written) => serde_json::from_value(written.clone())?,
        None => published_settings(case),
    };
    let weight = |name: &str| case[name].as_f64();
    let loss = &mut settings.loss;
    loss.lambda_img = number(&case["lambda_img"]);
    loss.lambda_id = number(&case["lambda_id"]);
    loss.lambda_prim = number(&case["lambda_prim"]);
    loss.lambda_fine = number(&case["lambda_fine"]);
    loss.lambda_code = number(&case["lambda_code"]);
    loss.lambda_cycle = number(&case["lambda_cycle"]);
    loss.lambda_adv = weight("lambda_adv").unwrap_or(1.0);
    loss.lambda_perceptual = weight("lambda_perceptual").unwrap_or(0.0);
    (loss.ramp_start, loss.ramp_steps, loss.ramp_steps_code) = (0, 0, 0);
    Ok(settings)
}

fn published_settings(case: &Value) -> Settings {
    let mut settings = Settings::default();
    settings.image.height = number(&case["image"][0]) as u32;
    settings.image.width = number(&case["image"][1]) as u32;
    if case["structure_input"] == "rgb" {
        settings.structure.input = StructureInput::Rgb;
    }
    settings.appearance.last_stride = number(&case["appearance_last_stride"]) as u32;
    settings.teacher.last_stride = number(&case["teacher_last_stride"]) as u32;
    settings.teacher.labels = [
        TeacherLabels::Soft,
        TeacherLabels::Hard,
        TeacherLabels::Static,
        TeacherLabels::Uniform,
        TeacherLabels::TwoLabel,
    ][number(&case["teacher_style"]) as usize];
    settings.appearance.dropout_primary = 0.0;
    settings.appearance.dropout_fine = 0.0;
    settings.appearance.upsample = Upsample::Auto;
    settings.teacher.dropout = 0.0;
    settings
}

/// The teachers and the features of the perceptual loss, filled, with the variables that they live in.
fn guides_of(settings: &Settings, classes: i64) -> (Guides, Vec<VarStore>) {
    let (mut guides, mut stores) = (Guides::default(), Vec::new());
    for k in 0..settings.teacher.count {
        let mut vars = VarStore::new(device());
        let upsample = settings.appearance.upsample;
        guides.teachers.push(TeacherNet::new(&vars.root(), &settings.teacher, upsample, classes));
        fill(&if k == 0 { "teacher".into() } else { format!("teacher{k}") }, &mut vars);
        stores.push(vars);
    }
    if settings.loss.lambda_perceptual > 0.0 {
        let mut vars = VarStore::new(device());
        guides.perceptual = Some(Vgg::new(&vars.root()));
        fill("vgg", &mut vars);
        stores.push(vars);
    }
    (guides, stores)
}

struct Case {
    trainer: Trainer,
    _guides_vars: Vec<VarStore>,
    plan: StepPlan,
    batch: i64,
    image: [i64; 2],
    train_structure: bool,
    /// Whether the file counts the unused `id.model.fc`, which we do not build, as part of E_a.
    counts_unused: bool,
}

impl Case {
    fn new(case: &Value) -> Result<Self, Failed> {
        let settings = settings_of(case)?;
        let classes = number(&case["num_ids"]) as i64;
        let mut networks = Networks::new(&settings, classes, 0, device());
        fill("gen", &mut networks.gen_vars);
        fill("id", &mut networks.id_vars);
        fill("dis", &mut networks.dis_vars);
        let (guides, guides_vars) = guides_of(&settings, classes);
        Ok(Self {
            plan: StepPlan::at(&settings, 0),
            trainer: Trainer::new(networks, guides, &settings, classes),
            _guides_vars: guides_vars,
            batch: number(&case["batch"]) as i64,
            image: [i64::from(settings.image.height), i64::from(settings.image.width)],
            train_structure: case["reencode_updates_encoder"] == true,
            counts_unused: case.get("settings").is_none(),
        })
    }

    fn batch(&self, step: usize, expected: &Value) -> Batch {
        let [height, width] = self.image;
        let input = |name: &str| {
            filled(&format!("input.{name}.{step}"), &[self.batch, 3, height, width], 0.0, 2.0)
        };
        let labels = |name: &str| -> Vec<i64> {
            expected[name]
                .as_array()
                .into_iter()
                .flatten()
                .map(|label| number(label) as i64)
                .collect()
        };
        Batch {
            x: Tensor::cat(&[input("x_a"), input("x_b")], 0),
            positive: Tensor::cat(&[input("xp_a"), input("xp_b")], 0),
            erased: None,
            labels: Tensor::from_slice(&[labels("labels_a"), labels("labels_b")].concat())
                .to_device(device()),
        }
    }
}

/// Tolerances of a step: the second one amplifies the last bits of the first.
struct Tolerances {
    tensors: f64,
    gradients: f64,
    after: f64,
    parameters: f64,
}

const FIRST: Tolerances =
    Tolerances { tensors: 1e-7, gradients: 1e-7, after: 1e-7, parameters: 1e-7 };
const LATER: Tolerances =
    Tolerances { tensors: 1e-4, gradients: 5e-3, after: 5e-4, parameters: 1e-6 };

fn compare_tensor(to: &mut Differences, name: &str, got: &Tensor, want: &Value, tolerance: f64) {
    let shape: Vec<i64> =
        want["shape"].as_array().into_iter().flatten().map(|d| number(d) as i64).collect();
    to.check(
        &format!("{name} shape {:?} against {shape:?}", got.size()),
        f64::from(got.size() == shape),
        1.0,
        1.0,
        0.0,
    );
    let flat = got.detach().contiguous().view([-1]).to_kind(Kind::Double);
    let (mean, std) =
        (flat.mean(None::<Kind>).double_value(&[]), flat.std(false).double_value(&[]));
    let l2 = flat.square().sum(None::<Kind>).double_value(&[]).sqrt();
    let spread = number(&want["std"]);
    let relative = |value: f64| value.abs().max(spread);
    to.check(
        &format!("{name} mean"),
        mean,
        number(&want["mean"]),
        relative(number(&want["mean"])),
        tolerance,
    );
    to.check(&format!("{name} std"), std, spread, spread, tolerance);
    to.check(&format!("{name} l2"), l2, number(&want["l2"]), number(&want["l2"]), tolerance);
    for pair in want["at"].as_array().into_iter().flatten() {
        let (index, value) = (number(&pair[0]) as i64, number(&pair[1]));
        if index < flat.size()[0] {
            to.check(
                &format!("{name}[{index}]"),
                flat.double_value(&[index]),
                value,
                relative(value),
                tolerance,
            );
        } else {
            to.check(&format!("{name} has an element {index}"), 0.0, 1.0, 1.0, 0.0);
        }
    }
}

/// The tensors of the golden files by their names there.
fn tensors_of(outcome: &Outcome, batch: i64) -> BTreeMap<String, Tensor> {
    let mut named = BTreeMap::new();
    let forward = &outcome.forward;
    let part = |x: &Tensor, k: i64| x.narrow(0, k * batch, batch);
    let mut put = |name: String, tensor: Tensor| named.insert(name, tensor);
    for (k, side) in [(0, "a"), (1, "b")] {
        put(format!("s_{side}"), part(&forward.structure, k));
        put(format!("f_{side}"), part(&forward.appearance, k));
        put(format!("x_{side}_recon"), part(&forward.own, k));
        put(format!("x_{side}_recon_p"), part(&forward.positive, k));
        for (stem, offset) in [("p", 0), ("pp", 2)] {
            put(format!("{stem}_{side}.0"), part(&forward.primary, k + offset));
            put(format!("{stem}_{side}.1"), part(&forward.fine, k + offset));
        }
        for (scale, map) in outcome.judged.iter().enumerate() {
            put(format!("dis_x_{side}.{scale}"), part(map, k));
        }
    }
    put("x_ba".into(), part(&forward.swapped, 0));
    put("x_ab".into(), part(&forward.swapped, 1));
    named
}

/// The losses of the golden files by their names there.
fn losses_of(outcome: &Outcome, w: &Weights) -> BTreeMap<&'static str, f64> {
    let l = &outcome.losses;
    let value = |x: &Tensor| x.double_value(&[]);
    let at = |pair: &Tensor, k: i64| pair.double_value(&[k]);
    let teacher =
        if w.prim > 0.0 { value(&l.prim) + w.fine / w.prim * value(&l.fine) } else { 0.0 };
    BTreeMap::from([
        ("dis_reg", value(&outcome.dis_penalty)),
        ("loss_dis_total", value(&outcome.dis)),
        ("loss_gen_total", value(&outcome.total)),
        ("loss_id", value(&l.id_s.x) + w.fine * value(&l.id_s.fine)),
        ("loss_pid", value(&l.id_s.positive)),
        ("loss_gen_recon_id", value(&l.id_c)),
        ("loss_teacher", teacher),
        ("loss_prim", value(&l.prim)),
        ("loss_fine", value(&l.fine)),
        ("loss_perceptual", l.perceptual.sum(None::<Kind>).double_value(&[])),
        ("loss_gen_recon_x_a", at(&l.img_1, 0)),
        ("loss_gen_recon_x_b", at(&l.img_1, 1)),
        ("loss_gen_recon_xp_a", at(&l.img_2, 0)),
        ("loss_gen_recon_xp_b", at(&l.img_2, 1)),
        ("loss_gen_recon_f_a", at(&l.code_1, 0)),
        ("loss_gen_recon_f_b", at(&l.code_1, 1)),
        ("loss_gen_recon_s_a", at(&l.code_2, 0)),
        ("loss_gen_recon_s_b", at(&l.code_2, 1)),
        ("loss_gen_cycrecon_x_a", at(&l.cycle, 0)),
        ("loss_gen_cycrecon_x_b", at(&l.cycle, 1)),
        ("loss_gen_adv_a", at(&l.adv, 0)),
        ("loss_gen_adv_b", at(&l.adv, 1)),
    ])
}

fn gradient_norm(trainer: &Trainer, name: &str) -> f64 {
    let (net, prefix) = name.split_once('.').unwrap_or((name, ""));
    match net {
        "gen" => trainer.gen_optim.flat.gradient_norm(prefix),
        "id" => trainer.id_optim.flat.gradient_norm(prefix),
        _ => trainer.dis_optim.flat.gradient_norm(prefix),
    }
}

fn store_of<'a>(trainer: &'a Trainer, net: &str) -> &'a VarStore {
    trainer
        .networks
        .stores()
        .into_iter()
        .find(|(name, _)| *name == net)
        .map_or(&trainer.networks.gen_vars, |s| s.1)
}

/// L2 norm of all parameters of a net.
fn parameter_norm(case: &Case, net: &str) -> f64 {
    let square = |x: &Tensor| x.detach().square().sum(None::<Kind>).double_value(&[]);
    let own: f64 = store_of(&case.trainer, net).trainable_variables().iter().map(square).sum();
    let unused: f64 = if net == "id" && case.counts_unused {
        [("id.model.fc.weight", [1000_i64, 2048].as_slice()), ("id.model.fc.bias", &[1000])]
            .iter()
            .map(|(name, dims)| square(&filled_variable(name, dims)))
            .sum()
    } else {
        0.0
    };
    (own + unused).sqrt()
}

fn variable(trainer: &Trainer, name: &str) -> Option<Tensor> {
    let (net, rest) = name.split_once('.')?;
    let rest =
        rest.replace("dec.last_conv", "dec.model.8.conv").replace("first_conv", "cnns.0.0.conv");
    store_of(trainer, net).variables().remove(&rest)
}

/// Compares every tensor, loss, gradient norm and updated parameter of a `step_*.json`.
pub fn steps(golden: &Value) -> Result<(), Failed> {
    let mut case = Case::new(&golden["case"])?;
    let mut differences = Differences::default();
    for (k, expected) in golden["steps"].as_array().into_iter().flatten().enumerate() {
        let tolerances = if k == 0 { FIRST } else { LATER };
        let draws = Draws { train_structure: case.train_structure, dropout: (0, k as u64) };
        let batch = case.batch(k, expected);
        let outcome = case.trainer.step(&batch, &case.plan, draws);
        let each = |field: &str| expected[field].as_object().cloned().unwrap_or_default();
        let tensors = tensors_of(&outcome, case.batch);
        for (name, want) in each("tensors") {
            let got = tensors.get(&name).ok_or_else(|| format!("no tensor is known as {name}"))?;
            compare_tensor(
                &mut differences,
                &format!("step {k}: {name}"),
                got,
                &want,
                tolerances.tensors,
            );
        }
        let losses = losses_of(&outcome, &case.plan.weights);
        for (name, want) in each("losses") {
            let got =
                losses.get(name.as_str()).ok_or_else(|| format!("no loss is known as {name}"))?;
            let want = number(&want);
            differences.check(
                &format!("step {k}: {name}"),
                *got,
                want,
                want.abs(),
                tolerances.tensors,
            );
        }
        for (name, want) in each("grad_l2") {
            let (got, want) = (gradient_norm(&case.trainer, &name), number(&want));
            differences.check(
                &format!("step {k}: gradient of {name}"),
                got,
                want,
                want,
                tolerances.gradients,
            );
        }
        for (name, want) in each("param_l2_after") {
            let (got, want) = (parameter_norm(&case, &name), number(&want));
            differences.check(
                &format!("step {k}: norm of {name} after"),
                got,
                want,
                want,
                tolerances.parameters,
            );
        }
        for (name, want) in each("after") {
            let got = variable(&case.trainer, &name)
                .ok_or_else(|| format!("no variable is known as {name}"))?;
            compare_tensor(
                &mut differences,
                &format!("step {k}: {name} after"),
                &got,
                &want,
                tolerances.after,
            );
        }
    }
    differences.verdict()
}

/// Names and shapes of all four networks at the paper's size are those of public checkpoints.
pub fn names(golden: &Value) -> Result<(), Failed> {
    let settings = Settings::default();
    let networks = Networks::new(&settings, 751, 0, Device::Cpu);
    let teacher_vars = VarStore::new(Device::Cpu);
    let _teacher =
        TeacherNet::new(&teacher_vars.root(), &settings.teacher, settings.appearance.upsample, 751);
    let mut stores = networks.stores();
    stores.push(("teacher", &teacher_vars));
    for (net, store) in stores {
        let shape = |tensor: &Tensor| tensor.size();
        let ours: BTreeMap<String, Vec<i64>> =
            store.variables().iter().map(|(name, tensor)| (name.clone(), shape(tensor))).collect();
        // counters, AdaIN's unused buffers and the unused classifier of the backbone are not built
        let unused = |name: &str| {
            name.ends_with("num_batches_tracked")
                || name.starts_with("model.fc.")
                || (name.starts_with("dec.") && name.contains("running_"))
        };
        let dims = |shape: &Value| {
            shape.as_array().into_iter().flatten().map(|d| number(d) as i64).collect()
        };
        let entries: Vec<(String, Value)> = match &golden[net] {
            Value::Object(map) => map.clone().into_iter().collect(),
            Value::Array(list) => list
                .iter()
                .map(|e| (e[0].as_str().unwrap_or_default().to_owned(), e[1].clone()))
                .collect(),
            _ => Vec::new(),
        };
        let published: BTreeMap<String, Vec<i64>> = entries
            .into_iter()
            .filter(|(name, _)| !unused(name))
            .map(|(name, s)| (name, dims(&s)))
            .collect();
        if ours != published {
            let differing: Vec<_> = ours
                .iter()
                .filter(|(name, shape)| published.get(*name) != Some(*shape))
                .chain(published.iter().filter(|(name, _)| !ours.contains_key(*name)))
                .take(10)
                .collect();
            return Err(format!("{net}: names or shapes differ: {differing:?}").into());
        }
    }
    Ok(())
}
