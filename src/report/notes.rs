//! What people noted on a study and its runs.

use super::facts::{Fact, fact, utc};
use crate::store::marks::Note;
use crate::store::rows::{MarkRow, StudyData};

/// Notes and tags: of the study first, then of its runs in the order of its cells.
#[must_use]
pub fn notes(data: &StudyData) -> Vec<Fact> {
    let label = |mark: &MarkRow| {
        let cell = data.cells.iter().position(|c| c.uid == mark.name);
        match cell.map(|place| (place, &data.cells[place])) {
            _ if mark.of_study => Some((0, data.study.name.clone())),
            Some((place, c)) => Some((place + 1, format!("{} seed {}", c.arm, c.seed))),
            None => None, // archived and left out
        }
    };
    let mut told: Vec<(usize, Fact)> = Vec::new();
    for mark in &data.marks {
        let Some((place, name)) = label(mark) else { continue };
        if !mark.tags.is_empty() {
            told.push((place, fact(&name, format!("tagged {}", mark.tags.join(", ")))));
        }
        let dated = |note: &Note| fact(&name, format!("{}: {}", utc(note.at), note.text));
        told.extend(mark.notes.iter().map(|note| (place, dated(note))));
    }
    told.sort_by_key(|(place, _)| *place);
    told.into_iter().map(|(_, fact)| fact).collect()
}
