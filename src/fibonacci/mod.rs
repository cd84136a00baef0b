//! Fibonacci numbers: the function that the two programs ship.
//!
//! [`digits`](mod@digits) computes them. The rest of the library works for any function.

pub mod digits;

pub use digits::{Cost, Digits, Doubt, cost, digits, exact_digits};
