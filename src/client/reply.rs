//! [`Reply`]: a reply with everything that is known about it.

use super::error::CallError;
use crate::protocol::Status;
use crate::protocol::reply::Trailer;
use crate::text;
use std::time::Duration;

/// How much of an unexpected reply an error shows, in characters.
const MAX_SHOWN: usize = 100;

/// The reply to a call: its body as it is, and everything that is known about it.
///
/// ```no_run
/// # use fibrpc::Client;
/// use fibrpc::client::Reply;
///
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let reply = client.call::<Reply>("thumbnails", "cat.jpg").await?;
/// println!("{} bytes of {:?} from {:?}", reply.body().len(), reply.content_type(), reply.server());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) trailer: Trailer,
    pub(crate) round_trip: Duration,
}

impl Reply {
    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, not copied.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The body's MIME type, if the server says.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The server's instance name, if it gave one.
    pub fn server(&self) -> Option<&str> {
        self.trailer.server.as_deref()
    }

    /// How long the request was in the queue, if the server knows.
    pub fn queued(&self) -> Option<Duration> {
        self.trailer.queued
    }

    /// How long the server worked on it, if the server says.
    pub fn computed(&self) -> Option<Duration> {
        self.trailer.compute
    }

    /// From the (last) publish of the request to the reply.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The error of a caller that expected something else: `UNKNOWN`, with what came instead.
    ///
    /// `problem` goes on after "the reply", for example "is not a date".
    #[must_use]
    pub fn unexpected(self, problem: &str) -> CallError {
        let content_type = self.content_type().map_or_else(
            || "no content type".into(),
            |name| text::excerpt(name, MAX_SHOWN),
        );
        let body = text::quoted_to(&self.body, MAX_SHOWN);
        let message = format!(
            "the reply {}; got {content_type}, {body}",
            text::safe(problem)
        );
        CallError::of_server(Status::unknown(message), self.trailer)
    }
}
