//! The reader, against frames made by hand and against the library's own parser.

mod properties;
mod rules;
mod support;
