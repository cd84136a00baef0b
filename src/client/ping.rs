//! [`Client::ping`]: a round trip to a server and back, at no cost of computation.

use super::Client;
use super::call::Question;
use crate::protocol::control::{Report, read_pong};
use crate::protocol::reply::{self, Trailer};
use crate::protocol::{Message, Status};
use std::time::{Duration, Instant};

/// The answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// From the (last) publish of the ping to its answer, through the request queue.
    pub round_trip: Duration,
    /// Who answered.
    pub from: Answerer,
}

/// Who answers a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answerer {
    /// A server that knows pings, with what it says about itself.
    Server(Box<Report>),
    /// Any other server of the tutorial's kind: it took the ping for an ordinary request.
    Plain(Trailer),
}

impl From<Message> for Answerer {
    fn from(message: Message) -> Self {
        match read_pong(&message) {
            Some(report) => Self::Server(Box::new(report)),
            // A refusal, too, shows that somebody is there.
            None => Self::Plain(reply::read(message).1),
        }
    }
}

impl Client {
    /// Asks whether a server is there: the way of a call, but no number is computed.
    ///
    /// Fails as [`Client::call`] does where no answer comes; any answer will do.
    pub async fn ping(&self, timeout: Duration) -> Result<Pong, Status> {
        self.ping_since(Instant::now(), timeout).await
    }

    /// The same for a ping that began earlier, for example by connecting: its time runs from `since`.
    pub async fn ping_since(&self, since: Instant, timeout: Duration) -> Result<Pong, Status> {
        let (message, round_trip) = self.ask(Question::Ping, since, timeout).await?;
        Ok(Pong {
            round_trip,
            from: message.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::control::pong;
    use crate::protocol::{Properties, Request};

    #[test]
    fn who_answers_is_seen_by_the_answer() {
        let ping = Question::Ping.message(b"id", 1_000, 1_000);
        let report = Report {
            instance: "blue".into(),
            ..Report::default()
        };
        let answer = pong(&Request::read(ping), &report, 1);
        assert_eq!(Answerer::from(answer), Answerer::Server(Box::new(report)));
        for body in ["0", "", "error: UNAVAILABLE: draining"] {
            let plain = Message {
                body: body.into(),
                properties: Properties::default(),
            };
            let plain = Answerer::from(plain);
            assert_eq!(plain, Answerer::Plain(Trailer::default()), "{body:?}");
        }
    }
}
