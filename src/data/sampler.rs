//! Which photos make a batch, as pure functions of (seed, stream, step): nothing here has a position
//! to save, so a resumed run sees the photos that a straight one would.

use std::collections::BTreeMap;

use super::rng::Rng;

/// The photos of batch `step`: every epoch of `n / batch` steps is one permutation of `0..n`, cut into
/// batches; the rest that fills no batch is left out of that epoch. Empty when `n < batch` or `batch` is 0.
#[must_use]
pub fn epoch_batch(n: usize, batch: usize, seed: u64, stream: &str, step: u64) -> Vec<usize> {
    let batches = n.checked_div(batch).unwrap_or(0) as u64;
    if batches == 0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..n).collect();
    Rng::new(seed, stream, step / batches).shuffle(&mut order);
    let start = (step % batches) as usize * batch;
    order[start..start + batch].to_vec()
}

/// The photos of every person, for choosing positives.
#[derive(Debug, Clone)]
pub struct People {
    groups: Vec<Vec<usize>>,
    place: Vec<(usize, usize)>,
}

impl People {
    /// Groups photos by the person on each.
    #[must_use]
    pub fn new(people: &[i64]) -> Self {
        let groups = by_person(people);
        let mut place = vec![(0, 0); people.len()];
        for (group, members) in groups.iter().enumerate() {
            for (position, &photo) in members.iter().enumerate() {
                place[photo] = (group, position);
            }
        }
        Self { groups, place }
    }

    /// Another photo of the person on photo `index`, uniformly among the others; the photo itself where
    /// there is none.
    #[must_use]
    pub fn positive(&self, index: usize, rng: &mut Rng) -> usize {
        let (group, position) = self.place[index];
        let members = &self.groups[group];
        let choice = rng.below(members.len().saturating_sub(1));
        if members.len() == 1 { index } else { members[choice + usize::from(choice >= position)] }
    }
}

fn by_person(people: &[i64]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (photo, &person) in people.iter().enumerate() {
        groups.entry(person).or_default().push(photo);
    }
    groups.into_values().collect()
}

/// Splits training photos into (kept, held out): one random photo of every person who has at least three.
/// Both are in ascending order; nobody disappears from the kept ones.
#[must_use]
pub fn hold_out(people: &[i64], seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut held: Vec<usize> = by_person(people)
        .iter()
        .enumerate()
        .filter(|(_, members)| members.len() >= 3)
        .map(|(group, members)| {
            members[Rng::new(seed, "hold_out", group as u64).below(members.len())]
        })
        .collect();
    held.sort_unstable();
    let kept = (0..people.len()).filter(|photo| held.binary_search(photo).is_err()).collect();
    (kept, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_every_photo_once_and_the_next_in_another_order() {
        let epoch = |number: u64| -> Vec<usize> {
            (0..4).flat_map(|step| epoch_batch(12, 3, 5, "a", number * 4 + step)).collect()
        };
        let mut first = epoch(0);
        assert_ne!(first, epoch(1));
        first.sort_unstable();
        assert_eq!(first, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn two_streams_and_two_seeds_differ() {
        let order = |seed, stream| epoch_batch(40, 40, seed, stream, 0);
        assert_ne!(order(1, "a"), order(1, "b"));
        assert_ne!(order(1, "a"), order(2, "a"));
    }

    #[test]
    fn a_set_smaller_than_a_batch_gives_nothing_instead_of_a_panic() {
        assert!(epoch_batch(3, 4, 1, "a", 0).is_empty());
        assert!(epoch_batch(3, 0, 1, "a", 0).is_empty());
        assert!(epoch_batch(0, 4, 1, "a", 7).is_empty());
    }

    #[test]
    fn positives_are_uniform_over_the_persons_other_photos() {
        let people = People::new(&[7, 3, 7, 9, 7]);
        let mut seen = [0_u32; 5];
        for draw in 0..2000 {
            seen[people.positive(2, &mut Rng::new(1, "positive", draw))] += 1;
        }
        assert_eq!((seen[1], seen[2], seen[3]), (0, 0, 0));
        assert!(seen[0].abs_diff(1000) < 100 && seen[4].abs_diff(1000) < 100, "{seen:?}");
        assert_eq!(people.positive(1, &mut Rng::new(1, "positive", 0)), 1);
    }

    #[test]
    fn holding_out_leaves_everybody_at_least_two_photos() {
        let (kept, held) = hold_out(&[1, 1, 1, 2, 2, 3, 4, 4, 4, 4], 3);
        assert_eq!(held.len(), 2);
        assert!(held[0] < 3 && held[1] > 5);
        assert_eq!(kept.len(), 8);
    }
}
