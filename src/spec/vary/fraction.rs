//! Fractions of two-level factorial designs: which runs estimate most with few, and what is then confounded
//! with what. Settings are numbered; no names and no values here.

/// Settings of a fraction, at most.
pub(super) const MAX_SETTINGS: usize = 9;

/// A regular fraction. Sets of settings are bit masks; the runs are closed under exclusive or, and the run
/// without any change is one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fraction {
    settings: usize,
    /// Words of the defining relation but the empty one: products of settings that are the same in all runs.
    pub words: Vec<u32>,
}

impl Fraction {
    /// The fraction of 2^settings runs by 2^-halvings with minimum aberration (Fries and Hunter 1980,
    /// Technometrics 22:601): the shortest words of its defining relation are as long as possible, and
    /// as few. Found by trying every choice of generators, the first of equals in the order of the masks.
    /// `None` where no such fraction tells all settings apart.
    pub fn best(settings: usize, halvings: usize) -> Option<Self> {
        let basic = settings.checked_sub(halvings).filter(|basic| *basic >= 2)?;
        // a further setting follows the product of two basic ones or more
        let products: Vec<u32> =
            (1..1_u32 << basic).filter(|product| product.count_ones() >= 2).collect();
        let mut best: Option<(Vec<usize>, Vec<u32>)> = None;
        let mut chosen = Vec::new();
        try_all(&products, halvings, &mut chosen, &mut |chosen| {
            let words = words(chosen, basic);
            let lengths: Vec<usize> = (1..=settings)
                .map(|length| words.iter().filter(|w| w.count_ones() as usize == length).count())
                .collect();
            if best.as_ref().is_none_or(|(least, _)| lengths < *least) {
                best = Some((lengths, words));
            }
        });
        let (_, mut words) = best?;
        words.sort_by_key(|word| (word.count_ones(), *word));
        Some(Self { settings, words })
    }

    /// Length of the shortest word.
    pub fn resolution(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).min().unwrap_or(u32::MAX)
    }

    /// The runs: which settings are changed, the run without changes left out.
    pub fn runs(&self) -> Vec<u32> {
        let even =
            |run: u32| self.words.iter().all(|word| (word & run).count_ones().is_multiple_of(2));
        (1..1_u32 << self.settings).filter(|run| even(*run)).collect()
    }

    /// Other effects of at most two settings that are estimated together with this one.
    pub fn aliases(&self, effect: u32) -> Vec<u32> {
        let others = self.words.iter().map(|word| word ^ effect);
        let mut short: Vec<u32> = others.filter(|other| other.count_ones() <= 2).collect();
        short.sort_by_key(|other| (other.count_ones(), *other));
        short
    }
}

/// Calls `each` with every choice of `count` products.
fn try_all(products: &[u32], count: usize, chosen: &mut Vec<u32>, each: &mut impl FnMut(&[u32])) {
    if count == 0 {
        return each(chosen);
    }
    for (at, product) in products.iter().enumerate() {
        chosen.push(*product);
        try_all(&products[at + 1..], count - 1, chosen, each);
        chosen.pop();
    }
}

/// All products of the generators' words.
fn words(generators: &[u32], basic: usize) -> Vec<u32> {
    let mut words = Vec::new();
    for (at, product) in generators.iter().enumerate() {
        let word = product | 1 << (basic + at);
        let with: Vec<u32> = words.iter().map(|other| other ^ word).collect();
        words.push(word);
        words.extend(with);
    }
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Resolutions and numbers of shortest words in the published tables of minimum-aberration
    /// designs (Wu and Hamada 2009, tables 5A.1 to 5A.3).
    const PUBLISHED: [(usize, usize, u32, usize); 19] = [
        (3, 1, 3, 1),
        (4, 1, 4, 1),
        (5, 1, 5, 1),
        (5, 2, 3, 2),
        (6, 1, 6, 1),
        (6, 2, 4, 3),
        (6, 3, 3, 4),
        (7, 1, 7, 1),
        (7, 2, 4, 1),
        (7, 3, 4, 7),
        (7, 4, 3, 7),
        (8, 1, 8, 1),
        (8, 2, 5, 2),
        (8, 3, 4, 3),
        (8, 4, 4, 14),
        (9, 2, 6, 3),
        (9, 3, 4, 1),
        (9, 4, 4, 6),
        (9, 5, 3, 4),
    ];

    #[test]
    fn fractions_have_the_resolution_of_the_published_tables() {
        for (settings, halvings, resolution, shortest) in PUBLISHED {
            let fraction = Fraction::best(settings, halvings).unwrap();
            let count = fraction.words.iter().filter(|w| w.count_ones() == resolution).count();
            let found = (fraction.resolution(), count);
            assert_eq!(found, (resolution, shortest), "{settings} settings, {halvings} halvings");
        }
    }

    #[test]
    fn resolution_is_what_the_runs_show() {
        // computed from the runs alone: the fewest settings whose product is the same in all of them
        for (settings, halvings, resolution, _) in PUBLISHED {
            let mut runs = Fraction::best(settings, halvings).unwrap().runs();
            runs.push(0);
            assert_eq!(runs.len(), 1 << (settings - halvings));
            let constant = |set: u32| {
                let odd = runs.iter().filter(|run| (*run & set).count_ones() % 2 == 1).count();
                odd == 0 || odd == runs.len()
            };
            let least = (1..1_u32 << settings).filter(|set| constant(*set));
            assert_eq!(least.map(u32::count_ones).min(), Some(resolution));
            // each setting is changed in half of the runs
            for setting in 0..settings {
                let changed = runs.iter().filter(|run| *run >> setting & 1 == 1).count();
                assert_eq!(changed * 2, runs.len());
            }
        }
    }

    #[test]
    fn aliases_are_estimated_by_the_same_contrast() {
        let fraction = Fraction::best(4, 1).unwrap();
        assert_eq!(fraction.aliases(0b0011), [0b1100]);
        assert!(fraction.aliases(0b0001).is_empty());
        let third = Fraction::best(3, 1).unwrap();
        assert_eq!(third.aliases(0b001), [0b110]);
        assert_eq!(Fraction::best(3, 2), None);
        assert_eq!(Fraction::best(4, 3), None);
    }
}
