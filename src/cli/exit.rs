//! Exit statuses of `fibrpc` besides those of [`crate::protocol::Code`], named as in sysexits.h.

/// An assertion of `fibrpc bench` failed.
pub(super) const ASSERTION_FAILED: u8 = 1;
/// `EX_USAGE`: wrong command line.
pub(super) const USAGE: u8 = 64;
/// `EX_NOINPUT`: the numbers cannot be read.
pub(super) const NO_INPUT: u8 = 66;
/// `EX_OSERR`: the operating system lacks a resource that we need.
pub(super) const SYSTEM: u8 = 71;
/// `EX_IOERR`: standard output cannot be written.
pub(super) const OUTPUT: u8 = 74;
/// `EX_CONFIG`: wrong configuration.
pub(super) const CONFIG: u8 = 78;
