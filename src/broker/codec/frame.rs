//! The layout of AMQP 0-9-1 frames: type, channel, size, payload, end octet. Stateless.

// Frame types.
pub(crate) const METHOD: u8 = 1;
/// The content header of a message, with its properties.
pub(crate) const HEADER: u8 = 2;
/// A part of a message's body.
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;
/// The last byte of each frame.
pub(crate) const END: u8 = 0xCE;
/// Bytes before the payload.
pub(crate) const HEAD: usize = 7;
/// Bytes around the payload.
pub(crate) const OVERHEAD: usize = HEAD + 1;
pub(crate) const A_HEARTBEAT: [u8; OVERHEAD] = [HEARTBEAT, 0, 0, 0, 0, 0, 0, END];

/// The first [`HEAD`] bytes of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    /// Of the payload.
    pub(crate) size: u32,
}

impl Head {
    /// Reads the head of a frame; `None`: there are fewer than [`HEAD`] bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: *bytes.first()?,
            channel: u16_at(bytes, 1)?,
            size: u32_at(bytes, 3)?,
        })
    }

    /// The length of the whole frame in bytes.
    pub(crate) fn total(self) -> u64 {
        u64::from(self.size) + OVERHEAD as u64
    }
}

/// Appends a whole frame, whose payload `write` appends.
pub(crate) fn append(out: &mut Vec<u8>, kind: u8, channel: u16, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    append_sized(out, write);
    out.push(END);
}

/// Appends what `write` appends behind its length in four bytes.
pub(crate) fn append_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    // Far below four GiB: callers bound what they write.
    let size = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a short string: its length in one byte, then its bytes. Callers make sure that there are at most
/// 255; more would be cut off.
pub(crate) fn append_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(&bytes[..usize::from(length)]);
}

/// The big-endian number at `at`, if there are as many bytes.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// The big-endian number at `at`, if there are as many bytes.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

/// The big-endian number at `at`, if there are as many bytes.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}

/// The length of the field at the front of `bytes` that begins with its length in four bytes,
/// these included; `None`: it reaches past the end.
pub(crate) fn long_extent(bytes: &[u8]) -> Option<usize> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?.checked_add(4)?;
    (length <= bytes.len()).then_some(length)
}

/// The length of the short string at the front of `bytes`, its length octet included.
pub(crate) fn short_extent(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(*bytes.first()?) + 1;
    (length <= bytes.len()).then_some(length)
}

/// The short string at the front of `bytes`, and what follows it.
pub(crate) fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (string, rest) = bytes.split_at(short_extent(bytes)?);
    Some((&string[1..], rest))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
