//! Whether the user may consume from a queue, checked without a side effect.

use super::{Channel, short};
use crate::broker::error::{Error, Kind};
use lapin::options::BasicConsumeOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};

impl Channel {
    /// Whether the user may consume from the queue: if not, an error of [`Kind::Denied`].
    ///
    /// Tries to consume with an invalid argument. RabbitMQ and `LavinMQ` check the permission first and then
    /// refuse the argument; not for brokers that may ignore it. Closes the channel.
    pub async fn may_consume(&self, queue: &str) -> Result<(), Error> {
        let mut arguments = FieldTable::default();
        let not_a_number = AMQPValue::LongString(LongString::from("none"));
        arguments.insert("x-priority".into(), not_a_number);
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
            // Ignored: what has been delivered is returned as the channel closes.
            Ok(_) => self.close(self.timeout).await,
        }
    }
}
