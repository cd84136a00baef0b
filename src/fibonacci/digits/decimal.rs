//! Fibonacci numbers computed in a power of ten from the first step to the last, by floating-point transforms.

use super::bound::{Base, Watch};
use super::cache::Cache;
use super::check::Check;
use super::doubling::{self, Arithmetic, Combination};
use super::length::Length;
use super::limbs::{self, Limbs};
use super::memory::Memory;
use super::product::Computation;
use super::stop::{Doubt, Stop};
use super::{long, schoolbook, short};

/// Below this n, transforms do not pay.
const FIRST_PAIR: u64 = 2_047;

impl Arithmetic for Computation<'_> {
    type Number = Limbs;
    type Stop = Stop;

    fn combine(
        &mut self,
        a: Limbs,
        b: Limbs,
        wanted: [Combination; 2],
    ) -> Result<[Limbs; 2], Stop> {
        let results = match Length::covering(a.len().max(b.len())) {
            Length::Short(points) => {
                let results = short::combine(self, points, [&a, &b], wanted);
                self.cache.keep([a, b].map(Memory::into_vec));
                results
            }
            Length::Long { rows, columns } => long::combine(self, [rows, columns], [a, b], wanted),
        };
        #[cfg(test)]
        let results = results.map(tests::inject);
        results
    }

    fn multiply(&mut self, x: Limbs, y: Limbs, constant: i32) -> Result<Limbs, Stop> {
        let result = match Length::covering(x.len().max(y.len())) {
            Length::Short(points) => {
                let result = short::multiply(self, points, [&x, &y], constant);
                self.cache.keep([x, y].map(Memory::into_vec));
                result
            }
            Length::Long { rows, columns } => {
                long::multiply(self, [rows, columns], [x, y], constant)
            }
        };
        #[cfg(test)]
        let result = result.map(|limbs| {
            let [limbs] = tests::inject([limbs]);
            limbs
        });
        result
    }
}

/// The digits of F(n), which has `count` of them or one less, for n from 94 on.
pub(super) fn digits(n: u64, count: u64, keep_going: &dyn Fn() -> bool) -> Result<String, Stop> {
    let base = Base::for_digits(count).ok_or(Doubt::Bound)?;
    digits_in(base, n, count, keep_going).map(|(text, _)| text)
}

