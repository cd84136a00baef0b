//! Products of long numbers, in three passes over memory.
//!
//! The same convolution as in `short`, its M = RC points a matrix of R rows and C columns: limb j = rC + c is in row
//! r and column c, and point k = k' + R k'' of its spectrum ends in row k' and column k''. With w = exp(i pi / 2M)
//! and v = exp(-2 pi i / M), w^j v^(jk) is the product of
//!
//! 1. exp(i pi r / 2R) exp(-2 pi i r k' / R): a weight and a transform of each column;
//! 2. T(c) = exp(-2 pi i c (4k' - 1) / 4M): what is left of the weight, and the twiddle factor, in one;
//! 3. exp(-2 pi i c k'' / C): a transform of each row.
//!
//! Forward it is 1, 2, 3; then come the products of points in the same place; backward, 3, 2 and 1 with the
//! same factors, as everything is conjugated. Rows are transformed and multiplied in one pass. Columns are taken
//! [`COLUMNS`] at a time, into a buffer and back, so that whole lines of the cache are moved. No transposition, no
//! plan of more than a few thousand points, and no table longer than a few square roots of M.

use super::bound::Base;
use super::decimal::{Decimal, Stop};
use super::doubling::Combination;
use super::length::{COLUMNS, Length, ROWS};
use super::limbs::{self, BLOCK, Block, Factors, LANES, Settler};
use super::roots::Ladder;
use super::workshop::Plan;
use rustfft::num_complex::Complex64;

/// Points after each column in the buffer: without them, columns of a power of two would be in the same sets of the cache.
const PADDING: usize = 4;

const _: () = assert!(COLUMNS == BLOCK && ROWS * 2 == LANES);

/// Some columns of a matrix, each in one piece.
struct Columns {
    points: Vec<Complex64>,
    rows: usize,
    stride: usize,
}

impl Columns {
    fn new(rows: usize) -> Self {
        let stride = rows + PADDING;
        Self {
            points: vec![Complex64::ZERO; COLUMNS * stride],
            rows,
            stride,
        }
    }

    #[inline(always)]
    fn get(&self, row: usize, column: usize) -> Complex64 {
        self.points[column * self.stride + row]
    }

    /// Loads limbs with the weights of their rows; the sum of their squares.
    fn load_limbs(
        &mut self,
        limbs: &[i32],
        from: usize,
        columns: usize,
        weights: &[Complex64],
    ) -> f64 {
        let mut square = 0.0;
        for (row, weight) in weights.iter().enumerate() {
            let begin = (row * columns + from).min(limbs.len());
            let end = (begin + COLUMNS).min(limbs.len());
            let mut line = [0.0; COLUMNS];
            for (value, limb) in line.iter_mut().zip(&limbs[begin..end]) {
                *value = f64::from(*limb);
            }
            square += limbs::squares(&limbs[begin..end]);
            for (points, value) in self.points.chunks_exact_mut(self.stride).zip(line) {
                points[row] = weight * value;
            }
        }
        square
    }

    fn load(&mut self, matrix: &[Complex64], from: usize, columns: usize) {
        for (row, line) in matrix.chunks_exact(columns).enumerate() {
            let line = &line[from..from + COLUMNS];
            for (points, value) in self.points.chunks_exact_mut(self.stride).zip(line) {
                points[row] = *value;
            }
        }
    }

    fn store(&self, matrix: &mut [Complex64], from: usize, columns: usize) {
        for (row, line) in matrix.chunks_exact_mut(columns).enumerate() {
            let line = &mut line[from..from + COLUMNS];
            for (value, points) in line.iter_mut().zip(self.points.chunks_exact(self.stride)) {
                *value = points[row];
            }
        }
    }

    fn transform(&mut self, plan: &Plan, scratch: &mut [Complex64]) {
        for column in self.points.chunks_exact_mut(self.stride) {
            plan.fft
                .process_with_scratch(&mut column[..self.rows], scratch);
        }
    }
}

/// T of one row after the other.
struct Twist {
    ladder: Ladder,
    order: u64,
    row: Vec<Complex64>,
}

impl Twist {
    fn new(rows: usize, columns: usize) -> Self {
        let order = 4 * rows as u64 * columns as u64;
        Self {
            ladder: Ladder::new(order, order),
            order,
            row: vec![Complex64::ZERO; columns],
        }
    }

    fn turn_to(&mut self, row: usize) {
        let step = (4 * row as u64 + self.order - 1) % self.order;
        let power = |c: u64| {
            let index = (u128::from(c) * u128::from(step) % u128::from(self.order)) as u64;
            self.ladder.get(index).conj()
        };
        let fine: [_; COLUMNS] = std::array::from_fn(|c| power(c as u64));
        for (first, points) in self.row.chunks_exact_mut(COLUMNS).enumerate() {
            let coarse = power((first * COLUMNS) as u64);
            for (point, fine) in points.iter_mut().zip(fine) {
                *point = coarse * fine;
            }
        }
    }

