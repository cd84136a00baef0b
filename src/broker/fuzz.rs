//! Fuzz targets for bytes from a broker; see [`crate::fuzz`].

#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is the report of a fuzz target"
)]

use super::codec::content;
use super::reader::{Intake, Reader};

/// The limit of bodies: small enough for inputs to exceed it.
const MAX_BODY: u64 = 64;

/// Reads a stream; the first byte chooses how it is split. The result must not depend on the split.
pub fn reader(input: &[u8]) {
    if let Some((split, stream)) = input.split_first() {
        let whole = read(stream, stream.len().max(1));
        let parts = read(stream, 1 + usize::from(*split));
        assert_eq!(whole, parts, "the result depends on the split");
    }
}

fn read(stream: &[u8], size: usize) -> String {
    let mut reader = Reader::new(Some(MAX_BODY));
    let mut intake = Intake::default();
    let mut reads = stream.chunks(size);
    let outcome = reads.try_for_each(|bytes| reader.take(bytes, &mut intake));
    format!("{outcome:?} {intake:?}")
}

/// Reads a content header. What was read must survive being written and read again.
pub fn properties(input: &[u8]) {
    let mut properties = content::read(input);
    let mut written = Vec::new();
    content::append(&mut written, 0, &properties);
    // A reply address that is not text is reported, and not written.
    properties.defect = None;
    assert_eq!(content::read(&written), properties);
}
