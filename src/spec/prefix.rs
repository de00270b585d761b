//! How long two trainings are the same training: until which step their schedules, batches and losses
//! agree, derived from the resolved settings. Pure; who trains the common part is the sweep's business.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::json;

use super::differences;
use super::identity::{active, generator_key, hash, narrow_version, on_the_way, with_contents};
use super::settings::{Discriminator, Loss, Pictures, Settings, Teacher, Train};
use super::step_plan::StepPlan;

/// The course of one training: what every one of its steps depends on besides the weights it finds.
#[derive(Debug, Clone)]
pub struct Course {
    settings: Settings,
    /// Equal for two courses that begin with the same weights and see the same batches.
    begin: Arc<str>,
    teacher: Arc<str>,
}

/// What a step depends on that may change from step to step.
#[derive(Debug, Clone, PartialEq)]
struct Moment<'a> {
    plan: StepPlan,
    /// The teacher whose labels are asked for; empty while nobody asks.
    teacher: &'a str,
}

impl Course {
    /// The course of a joint training; `teacher` is its teacher's key, empty without one.
    #[must_use]
    pub fn new(settings: &Settings, seed: u64, data_key: &str, teacher: &str) -> Self {
        // What may change from step to step is compared step by step; everything else must be equal.
        let lines = settings.train.log_every;
        let painter = generator_key(settings, seed, data_key);
        let settings = active(settings);
        let mut fixed = with_contents(settings.clone());
        let usual = Teacher::default();
        let asked =
            Teacher { labels: usual.labels, batch_norm: usual.batch_norm, ..fixed.teacher.clone() };
        let teacher = json!([teacher, asked]).to_string();
        // weights change from step to step, what the perceptual loss looks with does not
        fixed.loss =
            Loss { perceptual_weights: fixed.loss.perceptual_weights.take(), ..Loss::default() };
        fixed.teacher = Teacher::default();
        fixed.pictures = Pictures::default();
        fixed.eval = on_the_way(&fixed.eval);
        fixed.discriminator =
            Discriminator { penalty: Discriminator::default().penalty, ..fixed.discriminator };
        let usual = Train::default();
        fixed.train = Train {
            steps: usual.steps,
            decay_at: usual.decay_at,
            lr_generator: usual.lr_generator,
            lr_discriminator: usual.lr_discriminator,
            lr_backbone: usual.lr_backbone,
            lr_heads: usual.lr_heads,
            ..fixed.train
        };
        // The common part is written down once, with the lines of whoever trains it.
        let fixed = differences::text(&fixed);
        let begin = match narrow_version(&settings) {
            None => json!([fixed, seed, data_key, lines, painter]),
            Some(version) => json!([fixed, seed, data_key, lines, painter, version]),
        };
        let begin = begin.to_string();
        Self { settings, begin: begin.into(), teacher: teacher.into() }
    }

    /// The last step after which this training may be left to others: one before its end, since the end
    /// of a training is its own.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.settings.train.steps.saturating_sub(1)
    }

    fn moment(&self, step: u64) -> Moment<'_> {
        let mut plan = StepPlan::at(&self.settings, step);
        let asked = plan.weights.prim > 0.0;
        if !asked {
            let usual = Teacher::default();
            (plan.labels, plan.teacher_norm) = (usual.labels, usual.batch_norm);
        }
        if plan.weights.fine == 0.0 {
            plan.fine_on_real = Loss::default().fine_on_real;
        }
        if plan.weights.code == 0.0 && plan.weights.cycle == 0.0 {
            plan.train_structure_probability = Loss::default().train_structure_probability;
        }
        Moment { plan, teacher: if asked { &self.teacher } else { "" } }
    }

    /// The same course with texts shared with others that have them too: a grid has few.
    #[must_use]
    pub fn sharing(mut self, texts: &mut BTreeSet<Arc<str>>) -> Self {
        for text in [&mut self.begin, &mut self.teacher] {
            match texts.get(text) {
                Some(known) => *text = Arc::clone(known),
                None => _ = texts.insert(Arc::clone(text)),
            }
        }
        self
    }

    /// The first step after `step` whose moment may be another one.
    fn constant_until(&self, step: u64) -> u64 {
        StepPlan::constant_until(&self.settings, step)
    }

    /// Steps before `steps` between which nothing changes, from 0.
    fn changes_before(&self, steps: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(0), |step| Some(self.constant_until(*step)))
            .take_while(move |step| *step < steps)
    }

    /// Whether the steps before `steps` ask the teacher.
    #[must_use]
    pub fn asks_teacher_before(&self, steps: u64) -> bool {
        self.changes_before(steps).any(|step| !self.moment(step).teacher.is_empty())
    }

    /// Key of the training up to `steps`: equal for two courses that agree so far, 32 hex digits.
    #[must_use]
    pub fn key(&self, steps: u64) -> String {
        // Schedules are constant for long stretches: each is written once, with the step it begins at.
        let mut changes: Vec<(u64, Moment)> = Vec::new();
        for step in self.changes_before(steps) {
            let moment = self.moment(step);
            if changes.last().is_none_or(|(_, last)| *last != moment) {
                changes.push((step, moment));
            }
        }
        let text = format!("{changes:?}");
        hash("prefix", &json!({ "begin": self.begin, "schedule": text, "steps": steps }))[..32]
            .to_owned()
    }
}

