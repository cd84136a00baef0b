//! What transforms need and a thread keeps between computations: plans, roots, buffers.

use super::roots::Ladder;
use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// The most points of all plans that a thread keeps, at about 40 bytes each. The plans of one computation together have
/// about twice as many points as the longest, or four times as many as rows and columns.
const KEPT_POINTS: usize = 1 << 16;

/// The library's plan for a length M, and exp(i pi j / 2M) for all j below M.
pub(super) struct Plan {
    pub(super) fft: Arc<dyn Fft<f64>>,
    pub(super) weights: Vec<Complex64>,
}

/// The plans and buffers of one thread. Making a plan costs as much as five transforms.
pub(super) struct Cache {
    planner: FftPlanner<f64>,
    plans: HashMap<usize, Plan>,
    kept_points: usize,
    buffers: [Vec<Complex64>; 2],
    scratch: Vec<Complex64>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::new(Cache::new());
}

impl Cache {
    fn new() -> Self {
        Self {
            planner: FftPlanner::new(),
            plans: HashMap::new(),
            kept_points: 0,
            buffers: [Vec::new(), Vec::new()],
            scratch: Vec::new(),
        }
    }

    /// Runs `work` with this thread's cache, which is freed when the thread ends.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        CACHE.with(|cache| match cache.try_borrow_mut() {
            Ok(mut cache) => {
                if cache.kept_points > KEPT_POINTS {
                    *cache = Self::new();
                }
                work(&mut cache)
            }
            // A computation that was started by the `keep_going` of another one.
            Err(_) => work(&mut Self::new()),
        })
    }

    fn make_plan(&mut self, points: usize) {
        if self.plans.contains_key(&points) {
            return;
        }
        let fft = self.planner.plan_fft_forward(points);
        let count = points as u64;
        let weights = Ladder::new(4 * count, count).table(points);
        let scratch = fft.get_inplace_scratch_len().max(self.scratch.len());
        self.scratch.resize(scratch, Complex64::ZERO);
        self.plans.insert(points, Plan { fft, weights });
        self.kept_points += points;
    }

    /// A plan, two buffers and scratch.
    pub(super) fn short(
        &mut self,
        points: usize,
    ) -> (&Plan, [&mut Vec<Complex64>; 2], &mut [Complex64]) {
        self.make_plan(points);
        let [first, second] = &mut self.buffers;
        (&self.plans[&points], [first, second], &mut self.scratch)
    }

    /// The plans for columns, which have as many points as there are `rows`, and for rows; and scratch for both.
    pub(super) fn long(&mut self, rows: usize, columns: usize) -> ([&Plan; 2], &mut [Complex64]) {
        self.make_plan(rows);
        self.make_plan(columns);
        let plans = [&self.plans[&rows], &self.plans[&columns]];
        (plans, &mut self.scratch)
    }
}
