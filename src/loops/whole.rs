//! Rough products of rows of features in whole numbers of 16 bits, which processors with AVX-512 VNNI multiply and add
//! twice as fast as numbers of 32 bits, and a bound on how far each product may be off.
//!
//! A row x becomes whole numbers w and a unit u, so that x is nearly u w. The products of a block of features are
//! summed without any rounding in 32 bits: by Cauchy-Schwarz no sum of some of them is above the product of both
//! blocks' norms, so units are as large as those norms need. The sums of blocks are added in floating point.

use std::sync::Mutex;

pub use instructions::is_available;

/// Features whose products are summed in whole numbers. Fewer would allow smaller units, and cost more additions; of 16, 32
/// and 64, rankings are fastest so.
const BLOCK: usize = 32;
/// Pairs of features of a block: an instruction multiplies and adds pairs.
const PAIRS: usize = BLOCK / 2;
/// Numbers of 32 bits that an instruction works on.
const LANES: usize = 16;
/// Photos multiplied at once.
const WIDE: usize = 2 * LANES;
/// Queries multiplied at once: the sums of a block and those of all blocks, 16 vectors each, nearly fit into the 32
/// registers. More would be fewer loads, but as fast or slower, and there would be more zeros in the last tile.
pub const TALL: usize = 8;
/// Panels that a thread takes at once; at 1024 features they fill a quarter of its second cache.
const TAKEN: usize = 4;

/// Rows of features in whole numbers.
pub struct Whole {
    dims: usize,
    rows: usize,
    panels: Vec<Panel>,
    /// The largest length and the largest distance of all finite rows.
    longest: f64,
    farthest: f64,
}

/// `WIDE` rows in whole numbers; the last one of all may have fewer, and zeros for the rest.
#[derive(Default)]
struct Panel {
    blocks: Vec<[Pairs; PAIRS]>,
    /// What 1 stands for in each row; not a number where the row is not finite.
    units: [f32; WIDE],
    /// No row, as given or in whole numbers, is longer.
    lengths: [f64; WIDE],
    /// From each row as given to the same in whole numbers.
    distances: [f64; WIDE],
}

/// A pair of features of each row of a panel, the first in the lower half.
type Pairs = [[i32; LANES]; WIDE / LANES];

/// `TALL` rows to be multiplied with panels, zeros where there are fewer.
struct Tile {
    blocks: Vec<[[i32; TALL]; PAIRS]>,
    units: [f32; TALL],
}

impl Whole {
    /// Rounds rows, on `threads` threads.
    ///
    /// # Shapes
    /// `rows`: any number of rows of `dims` features.
    ///
    /// # Panics
    /// Where the instructions are not [available](is_available).
    #[must_use]
    pub fn of(rows: &[f32], dims: usize, threads: usize) -> Self {
        let parts = rows.chunks(WIDE * dims);
        let mut panels = Vec::new();
        panels.resize_with(parts.len(), Panel::default);
        share(panels.iter_mut().zip(parts), threads, |(panel, rows)| {
            *panel = instructions::panel(rows, dims);
        });
        // `max` passes over what is not a number
        let longest = panels.iter().flat_map(|panel| panel.lengths).fold(0.0, f64::max);
        let farthest = panels.iter().flat_map(|panel| panel.distances).fold(0.0, f64::max);
        Self { dims, rows: rows.len() / dims, panels, longest, farthest }
    }

    /// How many there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// No finite row, as given or in whole numbers, is longer.
    #[must_use]
    pub fn longest(&self) -> f64 {
        self.longest
    }

    /// How far a finite one of the [`products`] of a row with the rows of `others` may be from that of the rows as
    /// given. Not a number where the row is not finite, as its products.
    ///
    /// What the whole numbers q', g' miss is q g - q' g' = q (g - g') + (q - q') g'. Then a block's sum is rounded,
    /// and each addition, and two multiplications by units (Higham, Accuracy and Stability of Numerical Algorithms,
    /// 3.1); features and products too small for 32 bits are lost.
    #[must_use]
    pub fn margin(&self, row: usize, others: &Self) -> f64 {
        let panel = &self.panels[row / WIDE];
        let (length, distance) = (panel.lengths[row % WIDE], panel.distances[row % WIDE]);
        let missed = length * others.farthest + distance * others.longest;
        let roundings = (self.dims.div_ceil(BLOCK) + 2) as f64 * f64::from(f32::EPSILON) / 2.0;
        let rounded = roundings / (1.0 - roundings) * length * others.longest;
        let tiny = self.dims as f64 * f64::from(f32::MIN_POSITIVE);
        above(missed + rounded + tiny * (length + others.longest + 1.0))
    }

