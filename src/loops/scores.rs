//! Rows of scores: which may matter, and how many there are in each of many narrow bins. Loops without branches,
//! because which side a score is on cannot be foreseen.

/// Scores looked at together.
const BLOCK: usize = 64;
/// Numbers of 32 bits in a vector of the widest kind.
const LANES: usize = 16;
/// Places of a block's scores, with room for a last vector that is written whole.
type Places = [u32; BLOCK + LANES];

/// Appends the places of the scores that are not known to be below `low`: at or above it, or not finite.
#[allow(unsafe_code, reason = "only some processors have the instructions")]
pub fn not_below(scores: &[f32], low: f32, found: &mut Vec<u32>) {
    let (blocks, rest) = scores.as_chunks::<BLOCK>();
    #[cfg(target_arch = "x86_64")]
    let is_wide = is_x86_feature_detected!("avx512f");
    for (from, block) in (0..).step_by(BLOCK).zip(blocks) {
        let mut places = [0; BLOCK + LANES];
        #[cfg(target_arch = "x86_64")]
        if is_wide {
            // SAFETY: the processor has them
            let count = unsafe { gather_widely(block, from, low, &mut places) };
            found.extend_from_slice(&places[..count]);
            continue;
        }
        // most blocks of a trained network's scores end here
        if block.iter().fold(0, |any, score| any | u32::from(is_not_below(*score, low))) != 0 {
            let count = gather(block, from, low, &mut places);
            found.extend_from_slice(&places[..count]);
        }
    }
    let mut places = [0; BLOCK + LANES];
    let count = gather(rest, (scores.len() - rest.len()) as u32, low, &mut places);
    found.extend_from_slice(&places[..count]);
}

fn is_not_below(score: f32, low: f32) -> bool {
    !(score < low && score > f32::NEG_INFINITY)
}

/// Writes the places of a block's scores that are not below, and returns how many there are.
fn gather(scores: &[f32], from: u32, low: f32, places: &mut Places) -> usize {
    let mut count = 0;
    for (at, score) in (from..).zip(scores) {
        places[count] = at;
        count += usize::from(is_not_below(*score, low));
    }
    count
}

/// The same for sixteen at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "the standard library has no safe way")]
fn gather_widely(scores: &[f32; BLOCK], from: u32, low: f32, places: &mut Places) -> usize {
    use std::arch::x86_64::{
        __m512, __m512i, _CMP_GT_OQ, _CMP_LT_OQ, _mm512_add_epi32, _mm512_cmp_ps_mask,
        _mm512_maskz_compress_epi32, _mm512_set1_epi32, _mm512_set1_ps,
    };
    use std::mem::transmute;
    let mut count = 0;
    for (part, scores) in scores.as_chunks::<LANES>().0.iter().enumerate() {
        // SAFETY: both are 64 bytes of plain numbers
        let scores: __m512 = unsafe { transmute(*scores) };
        let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(scores, _mm512_set1_ps(low));
        let known = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(scores, _mm512_set1_ps(f32::NEG_INFINITY));
        let found = !(below & known);
        if found != 0 {
            let order: [i32; LANES] = std::array::from_fn(|lane| lane as i32);
            // SAFETY: as above
            let order: __m512i = unsafe { transmute(order) };
            let all =
                _mm512_add_epi32(order, _mm512_set1_epi32((from as usize + part * LANES) as i32));
            // SAFETY: as above
            let first: [u32; LANES] = unsafe { transmute(_mm512_maskz_compress_epi32(found, all)) };
            places[count..count + LANES].copy_from_slice(&first);
            count += found.count_ones() as usize;
        }
    }
    count
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
        ((score - self.low) * self.per_unit + 1.0).clamp(0.0, (self.last + 2) as f32) as i32
            as usize
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
        let (mut own, mut bins) = ([0.0; BLOCK], [0; BLOCK]);
        for places in places.chunks(BLOCK) {
            for (own, place) in own.iter_mut().zip(places) {
                *own = scores[*place as usize];
            }
            for (bin, score) in bins.iter_mut().zip(&own) {
                *bin = self.of(*score) as u32;
            }
            for ((place, score), bin) in places.iter().zip(&own).zip(&bins) {
                let bin = *bin as usize;
                // rare, so that the processor foresees it
                if open[bin] | !score.is_finite() {
                    left.push(*place);
                } else {
                    counts[bin] += 1;
                }
            }
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
    fn any_block_is_gathered_alike() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 29 {
                0 => f32::NAN,
                1 => f32::NEG_INFINITY,
                _ => (state >> 16) as f32 / 65536.0,
            }
        };
        for low in [f32::NEG_INFINITY, 0.0, 0.5, 2.0, f32::NAN] {
            let scores: Vec<f32> = (0..10 * BLOCK + 9).map(|_| next()).collect();
            let mut found = Vec::new();
            not_below(&scores, low, &mut found);
            let places = (0..).zip(&scores).filter(|(_, score)| is_not_below(**score, low));
            assert_eq!(found, places.map(|(at, _)| at).collect::<Vec<u32>>(), "{low}");
        }
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