    fn apply(&self, points: &mut [Complex64]) {
        for (point, factor) in points.iter_mut().zip(&self.row) {
            *point *= factor;
        }
    }
}

/// Makes `points` as long as that, in steps.
fn grow(
    points: &mut Vec<Complex64>,
    length: usize,
    keep_going: &dyn Fn() -> bool,
) -> Result<(), Stop> {
    const STEP: usize = 1 << 14;
    while points.len() < length {
        Stop::unless(keep_going())?;
        points.resize(length.min(points.len() + STEP), Complex64::ZERO);
    }
    Ok(())
}

/// Gives memory back in steps: all at once takes milliseconds.
pub(super) fn give_back(
    points: &mut Vec<Complex64>,
    keep_going: &dyn Fn() -> bool,
) -> Result<(), Stop> {
    const STEP: usize = 1 << 18;
    while !points.is_empty() {
        Stop::unless(keep_going())?;
        points.truncate(points.len().saturating_sub(STEP));
        points.shrink_to_fit();
    }
    Ok(())
}

/// The first pass: `limbs` to columns of the spectrum. Returns the sum of the limbs' squares.
#[allow(clippy::too_many_arguments)]
fn forward_columns(
    limbs: &[i32],
    spectrum: &mut Vec<Complex64>,
    columns: usize,
    buffer: &mut Columns,
    plan: &Plan,
    scratch: &mut [Complex64],
    keep_going: &dyn Fn() -> bool,
) -> Result<f64, Stop> {
    let points = buffer.rows * columns;
    grow(spectrum, points, keep_going)?;
    let mut square = 0.0;
    for from in (0..columns).step_by(COLUMNS) {
        Stop::unless(keep_going())?;
        square += buffer.load_limbs(limbs, from, columns, &plan.weights);
        buffer.transform(plan, scratch);
        buffer.store(&mut spectrum[..points], from, columns);
    }
    Ok(square)
}

/// Two combinations of a^2 and ab.
pub(super) fn combine(
    decimal: &mut Decimal,
    [rows, columns]: [usize; 2],
    a: Vec<i32>,
    b: Vec<i32>,
    wanted: [Combination; 2],
) -> Result<[Vec<i32>; 2], Stop> {
    let Decimal {
        base,
        watch,
        workshop,
        keep_going,
        spectra: [first, second],
    } = decimal;
    let ([by_column, by_row], scratch) = workshop.long(rows, columns);
    let points = rows * columns;
    let [mut buffer, mut other] = [Columns::new(rows), Columns::new(rows)];
    let square = forward_columns(
        &a,
        first,
        columns,
        &mut buffer,
        by_column,
        scratch,
        *keep_going,
    )?;
    drop(a);
    let other_square = forward_columns(
        &b,
        second,
        columns,
        &mut buffer,
        by_column,
        scratch,
        *keep_going,
    )?;
    drop(b);
    watch.product(Length::Long { rows, columns }, square, other_square)?;

    let scale = scale(points);
    let mut twist = Twist::new(rows, columns);
    let lines = first[..points]
        .chunks_exact_mut(columns)
        .zip(second[..points].chunks_exact_mut(columns));
    for (row, (a, b)) in lines.enumerate() {
        Stop::unless(keep_going())?;
        twist.turn_to(row);
        for line in [&mut *a, &mut *b] {
            twist.apply(line);
            by_row.fft.process_with_scratch(line, scratch);
        }
        for (a, b) in a.iter_mut().zip(b.iter_mut()) {
            let scaled = *a * scale;
            (*a, *b) = ((scaled * *a).conj(), (scaled * *b).conj());
        }
        for line in [a, b] {
            by_row.fft.process_with_scratch(line, scratch);
            twist.apply(line);
        }
    }

    let mut settler = Settler::new(*base);
    let factors = Factors::new(wanted);
    let mut carries = vec![[0.0; LANES]; rows / 2];
    carries[0][0] = f64::from(wanted[0].constant);
    carries[0][4] = f64::from(wanted[1].constant);
    let mut results = [vec![0; 2 * points], vec![0; 2 * points]];
    let mut block: Block = [[0; BLOCK]; LANES];
    for from in (0..columns).step_by(COLUMNS) {
        Stop::unless(keep_going())?;
        for (buffer, spectrum) in [(&mut buffer, &*first), (&mut other, &*second)] {
            buffer.load(&spectrum[..points], from, columns);
            buffer.transform(by_column, scratch);
        }
        for (pair, carries) in carries.iter_mut().enumerate() {
            let row = 2 * pair;
            let weights = [by_column.weights[row], by_column.weights[row + 1]];
            settler.combinations(BLOCK, &factors, carries, &mut block, |column| {
                let [(square, product), (square_2, product_2)] = [0, 1].map(|next| {
                    let weight = weights[next];
                    (
                        buffer.get(row + next, column) * weight,
                        other.get(row + next, column) * weight,
                    )
                });
                (
                    [square.re, -square.im, square_2.re, -square_2.im],
                    [product.re, -product.im, product_2.re, -product_2.im],
                )
            });
            for (result, block) in results.iter_mut().zip(block.chunks(4)) {
                store(result, block, row * columns + from, columns);
            }
        }
    }
    watch.distances(&settler.distances)?;
    for (output, result) in results.iter_mut().enumerate() {
        let carries = carries
            .iter()
            .flat_map(|carries| carries[4 * output..][..4].chunks(2));
        finish(result, carries, columns, *base);
    }
    Ok(results)
}

