//! What transforms need and the process keeps between computations: plans, roots, and buffers.
//!
//! New memory costs more than it seems: a page fault takes as long as transforming a thousand points.

use super::length::MAX_PLAN;
use super::roots::Ladder;
use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most points of all plans that are kept, at about 40 bytes each. All short lengths together have fewer.
const KEPT_POINTS: usize = 1 << 17;

/// The library's plan for a length M, and exp(i pi j / 2M) for all j below M.
pub(super) struct Plan {
    pub(super) fft: Arc<dyn Fft<f64>>,
    pub(super) weights: Vec<Complex64>,
}

/// The plans of all threads. Making a plan costs as much as five transforms.
struct Plans {
    planner: FftPlanner<f64>,
    made: HashMap<usize, Arc<Plan>>,
    points: usize,
}

static PLANS: Mutex<Option<Plans>> = Mutex::new(None);

impl Plans {
    fn new() -> Self {
        Self {
            planner: FftPlanner::new(),
            made: HashMap::new(),
            points: 0,
        }
    }

    fn plan(&mut self, points: usize) -> Arc<Plan> {
        if let Some(plan) = self.made.get(&points) {
            return plan.clone();
        }
        if self.points + points > KEPT_POINTS {
            *self = Self::new();
        }
        let count = points as u64;
        let plan = Arc::new(Plan {
            fft: self.planner.plan_fft_forward(points),
            weights: Ladder::new(4 * count, count).table(points),
        });
        self.made.insert(points, plan.clone());
        self.points += points;
        plan
    }
}

/// The plan for this many points, from the tables that all threads share.
fn plan(points: usize) -> Arc<Plan> {
    // Plans are complete when they are inserted, so a panic of another thread does no harm.
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = plans.get_or_insert_with(Plans::new).plan(points);
    #[cfg(test)]
    let plan = tests::with_wrong_root(plan);
    plan
}

/// The most sets of buffers that are kept: more computations at once are not faster.
const KEPT_BUFFERS: usize = 16;

/// The most vectors of limbs in a set: the factors and results of a step.
const KEPT_LIMBS: usize = 4;

/// The buffers of one computation: two short spectra with scratch, and vectors for the limbs of short numbers.
#[derive(Default)]
pub(super) struct Cache {
    points: Vec<Complex64>,
    limbs: Vec<Vec<i32>>,
}

/// The buffers that no computation uses.
static BUFFERS: Mutex<Vec<Cache>> = Mutex::new(Vec::new());

fn buffers() -> MutexGuard<'static, Vec<Cache>> {
    // Whatever buffers contain is overwritten, so a panic of another thread does no harm.
    BUFFERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// Runs `work` with buffers that no other computation uses.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        let kept = buffers().pop();
        let mut cache = kept.unwrap_or_default();
        let result = work(&mut cache);
        let mut buffers = buffers();
        if buffers.len() < KEPT_BUFFERS {
            buffers.push(cache);
        }
        result
    }

    /// A vector of zeros for the limbs of a short number.
    pub(super) fn limbs(&mut self, length: usize) -> Vec<i32> {
        let mut limbs = self.limbs.pop().unwrap_or_default();
        limbs.clear();
        limbs.resize(length, 0);
        limbs
    }

    /// Keeps vectors of limbs for [`Cache::limbs`], unless they are long.
    pub(super) fn keep<const COUNT: usize>(&mut self, all: [Vec<i32>; COUNT]) {
        for limbs in all {
            if (1..=4 * MAX_PLAN).contains(&limbs.capacity()) && self.limbs.len() < KEPT_LIMBS {
                self.limbs.push(limbs);
            }
        }
    }

    /// The first `length` points of the buffers.
    fn first(&mut self, length: usize) -> &mut [Complex64] {
        if length > self.points.len() {
            self.points = Vec::new(); // frees them first
            self.points.resize(length, Complex64::ZERO);
        }
        &mut self.points[..length]
    }

    /// A plan, two spectra and scratch.
    pub(super) fn short(&mut self, points: usize) -> Short<'_> {
        let plan = plan(points);
        let scratch = plan.fft.get_inplace_scratch_len();
        let (first, rest) = self.first(2 * points + scratch).split_at_mut(points);
        let (second, scratch) = rest.split_at_mut(points);
        Short {
            plan,
            points: [first, second],
            scratch,
        }
    }

    /// The plans for columns, which have as many points as there are `rows`, and for rows; and scratch for both.
    pub(super) fn long(
        &mut self,
        rows: usize,
        columns: usize,
    ) -> ([Arc<Plan>; 2], &mut [Complex64]) {
        let plans = [rows, columns].map(plan);
        let scratch = plans
            .each_ref()
            .map(|plan| plan.fft.get_inplace_scratch_len());
        (plans, self.first(scratch[0].max(scratch[1])))
    }
}

/// What a short transform needs.
pub(super) struct Short<'a> {
    pub(super) plan: Arc<Plan>,
    pub(super) points: [&'a mut [Complex64]; 2],
    pub(super) scratch: &'a mut [Complex64],
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::length::tests::short_lengths;
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static WRONG: Cell<Option<(f64, f64)>> = const { Cell::new(None) };
    }

    /// Runs `work` with one wrong root in each plan: its place, as a fraction of the table, and its error.
    pub(in super::super) fn wrong_roots<T>(wrong: (f64, f64), work: impl FnOnce() -> T) -> T {
        WRONG.set(Some(wrong));
        let result = work();
        WRONG.set(None);
        result
    }

    pub(super) fn with_wrong_root(plan: Arc<Plan>) -> Arc<Plan> {
        let Some((place, by)) = WRONG.get() else {
            return plan;
        };
        let mut weights = plan.weights.clone();
        let place = (place * weights.len() as f64) as usize;
        weights[place].re += by;
        let fft = plan.fft.clone();
        Arc::new(Plan { fft, weights })
    }

    fn nested(depth: usize) {
        if depth > 0 {
            Cache::with(|_| nested(depth - 1));
        }
    }

    #[test]
    fn buffers_are_kept_but_neither_many_nor_long_ones() {
        let mut cache = Cache::default();
        let place = cache.short(64).points[0].as_ptr();
        assert_eq!(cache.short(32).points[0].as_ptr(), place, "allocated again");
        cache.keep([100, 4 * MAX_PLAN + 1].map(|length| vec![1; length]));
        assert_eq!(cache.limbs.len(), 1);
        assert_eq!(cache.limbs(50), [0; 50]);
        cache.keep([(); 9].map(|()| vec![1; 10]));
        assert_eq!(cache.limbs.len(), KEPT_LIMBS);
        nested(3 * KEPT_BUFFERS);
        assert!(buffers().len() <= KEPT_BUFFERS);
    }

    #[test]
    fn all_threads_share_the_plans_and_the_number_of_points_is_bounded() {
        let mut plans = Plans::new();
        let all = short_lengths();
        let first = plans.plan(all[0]);
        for length in &all {
            plans.plan(*length);
        }
        assert_eq!(plans.made.len(), all.len(), "some were dropped");
        assert!(Arc::ptr_eq(&first, &plans.plan(all[0])));
        for length in (1..).map(|factor| factor * 1_000).take(40) {
            plans.plan(length);
            let kept: usize = plans.made.keys().sum();
            assert!(kept == plans.points && kept <= KEPT_POINTS, "{kept}");
        }
        let here = plan(64);
        let there = std::thread::spawn(|| plan(64)).join().unwrap();
        assert!(Arc::ptr_eq(&here, &there));
    }
}
