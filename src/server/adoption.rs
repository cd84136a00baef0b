//! Where a session is to serve, looked at before it consumes: that its connections reached one broker, and what the
//! request queue is.
//!
//! Owns nothing. What is found out about a queue is best effort, within a limit of its own; but a stream that is found
//! out is not served. What is to be said of a queue is said once per process.

use super::events;
use crate::broker::declaration::{self, Declaration};
use crate::broker::topology::Origin;
use crate::broker::warned::WARNED;
use crate::broker::{Connection, Error, Kind, cluster, topology};
use crate::config::Queue;
use std::time::Duration;
use tokio::time::timeout;

/// How long a look at the queue may hold up the session. It takes two round trips for a queue as configured, and two
/// more for each difference.
const PATIENCE: Duration = Duration::from_secs(2);

/// Finds or makes the queue in this virtual host.
pub(super) async fn prepare(
    consuming: &Connection,
    publishing: &Connection,
    vhost: &str,
    queue: &Queue,
) -> Result<(), Error> {
    cluster::compare(consuming, publishing)?;
    let origin = topology::prepare(consuming, queue).await?;
    cluster::finds_queue(consuming, publishing, &queue.name).await?;
    if origin == Origin::Declared {
        return Ok(());
    }
    let looking = timeout(PATIENCE, declaration::read(consuming, queue));
    match looking.await {
        Ok(Ok(declaration)) => judge(&declaration, vhost, queue),
        Ok(Err(error)) if error.kind == Kind::Lost => Err(error),
        // No permission, a broker that does not tell, or one that takes its time.
        Ok(Err(error)) => {
            tracing::debug!(
                "cannot tell how queue {:?} is declared: {error}",
                queue.name
            );
            Ok(())
        }
        Err(_) => {
            tracing::debug!(
                "the broker does not tell how queue {:?} is declared",
                queue.name
            );
            Ok(())
        }
    }
}

fn judge(declaration: &Declaration, vhost: &str, queue: &Queue) -> Result<(), Error> {
    if let Some(error) = declaration.unfit(queue) {
        return Err(error);
    }
    for cost in declaration.costs(queue) {
        let subject = format!("queue {vhost:?} {:?} {}", queue.name, cost.what);
        if WARNED.is_new(&subject) {
            events::adopted(&queue.name, cost.argument, &cost.what, &cost.consequence);
        }
    }
    Ok(())
}
