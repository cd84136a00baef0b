//! Whether two connections reached the same broker or cluster. A TCP proxy in front of brokers that are not clustered
//! can lead them to different ones: a reply published at one does not reach a caller at the other.

use super::connection::Connection;
use super::error::{Error, Kind};
use crate::text::safe;

/// An error of [`Kind::Split`] if both brokers name their clusters and the names differ.
pub fn compare(one: &Connection, other: &Connection) -> Result<(), Error> {
    match (one.cluster_name(), other.cluster_name()) {
        (Some(one), Some(other)) if one != other => {
            Err(split(&format!(" ({} and {})", safe(&one), safe(&other))))
        }
        _ => Ok(()),
    }
}

/// For brokers that do not name their cluster: the publishing connection must find the queue that the consuming one
/// found or declared.
pub async fn finds_queue(
    consuming: &Connection,
    publishing: &Connection,
    queue: &str,
) -> Result<(), Error> {
    if consuming.cluster_name().is_some() && publishing.cluster_name().is_some() {
        return Ok(());
    }
    let (channel, _) = publishing.channel().await?;
    match channel.queue_status(queue).await {
        Err(error) if error.kind == Kind::NoQueue => Err(split("")),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

fn split(names: &str) -> Error {
    let message = format!(
        "the two connections of a session reached two brokers{names} that are not clustered; broker.url must name one broker or cluster"
    );
    Kind::Split.error(message)
}
