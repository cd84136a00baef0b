//! Time from n to the decimal digits, compared with GMP and with exact integers; run by `scripts/bench-fibonacci`.
//!
//! The GMP program runs beside this one and takes turns with it, so that both measure the same machine. Without it
//! (`cargo bench --bench fibonacci [-- N...]`), there is no comparison.
//!
//! - `warm`: with cached plans and buffers. `cold`: the first computation of a thread.
//! - `pause`: the longest time between two calls of `keep_going`.
//! - `estimate`: the time that `fibonacci::cost` returns. `/cold`: as a multiple of the measured one.
//!
//! `--verify` compares digits instead of times, `--costs` compares times with the estimates, and `--peak N` prints how much
//! memory one computation takes.
#![allow(clippy::print_stdout)]

use fibrpc::internals::fibonacci;
use std::cell::Cell;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Error, ErrorKind, Result, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The variable with the path of the GMP program.
const GMP: &str = "FIBRPC_BENCH_GMP";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let numbers: Vec<u64> = arguments
        .iter()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let mut gmp = std::env::var_os(GMP)
        .map(|path| Gmp::start(path.as_ref()))
        .transpose()?;
    let has = |flag| arguments.iter().any(|arg| arg == flag);
    if has("--peak") {
        return numbers.into_iter().try_for_each(peak);
    }
    if has("--costs") {
        return costs();
    }
    if has("--verify") {
        let gmp = gmp
            .as_mut()
            .ok_or_else(|| Error::other(format!("{GMP} is not set")))?;
        return verify(gmp);
    }
    let default = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    println!(
        "{:>11} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9} {:>11} {:>10} {:>9} {:>9}",
        "n",
        "warm",
        "cold",
        "GMP",
        "exact",
        "warm/GMP",
        "cold/GMP",
        "warm/exact",
        "pause",
        "estimate",
        "/cold"
    );
    for &n in if numbers.is_empty() {
        &default[..]
    } else {
        &numbers
    } {
        compare(n, gmp.as_mut())?;
    }
    Ok(())
}

fn compare(n: u64, mut gmp: Option<&mut Gmp>) -> Result<()> {
    let began = Instant::now();
    let [mut warm, mut cold, mut theirs, mut exact, mut pause] = [Duration::MAX; 5];
    let mut runs = 0;
    while runs < 5 || (began.elapsed() < Duration::from_secs(3) && runs < 10_000) {
        if let Some(gmp) = &mut gmp {
            theirs = theirs.min(gmp.time(n)?);
            // While this process waits, a virtual machine may lose its free memory. To have it back takes up to 0.3 s at 10^8.
            if n >= 10_000_000 {
                time(n);
            }
        }
        warm = warm.min(time(n));
        if runs < 200 {
            cold = cold.min(first_of_a_thread(n)?);
            pause = pause.min(longest_pause(n));
        }
        // The largest takes half a minute.
        if runs == 0 || (n < 10_000_000 && runs < 200) {
            let start = Instant::now();
            black_box(fibonacci::exact_digits(black_box(n), &|| true));
            exact = exact.min(start.elapsed());
        }
        runs += 1;
    }
    let ratio = |a: Duration, b: Duration| {
        if b == Duration::MAX {
            f64::NAN
        } else {
            a.as_secs_f64() / b.as_secs_f64()
        }
    };
    let theirs_shown = if theirs == Duration::MAX {
        "-".into()
    } else {
        format!("{theirs:.1?}")
    };
    let estimate = fibonacci::cost(n).time;
    println!(
        "{n:>11} {:>10} {:>10} {theirs_shown:>10} {:>10} {:>9.3} {:>9.3} {:>11.4} {:>10} {:>9} {:>9.2}",
        format!("{warm:.1?}"),
        format!("{cold:.1?}"),
        format!("{exact:.1?}"),
        ratio(warm, theirs),
        ratio(cold, theirs),
        ratio(warm, exact),
        format!("{pause:.1?}"),
        format!("{estimate:.1?}"),
        ratio(estimate, cold),
    );
    Ok(())
}