/// A stretch of training from 0 to `steps` that several courses have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Steps in common.
    pub steps: u64,
    /// Positions of the courses, ascending.
    pub courses: Vec<usize>,
    /// Position, in the returned list, of the shorter stretch that this one continues.
    pub after: Option<usize>,
}

/// The stretches that courses have in common, each after the one it continues. A stretch must save at
/// least a twentieth of a training, or starting another process costs more than it brings.
#[must_use]
pub fn shared(courses: &[Course]) -> Vec<Shared> {
    let alike = grouped(0..courses.len(), |at| Arc::clone(&courses[at].begin));
    let stretches = alike.into_par_iter().map(|members| {
        let mut found = Vec::new();
        split(courses, members, 0, None, &mut found);
        found
    });
    let mut all: Vec<Shared> = Vec::new();
    for found in stretches.collect::<Vec<_>>() {
        let before = all.len();
        all.extend(
            found.into_iter().map(|one| Shared { after: one.after.map(|at| at + before), ..one }),
        );
    }
    all
}

/// Members that have the same key, in the order in which keys first come.
fn grouped<K: Hash + Eq>(
    members: impl Iterator<Item = usize>,
    key: impl Fn(usize) -> K,
) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<K, usize> = HashMap::new();
    for at in members {
        let group = *known.entry(key(at)).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(at);
    }
    groups
}

/// Follows `members`, which agree until `from`, to where they part.
fn split(
    courses: &[Course],
    members: Vec<usize>,
    from: u64,
    after: Option<usize>,
    found: &mut Vec<Shared>,
) {
    let Some((&first, others)) = members.split_first().filter(|(_, others)| !others.is_empty())
    else {
        return;
    };
    let limit = members.iter().map(|&at| courses[at].limit()).min().unwrap_or(0);
    // while no schedule moves, members that agree go on agreeing
    let mut until = from;
    while until < limit {
        let moment = courses[first].moment(until);
        if others.iter().any(|&at| courses[at].moment(until) != moment) {
            break;
        }
        let still = members.iter().map(|&at| courses[at].constant_until(until)).min();
        until = still.unwrap_or(limit).min(limit);
    }
    let after = if (until - after.map_or(0, |at: usize| found[at].steps)) * 20 > limit {
        found.push(Shared { steps: until, courses: members.clone(), after });
        Some(found.len() - 1)
    } else {
        after
    };
    let going_on = members.into_iter().filter(|&at| courses[at].limit() > until);
    // a moment as text is equal exactly where the moment is: floats are written out in full
    let groups = grouped(going_on, |at| format!("{:?}", courses[at].moment(until)));
    for group in groups {
        split(courses, group, until, after, found);
    }
}

