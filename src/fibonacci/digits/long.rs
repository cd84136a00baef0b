//! Products of long numbers, in three passes over memory.
//!
//! The convolution is that of `short`, with its M = RC points arranged as a matrix of R rows and C columns: limb
//! j = rC + c is in row r and column c, and point k = k' + R k'' of the spectrum ends in row k' and column k''. With
//! w = exp(i pi / 2M) and v = exp(-2 pi i / M), w^j v^(jk) is the product of
//!
//! 1. exp(i pi r / 2R) exp(-2 pi i r k' / R): a weight and a transform of each column;
//! 2. T(c) = exp(-2 pi i c (4k' - 1) / 4M): the rest of the weight, and the twiddle factor, combined;
//! 3. exp(-2 pi i c k'' / C): a transform of each row.
//!
//! The forward transform is 1, 2, 3. Points in the same place are multiplied. The backward transform is 3, 2, 1 with the
//! same factors, since real and imaginary parts are exchanged. Rows are transformed and multiplied in one pass. Columns are copied
//! [`COLUMNS`] at a time into a buffer and back, so that whole cache lines are moved. This needs no transposition, no
//! plan of more than a few thousand points, and no table longer than a few square roots of M.

use super::bound::Watch;
use super::cache::Plan;
use super::doubling::Combination;
use super::length::{COLUMNS, Length, ROWS};
use super::limbs::{self, BLOCK, Block, Factors, LANES, Limbs, Range, Settler};
use super::memory::Memory;
use super::product::{Computation, finish, product, put, square_and_product, store};
use super::roots::Ladder;
use super::stop::Stop;
use rustfft::num_complex::Complex64;
use std::sync::Arc;

/// Padding after each column in the buffer. Without it, columns whose length is a power of two would share the sets of
/// the processor's cache.
const PADDING: usize = 4;

const _: () = assert!(COLUMNS == BLOCK && ROWS * 2 == LANES);

/// Some columns of a matrix, each contiguous.
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

    /// Loads limbs, multiplied by the weights of their rows, and returns the sum of their squares.
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

/// The factors T of one row at a time.
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

/// A product of long numbers: its plans, and the spectra of both factors.
struct Spectra<'a> {
    rows: usize,
    columns: usize,
    by_column: Arc<Plan>,
    by_row: Arc<Plan>,
    scratch: &'a mut [Complex64],
    points: [&'a mut Memory<Complex64>; 2],
    watch: &'a mut Watch,
    keep_going: &'a dyn Fn() -> bool,
}

impl<'a> Spectra<'a> {
    /// The first pass: transforms the columns of both factors, and frees each factor once it is transformed.
    fn new(
        computation: &'a mut Computation,
        [rows, columns]: [usize; 2],
        factors: [Limbs; 2],
    ) -> Result<Self, Stop> {
        let ([by_column, by_row], scratch) = computation.cache.long(rows, columns);
        let keep_going = computation.keep_going;
        let [first, second] = &mut computation.spectra;
        let mut points = [first, second];
        let mut buffer = Columns::new(rows);
        let mut squares = [0.0; 2];
        for ((limbs, points), square) in factors.into_iter().zip(&mut points).zip(&mut squares) {
            points.grow(rows * columns, keep_going)?;
            for from in (0..columns).step_by(COLUMNS) {
                Stop::unless(keep_going())?;
                *square += buffer.load_limbs(&limbs, from, columns, &by_column.weights);
                buffer.transform(&by_column, scratch);
                buffer.store(&mut points[..rows * columns], from, columns);
            }
        }
        let length = Length::Long { rows, columns };
        computation.watch.product(length, squares[0], squares[1])?;
        Ok(Self {
            rows,
            columns,
            by_column,
            by_row,
            scratch,
            points,
            watch: &mut computation.watch,
            keep_going,
        })
    }

    /// The second pass: transforms the rows, has `multiply` multiply them, and transforms the first `results` of each
    /// two rows back.
    #[inline(always)]
    fn rows(
        &mut self,
        results: usize,
        multiply: impl Fn(&mut [Complex64], &mut [Complex64]),
    ) -> Result<(), Stop> {
        let mut twist = Twist::new(self.rows, self.columns);
        let fft = &self.by_row.fft;
        let [first, second] = &mut self.points;
        let points = self.rows * self.columns;
        let mut copy = vec![Complex64::ZERO; self.columns];
        let lines = first[..points]
            .chunks_exact_mut(self.columns)
            .zip(second[..points].chunks_exact_mut(self.columns));
        for (row, (a, b)) in lines.enumerate() {
            Stop::unless((self.keep_going)())?;
            twist.turn_to(row);
            // What is not a result stays as it was, in memory, and is transformed in the cache.
            let b = if results < 2 {
                copy.copy_from_slice(b);
                &mut copy[..]
            } else {
                b
            };
            for line in [&mut *a, &mut *b] {
                twist.apply(line);
                fft.process_with_scratch(line, self.scratch);
            }
            multiply(a, b);
            for line in [a, b].into_iter().take(results) {
                fft.process_with_scratch(line, self.scratch);
                twist.apply(line);
            }
        }
        Ok(())
    }