/// The same in a given base; also returns what was observed.
fn digits_in(
    base: Base,
    n: u64,
    count: u64,
    keep_going: &dyn Fn() -> bool,
) -> Result<(String, Watch), Stop> {
    let from = doubling::bits_above(n, FIRST_PAIR).max(2);
    let length = usize::try_from(count).map_err(|_| Doubt::Bound)?;
    let (digits, watch) = Cache::with(|cache| {
        let mut computation = Computation {
            base,
            watch: Watch::default(),
            cache,
            keep_going,
            spectra: Default::default(),
        };
        let largest = Length::covering(base.factor_limbs(count));
        match largest {
            // Once, instead of for each length.
            Length::Short(points) => drop(computation.cache.short(points)),
            Length::Long { .. } => {
                computation.spectra = [0; 2].map(|_| Memory::with_capacity(largest.points()));
            }
        }
        let first = schoolbook::pair_digits(n, from).map(|digits| limbs::from_text(&digits, base));
        let pair = doubling::pair(&mut computation, first, n, from, 2)?;
        let limbs = doubling::last_two(&mut computation, pair, n)?;
        computation.spectra = Default::default();
        let mut check = Check::default();
        let digits =
            limbs::to_text(&limbs, length, base, &mut check, keep_going).ok_or(Stop::Cancelled)?;
        if !check.passes(n) {
            return Err(Doubt::Check.into());
        }
        computation.cache.keep([limbs.into_vec()]);
        Ok::<_, Stop>((digits, computation.watch))
    })?;
    let text = String::from_utf8(digits).map_err(|_| Doubt::Check)?;
    Ok((text, watch))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::bound::WIDTHS;
    use super::super::cache::tests::wrong_roots;
    use super::super::length::tests::short_lengths;
    use super::super::{cost::cost, exact};
    use super::*;
    use std::cell::Cell;

    /// An error to inject.
    #[derive(Clone, Copy)]
    struct Error {
        /// The steps before it.
        step: u32,
        output: usize,
        /// The limb, as a fraction of the length.
        place: f64,
        by: i32,
    }

    thread_local! {
        static INJECTED: Cell<Option<Error>> = const { Cell::new(None) };
    }

    pub(super) fn inject<const OUTPUTS: usize>(mut results: [Limbs; OUTPUTS]) -> [Limbs; OUTPUTS] {
        let injected = INJECTED.get();
        if let Some(error) = injected {
            INJECTED.set(
                error
                    .step
                    .checked_sub(1)
                    .map(|step| Error { step, ..error }),
            );
            if error.step == 0 {
                let limbs = &mut results[error.output % OUTPUTS];
                let place = (error.place * limbs.len() as f64) as usize;
                limbs[place] += error.by;
            }
        }
        results
    }

    /// Injects one unit into the first number that this thread computes in this way.
    pub(in super::super) fn inject_unit() {
        INJECTED.set(Some(Error {
            step: 0,
            output: 0,
            place: 0.5,
            by: 1,
        }));
    }

    fn compute(base: Base, n: u64) -> Result<(String, Watch), Stop> {
        digits_in(base, n, cost(n).digits, &|| true)
    }

    #[track_caller]
    fn assert_right(base: Base, n: u64) -> Watch {
        let (text, watch) =
            compute(base, n).unwrap_or_else(|stop| panic!("F({n}) in {base:?}: {stop:?}"));
        if n <= schoolbook::LAST {
            assert_eq!(text, schoolbook::digits(n), "F({n}) in {base:?}");
        }
        assert!(
            watch.distance <= watch.bound && watch.bound < 0.5,
            "F({n}) in {base:?}: {watch:?}"
        );
        watch
    }

    #[test]
    fn every_base_gives_the_digits_of_the_schoolbook_method() {
        for base in WIDTHS.map(Base::of) {
            for n in (94..1_500).chain((1_500..schoolbook::LAST).step_by(61)) {
                assert_right(base, n);
            }
        }
    }

    /// The smallest and the largest n of each length, if the base covers them.
    #[test]
    fn every_length_gives_digits_that_pass_the_check() {
        for base in WIDTHS.map(Base::of) {
            for length in short_lengths() {
                // The n whose result has this many limbs in each factor.
                let n = |limbs: usize| (limbs * base.digits as usize) as u64 * 2 * 1_000 / 209;
                for n in [n(length) - 20, n(length), n(length) + 40] {
                    let covered = Base::for_digits(cost(n).digits)
                        .is_some_and(|largest| largest.digits >= base.digits);
                    if n > 94 && n < 200_000 && covered {
                        assert_right(base, n);
                    }
                }
            }
        }
    }

    #[test]
    fn long_numbers_pass_the_check_and_are_far_within_the_bound() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut all: Vec<_> = (0..12)
            .map(|_| (12.2 + 2.6 * random.f64()).exp() as u64)
            .collect();
        all.extend([(1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20, 2_000_003]);
        for n in all {
            let base = Base::for_digits(cost(n).digits).unwrap();
            let watch = assert_right(base, n);
            assert!(watch.distance < 0.01, "F({n}): {watch:?}");
        }
    }

    #[test]
    fn exact_integers_give_the_same_digits() {
        for n in [20_000, 65_537, 300_000] {
            let base = Base::for_digits(cost(n).digits).unwrap();
            assert!(
                compute(base, n).unwrap().0 == exact::digits(n, &|| true).unwrap(),
                "F({n})"
            );
        }
    }

    #[test]
    fn an_n_too_large_for_the_base_is_doubted() {
        assert_eq!(
            compute(Base::of(5), 1_500_000),
            Err(Stop::Doubt(Doubt::Bound))
        );
    }

    /// One unit in one limb, a digit, or a lost carry: at any step and any place of any number.
    #[test]
    fn injected_errors_are_detected() {
        let mut random = fastrand::Rng::with_seed(11);
        for n in [2_000, 20_011, 100_003] {
            let base = Base::for_digits(cost(n).digits).unwrap();
            // Combinations, then the last product.
            let steps = doubling::bits_above(n, FIRST_PAIR).max(2);
            for step in 0..steps {
                for by in [1, -1, 10, -10_000, 40_000] {
                    for output in [0, 1] {
                        let place = random.f64();
                        INJECTED.set(Some(Error {
                            step,
                            output,
                            place,
                            by,
                        }));
                        assert_eq!(
                            compute(base, n),
                            Err(Stop::Doubt(Doubt::Check)),
                            "F({n}), step {step}, {by}"
                        );
                        assert!(INJECTED.get().is_none(), "fewer than {step} steps");
                    }
                }
            }
            assert_right(base, n);
        }
    }

    /// From one unit in the last place to a root that is nothing like one: as long as the error fits the bound, it changes no
    /// digit, and from where it could, it is detected.
    #[test]
    fn a_wrong_root_gives_the_right_digits_or_is_detected() {
        let mut random = fastrand::Rng::with_seed(13);
        for n in [20_011, 100_003, 700_001] {
            let base = Base::for_digits(cost(n).digits).unwrap();
            let right = compute(base, n).unwrap().0;
            let mut detected = 0;
            for power in (-53..=0).chain([-53; 20]) {
                let wrong = (random.f64(), 2_f64.powi(power));
                match wrong_roots(wrong, || compute(base, n)) {
                    Ok((text, watch)) => {
                        assert!(text == right, "F({n}), {wrong:?}: {watch:?}");
                        let within = watch.distance < watch.bound;
                        assert!(within || power > -48, "F({n}), {wrong:?}: {watch:?}");
                    }
                    Err(stop) => {
                        assert!(matches!(stop, Stop::Doubt(_)) && power > -48, "{wrong:?}");
                        detected += 1;
                    }
                }
            }
            assert!(detected > 10, "F({n}): {detected}");
            assert_right(base, n);
        }
    }

    /// The public function falls back to exact integers and reports why.
    #[test]
    fn a_doubtful_result_is_computed_again() {
        INJECTED.set(Some(Error {
            step: 1,
            output: 0,
            place: 0.5,
            by: 1,
        }));
        let digits = super::super::digits(50_000, &|| true).unwrap();
        assert_eq!(digits.doubt, Some(Doubt::Check));
        assert_eq!(
            digits.text,
            super::super::digits(50_000, &|| true).unwrap().text
        );
    }

    #[test]
    fn a_computation_can_be_cancelled_at_every_step() {
        for n in [50_000, 700_001] {
            let asked = Cell::new(0);
            let ask = |limit: u32| {
                asked.set(0);
                digits(n, cost(n).digits, &|| {
                    asked.set(asked.get() + 1);
                    asked.get() <= limit
                })
            };
            ask(u32::MAX).unwrap();
            let total = asked.get();
            assert!(total > 15, "{total}");
            for limit in (0..total).step_by(1 + total as usize / 60) {
                assert_eq!(ask(limit), Err(Stop::Cancelled), "after {limit} of {total}");
                assert_eq!(asked.get(), limit + 1, "it stops at the first refusal");
            }
        }
    }
}
