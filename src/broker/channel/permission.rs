//! Whether the user may consume from a queue, checked without a side effect.

use super::{Channel, short, table, text};
use crate::broker::error::{Error, Kind};
use lapin::options::BasicConsumeOptions;

impl Channel {
    /// Whether the user may consume from the queue: if not, an error of [`Kind::Denied`].
    ///
    /// Tries to consume with an invalid argument. RabbitMQ and `LavinMQ` check the permission first and then
    /// refuse the argument; not for brokers that may ignore it. Closes the channel.
    pub async fn may_consume(&self, queue: &str) -> Result<(), Error> {
        let consume = self.inner.library.basic_consume(
            short("the queue's name", queue)?,
            "".into(),
            BasicConsumeOptions::default(),
            table([("x-priority", text("not a number"))]),
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