    /// The third pass, for [`COLUMNS`] columns of one result: transforms them back.
    fn columns(&mut self, result: usize, from: usize, buffer: &mut Columns) {
        let points = &self.points[result][..self.rows * self.columns];
        buffer.load(points, from, self.columns);
        buffer.transform(&self.by_column, self.scratch);
    }
}

/// Two combinations of a^2 and ab.
pub(super) fn combine(
    computation: &mut Computation,
    [rows, columns]: [usize; 2],
    factors: [Limbs; 2],
    wanted: [Combination; 2],
) -> Result<[Limbs; 2], Stop> {
    let base = computation.base;
    let points = rows * columns;
    let mut spectra = Spectra::new(computation, [rows, columns], factors)?;
    spectra.rows(2, |a, b| square_and_product(a, b, points))?;

    let by_column = spectra.by_column.clone();
    let weights = &by_column.weights;
    let mut settler = Settler::new(base, Range::Balanced);
    let factors = Factors::new(wanted);
    let mut carries = vec![[0.0; LANES]; rows / 2];
    carries[0][1] = f64::from(wanted[0].constant);
    carries[0][LANES / 2 + 1] = f64::from(wanted[1].constant);
    let mut results = [
        Limbs::zeros(2 * points, spectra.keep_going)?,
        Limbs::zeros(2 * points, spectra.keep_going)?,
    ];
    let mut block: Block = [[0.0; LANES]; BLOCK];
    let [mut squares, mut products] = [Columns::new(rows), Columns::new(rows)];
    for from in (0..columns).step_by(COLUMNS) {
        Stop::unless((spectra.keep_going)())?;
        spectra.columns(0, from, &mut squares);
        spectra.columns(1, from, &mut products);
        for (pair, carries) in carries.iter_mut().enumerate() {
            let rows = [2 * pair, 2 * pair + 1];
            for (index, row) in rows.into_iter().enumerate() {
                for (column, values) in block.iter_mut().enumerate() {
                    put(values, 2 * index, squares.get(row, column) * weights[row]);
                    put(
                        values,
                        LANES / 2 + 2 * index,
                        products.get(row, column) * weights[row],
                    );
                }
            }
            settler.combinations(BLOCK, &factors, carries, &mut block);
            let places = rows.map(|row| row * columns + from);
            for (result, lane) in results.iter_mut().zip([0, LANES / 2]) {
                store(result, &block, lane, places.into_iter(), BLOCK);
            }
        }
    }
    spectra.watch.distances(&settler.distances)?;
    for (output, result) in results.iter_mut().enumerate() {
        let carries = carries
            .iter()
            .flat_map(|carries| carries[LANES / 2 * output..][..LANES / 2].chunks(2));
        finish(result, carries, columns, base, Range::Balanced);
    }
    Ok(results)
}

/// xy + `constant`, with limbs in the range `Digits`. This is the last step of a computation: it frees the second spectrum for the result.
pub(super) fn multiply(
    computation: &mut Computation,
    [rows, columns]: [usize; 2],
    factors: [Limbs; 2],
    constant: i32,
) -> Result<Limbs, Stop> {
    let base = computation.base;
    let points = rows * columns;
    let mut spectra = Spectra::new(computation, [rows, columns], factors)?;
    spectra.rows(1, |x, y| product(x, y, points))?;
    *spectra.points[1] = Memory::default();

    let by_column = spectra.by_column.clone();
    let weights = &by_column.weights;
    let mut settler = Settler::new(base, Range::Digits);
    let mut carries = vec![[0.0; LANES]; rows / ROWS];
    carries[0][1] = f64::from(constant);
    let mut result = Limbs::zeros(2 * points, spectra.keep_going)?;
    let mut block: Block = [[0.0; LANES]; BLOCK];
    let mut buffer = Columns::new(rows);
    for from in (0..columns).step_by(COLUMNS) {
        Stop::unless((spectra.keep_going)())?;
        spectra.columns(0, from, &mut buffer);
        for (group, carries) in carries.iter_mut().enumerate() {
            let rows: [usize; ROWS] = std::array::from_fn(|next| ROWS * group + next);
            for (index, row) in rows.into_iter().enumerate() {
                for (column, values) in block.iter_mut().enumerate() {
                    put(values, 2 * index, buffer.get(row, column) * weights[row]);
                }
            }
            settler.products(BLOCK, carries, &mut block);
            let places = rows.map(|row| row * columns + from);
            store(&mut result, &block, 0, places.into_iter(), BLOCK);
        }
    }
    spectra.watch.distances(&settler.distances)?;
    let carries = carries.iter().flat_map(|carries| carries.chunks(2));
    finish(&mut result, carries, columns, base, Range::Digits);
    Ok(result)
}