    /// The rows from a given one on.
    fn tiles(&self, from: usize, count: usize) -> Vec<Tile> {
        assert!(from + count <= self.rows, "rows {from} to {} of {}", from + count, self.rows);
        let tile = |from: usize, count: usize| {
            let blocks = vec![[[0; TALL]; PAIRS]; self.dims.div_ceil(BLOCK)];
            let mut tile = Tile { blocks, units: [0.0; TALL] };
            for lane in 0..count {
                let (panel, row) = (&self.panels[(from + lane) / WIDE], (from + lane) % WIDE);
                tile.units[lane] = panel.units[row];
                for (to, from) in tile.blocks.iter_mut().zip(&panel.blocks) {
                    for (to, from) in to.iter_mut().zip(from) {
                        to[lane] = from[row / LANES][row % LANES];
                    }
                }
            }
            tile
        };
        (0..count).step_by(TALL).map(|at| tile(from + at, TALL.min(count - at))).collect()
    }
}

/// Writes the rough products of the queries from a given one on with every gallery photo, row by row, until the slice
/// is full. Those of rows that are not finite are not numbers, and some of rows longer than 1e18 may be infinite. They
/// are the same with any number of threads.
///
/// # Panics
/// Where there are fewer queries, other features than of the gallery, or scores for a part of a row.
pub fn products(queries: &Whole, gallery: &Whole, from: usize, threads: usize, scores: &mut [f32]) {
    assert_eq!(queries.dims, gallery.dims, "rows of one length");
    let photos = gallery.rows.max(1);
    assert!(scores.len().is_multiple_of(photos), "{} scores of {photos} photos", scores.len());
    assert!(gallery.rows > 0 || scores.is_empty(), "scores of no photos");
    let tiles = queries.tiles(from, scores.len() / photos);
    // each thread takes some columns of all rows at a time, which stay in its cache
    let taken = gallery.panels.chunks(TAKEN);
    let mut columns: Vec<Vec<&mut [f32]>> = taken.clone().map(|_| Vec::new()).collect();
    for row in scores.chunks_exact_mut(photos) {
        for (columns, scores) in columns.iter_mut().zip(row.chunks_mut(TAKEN * WIDE)) {
            columns.push(scores);
        }
    }
    share(taken.zip(columns), threads, |(panels, mut columns)| {
        instructions::fill(&tiles, panels, &mut columns);
    });
}

