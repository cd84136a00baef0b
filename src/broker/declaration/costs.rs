//! What a declaration costs if the queue holds requests. Pure.

use super::Declaration;
use crate::broker::error::{Error, Kind};
use crate::config::Queue;

/// A delivery limit below this is reached by ordinary restarts.
const FEW_DELIVERIES: u64 = 100;

/// A property that a request queue should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The property or argument, for example `auto_delete` or `x-max-length`.
    pub argument: &'static str,
    /// What the queue is or has, to follow `queue "q"`.
    pub what: String,
    /// What follows from that.
    pub consequence: String,
}

impl Declaration {
    /// Why the queue cannot be a request queue at all, if it cannot.
    pub fn unfit(&self, queue: &Queue) -> Option<Error> {
        let stream = self.queue_type == "stream";
        stream.then(|| Kind::Mismatch.error(format!("queue {:?} {STREAM}", queue.name)))
    }

    /// What has a cost and is not configured, the worst first.
    pub fn costs(&self, queue: &Queue) -> Vec<Cost> {
        let mut costs = Vec::new();
        let mut add = |argument, what: String, consequence: &str| {
            costs.push(Cost {
                argument,
                what,
                consequence: consequence.to_owned(),
            });
        };
        let value = |name: &str| self.arguments.get(name).map(String::as_str);
        if self.auto_delete {
            add(
                "auto_delete",
                "is auto-delete".into(),
                "when its last consumer leaves, as at a restart of the only server, it is deleted with the requests in it",
            );
        }
        if let Some(time) = value("x-expires") {
            add(
                "x-expires",
                format!("has x-expires = {time}"),
                "it is deleted with the requests in it when nobody has used it for as many milliseconds",
            );
        }
        if queue.durable && !self.durable {
            add(
                "durable",
                "is transient".into(),
                "a restart of the broker deletes it with the requests in it",
            );
        }
        if let Some(time) = value("x-message-ttl") {
            add(
                "x-message-ttl",
                format!("has x-message-ttl = {time}"),
                "requests that wait for more milliseconds are dropped, and their callers time out",
            );
        }
        for argument in ["x-max-length", "x-max-length-bytes"] {
            let Some(limit) = value(argument) else {
                continue;
            };
            let consequence = match value("x-overflow") {
                Some("reject-publish" | "reject-publish-dlx") => {
                    "requests beyond that are refused, of which callers without publisher confirms learn nothing"
                }
                _ => "beyond that the oldest requests are dropped, and their callers time out",
            };
            add(argument, format!("has {argument} = {limit}"), consequence);
        }
        if let Some(limit) = value("x-delivery-limit")
            && limit.parse().is_ok_and(|limit: u64| limit < FEW_DELIVERIES)
        {
            add(
                "x-delivery-limit",
                format!("has x-delivery-limit = {limit}"),
                "requests that are delivered more often are dropped, and restarts of servers count as deliveries",
            );
        }
        if value("x-single-active-consumer") == Some("true") {
            add(
                "x-single-active-consumer",
                "has x-single-active-consumer".into(),
                "one server gets all requests, and the others get none until it leaves",
            );
        }
        costs
    }

    /// In one phrase: `durable quorum`, `transient auto-delete classic`; arguments follow in parentheses.
    pub fn describe(&self) -> String {
        let durable = if self.durable { "durable" } else { "transient" };
        let auto_delete = if self.auto_delete { " auto-delete" } else { "" };
        let arguments: Vec<_> = self
            .arguments
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        let arguments = if arguments.is_empty() {
            String::new()
        } else {
            format!(" ({})", arguments.join(", "))
        };
        format!("{durable}{auto_delete} {}{arguments}", self.queue_type)
    }
}

/// Why a stream is refused, and what to do.
const STREAM: &str = "is a stream, which hands every request to every server and keeps it: a request queue must be \
                      classic or quorum; delete it, or set queue.name to another queue";
