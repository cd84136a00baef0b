//! [`Reply`]: what a service returns and what a caller gets, and the [`Trailer`] that a server adds to it. Pure.

use crate::protocol::status::Status;
use crate::text;
use std::borrow::Cow;
use std::time::Duration;

/// How much of an unexpected reply an error shows, in characters.
const MAX_SHOWN: usize = 100;

/// A reply: what a service returns, and what its caller gets.
///
/// A caller also learns what the server reports about itself and its times:
///
/// ```no_run
/// # #[cfg(feature = "client")]
/// # async fn example(client: fibrpc::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use fibrpc::Reply;
///
/// let reply = client.call::<Reply>("thumbnails", "cat.jpg").await?;
/// println!("{} bytes of {:?} from {:?}", reply.body().len(), reply.content_type(), reply.server());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: Option<Cow<'static, str>>,
    pub(crate) trailer: Trailer,
    pub(crate) round_trip: Option<Duration>,
}

/// The headers of a reply that name the server and the time spent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailer {
    /// The server's instance name.
    pub server: Option<String>,
    /// Time in the queue, in whole microseconds, on the wire at most 36 minutes.
    pub queued: Option<Duration>,
    /// Computing time, likewise.
    pub compute: Option<Duration>,
    /// The trace of the call, if it is part of one. Not a header: the client knows it.
    pub trace_id: Option<Box<[u8; 16]>>,
}

impl Reply {
    /// A reply of a service, with this body and MIME type.
    pub fn new(body: impl Into<Vec<u8>>, content_type: impl Into<Cow<'static, str>>) -> Self {
        Self {
            body: body.into(),
            content_type: Some(content_type.into()),
            trailer: Trailer::default(),
            round_trip: None,
        }
    }

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

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// `UNKNOWN` if it is something else, with what came instead.
    #[cfg(feature = "json")]
    pub fn json<T: for<'de> serde::Deserialize<'de>>(&self) -> Result<T, Status> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.unexpected(&format!("is not the expected JSON: {error}")))
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// `UNKNOWN` if it is not UTF-8, with what came instead.
    pub fn text(&self) -> Result<&str, Status> {
        std::str::from_utf8(&self.body).map_err(|_| self.unexpected("is not UTF-8"))
    }

    /// The instance name of the server, if it gave one.
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

    /// From the (last) publish of the request to the reply; `None`: a client did not receive it.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The error of a caller that expected something else: `UNKNOWN`, with what came instead.
    ///
    /// `problem` goes on after "the reply", for example "is not a date".
    pub fn unexpected(&self, problem: &str) -> Status {
        let content_type = self.content_type().map_or_else(
            || "no content type".into(),
            |name| text::excerpt(name, MAX_SHOWN),
        );
        let body = text::quoted_to(&self.body, MAX_SHOWN);
        Status::unknown(format!(
            "the reply {}; got {content_type}, {body}",
            text::safe(problem)
        ))
    }
}
