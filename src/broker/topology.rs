//! The request queue: adopted as it is if it exists, declared if it does not.

use super::channel::Channel;
use super::connection::Connection;
use super::error::{Error, Kind};
use crate::config::Queue;

/// How we came to the request queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It existed and is used as it is.
    Adopted,
    /// It was declared just now, as configured.
    Declared,
}

/// Finds or declares the request queue. Uses channels of its own, since a refusal closes the channel.
pub async fn prepare(connection: &Connection, queue: &Queue) -> Result<Origin, Error> {
    let (channel, _) = connection.channel().await?;
    match channel.queue_status(&queue.name).await {
        Err(error) if error.kind == Kind::NoQueue => {}
        // Exclusive to another connection, or no permission on it: a declare would not help.
        Err(error) => return Err(explain(error, queue)),
        Ok(_) => return Ok(Origin::Adopted),
    }
    let (channel, _) = connection.channel().await?;
    let declared = channel.declare(&queue.name, queue.kind, queue.durable);
    match declared.await {
        Ok(_) => Ok(Origin::Declared),
        Err(error) => Err(explain(error, queue)),
    }
}

/// The type of the queue that was found or declared, if the broker reveals it. Only for callers that may declare the
/// queue, in case it has just been deleted.
pub fn queue_type(
    connection: &Connection,
    queue: Queue,
) -> impl Future<Output = Option<&'static str>> + Send + 'static + use<> {
    let channel = connection.side_channel();
    async move {
        // Some brokers close the connection over a shared transient queue (RabbitMQ 4.3, if these are
        // denied), which is too high a price.
        if !queue.durable {
            return None;
        }
        let (channel, _) = channel.await.ok()?;
        match difference(&channel, &queue).await {
            Ok(None) => Some(queue.kind.name()),
            Ok(Some(difference)) => difference.queue_type(),
            Err(_) => None,
        }
    }
}

/// One thing in which a queue is not as it is configured, in the broker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// A property such as `durable`, or an argument such as `x-queue-type`.
    pub argument: String,
    /// The configured value; `none` if there is none.
    pub wanted: String,
    /// The queue's value.
    pub current: String,
    /// The type of the queue's value, if the broker names it: `longstr`, `signedint`, `bool`.
    pub kind: Option<String>,
}

