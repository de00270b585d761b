//! Which settings matter, and the hashes that say that two pieces of work are the same. Pure, but for
//! the contents of weight files, which stand for their paths. Where things are kept is the store's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value as Json;

use super::differences;
use super::settings::{
    Appearance, CodeSchedule, Data, Decoder, Device, Discriminator, Drawn, Eval, Feeding, Gan,
    Image, Loss, Mode, Pictures, Precision, Settings, Structure, StructureInput, Teacher,
    TeacherLabels, TeacherSource, Train, Upsample,
};
use super::validate::asks_teacher;

/// Version of the recipe: raised by every change of the program, or of a default, that moves numbers.
/// Runs of different versions are different runs.
pub const RECIPE_VERSION: u32 = 3;

/// Version of what bf16 narrows: raised when the numbers of bf16 move and all others stay. It is part of the
/// identity of joint trainings in bf16 alone.
const BF16_VERSION: u32 = 4;

/// Version of what is measured and drawn of finished weights: raised when an evaluation gains a metric, sums in
/// another order, or pictures change. It is part of those two stages' keys alone, so that nothing is trained again.
const FINISH_VERSION: u32 = 3;

/// Keys of the stages of one run: 32 hex digits each, hashes of what goes in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The data set.
    pub data: String,
    /// The teacher that has to be trained; empty where none is.
    pub teacher: String,
    /// With offline feeding, the training of the generator that feeds; empty otherwise.
    pub generator: String,
    /// The trained weights; the teacher's key in `teacher_only`.
    pub training: String,
    /// The evaluation of the final weights.
    pub evaluation: String,
    /// The pictures of the final weights.
    pub pictures: String,
}

/// The settings with everything that cannot change results back at its default.
///
/// Two runs whose active settings, seed and data are equal are one run.
pub fn active(settings: &Settings) -> Settings {
    let mut a = settings.clone();
    let usual = Train::default();
    a.train.graphs = usual.graphs;
    a.train.log_every = usual.log_every;
    a.train.checkpoint_every = usual.checkpoint_every;
    a.train.loader_workers = usual.loader_workers;
    if a.data.path.is_some() {
        a.data.drawn = Drawn::default();
    }
    if a.image.height > 128 {
        // Only photos of at most 128 rows are ever doubled.
        a.appearance.upsample = Upsample::default();
    }
    if a.augment.erasing == 0.0 {
        let usual = super::settings::Augment::default();
        a.augment.erasing_area = usual.erasing_area;
        a.augment.erasing_aspect = usual.erasing_aspect;
    }
    if let Device::Cuda(_) = a.train.device {
        // which card does not matter, only that it is one
        a.train.device = Device::Cuda(0);
    }
    if a.train.device == Device::Cpu {
        // both are about GPUs
        a.train.deterministic = usual.deterministic;
        if a.train.precision == Precision::Tf32 {
            a.train.precision = Precision::Float32;
        }
    }
    if a.structure.input != StructureInput::Edges {
        a.structure.edge_noise = Structure::default().edge_noise;
    }
    if a.discriminator.gan == Gan::Wgan {
        // a critic is one network of a shape of its own
        let usual = Discriminator::default();
        a.discriminator.scales = usual.scales;
        a.discriminator.residual_blocks = usual.residual_blocks;
        a.discriminator.non_local = usual.non_local;
    }
    match a.train.mode {
        Mode::TeacherOnly => teacher_alone(&mut a),
        Mode::Joint => {
            a.train.decay_at.retain(|step| *step <= a.train.steps);
            teacher_as_asked(&mut a);
            ramps(&mut a.loss);
        }
    }
    a
}

