//! The reader, against frames made by hand and against the library's own parser.

mod conversation;
mod messages;
mod properties;
mod support;
