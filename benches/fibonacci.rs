//! Time from n to the decimal digits, best of several: `cargo bench --bench fibonacci [-- N...]`.
//!
//! The last column is what `fibonacci::cost` foretells.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() {
    let asked: Vec<u64> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let default = [30, 93, 94, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    println!(
        "{:>12} {:>12} {:>14} {:>14}",
        "n", "digits", "best", "foretold"
    );
    for &n in if asked.is_empty() {
        &default[..]
    } else {
        &asked[..]
    } {
        let began = Instant::now();
        let (mut best, mut length, mut runs) = (Duration::MAX, 0, 0);
        while runs < 3 || (began.elapsed() < Duration::from_secs(1) && runs < 100_000) {
            let start = Instant::now();
            let digits = fibrpc::fibonacci::digits(black_box(n), &|| true);
            best = best.min(start.elapsed());
            length = digits.map_or(0, |digits| digits.len());
            runs += 1;
        }
        let foretold = fibrpc::fibonacci::cost(n).time;
        println!("{n:>12} {length:>12} {best:>14.2?} {foretold:>14.2?}");
    }
}