/// Nothing but the teacher and what it is trained on matters.
fn teacher_alone(a: &mut Settings) {
    a.structure = Structure::default();
    a.decoder = Decoder::default();
    a.discriminator = Discriminator::default();
    a.loss = Loss::default();
    // Its evaluation has neither a fine half nor swapped images, and no steps in between.
    a.eval = Eval {
        batch: a.eval.batch,
        multi_query: a.eval.multi_query,
        rerank: a.eval.rerank,
        ..Eval::default()
    };
    a.pictures = Pictures { ranked: a.pictures.ranked, ..Pictures::default() };
    a.appearance = Appearance { upsample: a.appearance.upsample, ..Appearance::default() };
    a.train = Train {
        mode: a.train.mode,
        threads: a.train.threads,
        device: a.train.device,
        precision: a.train.precision,
        deterministic: a.train.deterministic,
        momentum: a.train.momentum,
        weight_decay: a.train.weight_decay,
        ..Train::default()
    };
    a.teacher.count = Teacher::default().count;
    a.teacher.labels = Teacher::default().labels;
    a.teacher.batch_norm = Teacher::default().batch_norm;
    teacher_source(&mut a.teacher);
    // it is evaluated, not believed
    a.teacher.min_accuracy = Teacher::default().min_accuracy;
}

/// The teacher's settings as far as its labels are used.
fn teacher_as_asked(a: &mut Settings) {
    if a.loss.lambda_prim == 0.0 {
        a.teacher = Teacher::default();
    } else if asks_teacher(a) {
        teacher_source(&mut a.teacher);
    } else {
        a.teacher = Teacher { labels: a.teacher.labels, ..Teacher::default() };
    }
}

/// A teacher that is read is not trained, and one that is trained is not read.
fn teacher_source(teacher: &mut Teacher) {
    if teacher.source == TeacherSource::Checkpoint {
        *teacher = Teacher {
            source: teacher.source,
            path: teacher.path.take(),
            // a run that was refused shall run once the bound is lowered
            min_accuracy: teacher.min_accuracy,
            labels: teacher.labels,
            batch_norm: teacher.batch_norm,
            backbone: teacher.backbone,
            width: teacher.width,
            last_stride: teacher.last_stride,
            feature: teacher.feature,
            ..Teacher::default()
        };
    } else {
        teacher.path = None;
        teacher.min_accuracy = Teacher::default().min_accuracy;
    }
}

/// A ramp of weights that are 0 has no shape.
fn ramps(loss: &mut Loss) {
    let usual = Loss::default();
    if loss.lambda_code == 0.0 {
        loss.code_schedule = usual.code_schedule;
    }
    if loss.lambda_perceptual == 0.0 {
        loss.perceptual_weights = None;
    }
    if loss.lambda_fine == 0.0 {
        // the fine head's entropy on real photos is weighted by it
        loss.fine_on_real = usual.fine_on_real;
    }
    let code = loss.lambda_code > 0.0 && loss.code_schedule == CodeSchedule::Ramped;
    let others = loss.lambda_cycle > 0.0 || loss.lambda_prim > 0.0 || loss.lambda_fine > 0.0;
    if !code {
        loss.ramp_steps_code = usual.ramp_steps_code;
    }
    if !others {
        loss.ramp_steps = usual.ramp_steps;
    }
    if !code && !others {
        loss.ramp_start = usual.ramp_start;
    }
    if loss.lambda_code == 0.0 && loss.lambda_cycle == 0.0 {
        loss.train_structure_probability = usual.train_structure_probability;
    }
}

/// Identity of a run: 64 hex digits over active settings, seed, data and recipe.
pub fn run_uid(settings: &Settings, seed: u64, data_key: &str) -> String {
    run_uid_of(&with_contents(active(settings)), seed, data_key)
}

fn run_uid_of(mine: &Settings, seed: u64, data_key: &str) -> String {
    hash_text("run", &trained(mine, seed, data_key, &narrow(mine)))
}

/// Identity and keys at once, for many runs.
pub fn run_keys(settings: &Settings, seed: u64, data_key: &str) -> (String, Keys) {
    let mine = with_contents(active(settings));
    let uid = run_uid_of(&mine, seed, data_key);
    (uid, stage_keys_of(settings, mine, seed, data_key))
}

