//! The generator behind resampling: splitmix64 from a fixed seed, so that the same values give the
//! same interval on every machine. Not for training, which has its own streams in `data`.

/// A counter-based generator of 64-bit words (Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Splitmix(u64);

impl Splitmix {
    /// Starts at a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A whole number below `bound` (0 for a bound of 0). The bias is below `bound` / 2^64.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_published_ones() {
        let mut words = Splitmix::new(1_234_567);
        assert_eq!(words.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(words.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn below_stays_below() {
        let mut words = Splitmix::new(3);
        assert!((0..1000).all(|_| words.below(7) < 7));
        assert_eq!(words.below(0), 0);
    }
}
