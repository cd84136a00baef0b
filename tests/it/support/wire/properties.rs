//! The properties of a message, each with arbitrary bytes, and header tables as they are on the wire.

use super::frame::{Arguments, Reader};

/// Properties in the making, or as received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Media type of the body.
    pub content_type: Option<Vec<u8>>,
    /// Encoding of the body.
    pub content_encoding: Option<Vec<u8>>,
    /// The header table's contents, encoded, without its length.
    pub headers: Option<Vec<u8>>,
    /// 1 transient, 2 persistent.
    pub delivery_mode: Option<u8>,
    /// Priority.
    pub priority: Option<u8>,
    /// The caller's id.
    pub correlation_id: Option<Vec<u8>>,
    /// Where to reply.
    pub reply_to: Option<Vec<u8>>,
    /// Milliseconds, as text.
    pub expiration: Option<Vec<u8>>,
    /// Id of the message.
    pub message_id: Option<Vec<u8>>,
    /// Unix time in seconds.
    pub timestamp: Option<u64>,
    /// `type`.
    pub kind: Option<Vec<u8>>,
    /// The publishing user, checked by the broker.
    pub user_id: Option<Vec<u8>>,
    /// The publishing application.
    pub app_id: Option<Vec<u8>>,
}

impl Properties {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a request that expects a reply.
    pub fn request(reply_to: impl AsRef<[u8]>, correlation_id: impl AsRef<[u8]>) -> Self {
        Self::new()
            .reply_to(reply_to)
            .correlation_id(correlation_id)
    }

    /// Sets `reply_to`.
    pub fn reply_to(mut self, value: impl AsRef<[u8]>) -> Self {
        self.reply_to = Some(value.as_ref().to_vec());
        self
    }

    /// Sets `correlation_id`.
    pub fn correlation_id(mut self, value: impl AsRef<[u8]>) -> Self {
        self.correlation_id = Some(value.as_ref().to_vec());
        self
    }

    /// Sets `message_id`.
    pub fn message_id(mut self, value: impl AsRef<[u8]>) -> Self {
        self.message_id = Some(value.as_ref().to_vec());
        self
    }

    /// Sets `content_type`.
    pub fn content_type(mut self, value: impl AsRef<[u8]>) -> Self {
        self.content_type = Some(value.as_ref().to_vec());
        self
    }

    /// Sets `expiration`.
    pub fn expiration(mut self, value: impl AsRef<[u8]>) -> Self {
        self.expiration = Some(value.as_ref().to_vec());
        self
    }

    /// Makes the message persistent.
    pub fn persistent(mut self) -> Self {
        self.delivery_mode = Some(2);
        self
    }

    /// Adds a header; `value` is its type octet and bytes, see [`value`].
    pub fn header(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let headers = self.headers.take().unwrap_or_default();
        let mut headers = Arguments(headers).short(key).0;
        headers.extend(value.as_ref());
        self.headers = Some(headers);
        self
    }

    /// Adds any bytes to the header table.
    pub fn raw_headers(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let headers = self.headers.get_or_insert_default();
        headers.extend(bytes.as_ref());
        self
    }

    /// Type octet and bytes of a header.
    pub fn find_header(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        let mut reader = Reader(self.headers.as_deref()?);
        while !reader.0.is_empty() {
            let found = reader.short();
            let length = value::length(reader.0);
            let value = reader.bytes(length);
            if found == key.as_ref() {
                return Some(value);
            }
        }
        None
    }

    /// The type octets of all headers, in their order.
    pub fn header_types(&self) -> String {
        let mut types = String::new();
        let mut reader = Reader(self.headers.as_deref().unwrap_or_default());
        while !reader.0.is_empty() {
            reader.short();
            let length = value::length(reader.0);
            types.push(reader.bytes(length)[0].into());
        }
        types
    }

