//! What goes into the client and comes out of it.

use super::frame::Arguments;
use super::properties::{Properties, value};

/// A message from the broker.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The number to acknowledge.
    pub tag: u64,
    /// Whether somebody may have seen it before.
    pub redelivered: bool,
    /// What it was published with.
    pub routing_key: String,
    /// The properties.
    pub properties: Properties,
    /// The body.
    pub body: Vec<u8>,
}

impl Delivery {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The correlation id as text.
    pub fn correlation_id(&self) -> String {
        let id = self
            .properties
            .correlation_id
            .as_deref()
            .unwrap_or_default();
        String::from_utf8_lossy(id).into_owned()
    }
}

/// What to declare.
#[derive(Debug, Clone, Default)]
pub struct Declare {
    /// Octet of flags.
    pub bits: u8,
    /// Contents of the table of arguments.
    pub arguments: Vec<u8>,
}

impl Declare {
    /// A transient classic queue.
    pub fn classic() -> Self {
        Self::default()
    }

    /// A queue that survives a restart.
    pub fn durable() -> Self {
        Self::default().bit(2)
    }

    /// A durable quorum queue.
    pub fn quorum() -> Self {
        Self::durable().argument("x-queue-type", value::text("quorum"))
    }

    /// No declaration: a question whether the queue exists.
    pub fn passive() -> Self {
        Self::default().bit(1)
    }

    /// A queue that ends with its connection.
    pub fn exclusive() -> Self {
        Self::default().bit(4)
    }

    /// Adds an argument; `value` is its type octet and bytes.
    pub fn argument(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.arguments = Arguments(self.arguments).short(key).0;
        self.arguments.extend(value.as_ref());
        self
    }

    fn bit(mut self, bit: u8) -> Self {
        self.bits |= bit;
        self
    }
}

/// What to publish, and how.
#[derive(Debug, Clone, Default)]
pub struct Publish<'a> {
    /// The exchange; the default one if empty.
    pub exchange: &'a str,
    /// The routing key: with the default exchange, the queue.
    pub routing_key: &'a [u8],
    /// Whether to return it if it is routed to no queue.
    pub mandatory: bool,
    /// The payload of the content header frame.
    pub header: Vec<u8>,
    /// The body.
    pub body: &'a [u8],
}
