//! What transforms need and is kept between computations: the process keeps plans and roots, a thread its buffers.

use super::roots::Ladder;
use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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
    plans.get_or_insert_with(Plans::new).plan(points)
}

/// The buffers of one thread.
#[derive(Default)]
pub(super) struct Cache {
    buffers: [Vec<Complex64>; 2],
    scratch: Vec<Complex64>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

impl Cache {
    /// Runs `work` with this thread's buffers, which are freed when the thread ends.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        CACHE.with(|cache| match cache.try_borrow_mut() {
            Ok(mut cache) => work(&mut cache),
            // A computation that was started by the `keep_going` of another one.
            Err(_) => work(&mut Self::default()),
        })
    }

    fn plan(&mut self, points: usize) -> Arc<Plan> {
        let plan = plan(points);
        #[cfg(test)]
        let plan = tests::with_wrong_root(plan);
        let scratch = plan.fft.get_inplace_scratch_len();
        if scratch > self.scratch.len() {
            self.scratch.resize(scratch, Complex64::ZERO);
        }
        plan
    }

    /// A plan, two buffers and scratch.
    pub(super) fn short(
        &mut self,
        points: usize,
    ) -> (Arc<Plan>, [&mut Vec<Complex64>; 2], &mut [Complex64]) {
        let plan = self.plan(points);
        let [first, second] = &mut self.buffers;
        (plan, [first, second], &mut self.scratch)
    }

    /// The plans for columns, which have as many points as there are `rows`, and for rows; and scratch for both.
    pub(super) fn long(
        &mut self,
        rows: usize,
        columns: usize,
    ) -> ([Arc<Plan>; 2], &mut [Complex64]) {
        let plans = [rows, columns].map(|points| self.plan(points));
        (plans, &mut self.scratch)
    }
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
