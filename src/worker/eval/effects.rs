//! Where the error of a grid of generated images lies: a two-way analysis of variance of the difference
//! to the true grid. Only drawn people have such a truth. Pixels in, shares out; no network.

use dgnet::data::pixels::Rgb8;

/// The mean squared difference of two grids, split into orthogonal parts that sum to 1.
///
/// Pixel by pixel and channel by channel, the difference d(r, c) of row r (structure) and column c
/// (appearance) is mean + column effect + row effect + interaction; the four parts are orthogonal, so
/// their squares sum to the square of d. Of pure noise on an n x m grid, 1/nm falls to the mean,
/// (m - 1)/nm to the appearance, (n - 1)/nm to the structure and the rest to the interaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorShares {
    /// The same in every image: what the generator always gets wrong.
    pub mean: f64,
    /// Depends on the appearance alone: wrong in every structure.
    pub appearance: f64,
    /// Depends on the structure alone: wrong with every appearance.
    pub structure: f64,
    /// What neither alone explains.
    pub interaction: f64,
}

/// Splits the difference between `generated` and `truth`: equal grids of pictures of one size, rows of
/// one structure and columns of one appearance.
///
/// `None` where there is nothing to split: grids that are empty, of unequal shapes, or equal.
#[must_use]
pub fn error_shares(generated: &[Vec<Rgb8>], truth: &[Vec<Rgb8>]) -> Option<ErrorShares> {
    let (rows, columns) = (truth.len(), truth.first()?.len());
    let values = truth.first()?.first()?.data.len();
    let fits = |grid: &[Vec<Rgb8>]| {
        let cell = |cell: &Rgb8| cell.data.len() == values;
        grid.len() == rows && grid.iter().all(|row| row.len() == columns && row.iter().all(cell))
    };
    if values == 0 || !fits(generated) || !fits(truth) {
        return None;
    }
    let (mut mean, mut appearance, mut structure, mut interaction) = (0.0, 0.0, 0.0, 0.0);
    let mut cells = vec![0.0; rows * columns];
    for at in 0..values {
        for (cell, (one, other)) in
            cells.iter_mut().zip(generated.iter().flatten().zip(truth.iter().flatten()))
        {
            *cell = f64::from(one.data[at]) - f64::from(other.data[at]);
        }
        let parts = split(&cells, rows, columns);
        mean += parts.mean;
        appearance += parts.appearance;
        structure += parts.structure;
        interaction += parts.interaction;
    }
    let total = mean + appearance + structure + interaction;
    (total > 0.0).then(|| ErrorShares {
        mean: mean / total,
        appearance: appearance / total,
        structure: structure / total,
        interaction: interaction / total,
    })
}

/// Sums of squares of the four parts of one pixel's grid, row-major.
fn split(cells: &[f64], rows: usize, columns: usize) -> ErrorShares {
    let mean = cells.iter().sum::<f64>() / cells.len() as f64;
    let row: Vec<f64> =
        cells.chunks_exact(columns).map(|row| row.iter().sum::<f64>() / columns as f64).collect();
    let column: Vec<f64> = (0..columns)
        .map(|at| cells.iter().skip(at).step_by(columns).sum::<f64>() / rows as f64)
        .collect();
    let squares = |effects: &[f64]| effects.iter().map(|e| (e - mean).powi(2)).sum::<f64>();
    let rest = |(at, cell): (usize, &f64)| {
        (cell - row[at / columns] - column[at % columns] + mean).powi(2)
    };
    ErrorShares {
        mean: cells.len() as f64 * mean * mean,
        appearance: rows as f64 * squares(&column),
        structure: columns as f64 * squares(&row),
        interaction: cells.iter().enumerate().map(rest).sum(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROWS: usize = 3;
    const COLUMNS: usize = 4;

    /// Grids whose difference at (row, column, value) is `error`.
    fn grids(error: impl Fn(usize, usize, usize) -> i32) -> (Vec<Vec<Rgb8>>, Vec<Vec<Rgb8>>) {
        let level = |r: usize, c: usize, at: usize| 100 + ((r * 31 + c * 17 + at * 7) % 50) as i32;
        let grid = |of: &dyn Fn(usize, usize, usize) -> i32| {
            let cell = |r: usize, c: usize| Rgb8 {
                height: 2,
                width: 1,
                data: (0..6).map(|at| u8::try_from(of(r, c, at)).unwrap()).collect(),
            };
            (0..ROWS).map(|r| (0..COLUMNS).map(|c| cell(r, c)).collect()).collect()
        };
        (grid(&|r, c, at| level(r, c, at) + error(r, c, at)), grid(&level))
    }

    fn close(shares: ErrorShares, expected: [f64; 4]) {
        let got = [shares.mean, shares.appearance, shares.structure, shares.interaction];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{shares:?}, expected {expected:?}");
        }
    }

    #[test]
    fn each_kind_of_error_lies_in_its_own_part() {
        let shares = |error: fn(usize, usize, usize) -> i32| {
            let (generated, truth) = grids(error);
            error_shares(&generated, &truth).unwrap()
        };
        close(shares(|_, _, at| at as i32), [1.0, 0.0, 0.0, 0.0]);
        // wrong clothes in every structure: sums to 0 over the columns
        close(shares(|_, c, at| [-3, 5, -4, 2][c] * at as i32), [0.0, 1.0, 0.0, 0.0]);
        close(shares(|r, _, at| [4, -1, -3][r] * (at as i32 + 1)), [0.0, 0.0, 1.0, 0.0]);
        close(shares(|r, c, _| [1, -2, 1][r] * [3, -3, 5, -5][c]), [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn parts_of_a_mixed_error_are_their_squares() {
        // mean 2, appearance +-1, structure (4, 0, -4), interaction +-(1, 0, -1)
        let (generated, truth) = grids(|r, c, _| {
            let sign = [1, -1, 1, -1][c];
            2 + sign + [4, 0, -4][r] + [1, 0, -1][r] * sign
        });
        let (mean, appearance) = (4.0, 1.0);
        let (structure, interaction) = (32.0 / 3.0, 2.0 / 3.0);
        let total = mean + appearance + structure + interaction;
        close(
            error_shares(&generated, &truth).unwrap(),
            [mean / total, appearance / total, structure / total, interaction / total],
        );
    }

    #[test]
    fn the_same_error_turned_around_swaps_rows_and_columns() {
        let error = |r: usize, c: usize, at: usize| ((r * 7 + c * c * 3 + r * c * at) % 11) as i32;
        let (generated, truth) = grids(error);
        let turned = |grid: &[Vec<Rgb8>]| -> Vec<Vec<Rgb8>> {
            (0..COLUMNS).map(|c| grid.iter().map(|row| row[c].clone()).collect()).collect()
        };
        let one = error_shares(&generated, &truth).unwrap();
        let other = error_shares(&turned(&generated), &turned(&truth)).unwrap();
        close(other, [one.mean, one.structure, one.appearance, one.interaction]);
        let sum = one.mean + one.appearance + one.structure + one.interaction;
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn without_an_error_or_a_grid_there_is_nothing_to_split() {
        let (generated, truth) = grids(|_, _, _| 0);
        assert_eq!(error_shares(&generated, &truth), None);
        assert_eq!(error_shares(&generated[..2], &truth), None);
        assert_eq!(error_shares(&[], &[]), None);
        assert_eq!(error_shares(&[vec![]], &[vec![]]), None);
    }
}
