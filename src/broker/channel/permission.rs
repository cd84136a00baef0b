//! Whether the user may consume from a queue, found out without a side effect.

use super::{Channel, short};
use crate::broker::error::{Error, Kind};
use lapin::options::BasicConsumeOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};

impl Channel {
    /// Whether the user may consume from the queue: an error of [`Kind::Denied`] where not.
    ///
    /// Asks to consume with an argument that cannot be. RabbitMQ looks at the permission first and then
    /// refuses the argument, and so does `LavinMQ`; not for brokers that may overlook it. Closes the channel.
    pub async fn may_consume(&self, queue: &str) -> Result<(), Error> {
        let mut arguments = FieldTable::default();
        let no_number = AMQPValue::LongString(LongString::from("none"));
        arguments.insert("x-priority".into(), no_number);
        let consume = self.inner.library.basic_consume(
            short("the queue's name", queue)?,
            "".into(),
            BasicConsumeOptions::default(),
            arguments,
        );
        let what = format!("cannot consume from queue {queue:?}");
        match self.bounded(&what, consume).await {
            Err(error) if error.kind == Kind::Refused && error.message.contains("x-priority") => {
                Ok(())
            }
            Err(error) => Err(error),
            // Overlooked: what has been delivered goes back as the channel closes.
            Ok(_) => self.close(self.timeout).await,
        }
    }
}