/// xy + `constant`.
pub(super) fn multiply(
    decimal: &mut Decimal,
    [rows, columns]: [usize; 2],
    x: Vec<i32>,
    y: Vec<i32>,
    constant: i32,
) -> Result<Vec<i32>, Stop> {
    let Decimal {
        base,
        watch,
        workshop,
        keep_going,
        spectra: [first, second],
    } = decimal;
    let ([by_column, by_row], scratch) = workshop.long(rows, columns);
    let points = rows * columns;
    let mut buffer = Columns::new(rows);
    let square = forward_columns(
        &x,
        first,
        columns,
        &mut buffer,
        by_column,
        scratch,
        *keep_going,
    )?;
    drop(x);
    let other_square = forward_columns(
        &y,
        second,
        columns,
        &mut buffer,
        by_column,
        scratch,
        *keep_going,
    )?;
    drop(y);
    watch.product(Length::Long { rows, columns }, square, other_square)?;

    let scale = scale(points);
    let mut twist = Twist::new(rows, columns);
    let lines = first[..points]
        .chunks_exact_mut(columns)
        .zip(second[..points].chunks_exact_mut(columns));
    for (row, (x, y)) in lines.enumerate() {
        Stop::unless(keep_going())?;
        twist.turn_to(row);
        for line in [&mut *x, &mut *y] {
            twist.apply(line);
            by_row.fft.process_with_scratch(line, scratch);
        }
        for (x, y) in x.iter_mut().zip(y.iter()) {
            *x = (*x * scale * *y).conj();
        }
        by_row.fft.process_with_scratch(x, scratch);
        twist.apply(x);
    }
    // This is the last step: the memory is for the result now.
    give_back(second, *keep_going)?;

    let mut settler = Settler::new(*base);
    let mut carries = vec![[0.0; LANES]; rows / ROWS];
    carries[0][0] = f64::from(constant);
    let mut result = vec![0; 2 * points];
    let mut block: Block = [[0; BLOCK]; LANES];
    for from in (0..columns).step_by(COLUMNS) {
        Stop::unless(keep_going())?;
        buffer.load(&first[..points], from, columns);
        buffer.transform(by_column, scratch);
        for (group, carries) in carries.iter_mut().enumerate() {
            let row = ROWS * group;
            settler.products(BLOCK, carries, &mut block, |column| {
                let [a, b, c, d] = [row, row + 1, row + 2, row + 3]
                    .map(|row| buffer.get(row, column) * by_column.weights[row]);
                [a.re, -a.im, b.re, -b.im, c.re, -c.im, d.re, -d.im]
            });
            store(&mut result, &block, row * columns + from, columns);
        }
    }
    watch.distances(&settler.distances)?;
    finish(
        &mut result,
        carries.iter().flat_map(|carries| carries.chunks(2)),
        columns,
        *base,
    );
    Ok(result)
}

fn scale(points: usize) -> f64 {
    (points as f64).recip()
}

/// Lanes are pairs of the lower and the upper half of the result, of one row after the other.
#[inline(always)]
fn store(result: &mut [i32], block: &[[i32; BLOCK]], begin: usize, columns: usize) {
    let (low, high) = result.split_at_mut(result.len() / 2);
    for (next, pair) in block.chunks(2).enumerate() {
        let place = begin + next * columns;
        low[place..][..BLOCK].copy_from_slice(&pair[0]);
        high[place..][..BLOCK].copy_from_slice(&pair[1]);
    }
}

/// Each row's last carry goes to where the next one began.
fn finish<'a>(
    result: &mut Vec<i32>,
    carries: impl Iterator<Item = &'a [f64]>,
    columns: usize,
    base: Base,
) {
    let points = result.len() / 2;
    for (row, pair) in carries.enumerate() {
        limbs::ripple(result, (row + 1) * columns, pair[0], base);
        limbs::ripple(result, points + (row + 1) * columns, pair[1], base);
    }
    limbs::trim(result);
}
