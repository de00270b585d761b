//! What settings differ in from the defaults, as the text that identities are hashes of. Sections that are
//! equal to ones seen shortly before are not written out again: the arms of a study differ in few.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::settings::{
    Appearance, Augment, Data, Decoder, Discriminator, Eval, Image, Loss, Pictures, Settings,
    Structure, Teacher, Train,
};

/// Sections remembered of a kind: those of a run, of its teacher and of its parts differ.
const REMEMBERED: usize = 8;

/// The sections of one kind that were written out last, with their text.
struct Recent<S> {
    usual: Option<Json>,
    written: Vec<(S, String)>,
    next: usize,
}

impl<S> Default for Recent<S> {
    fn default() -> Self {
        Self { usual: None, written: Vec::new(), next: 0 }
    }
}

impl<S: PartialEq + Clone + Serialize> Recent<S> {
    /// What differs from `usual`; empty where nothing does.
    fn text(&mut self, section: &S, usual: &S) -> &str {
        if let Some(at) = self.written.iter().position(|(known, _)| known == section) {
            return &self.written[at].1;
        }
        let tree = |section: &S| serde_json::to_value(section).unwrap_or(Json::Null);
        let usual = self.usual.get_or_insert_with(|| tree(usual));
        let text = subtract(tree(section), usual).map_or_else(String::new, |rest| rest.to_string());
        let at = self.next;
        self.next = (at + 1) % REMEMBERED;
        if at < self.written.len() {
            self.written[at] = (section.clone(), text);
        } else {
            self.written.push((section.clone(), text));
        }
        &self.written[at].1
    }
}

macro_rules! by_section {
    ($($name:ident: $section:ty),*) => {
        #[derive(Default)]
        struct Memory { $($name: Recent<$section>),* }

        /// What differs from the defaults as JSON, names in order. Defaults are left out, so a new setting
        /// whose default is the old behaviour forks no identity; a changed default must raise
        /// [`super::identity::RECIPE_VERSION`].
        pub(super) fn text(settings: &Settings) -> String {
            thread_local! { static MEMORY: RefCell<Memory> = RefCell::default(); }
            static USUAL: OnceLock<Settings> = OnceLock::new();
            let usual = USUAL.get_or_init(Settings::default);
            MEMORY.with_borrow_mut(|memory| {
                let mut text = String::from("{");
                $(if settings.$name != usual.$name {
                    let section = memory.$name.text(&settings.$name, &usual.$name);
                    if !section.is_empty() {
                        if text.len() > 1 {
                            text.push(',');
                        }
                        text.push_str(concat!("\"", stringify!($name), "\":"));
                        text.push_str(section);
                    }
                })*
                text.push('}');
                text
            })
        }
    };
}

by_section!(
    appearance: Appearance, augment: Augment, data: Data, decoder: Decoder,
    discriminator: Discriminator, eval: Eval, image: Image, loss: Loss, pictures: Pictures,
    structure: Structure, teacher: Teacher, train: Train
);

fn subtract(mine: Json, usual: &Json) -> Option<Json> {
    match (mine, usual) {
        (Json::Object(mine), Json::Object(usual)) => {
            let sorted: BTreeMap<String, Json> = mine
                .into_iter()
                .filter_map(|(key, value)| {
                    let rest = subtract(value, usual.get(&key).unwrap_or(&Json::Null))?;
                    Some((key, rest))
                })
                .collect();
            (!sorted.is_empty()).then(|| Json::Object(sorted.into_iter().collect::<Map<_, _>>()))
        }
        (mine, usual) => (mine != *usual).then_some(mine),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The whole tree at once, nothing remembered.
    fn plainly(settings: &Settings) -> String {
        let tree = |settings: &Settings| serde_json::to_value(settings).unwrap();
        let rest = subtract(tree(settings), &tree(&Settings::default()));
        rest.unwrap_or_else(|| Json::Object(Map::new())).to_string()
    }

    #[test]
    fn every_section_is_written_as_the_whole_would_be() {
        assert_eq!(text(&Settings::default()), "{}");
        let mut settings = Settings::default();
        for round in 1..=20_u32 {
            settings.loss.lambda_img = f64::from(round) / 8.0;
            settings.train.steps = u64::from(round % 3) + 1;
            settings.image.height = 64;
            settings.data.path = (round % 2 == 0).then(|| format!("a\"{round}\n"));
            settings.appearance.width = 5;
            settings.augment.pad = 3;
            settings.decoder.mlp_width = 9;
            settings.discriminator.scales = 2;
            settings.eval.every = 11;
            settings.pictures.grid = 1;
            settings.structure.dilations = [1, 2, 4];
            settings.teacher.count = 3;
            assert_eq!(text(&settings), plainly(&settings), "round {round}");
        }
        assert_eq!(plainly(&settings).matches("\":{").count(), 12, "every section differs");
    }
}
