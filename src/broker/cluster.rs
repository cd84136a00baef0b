//! Whether two connections reached one place. A TCP proxy over brokers that are no cluster leads them to several: a
//! reply that is published at one of them does not reach the caller at the other.

use super::connection::Connection;
use super::error::{Error, Kind, one_line};

/// An error of [`Kind::Split`] if both brokers tell the names of their clusters, and these differ.
pub fn compare(one: &Connection, other: &Connection) -> Result<(), Error> {
    match (one.cluster_name(), other.cluster_name()) {
        (Some(one), Some(other)) if one != other => Err(split(&format!(
            " ({} and {})",
            one_line(&one),
            one_line(&other)
        ))),
        _ => Ok(()),
    }
}

/// For brokers that tell no such name: the publishing connection has to find the queue that the consuming one has
/// found or made.
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
        "the two connections of a session reached two brokers{names}, which are no cluster; broker.url must name one"
    );
    Error::new(Kind::Split, message)
}