/// How an existing queue differs from the configuration: the first difference that the broker finds.
///
/// Only a declare shows it, which the broker accepts as equivalent or refuses; it needs configure
/// permission. [`Kind::Mismatch`] if the refusal does not name the difference. Closes the channel.
pub async fn difference(channel: &Channel, queue: &Queue) -> Result<Option<Difference>, Error> {
    let declared = channel.declare(&queue.name, queue.kind, queue.durable);
    match declared.await {
        Ok(_) => Ok(None),
        Err(error) if error.kind == Kind::Mismatch => {
            Difference::read(&error.message).map(Some).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

impl Difference {
    /// Reads a refusal such as `inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received
    /// 'quorum' but current is 'classic'`. A value may also be `none` or `the value '5' of type 'long'`.
    pub(super) fn read(refusal: &str) -> Option<Self> {
        let (rest, current) = refusal.rsplit_once(" but current is ")?;
        let (rest, wanted) = rest.rsplit_once(": received ")?;
        let argument = rest
            .split("inequivalent arg '")
            .nth(1)?
            .split('\'')
            .next()?;
        let (wanted, _) = bare(wanted);
        let (current, kind) = bare(current);
        Some(Self {
            argument: argument.to_owned(),
            wanted,
            current,
            kind,
        })
    }

    /// Whether the queue has no such argument. (A value `'none'` is in quotes and has a type, or is compared with text.)
    pub(super) fn is_absent(&self) -> bool {
        self.current == "none" && self.kind.is_none()
    }

    /// The queue's type, if it follows from the difference.
    pub fn queue_type(&self) -> Option<&'static str> {
        let current = self.current.as_str();
        match self.argument.as_str() {
            "x-queue-type" => ["quorum", "classic", "stream"]
                .into_iter()
                .find(|name| *name == current)
                // Queues of brokers that know no other types.
                .or_else(|| (current == "none").then_some("classic")),
            // Queues of the other types are always durable and shared.
            "durable" if current == "false" => Some("classic"),
            "auto_delete" | "exclusive" if current == "true" => Some("classic"),
            _ => None,
        }
    }
}

/// A value and the name of its type in a refusal: `none`, `'classic'`, `the value '5' of type 'signedint'`. Quotes
/// in a value are not escaped.
fn bare(text: &str) -> (String, Option<String>) {
    let typed = text.strip_prefix("the value '");
    if let Some((value, kind)) = typed.and_then(|rest| rest.rsplit_once("' of type '")) {
        let kind = kind.trim_end_matches('\'');
        return (value.to_owned(), Some(kind.to_owned()));
    }
    let quoted = text.strip_prefix('\'');
    let quoted = quoted.and_then(|rest| rest.strip_suffix('\''));
    (quoted.unwrap_or(text).to_owned(), None)
}

fn explain(error: Error, queue: &Queue) -> Error {
    let durable = if queue.durable {
        "durable"
    } else {
        "transient"
    };
    let wanted = format!("a {durable} {} queue", queue.kind.name());
    match error.kind {
        Kind::Mismatch => error.with_hint(&format!(
            "wanted {wanted}: delete that queue, or set queue.type and queue.durable to what it is"
        )),
        Kind::Locked => error.with_hint(LOCKED),
        Kind::Limit => error.with_hint(LIMIT),
        Kind::Denied => error.with_hint(
            "the user needs read permission on the queue, and configure permission to declare it if it is missing",
        ),
        // "Feature `transient_nonexcl_queues` is deprecated. ... this feature is not permitted anymore."
        Kind::Protocol if error.message.contains("deprecated") => error.with_hint(&format!(
            "the broker did not accept {wanted}; see queue.type and queue.durable"
        )),
        _ => error,
    }
}

/// What to do if a queue is exclusive to another connection.
pub const LOCKED: &str = "it is another connection's own: end that, or set queue.name";

/// What to do if the broker allows no more queues.
pub const LIMIT: &str =
    "raise the limit (rabbitmqctl set_vhost_limits for a vhost's), or delete queues";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_difference_and_the_type() {
        for (what, difference, queue_type) in [
            (
                "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'",
                ("x-queue-type", "quorum", "classic"),
                Some("classic"),
            ),
            (
                "'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
                ("x-queue-type", "quorum", "none"),
                Some("classic"),
            ),
            (
                "'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is 'stream'",
                ("x-queue-type", "classic", "stream"),
                Some("stream"),
            ),
            (
                "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
                ("durable", "true", "false"),
                Some("classic"),
            ),
            (
                "'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
                ("durable", "false", "true"),
                None,
            ),
            (
                "'x-max-length' for queue 'q' in vhost '/': received none but current is the value '5' of type 'signedint'",
                ("x-max-length", "none", "5"),
                None,
            ),
            (
                "'x-queue-type' for queue ' but current is 'quorum'' in vhost '/': received 'quorum' but current is 'classic'",
                ("x-queue-type", "quorum", "classic"),
                Some("classic"),
            ),
        ] {
            let refusal = format!(
                "cannot declare queue \"q\": PRECONDITION_FAILED - inequivalent arg {what}"
            );
            let read = Difference::read(&refusal).unwrap();
            let parts = (
                read.argument.as_str(),
                read.wanted.as_str(),
                read.current.as_str(),
            );
            assert_eq!(parts, difference, "{refusal}");
            assert_eq!(read.queue_type(), queue_type, "{refusal}");
        }
        assert_eq!(
            Difference::read("PRECONDITION_FAILED - something else"),
            None
        );
    }
}
