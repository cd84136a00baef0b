//! Where a session is to serve, looked at before it consumes: that its connections reached one broker, and what the
//! request queue is.
//!
//! Owns nothing. What is found out about a queue is best effort, but for a stream, which is never served.

use crate::broker::{Connection, Error, place, topology};
use crate::config::Queue;

/// Finds or makes the queue.
pub(super) async fn prepare(
    consuming: &Connection,
    publishing: &Connection,
    queue: &Queue,
) -> Result<(), Error> {
    place::compare(consuming, publishing)?;
    topology::prepare(consuming, queue).await?;
    place::finds_queue(consuming, publishing, &queue.name).await
}