/// Compares measured times with the estimates, from 10^3 to 10^8; fails if one is wrong by more than a third.
fn costs() -> Result<()> {
    let mut wrong = Vec::new();
    println!(
        "{:>11} {:>10} {:>10} {:>9}",
        "n", "cold", "estimate", "/estimate"
    );
    let powers = (3..8).map(|power| 10_u64.pow(power));
    let steps = powers.flat_map(|power| [1, 2, 3, 5, 7].map(|factor| factor * power));
    for n in steps.chain([100_000_000]) {
        let runs = (100_000_000 / n).clamp(3, 300);
        let mut cold = Duration::MAX;
        for _ in 0..runs {
            cold = cold.min(first_of_a_thread(n)?);
        }
        let estimate = fibonacci::cost(n).time;
        let ratio = cold.as_secs_f64() / estimate.as_secs_f64();
        println!(
            "{n:>11} {:>10} {:>10} {ratio:>9.2}",
            format!("{cold:.1?}"),
            format!("{estimate:.1?}"),
        );
        if !(2.0 / 3.0..=4.0 / 3.0).contains(&ratio) {
            wrong.push(n);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::other(format!(
        "wrong by more than a third: {wrong:?}"
    )))
}

fn first_of_a_thread(n: u64) -> Result<Duration> {
    let thread = std::thread::spawn(move || time(n)).join();
    thread.map_err(|_| Error::other("the computation panicked"))
}

fn time(n: u64) -> Duration {
    let start = Instant::now();
    let digits = fibonacci::digits(black_box(n), &|| true);
    let took = start.elapsed();
    assert!(
        digits.is_some_and(|digits| digits.doubt.is_none()),
        "F({n}) was in doubt"
    );
    took
}

fn longest_pause(n: u64) -> Duration {
    let (last, longest) = (Cell::new(Instant::now()), Cell::new(Duration::ZERO));
    let look = || {
        let now = Instant::now();
        longest.set(longest.get().max(now - last.replace(now)));
        true
    };
    let digits = fibonacci::digits(n, &look);
    look();
    drop(digits);
    longest.get()
}

fn peak(n: u64) -> Result<()> {
    let highest = || -> Result<u64> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.ok_or_else(|| Error::new(ErrorKind::InvalidData, "no VmHWM"))
    };
    let before = highest()?;
    let digits = fibonacci::digits(n, &|| true).map_or(0, |digits| digits.text.len());
    let estimate = fibonacci::cost(n).memory / 1_000_000;
    let (peak, before) = (highest()? * 1_024 / 1_000_000, before * 1_024 / 1_000_000);
    println!(
        "n = {n}: {digits} digits, peak {peak} MB (before: {before} MB), estimate {estimate} MB"
    );
    Ok(())
}

fn verify(gmp: &mut Gmp) -> Result<()> {
    let mut all: Vec<u64> = (0..=12_100).collect();
    let mut random = fastrand::Rng::with_seed(1);
    // Log-uniform from 10^3 to 10^7.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    all.extend((0..1_000).map(|_| 10_f64.powf(3.0 + 4.0 * random.f64()) as u64));
    all.extend((7..24).flat_map(|bit| (1 << bit) - 2..(1 << bit) + 3));
    all.extend(
        changes(10_000_000)
            .into_iter()
            .flat_map(|n| [n - 1, n, n + 1]),
    );
    all.push(100_000_000);
    let count = all.len();
    for (done, n) in all.into_iter().enumerate() {
        let digits = fibonacci::digits(n, &|| true).map(|digits| (digits.text, digits.doubt));
        if digits != Some((gmp.ask("digits", n)?, None)) {
            return Err(Error::other(format!(
                "F({n}) differs from GMP's, or was in doubt"
            )));
        }
        if done % 1_000 == 0 {
            println!("{done} of {count}");
        }
    }
    println!("all {count} equal to GMP's");
    Ok(())
}

/// Every n up to `max` at which base, length or method change: there, the estimated memory changes by more than the digits.
fn changes(max: u64) -> Vec<u64> {
    let plan = |n| {
        let cost = fibonacci::cost(n);
        cost.memory - cost.digits
    };
    let mut found = Vec::new();
    let mut from = 12_001;
    while from < max {
        let mut to = from + from / 50;
        if plan(from) != plan(to) {
            let mut low = from;
            while to - low > 1 {
                let middle = low.midpoint(to);
                if plan(middle) == plan(from) {
                    low = middle;
                } else {
                    to = middle;
                }
            }
            found.push(to);
        }
        from = to;
    }
    found
}

/// The GMP program.
struct Gmp {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Gmp {
    fn start(program: &std::path::Path) -> Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipe = || Error::other("no pipe");
        Ok(Self {
            orders: child.stdin.take().ok_or_else(pipe)?,
            answers: BufReader::new(child.stdout.take().ok_or_else(pipe)?),
        })
    }

    fn ask(&mut self, what: &str, n: u64) -> Result<String> {
        writeln!(self.orders, "{what} {n}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.truncate(answer.trim_end().len());
        Ok(answer)
    }

    fn time(&mut self, n: u64) -> Result<Duration> {
        let nanoseconds = self.ask("time", n)?.parse();
        Ok(Duration::from_nanos(nanoseconds.map_err(Error::other)?))
    }
}
