//! Checks before a session consumes: that both connections reached the same broker, and how the request queue is declared.
//!
//! Holds no state. Reading the declaration is best effort, within a deadline of its own; a queue that turns out to be a
//! stream is refused. Each warning about a queue is given once per process.

use super::log;
use crate::broker::declaration::{self, Declaration};
use crate::broker::topology::Origin;
use crate::broker::warned::WARNED;
use crate::broker::{Connection, Error, Kind, cluster, topology};
use crate::config::Queue;
use std::time::Duration;
use tokio::time::timeout;

/// How long reading the declaration may delay the session. It takes two round trips for a queue as configured, and two
/// more for each difference.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds or declares the queue in this virtual host. Returns its type, if the broker reveals it.
pub(super) async fn prepare(
    consuming: &Connection,
    publishing: &Connection,
    vhost: &str,
    queue: &Queue,
) -> Result<Option<&'static str>, Error> {
    cluster::compare(consuming, publishing)?;
    let origin = topology::prepare(consuming, queue).await?;
    cluster::finds_queue(consuming, publishing, &queue.name).await?;
    if origin == Origin::Declared {
        return Ok(Some(queue.kind.name()));
    }
    let error = match timeout(READ_TIMEOUT, declaration::read(consuming, queue)).await {
        Ok(Ok(declaration)) => {
            warn(&declaration, vhost, queue)?;
            return Ok(Some(declaration.queue_type));
        }
        Ok(Err(error)) if error.kind == Kind::Lost => return Err(error),
        // No permission, or an answer that shows nothing.
        Ok(Err(error)) => error.message,
        Err(_) => format!("no answer within {READ_TIMEOUT:?}"),
    };
    tracing::debug!(
        "cannot read the declaration of queue {:?}: {error}",
        queue.name
    );
    Ok(None)
}

/// Refuses an unfit queue, and warns of properties that cost requests.
fn warn(declaration: &Declaration, vhost: &str, queue: &Queue) -> Result<(), Error> {
    if let Some(error) = declaration.unfit(queue) {
        return Err(error);
    }
    for cost in declaration.costs(queue) {
        let subject = format!("queue {vhost:?} {:?} {}", queue.name, cost.what);
        if WARNED.is_new(&subject) {
            log::adopted(&queue.name, cost.argument, &cost.what, &cost.consequence);
        }
    }
    Ok(())
}
