//! The guard as a whole, against the library's own parser.

mod methods;
mod properties;
mod replies;
mod rules;
mod support;
