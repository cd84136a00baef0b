//! Frames and the arguments of methods, as bytes.

/// Type of a method frame.
pub const METHOD: u8 = 1;
/// Type of a content header frame.
pub const HEADER: u8 = 2;
/// Type of a content body frame.
pub const BODY: u8 = 3;
/// Type of a heartbeat frame.
pub const HEARTBEAT: u8 = 8;
/// What a client says first.
pub const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

const END: u8 = 0xCE;

/// Class and method ids, in the order of the specification.
pub mod method {
    pub type Id = (u16, u16);
    pub const CONNECTION_START: Id = (10, 10);
    pub const CONNECTION_START_OK: Id = (10, 11);
    pub const CONNECTION_TUNE: Id = (10, 30);
    pub const CONNECTION_TUNE_OK: Id = (10, 31);
    pub const CONNECTION_OPEN: Id = (10, 40);
    pub const CONNECTION_OPEN_OK: Id = (10, 41);
    pub const CONNECTION_CLOSE: Id = (10, 50);
    pub const CONNECTION_CLOSE_OK: Id = (10, 51);
    pub const CONNECTION_BLOCKED: Id = (10, 60);
    pub const CONNECTION_UNBLOCKED: Id = (10, 61);
    pub const CHANNEL_OPEN: Id = (20, 10);
    pub const CHANNEL_OPEN_OK: Id = (20, 11);
    pub const CHANNEL_CLOSE: Id = (20, 40);
    pub const CHANNEL_CLOSE_OK: Id = (20, 41);
    pub const QUEUE_DECLARE: Id = (50, 10);
    pub const QUEUE_DECLARE_OK: Id = (50, 11);
    pub const QUEUE_PURGE: Id = (50, 30);
    pub const QUEUE_PURGE_OK: Id = (50, 31);
    pub const QUEUE_DELETE: Id = (50, 40);
    pub const QUEUE_DELETE_OK: Id = (50, 41);
    pub const BASIC_QOS: Id = (60, 10);
    pub const BASIC_QOS_OK: Id = (60, 11);
    pub const BASIC_CONSUME: Id = (60, 20);
    pub const BASIC_CONSUME_OK: Id = (60, 21);
    pub const BASIC_CANCEL: Id = (60, 30);
    pub const BASIC_CANCEL_OK: Id = (60, 31);
    pub const BASIC_PUBLISH: Id = (60, 40);
    pub const BASIC_RETURN: Id = (60, 50);
    pub const BASIC_DELIVER: Id = (60, 60);
    pub const BASIC_GET: Id = (60, 70);
    pub const BASIC_GET_OK: Id = (60, 71);
    pub const BASIC_GET_EMPTY: Id = (60, 72);
    pub const BASIC_ACK: Id = (60, 80);
    pub const BASIC_REJECT: Id = (60, 90);
    pub const BASIC_NACK: Id = (60, 120);
    pub const CONFIRM_SELECT: Id = (85, 10);
    pub const CONFIRM_SELECT_OK: Id = (85, 11);
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// [`METHOD`], [`HEADER`], [`BODY`] or [`HEARTBEAT`].
    pub kind: u8,
    /// Channel; 0 is the connection.
    pub channel: u16,
    /// What is between head and end octet.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A method frame.
    pub fn method(channel: u16, id: method::Id, arguments: Arguments) -> Self {
        let mut payload = Arguments::default().u16(id.0).u16(id.1).0;
        payload.extend(arguments.0);
        Self {
            kind: METHOD,
            channel,
            payload,
        }
    }

    /// Which method this is, if it is one.
    pub fn method_id(&self) -> Option<method::Id> {
        let mut reader = self.reader();
        (self.kind == METHOD).then(|| (reader.u16(), reader.u16()))
    }

    /// The arguments of a method frame.
    pub fn arguments(&self) -> Reader<'_> {
        Reader(&self.payload[4..])
    }

    /// The whole payload.
    pub fn reader(&self) -> Reader<'_> {
        Reader(&self.payload)
    }

    /// As bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Arguments::default().u8(self.kind).u16(self.channel);
        bytes = bytes.long(&self.payload).u8(END);
        bytes.0
    }

    /// Takes one frame off the front of `buffer`, once it is there as a whole.
    pub fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let (frame, length) = Self::parse(buffer)?;
        buffer.drain(..length);
        Some(frame)
    }

    /// The frame at the front of `bytes` and its length on the wire, once it is there as a whole.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut head = Reader(bytes.get(..7)?);
        let (kind, channel, length) = (head.u8(), head.u16(), head.u32() as usize);
        let end = *bytes.get(length + 7)?;
        assert_eq!(end, END, "a frame ends with its end octet");
        let payload = bytes[7..length + 7].to_vec();
        let frame = Self {
            kind,
            channel,
            payload,
        };
        Some((frame, length + 8))
    }
}

/// Arguments of a method in the making; also good for any other field of the protocol.
#[derive(Debug, Clone, Default)]
pub struct Arguments(pub Vec<u8>);

impl Arguments {
    /// An octet; several bits share one.
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// A short integer.
    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A long integer.
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A long long integer.
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A short string of any bytes.
    pub fn short(mut self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0
            .push(u8::try_from(value.len()).expect("at most 255 bytes"));
        self.0.extend(value);
        self
    }

    /// A long string, or the contents of a table or array.
    pub fn long(self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let mut this = self.u32(u32::try_from(value.len()).expect("at most 4 GiB"));
        this.0.extend(value);
        this
    }
}

/// Reads fields; panics if they end too early, which only a broken broker would cause.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// An octet.
    pub fn u8(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    /// A short integer.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes(2).try_into().expect("two bytes"))
    }

    /// A long integer.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    /// A long long integer.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes(8).try_into().expect("eight bytes"))
    }

    /// A short string.
    pub fn short(&mut self) -> &'a [u8] {
        let length = self.u8();
        self.bytes(length.into())
    }

    /// A short string that is text.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.short()).into_owned()
    }

    /// A long string, or the contents of a table or array.
    pub fn long(&mut self) -> &'a [u8] {
        let length = self.u32();
        self.bytes(length as usize)
    }
}
