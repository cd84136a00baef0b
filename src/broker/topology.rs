//! The request queue: looked at first and adopted as it is, declared where it is missing.

use super::{Connection, Error, Kind, QueueStatus};
use crate::config::{Queue, QueueKind};

/// Finds or makes the request queue. Uses channels of its own, since a refusal closes the channel.
pub async fn prepare(connection: &Connection, queue: &Queue) -> Result<QueueStatus, Error> {
    match connection.channel().await?.queue_status(&queue.name).await {
        Err(error) if error.kind == Kind::NoQueue => {}
        // Exclusive to somebody else, or no permission on it: nothing that a declare could mend.
        Err(error) => return Err(explain(error, queue)),
        Ok(status) => return Ok(status),
    }
    let channel = connection.channel().await?;
    let declared = channel
        .declare(&queue.name, queue.kind, queue.durable)
        .await;
    declared.map_err(|error| explain(error, queue))
}

fn explain(error: Error, queue: &Queue) -> Error {
    let wanted = format!(
        "a {}{} queue",
        if queue.durable {
            "durable "
        } else {
            "transient "
        },
        match queue.kind {
            QueueKind::Quorum => "quorum",
            QueueKind::Classic => "classic",
        }
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
