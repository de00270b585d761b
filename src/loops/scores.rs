//! Rows of scores: which may matter, and how many there are in each of many narrow bins. Loops without branches,
//! because which side a score is on cannot be foreseen.

/// Scores looked at together.
const BLOCK: usize = 64;

/// Appends the places of the scores that are not known to be below `low`: at or above it, or not finite.
pub fn not_below(scores: &[f32], low: f32, found: &mut Vec<u32>) {
    let is_found = |score: f32| !(score < low && score > f32::NEG_INFINITY);
    let (blocks, rest) = scores.as_chunks::<BLOCK>();
    let mut gather = |from: usize, scores: &[f32]| {
        let (mut places, mut count) = ([0; BLOCK], 0);
        for (at, score) in scores.iter().enumerate() {
            places[count] = (from + at) as u32;
            count += usize::from(is_found(*score));
        }
        found.extend_from_slice(&places[..count]);
    };
    for (at, block) in blocks.iter().enumerate() {
        // most blocks of a trained network's scores end here
        if block.iter().fold(0, |any, score| any | u32::from(is_found(*score))) != 0 {
            gather(at * BLOCK, block);
        }
    }
    gather(scores.len() - rest.len(), rest);
}

/// Equal bins from one score to another: 1 to `last + 1`. What is below is in bin 0, what is above in bin `last + 2`.
#[derive(Debug, Clone, Copy)]
pub struct Bins {
    low: f32,
    per_unit: f32,
    last: usize,
}

impl Bins {
    /// `None` where a bound is not finite or nothing is between them.
    #[must_use]
    pub fn between(low: f32, high: f32, last: usize) -> Option<Self> {
        let per_unit = last as f32 / (high - low);
        let is_usable = low.is_finite() && per_unit.is_finite() && per_unit > 0.0;
        is_usable.then_some(Self { low, per_unit, last })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.last + 3
    }

    /// The bin of a score; higher scores have the same or a higher one.
    #[must_use]
    pub fn of(&self, score: f32) -> usize {
        // every operation keeps the order of its results, also when it rounds
        ((score - self.low) * self.per_unit + 1.0).clamp(0.0, (self.last + 2) as f32) as usize
    }

    /// Counts the scores at `places` in their bins, but for those in bins that are `open` and those that are not
    /// finite: their places are appended to `left`.
    ///
    /// # Shapes
    /// `open`, `counts`: one a bin.
    pub fn fill(
        &self,
        scores: &[f32],
        places: &[u32],
        open: &[bool],
        counts: &mut [u32],
        left: &mut Vec<u32>,
    ) {
        let mut kept = [0; BLOCK];
        for places in places.chunks(BLOCK) {
            let mut count = 0;
            for place in places {
                let score = scores[*place as usize];
                let bin = self.of(score);
                let is_left = open[bin] | !score.is_finite();
                counts[bin] += u32::from(!is_left);
                kept[count] = *place;
                count += usize::from(is_left);
            }
            left.extend_from_slice(&kept[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_below_are_left_out_and_those_that_say_nothing_stay() {
        let mut scores = vec![-1.0; 200];
        let kept =
            [(0, 0.5), (63, f32::NAN), (64, f32::NEG_INFINITY), (130, 0.25), (199, f32::INFINITY)];
        for (at, score) in kept {
            scores[at] = score;
        }
        scores[131] = 0.25_f32.next_down();
        let mut found = vec![7];
        not_below(&scores, 0.25, &mut found);
        assert_eq!(found, [7, 0, 63, 64, 130, 199]);
        found.clear();
        not_below(&scores, f32::NEG_INFINITY, &mut found);
        assert_eq!(found.len(), 200);
    }

    #[test]
    fn bins_keep_the_order_and_open_ones_are_left_to_the_caller() {
        let bins = Bins::between(-1.0, 1.0, 8).expect("usable");
        let scores = [-9.0, -1.0, -0.3, 0.0, 0.99, 1.0, 1.2, 9.0, f32::NAN];
        let order: Vec<usize> = scores[..8].iter().map(|score| bins.of(*score)).collect();
        assert!(order.is_sorted() && order[0] == 0 && order[1] == 1 && order[7] == 10, "{order:?}");
        let mut open = vec![false; bins.count()];
        open[bins.of(0.0)] = true;
        let (mut counts, mut left) = (vec![0; bins.count()], Vec::new());
        bins.fill(&scores, &[0, 1, 3, 5, 7, 8], &open, &mut counts, &mut left);
        assert_eq!(left, [3, 8]);
        assert_eq!((counts.iter().sum::<u32>(), counts[10], counts[0]), (4, 1, 1));
        assert!(Bins::between(1.0, 1.0, 8).is_none() && Bins::between(f32::NAN, 1.0, 8).is_none());
    }
}
