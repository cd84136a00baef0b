//! Fibonacci numbers: the function that the two programs ship, and everything that knows it.
//!
//! [`digits`](mod@digits) computes; [`number`] reads a request, [`value`] writes and reads a reply; `service` is what
//! `fibrpcd` serves, `client` how `fibrpc` asks, [`settings`] what is configured. The rest of the library works for any function: only `daemon` and `cli`
//! know this one.

#[cfg(feature = "client")]
pub mod client;
pub mod digits;
pub mod number;
#[cfg(feature = "server")]
pub mod service;
pub mod settings;
pub mod value;

pub use digits::{Digits, Doubt, cost, digits, exact_digits};