#[cfg(test)]
mod tests {
    use super::{Course, Shared, shared};
    use crate::spec::settings::{Settings, TeacherLabels};

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.train.steps = 100;
        settings.loss.ramp_start = 30;
        settings.loss.ramp_steps = 10;
        settings.loss.ramp_steps_code = 10;
        settings.train.decay_at = vec![70, 90];
        settings
    }

    fn course(change: impl FnOnce(&mut Settings)) -> Course {
        let mut mine = settings();
        change(&mut mine);
        Course::new(&mine, 1, "data", "teacher")
    }

    fn common(a: &Course, b: &Course) -> u64 {
        shared(&[a.clone(), b.clone()]).first().map_or(0, |stretch| stretch.steps)
    }

    #[test]
    fn trainings_part_where_their_schedules_do() {
        let full = course(|_| {});
        // the first step of a ramp still has weight 0
        assert_eq!(common(&full, &course(|s| s.loss.lambda_prim = 0.0)), 31);
        assert_eq!(common(&full, &course(|s| s.loss.lambda_fine = 0.0)), 31);
        assert_eq!(common(&full, &course(|s| s.loss.fine_on_real = false)), 31);
        assert_eq!(common(&full, &course(|s| s.teacher.count = 2)), 31);
        assert_eq!(common(&full, &course(|s| s.teacher.labels = TeacherLabels::Hard)), 31);
        assert_eq!(common(&full, &course(|s| s.train.decay_at = vec![80])), 70);
        assert_eq!(common(&full, &course(|s| s.train.steps = 200)), 99);
        assert_eq!(common(&full, &course(|s| s.pictures.grid = 2)), 99);
        assert_eq!(common(&full, &course(|s| s.eval.rerank = true)), 99);
        for step in [1, 31, 50] {
            let long = course(|s| s.train.steps = 200);
            assert_eq!(full.key(step), long.key(step), "step {step}");
        }
    }

    #[test]
    fn another_teacher_matters_from_its_first_label_on() {
        let full = course(|_| {});
        let other = Course::new(&settings(), 1, "data", "another teacher");
        assert_eq!(common(&full, &other), 31);
        assert_eq!(full.key(31), other.key(31));
        assert_ne!(full.key(32), other.key(32));
        assert!(!full.asks_teacher_before(31) && full.asks_teacher_before(32));
    }

    #[test]
    fn offline_trainings_share_only_with_the_same_generator() {
        let offline = |change: fn(&mut Settings)| {
            course(|s| {
                s.train.feeding = crate::spec::settings::Feeding::Offline;
                change(s);
            })
        };
        let full = offline(|_| {});
        assert_eq!(common(&full, &offline(|s| s.loss.lambda_prim = 1.0)), 31);
        // the generator's losses are over before E_a's first step, but they made its images
        assert_eq!(common(&full, &offline(|s| s.loss.lambda_img = 1.0)), 0);
    }

    #[test]
    fn trainings_that_look_through_other_eyes_share_nothing() {
        let through = |eyes: &'static str| {
            let mut settings = settings();
            settings.loss.lambda_perceptual = 1.0;
            settings.loss.perceptual_weights = Some(eyes.to_owned());
            Course::new(&settings, 1, "data", "teacher")
        };
        assert!(common(&through("a"), &through("a")) > 0);
        assert_eq!(common(&through("a"), &through("b")), 0);
    }

    #[test]
    fn what_works_from_the_first_step_on_is_never_shared() {
        let full = course(|_| {});
        let others = [
            course(|s| s.loss.lambda_img = 1.0),
            course(|s| s.structure.input = crate::spec::settings::StructureInput::Rgb),
            course(|s| s.loss.lambda_id = 0.0),
            course(|s| s.train.batch = 4),
            course(|s| s.loss.identity_on_positives = false),
            course(|s| s.loss.code_schedule = crate::spec::settings::CodeSchedule::Constant),
            course(|s| s.appearance.detach_code = false),
            course(|s| s.discriminator.gan = crate::spec::settings::Gan::Nsgan),
            course(|s| s.train.adam_weight_decay = false),
            course(|s| s.train.feeding = crate::spec::settings::Feeding::Offline),
            course(|s| s.eval.every = 7),
            course(|s| s.train.lr_heads = 0.3),
            Course::new(&settings(), 2, "data", "teacher"),
            Course::new(&settings(), 1, "other data", "teacher"),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_eq!(common(&full, other), 0, "case {at}");
            assert_ne!(full.key(10), other.key(10), "case {at}");
        }
    }

    #[test]
    fn stretches_are_nested_where_some_go_on_together() {
        let courses = [
            course(|_| {}),
            course(|s| s.loss.lambda_prim = 0.0),
            course(|s| s.train.decay_at = vec![80]),
            course(|s| s.loss.lambda_img = 1.0),
        ];
        let expected = [
            Shared { steps: 31, courses: vec![0, 1, 2], after: None },
            Shared { steps: 70, courses: vec![0, 2], after: Some(0) },
        ];
        assert_eq!(shared(&courses), expected);
    }

    #[test]
    fn a_stretch_too_short_to_pay_is_left() {
        let early = course(|s| s.loss.ramp_start = 2);
        let without = course(|s| {
            s.loss.ramp_start = 2;
            s.loss.lambda_prim = 0.0;
        });
        assert!(shared(&[early, without]).is_empty());
    }
}