/// What a training is made from, with `more` entries.
fn trained(settings: &Settings, seed: u64, data_key: &str, more: &str) -> String {
    let (settings, data) = (differences::text(settings), quoted(data_key));
    format!("{{\"settings\":{settings},\"seed\":{seed},\"data\":{data}{more}}}")
}

/// What joint trainings in bf16 have in their identity: a teacher alone has no D.
pub(super) fn narrow_version(settings: &Settings) -> Option<u32> {
    let Train { precision, mode, .. } = settings.train;
    (precision == Precision::Bf16 && mode == Mode::Joint).then_some(BF16_VERSION)
}

/// The same as an entry for [`trained`].
fn narrow(settings: &Settings) -> String {
    narrow_version(settings).map_or_else(String::new, |version| format!(",\"bf16\":{version}"))
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

/// Keys of the stages that a run consists of; `data_key` is [`drawn_key`] or a folder's fingerprint.
pub fn stage_keys(settings: &Settings, seed: u64, data_key: &str) -> Keys {
    stage_keys_of(settings, with_contents(active(settings)), seed, data_key)
}

fn stage_keys_of(settings: &Settings, mut mine: Settings, seed: u64, data_key: &str) -> Keys {
    let short = |kind: &str, input: &str| hash_text(kind, input)[..32].to_owned();
    let teacher = if asks_teacher(&mine) && mine.teacher.source == TeacherSource::Train {
        short("teacher", &trained(&teacher_part(&mine), seed, data_key, ""))
    } else {
        String::new()
    };
    let generator = generator_key(settings, seed, data_key);
    let pictures = std::mem::take(&mut mine.pictures);
    let training = if mine.train.mode == Mode::TeacherOnly && !teacher.is_empty() {
        teacher.clone()
    } else {
        let mut part = Settings { eval: on_the_way(&mine.eval), ..mine.clone() };
        // a guard: whoever passes it is trained alike
        part.teacher.min_accuracy = Teacher::default().min_accuracy;
        let more = format!(",\"teacher\":{}{}", quoted(&teacher), narrow(&mine));
        short("training", &trained(&part, seed, data_key, &more))
    };
    // ranked lists are shown as the evaluation ranks them
    let ranking = if pictures.ranked > 0 { as_ranked(&mine.eval) } else { Eval::default() };
    let shown = Settings { pictures, eval: ranking, ..Settings::default() };
    let eval = Settings { eval: mine.eval, ..Settings::default() };
    let after = |kind: &str, settings: &Settings| {
        let (training, data) = (quoted(&training), quoted(data_key));
        let settings = differences::text(settings);
        let finish = FINISH_VERSION;
        short(
            kind,
            &format!(
                "{{\"training\":{training},\"data\":{data},\"finish\":{finish},\"settings\":{settings}}}"
            ),
        )
    };
    Keys {
        data: data_key.to_owned(),
        generator,
        teacher,
        evaluation: after("evaluation", &eval),
        pictures: after("pictures", &shown),
        training,
    }
}

/// The settings of the training whose generator feeds `E_a` offline; `None` with online feeding.
#[must_use]
pub fn generator_settings(settings: &Settings) -> Option<Settings> {
    let joint = settings.train.mode == Mode::Joint;
    (joint && settings.train.feeding == Feeding::Offline).then(|| {
        let mut generator = settings.clone();
        generator.train.feeding = Feeding::Online;
        generator.loss.lambda_prim = 0.0;
        generator.loss.lambda_fine = 0.0;
        generator
    })
}

/// Key of that training, 32 hex digits; empty with online feeding.
pub(super) fn generator_key(settings: &Settings, seed: u64, data_key: &str) -> String {
    let generator = generator_settings(settings);
    generator.map_or_else(String::new, |settings| stage_keys(&settings, seed, data_key).training)
}

/// The evaluation as far as the curves of a training show it: what is done at the end alone is left out.
pub(super) fn on_the_way(eval: &Eval) -> Eval {
    Eval { every: eval.every, batch: eval.batch, fine_weight: eval.fine_weight, ..Eval::default() }
}

/// The evaluation as far as it decides the order of the gallery.
fn as_ranked(eval: &Eval) -> Eval {
    Eval { batch: eval.batch, fine_weight: eval.fine_weight, ..Eval::default() }
}

/// What goes into the training of a teacher, whoever asks for it.
fn teacher_part(active: &Settings) -> Settings {
    Settings {
        image: Image { ..active.image },
        augment: active.augment.clone(),
        appearance: Appearance { upsample: active.appearance.upsample, ..Appearance::default() },
        teacher: Teacher {
            labels: TeacherLabels::default(),
            batch_norm: Teacher::default().batch_norm,
            ..active.teacher.clone()
        },
        train: Train {
            threads: active.train.threads,
            device: active.train.device,
            precision: active.train.precision,
            deterministic: active.train.deterministic,
            momentum: active.train.momentum,
            weight_decay: active.train.weight_decay,
            ..Train::default()
        },
        ..Settings::default()
    }
}

/// Key of a set of drawn people: 32 hex digits.
pub fn drawn_key(drawn: &Drawn) -> String {
    let data = Data { path: None, drawn: drawn.clone() };
    let settings = Settings { data, ..Settings::default() };
    hash_text("data", &differences::text(&settings))[..32].to_owned()
}

/// A hash that is equal exactly where settings are; for comparing, not for keys.
pub(crate) fn comparable(settings: &Settings) -> [u8; 32] {
    *blake3::hash(differences::text(settings).as_bytes()).as_bytes()
}

/// A map of settings as dotted names and values.
pub(crate) fn flatten(name: &str, value: &Json, out: &mut Vec<(String, Json)>) {
    match value {
        Json::Object(map) => {
            for (key, inner) in map {
                let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&dotted, inner, out);
            }
        }
        value => out.push((name.to_owned(), value.clone())),
    }
}