    /// A header that is a string.
    pub fn find_text(&self, key: impl AsRef<[u8]>) -> Option<String> {
        let value = self.find_header(key)?;
        let text = value.strip_prefix(b"S").map(|rest| Reader(rest).long())?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// The payload of the content header frame of a message with `size` bytes of body.
    pub fn encode(&self, size: u64) -> Vec<u8> {
        let mut flags = 0;
        let mut fields = Arguments::default();
        let mut bit = 15;
        macro_rules! field {
            ($value:expr, $write:ident) => {
                if let Some(value) = &$value {
                    flags |= 1_u16 << bit;
                    fields = fields.$write(value.clone());
                }
                bit -= 1;
            };
        }
        field!(self.content_type, short);
        field!(self.content_encoding, short);
        field!(self.headers, long);
        field!(self.delivery_mode, u8);
        field!(self.priority, u8);
        field!(self.correlation_id, short);
        field!(self.reply_to, short);
        field!(self.expiration, short);
        field!(self.message_id, short);
        field!(self.timestamp, u64);
        field!(self.kind, short);
        field!(self.user_id, short);
        field!(self.app_id, short);
        let _ = bit;
        let head = Arguments::default().u16(60).u16(0).u64(size).u16(flags);
        [head.0, fields.0].concat()
    }

    /// Size of the body and properties, from the payload of a content header frame.
    pub fn decode(payload: &[u8]) -> (u64, Self) {
        let mut reader = Reader(payload);
        reader.bytes(4);
        let size = reader.u64();
        let flags = reader.u16();
        let mut bit = 15;
        macro_rules! field {
            ($read:ident) => {{
                let present = flags & (1 << bit) != 0;
                bit -= 1;
                present.then(|| reader.$read().to_owned())
            }};
        }
        let properties = Self {
            content_type: field!(short),
            content_encoding: field!(short),
            headers: field!(long),
            delivery_mode: field!(u8),
            priority: field!(u8),
            correlation_id: field!(short),
            reply_to: field!(short),
            expiration: field!(short),
            message_id: field!(short),
            timestamp: field!(u64),
            kind: field!(short),
            user_id: field!(short),
            app_id: field!(short),
        };
        let _ = bit;
        (size, properties)
    }
}

/// Values of headers: type octet and bytes.
pub mod value {
    use super::{Arguments, Reader};

    /// A long string.
    pub fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
        Arguments(b"S".to_vec()).long(text).0
    }

    /// A signed 64-bit integer.
    pub fn integer(number: i64) -> Vec<u8> {
        [b"l".as_slice(), &number.to_be_bytes()].concat()
    }

    /// Seconds since the Unix epoch.
    pub fn timestamp(seconds: u64) -> Vec<u8> {
        [b"T".as_slice(), &seconds.to_be_bytes()].concat()
    }

    /// A boolean.
    pub fn boolean(value: bool) -> Vec<u8> {
        vec![b't', value.into()]
    }

    /// Arrays in arrays, `depth` of them.
    pub fn nested_arrays(depth: usize) -> Vec<u8> {
        nested(depth, b"A")
    }

    /// Tables in tables, `depth` of them, each with the empty key.
    pub fn nested_tables(depth: usize) -> Vec<u8> {
        let mut value = nested(depth, b"\0F");
        value.remove(0);
        value
    }

    /// Written from the outside in, since the inside out would copy quadratically.
    fn nested(depth: usize, head: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(depth * (head.len() + 4));
        for left in (0..depth).rev() {
            let inside = u32::try_from(left * (head.len() + 4)).expect("at most 4 GiB");
            bytes.extend(head);
            bytes.extend(inside.to_be_bytes());
        }
        bytes
    }

    /// How many bytes the value at the front of `bytes` takes, its type octet included.
    pub fn length(bytes: &[u8]) -> usize {
        let mut reader = Reader(&bytes[1..]);
        1 + match bytes[0] {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'S' | b'x' | b'A' | b'F' => 4 + reader.u32() as usize,
            other => panic!("a header value of type {other:?}"),
        }
    }
}
