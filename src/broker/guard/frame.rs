//! The layout of AMQP 0-9-1 frames: type, channel, size, payload, end octet. Stateless.

/// Frame type: a method.
pub(super) const METHOD: u8 = 1;
/// Frame type: the content header of a message, with its properties.
pub(super) const HEADER: u8 = 2;
/// Frame type: a part of a message's body.
pub(super) const BODY: u8 = 3;
/// Frame type: a heartbeat.
pub(super) const HEARTBEAT: u8 = 8;
/// What each frame ends with.
pub(super) const END: u8 = 0xCE;
/// No frame has this type; a decoder refuses it at once.
pub(super) const INVALID: u8 = 0;
/// Bytes before the payload.
pub(super) const HEAD: usize = 7;
/// Bytes around the payload.
pub(super) const OVERHEAD: usize = HEAD + 1;

/// The first [`HEAD`] bytes of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) channel: u16,
    /// Of the payload.
    pub(super) size: u32,
}

impl Head {
    /// Reads the head of a frame; `None`: there are fewer than [`HEAD`] bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: *bytes.first()?,
            channel: u16_at(bytes, 1)?,
            size: u32_at(bytes, 3)?,
        })
    }

    /// The length of the whole frame in bytes.
    pub(super) fn total(self) -> u64 {
        u64::from(self.size) + OVERHEAD as u64
    }
}

/// A whole frame around `payload`.
pub(super) fn write(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + OVERHEAD);
    frame.push(kind);
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&length(payload).to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(END);
    frame
}

/// A length as AMQP's long strings, tables and frames write it.
pub(super) fn length(bytes: &[u8]) -> u32 {
    // Whatever is measured here was cut from one frame, whose own size fits.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The big-endian number at `at`, if there are as many bytes.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// The big-endian number at `at`, if there are as many bytes.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

/// The big-endian number at `at`, if there are as many bytes.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}

/// The length of the field at the front of `bytes` that begins with its length in four bytes,
/// these included; `None`: it reaches past the end.
pub(super) fn long_extent(bytes: &[u8]) -> Option<usize> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?.checked_add(4)?;
    (length <= bytes.len()).then_some(length)
}

/// The length of the short string at the front of `bytes`, its length octet included.
pub(super) fn short_extent(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(*bytes.first()?) + 1;
    (length <= bytes.len()).then_some(length)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
