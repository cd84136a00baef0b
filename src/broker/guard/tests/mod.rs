//! The guard as a whole, against the library's own parser.

mod properties;
mod rules;
mod support;