/// Works on each part; threads take the next one as soon as they are free.
fn share<P>(
    parts: impl ExactSizeIterator<Item = P> + Send,
    threads: usize,
    work: impl Fn(P) + Sync,
) {
    let threads = threads.min(parts.len());
    let parts = Mutex::new(parts);
    let run = || {
        let next = || parts.lock().ok()?.next();
        while let Some(part) = next() {
            work(part);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}

/// What a sum in 64 bits of less than a million terms would be at most without its roundings.
fn above(sum: f64) -> f64 {
    sum * (1.0 + 1e-9)
}

#[cfg(target_arch = "x86_64")]
mod instructions {
    use std::arch::x86_64::{
        __m512i, _mm512_dpwssd_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    };
    use std::mem::transmute;

    use super::{BLOCK, LANES, PAIRS, Pairs, Panel, TALL, Tile, WIDE, above};

    /// No whole number is above it.
    const PEAK: f64 = i16::MAX as f64;
    /// No block of whole numbers has a larger norm before rounding, which adds at most half the root of `BLOCK`, and
    /// far less than 1 because units have 32 bits: the product of two norms is below 2^31.
    const NORM: f64 = 46_340.0 - 5.0;

    /// Whether this processor has them.
    #[must_use]
    pub fn is_available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
    }

    #[allow(unsafe_code, reason = "only some processors have the instructions")]
    pub(super) fn panel(rows: &[f32], dims: usize) -> Panel {
        assert!(is_available(), "this processor has no AVX-512 VNNI");
        // SAFETY: it has
        unsafe { pack(rows, dims) }
    }

    #[allow(unsafe_code, reason = "only some processors have the instructions")]
    pub(super) fn fill(tiles: &[Tile], panels: &[Panel], scores: &mut [&mut [f32]]) {
        assert!(is_available(), "this processor has no AVX-512 VNNI");
        // SAFETY: it has
        unsafe { multiply_all(tiles, panels, scores) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn pack(rows: &[f32], dims: usize) -> Panel {
        let mut panel = Panel::default();
        panel.blocks.resize(dims.div_ceil(BLOCK), [Pairs::default(); PAIRS]);
        for (lane, row) in rows.chunks_exact(dims).enumerate() {
            (panel.units[lane], panel.lengths[lane]) = measure(row);
        }
        let mut squares = [0.0; WIDE];
        for (at, pairs) in panel.blocks.iter_mut().enumerate() {
            for (lane, row) in rows.chunks_exact(dims).enumerate() {
                let (whole, missed) = round(&block(row, at), panel.units[lane]);
                squares[lane] += missed;
                for (pairs, [first, second]) in pairs.iter_mut().zip(whole.as_chunks().0) {
                    let pair = (i32::from(*second) << 16) | i32::from(first.cast_unsigned());
                    pairs[lane / LANES][lane % LANES] = pair;
                }
            }
        }
        for (lane, squares) in squares.into_iter().enumerate() {
            panel.distances[lane] = above(squares.sqrt());
            panel.lengths[lane] = above(panel.lengths[lane] + panel.distances[lane]);
        }
        panel
    }

    /// The unit and the norm of a row; neither is a number where the row is not finite.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn measure(row: &[f32]) -> (f32, f64) {
        let mut peaks = [0.0_f32; LANES];
        let (mut squares, mut largest) = (0.0, 0.0_f64);
        for at in 0..row.len().div_ceil(BLOCK) {
            let mut sums = [0.0; LANES];
            for features in block(row, at).as_chunks::<LANES>().0 {
                for lane in 0..LANES {
                    let size = features[lane].abs();
                    peaks[lane] = if size > peaks[lane] { size } else { peaks[lane] };
                    sums[lane] += f64::from(size) * f64::from(size);
                }
            }
            let sum = sums.iter().sum();
            squares += sum;
            largest = largest.max(sum);
        }
        if !squares.is_finite() {
            return (f32::NAN, f64::NAN);
        }
        let peak = f64::from(peaks.into_iter().fold(0.0, f32::max));
        let unit = (peak / PEAK).max(largest.sqrt() / NORM) as f32;
        // so that no product of a unit with a whole number is too small for 32 bits
        (unit.max(f32::MIN_POSITIVE), squares.sqrt())
    }

    /// A block of a row's features, with zeros behind the last one.
    #[inline]
    fn block(row: &[f32], at: usize) -> [f32; BLOCK] {
        let mut block = [0.0; BLOCK];
        let given = &row[at * BLOCK..row.len().min((at + 1) * BLOCK)];
        block[..given.len()].copy_from_slice(given);
        block
    }

    /// Features in whole numbers, zeros where the unit is not a number, and the sum of the squares of what is missed.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn round(features: &[f32; BLOCK], unit: f32) -> ([i16; BLOCK], f64) {
        let mut whole = [0; BLOCK];
        let mut missed = [0.0; LANES];
        let parts = features.as_chunks::<LANES>().0.iter();
        for (features, whole) in parts.zip(whole.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                let rounded = (features[lane] * (1.0 / unit)).round_ties_even();
                whole[lane] = rounded as i16;
                let gap = f64::from(features[lane]) - f64::from(rounded) * f64::from(unit);
                missed[lane] += gap * gap;
            }
        }
        (whole, missed.iter().sum())
    }

    /// # Shapes
    /// `scores`: of each row of the tiles, those with the rows of the panels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn multiply_all(tiles: &[Tile], panels: &[Panel], scores: &mut [&mut [f32]]) {
        for (tile, scores) in tiles.iter().zip(scores.chunks_mut(TALL)) {
            for (at, panel) in panels.iter().enumerate() {
                let sums = multiply(tile, panel);
                for ((scores, sums), unit) in scores.iter_mut().zip(&sums).zip(&tile.units) {
                    let scores = scores[at * WIDE..].iter_mut();
                    for ((score, sum), other) in scores.zip(sums.as_flattened()).zip(&panel.units) {
                        *score = sum * unit * other;
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn multiply(tile: &Tile, panel: &Panel) -> [[[f32; LANES]; WIDE / LANES]; TALL] {
        let mut sums = [[[0.0; LANES]; WIDE / LANES]; TALL];
        for (rows, columns) in tile.blocks.iter().zip(&panel.blocks) {
            let mut block = [[_mm512_setzero_si512(); WIDE / LANES]; TALL];
            for (rows, columns) in rows.iter().zip(columns) {
                for row in 0..TALL {
                    let pair = _mm512_set1_epi32(rows[row]);
                    for half in 0..WIDE / LANES {
                        let sum = &mut block[row][half];
                        *sum = _mm512_dpwssd_epi32(*sum, pair, vector(columns[half]));
                    }
                }
            }
            for (sums, block) in sums.as_flattened_mut().iter_mut().zip(block.as_flattened()) {
                for (sum, number) in sums.iter_mut().zip(numbers(*block)) {
                    *sum += number as f32;
                }
            }
        }
        sums
    }

    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code, reason = "the standard library has no safe way")]
    fn vector(numbers: [i32; LANES]) -> __m512i {
        // SAFETY: both are 64 bytes of plain numbers
        unsafe { transmute(numbers) }
    }

    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code, reason = "the standard library has no safe way")]
    fn numbers(vector: __m512i) -> [i32; LANES] {
        // SAFETY: both are 64 bytes of plain numbers
        unsafe { transmute(vector) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod instructions {
    use super::{Panel, Tile};

    /// Whether this processor has them.
    #[must_use]
    pub fn is_available() -> bool {
        false
    }

    pub(super) fn panel(_: &[f32], _: usize) -> Panel {
        panic!("this processor has no AVX-512 VNNI")
    }

    pub(super) fn fill(_: &[Tile], _: &[Panel], _: &mut [&mut [f32]]) {
        panic!("this processor has no AVX-512 VNNI")
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "nothing is rounded")]
mod tests {
    use super::*;

    /// Numbers from -1 to 1 that look random.
    fn numbers(mut state: u64) -> impl FnMut() -> f32 {
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    /// Rows of many kinds in turn.
    fn rows(count: usize, dims: usize, seed: u64) -> Vec<f32> {
        let mut next = numbers(seed);
        let mut rows = Vec::new();
        for kind in (0..count).map(|at| at % 20) {
            let (sign, place) = (next().signum(), (next().abs() * dims as f32) as usize % dims);
            rows.extend((0..dims).map(|at| {
                let (is_one, is_near) = (at == place, at / BLOCK == place / BLOCK);
                match kind {
                    1 => 1000.0 * next(),
                    // equal but for signs
                    2 => 1.0,
                    3 => sign,
                    4 => [sign, -sign][at % 2],
                    5 => [0.7, -0.7][at / 3 % 2],
                    // one feature, or one block, alone or far above all others
                    6 | 7 if is_one => sign,
                    8 | 9 if is_near => 0.3,
                    7 | 9 => 1e-3 * next(),
                    // too small and too large for some products, or for all
                    10 => 1e-20 * next(),
                    11 => 1e-38 * next(),
                    12 => f32::from_bits(at as u32 % 5),
                    13 => 1e18 * next(),
                    14 if is_one => f32::MAX,
                    14 => 1e38 * next(),
                    // not finite
                    15 | 16 if is_one => f32::NAN,
                    17 | 18 if is_one => sign * f32::INFINITY,
                    0 | 15 | 17 => next(),
                    19 => f32::NAN,
                    _ => 0.0,
                }
            }));
        }
        rows
    }

    /// All products, `height` rows at a time.
    fn all(queries: &Whole, gallery: &Whole, threads: usize, height: usize) -> Vec<f32> {
        let mut scores = vec![7.0; queries.rows() * gallery.rows()];
        let tiles = scores.chunks_mut((height * gallery.rows()).max(1)).enumerate();
        tiles.for_each(|(at, tile)| products(queries, gallery, at * height, threads, tile));
        scores
    }

    fn dot(left: &[f32], right: &[f32]) -> f64 {
        left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
    }

    fn check(given: &[Vec<f32>; 2], dims: usize) {
        let [queries, gallery] = given.each_ref().map(|rows| Whole::of(rows, dims, 2));
        assert_eq!(gallery.rows(), given[1].len() / dims);
        let mut scores = all(&queries, &gallery, 2, 17).into_iter();
        for (at, query) in given[0].chunks(dims).enumerate() {
            let margin = queries.margin(at, &gallery);
            for photo in given[1].chunks(dims) {
                let (rough, exact) = (scores.next().expect("one a pair"), dot(query, photo));
                let is_right = if query.iter().chain(photo).all(|feature| feature.is_finite()) {
                    let is_long = dot(query, query).max(dot(photo, photo)) > 1e36;
                    (f64::from(rough) - exact).abs() <= margin || is_long && rough.is_infinite()
                } else {
                    rough.is_nan()
                };
                assert!(is_right, "{dims}, {at}: {rough} for {exact}, margin {margin}");
            }
        }
    }

    #[test]
    fn every_product_is_within_the_margin() {
        if !is_available() {
            return;
        }
        let few = [[1, 21, 40], [2, 40, 33], [5, 0, 40], [5, 40, 0], [63, 20, 64], [64, 25, 31]];
        let many = [[65, 60, 65], [129, 1, 1], [1000, 41, 161], [1024, 23, 129]];
        for [dims, queries, photos] in few.into_iter().chain(many) {
            check(&[rows(queries, dims, 1), rows(photos, dims, 2)], dims);
        }
    }

    #[test]
    fn whole_numbers_are_off_by_roundings_of_sums_alone() {
        if !is_available() {
            return;
        }
        let mut next = numbers(7);
        let mut feature = |at| if at % BLOCK == 0 { 32767.0 } else { (4096.0 * next()).round() };
        let given = [20, 40].map(|rows| (0..rows * 1024).map(&mut feature).collect());
        check(&given, 1024);
        let panels = given.map(|rows| Whole::of(&rows, 1024, 1));
        assert!(panels.iter().all(|whole| whole.farthest == 0.0));
    }

    #[test]
    fn no_sum_of_a_block_is_too_large_for_32_bits() {
        if !is_available() {
            return;
        }
        let mut given = rows(40, 1024, 3);
        // a large feature lets the others of its block become anything between two whole numbers
        for part in 0..32 {
            let others = 5000.0 + part as f32 / 8.0;
            given.extend((0..1024).map(|at| if at % BLOCK == 0 { 23908.5 } else { others }));
        }
        for Panel { blocks, .. } in Whole::of(&given, 1024, 1).panels {
            for row in 0..WIDE {
                let square = |pairs: &Pairs| {
                    let pair = pairs[row / LANES][row % LANES];
                    i64::from(pair as i16).pow(2) + i64::from(pair >> 16).pow(2)
                };
                let sums = blocks.iter().map(|block| block.iter().map(square).sum::<i64>());
                assert!(sums.max() <= Some(i64::from(i32::MAX)), "{row}");
            }
        }
    }

    #[test]
    fn margins_of_unit_rows_are_narrow() {
        if !is_available() {
            return;
        }
        let mut next = numbers(4);
        let mut rows: Vec<f32> = (0..100 * 1024).map(|_| next() + next() + next()).collect();
        for row in rows.chunks_mut(1024) {
            let length = dot(row, row).sqrt() as f32;
            for feature in row {
                *feature /= length;
            }
        }
        let whole = Whole::of(&rows, 1024, 1);
        for row in 0..100 {
            let margin = whole.margin(row, &whole);
            assert!(margin > 1e-5 && margin < 1.1e-4, "{margin}");
        }
    }

    #[test]
    fn threads_and_tiles_change_nothing() {
        if !is_available() {
            return;
        }
        let given = [rows(50, 130, 5), rows(300, 130, 6)];
        let of = |threads: usize, height: usize| -> (Vec<u64>, Vec<u32>) {
            let [queries, gallery] = given.each_ref().map(|rows| Whole::of(rows, 130, threads));
            let margins = (0..50).map(|row| queries.margin(row, &gallery).to_bits()).collect();
            let scores = all(&queries, &gallery, threads, height);
            (margins, scores.into_iter().map(f32::to_bits).collect())
        };
        let one = of(1, 50);
        for (threads, height) in [(0, 50), (2, 50), (5, 13), (3, 1)] {
            assert!(of(threads, height) == one, "{threads} threads, {height} rows at a time");
        }
    }
}
