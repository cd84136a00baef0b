//! How an existing queue was declared, found by declaring it in other ways; and what that costs a request queue.
//!
//! AMQP has no method to ask for it. A declare that differs from the queue is refused, and the refusal names one
//! difference with the queue's value; with that value in the next declare, the next difference follows. Each such declare
//! also has an argument that no broker creates a queue with, so that none is created if the queue has been deleted
//! meanwhile. Observed on `RabbitMQ` 3.10, 4.0 and 4.3; other brokers may ignore the argument, and only the configured
//! queue is declared there.
//!
//! Policies and operator policies are not part of a declaration: no client can see them.

pub mod costs;

use super::channel::{table, text};
use super::connection::Connection;
use super::error::{Error, Kind};
use super::topology::{self, Difference};
use crate::config::Queue;
use lapin::types::{AMQPValue, FieldTable};
use std::collections::BTreeMap;

/// An argument with a value that `RabbitMQ` refuses for a queue of any type. It compares the arguments of an existing
/// queue before it checks their values, and this argument last, or not at all.
const IMPOSSIBLE: (&str, &str) = ("x-queue-leader-locator", "fibrpc");

/// The most declares: more than there are arguments that matter.
const MAX_DECLARES: usize = 16;

/// How a queue was declared, as far as the broker reveals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it is deleted with its last consumer.
    pub auto_delete: bool,
    /// `quorum`, `classic` or `stream`.
    pub queue_type: &'static str,
    /// The other arguments, by their names, with their values as text.
    pub arguments: BTreeMap<String, String>,
    /// Whether it is declared as a server declares queues with the same configuration.
    pub as_configured: bool,
}

/// Looks at an existing queue, on channels of its own, since each refusal closes one. Needs configure permission:
/// [`Kind::Denied`] without it.
///
/// [`Kind::Mismatch`] if the broker's refusals do not reveal the type.
pub async fn read(connection: &Connection, queue: &Queue) -> Result<Declaration, Error> {
    // If the queue has been deleted by now, this declares what `topology::prepare` would. A shared transient queue may be
    // denied (RabbitMQ 4.3 can be configured so), and declaring one then ends the connection.
    if queue.durable {
        let (channel, _) = connection.side_channel().await?;
        match topology::difference(&channel, queue).await {
            Ok(None) => return Ok(Declaration::configured(queue)),
            Ok(Some(difference)) if connection.broker_version().0 != "RabbitMQ" => {
                return Declaration::of_one(queue, &difference);
            }
            Ok(Some(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let mut guess = Guess::new(queue);
    for _ in 0..MAX_DECLARES {
        let (channel, _) = connection.side_channel().await?;
        let (durable, auto_delete) = (guess.durable, guess.auto_delete);
        let declared = channel.declare_with(&queue.name, durable, auto_delete, guess.arguments());
        match declared.await {
            Ok(_) => return guess.settled(queue),
            Err(error) if error.kind == Kind::Mismatch => {
                let difference = Difference::read(&error.message).ok_or_else(|| error.clone())?;
                if difference.argument == IMPOSSIBLE.0 {
                    return guess.settled(queue);
                }
                if !guess.learn(&difference) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    guess.settled(queue)
}

impl Declaration {
    /// As configured.
    pub fn configured(queue: &Queue) -> Self {
        Self {
            durable: queue.durable,
            auto_delete: false,
            queue_type: queue.kind.name(),
            arguments: BTreeMap::new(),
            as_configured: true,
        }
    }

    /// The declaration that follows from one difference, for a broker that is not asked for more.
    fn of_one(queue: &Queue, difference: &Difference) -> Result<Self, Error> {
        let mut guess = Guess::new(queue);
        if guess.learn(difference) {
            return guess.settled(queue);
        }
        let (argument, current) = (&difference.argument, &difference.current);
        let message = format!("queue {:?} has {argument} = {current}", queue.name);
        Err(Kind::Mismatch.error(message))
    }
}

/// A declare that comes closer to the queue with each refusal.
#[derive(Debug, Clone, PartialEq)]
struct Guess {
    durable: bool,
    auto_delete: bool,
    arguments: BTreeMap<String, AMQPValue>,
    /// The names of what was learned, to notice when nothing new is.
    learned: Vec<String>,
}

impl Guess {
    fn new(queue: &Queue) -> Self {
        Self {
            durable: true,
            auto_delete: false,
            arguments: BTreeMap::from([("x-queue-type".to_owned(), text(queue.kind.name()))]),
            learned: Vec::new(),
        }
    }

    fn arguments(&self) -> FieldTable {
        let learned = self.arguments.iter();
        let learned = learned.map(|(name, value)| (name.as_str(), value.clone()));
        let (name, value) = IMPOSSIBLE;
        table(learned.chain([(name, text(value))]))
    }

    /// Adopts the queue's value; `false` if that does not help: the same argument twice means that its value could not be
    /// read, or has a type that is not known here.
    fn learn(&mut self, difference: &Difference) -> bool {
        let (argument, current) = (&difference.argument, &difference.current);
        if self.learned.contains(argument) {
            return false;
        }
        self.learned.push(argument.clone());
        match argument.as_str() {
            "durable" => self.durable = current == "true",
            "auto_delete" => self.auto_delete = current == "true",
            _ if difference.is_absent() => {
                self.arguments.remove(argument);
            }
            name if name.starts_with("x-") => {
                let Some(value) = value(current, difference.kind.as_deref()) else {
                    return false;
                };
                self.arguments.insert(name.to_owned(), value);
            }
            _ => return false,
        }
        true
    }

    fn settled(self, queue: &Queue) -> Result<Declaration, Error> {
        let mut arguments: BTreeMap<_, _> = self
            .arguments
            .iter()
            .map(|(name, value)| (name.clone(), shown(value)))
            .collect();
        let named = arguments.remove("x-queue-type");
        // Queues of brokers that know no other types have no type.
        let named = named.as_deref().unwrap_or("classic");
        let known = ["quorum", "classic", "stream"];
        let Some(queue_type) = known.into_iter().find(|known| *known == named) else {
            let message = format!("queue {:?} is of an unknown type: {named}", queue.name);
            return Err(Kind::Mismatch.error(message));
        };
        // A durable queue that is as configured was found to be so by the first declare.
        let as_configured = !queue.durable
            && !self.durable
            && !self.auto_delete
            && queue_type == queue.kind.name()
            && arguments.is_empty();
        Ok(Declaration {
            durable: self.durable,
            auto_delete: self.auto_delete,
            queue_type,
            arguments,
            as_configured,
        })
    }
}

/// A value in a refusal; its type is named unless it is that of the value it is compared with, which is text.
fn value(current: &str, kind: Option<&str>) -> Option<AMQPValue> {
    match kind {
        None | Some("longstr") => Some(text(current)),
        Some("bool") => current.parse().ok().map(AMQPValue::Boolean),
        // Brokers compare integers of all widths by their values.
        Some(_) => current.parse().ok().map(AMQPValue::LongLongInt),
    }
}

fn shown(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
