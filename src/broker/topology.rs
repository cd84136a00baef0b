//! The request queue: looked at first and adopted as it is, declared where it is missing.

use super::{Connection, Error, Kind, QueueStatus};
use crate::config::Queue;

/// Finds or makes the request queue. Uses channels of its own, since a refusal closes the channel.
pub async fn prepare(connection: &Connection, queue: &Queue) -> Result<QueueStatus, Error> {
    let (channel, _) = connection.channel().await?;
    match channel.queue_status(&queue.name).await {
        Err(error) if error.kind == Kind::NoQueue => {}
        // Exclusive to somebody else, or no permission on it: nothing that a declare could mend.
        Err(error) => return Err(explain(error, queue)),
        Ok(status) => return Ok(status),
    }
    let (channel, _) = connection.channel().await?;
    let declared = channel
        .declare(&queue.name, queue.kind, queue.durable)
        .await;
    declared.map_err(|error| explain(error, queue))
}

/// The type of the queue that was found or made, if the broker tells: only a declare does, which it
/// either accepts as equivalent or refuses with what is different. For those alone who may make the
/// queue, in case it has just gone.
pub fn queue_type(
    connection: &Connection,
    queue: Queue,
) -> impl Future<Output = Option<&'static str>> + Send + 'static + use<> {
    let channel = connection.side_channel();
    async move {
        // Some brokers end the connection over a shared transient queue (RabbitMQ 4.3, where these are
        // denied), which is not worth an answer.
        if !queue.durable {
            return None;
        }
        let (channel, _) = channel.await.ok()?;
        let declared = channel
            .declare(&queue.name, queue.kind, queue.durable)
            .await;
        match declared {
            Ok(_) => Some(queue.kind.name()),
            Err(error) if error.kind == Kind::Mismatch => type_in(&error.message),
            Err(_) => None,
        }
    }
}

/// What a refusal such as `inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received
/// 'quorum' but current is 'classic'` says.
fn type_in(refusal: &str) -> Option<&'static str> {
    let (argument, current) = refusal.rsplit_once(" but current is ")?;
    let argument = argument.split("inequivalent arg '").nth(1)?;
    let argument = argument.split('\'').next()?;
    let current = current.trim_start_matches(['\'', '"']);
    match argument {
        "x-queue-type" => ["quorum", "classic", "stream"]
            .into_iter()
            .find(|name| current.starts_with(name))
            // Queues of brokers that know no other types.
            .or_else(|| current.starts_with("none").then_some("classic")),
        // Queues of the other types are always durable and shared.
        "durable" if current.starts_with("false") => Some("classic"),
        "auto_delete" | "exclusive" if current.starts_with("true") => Some("classic"),
        _ => None,
    }
}

fn explain(error: Error, queue: &Queue) -> Error {
    let wanted = format!(
        "a {}{} queue",
        if queue.durable {
            "durable "
        } else {
            "transient "
        },
        queue.kind.name()
    );
    match error.kind {
        Kind::Mismatch => error.with_cure(&format!(
            "wanted {wanted}: delete that queue, or set queue.type and queue.durable to what it is"
        )),
        Kind::Denied => error.with_cure(
            "the user needs read permission on the queue, and configure to declare it where it is missing",
        ),
        Kind::Protocol => error.with_cure(&format!("the broker did not accept {wanted}; see queue.type and queue.durable")),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_the_type() {
        for (what, expected) in [
            (
                "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'",
                Some("classic"),
            ),
            (
                "'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
                Some("classic"),
            ),
            (
                "'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is 'stream'",
                Some("stream"),
            ),
            (
                "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
                Some("classic"),
            ),
            (
                "'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
                None,
            ),
            (
                "'x-max-length' for queue 'q' in vhost '/': received none but current is '5'",
                None,
            ),
            (
                "'x-queue-type' for queue ' but current is 'quorum'' in vhost '/': received 'quorum' but current is 'classic'",
                Some("classic"),
            ),
        ] {
            let refusal = format!(
                "cannot declare queue \"q\": PRECONDITION_FAILED - inequivalent arg {what}"
            );
            assert_eq!(type_in(&refusal), expected, "{refusal}");
        }
        assert_eq!(type_in("PRECONDITION_FAILED - something else"), None);
    }
}