/// 64 hex digits over the kind of thing, the recipe and what goes in.
pub(super) fn hash(kind: &str, input: &Json) -> String {
    hash_text(kind, &input.to_string())
}

fn hash_text(kind: &str, input: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("dgnet {kind} {RECIPE_VERSION}\n").as_bytes());
    hasher.update(input.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Paths replaced by what they stand for: the data by its key, weight files by their contents.
pub(super) fn with_contents(mut settings: Settings) -> Settings {
    settings.data = Data::default();
    let files = [
        &mut settings.appearance.weights,
        &mut settings.loss.perceptual_weights,
        &mut settings.teacher.path,
        &mut settings.teacher.weights,
        &mut settings.eval.inception_weights,
    ];
    for file in files {
        if let Some(path) = file {
            // A file that has gone keeps its path as identity; the worker will say that it is missing.
            if let Ok(content) = content_hash(Path::new(path)) {
                *file = Some(format!("blake3:{content}"));
            }
        }
    }
    settings
}

/// Hash of a file's contents; remembered as long as its size and time of change stay.
fn content_hash(path: &Path) -> std::io::Result<String> {
    type Known = BTreeMap<std::path::PathBuf, (u64, SystemTime, String)>;
    static KNOWN: Mutex<Known> = Mutex::new(Known::new());
    let meta = std::fs::metadata(path)?;
    let (size, changed) = (meta.len(), meta.modified()?);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, _, hash)) = known.get(path).filter(|(s, c, _)| (*s, *c) == (size, changed)) {
        return Ok(hash.clone());
    }
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    let hash = hasher.finalize().to_hex().to_string();
    known.insert(path.to_path_buf(), (size, changed, hash.clone()));
    Ok(hash)
}
