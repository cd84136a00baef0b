//! [`CallError`]: why a call has no reply.

use crate::protocol::reply_value::Trailer;
use crate::protocol::{Code, Reply, Status};

/// Why a call has no reply: a [`Status`], and whether the server sent it.
///
/// It becomes a [`Status`] by `?`, so that a service can pass on the error of another one.
///
/// ```no_run
/// # use fibrpc::{Client, Code, Text};
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// match client.call::<Text>("prices", "tea").await {
///     Ok(Text(price)) => println!("{price}"),
///     Err(error) if error.code() == Code::NotFound => println!("no tea"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}")]
pub struct CallError {
    status: Status,
    trailer: Trailer,
    from_server: bool,
}

impl CallError {
    /// The error of the server that has replied.
    pub(crate) fn of_server(status: Status, trailer: Trailer) -> Self {
        Self {
            status,
            trailer,
            from_server: true,
        }
    }

    /// The error of a caller that expected another reply: `UNKNOWN`, with what came instead. See [`Reply::unexpected`].
    #[must_use]
    pub fn unexpected(reply: Reply, problem: &str) -> Self {
        Self::of_server(reply.unexpected(problem), reply.trailer)
    }

    /// The code, message and details.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The code; short for `status().code()`.
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// Whether a server has replied, with this error or with something that could not be read. Otherwise the client itself
    /// reports what happened to the request.
    pub fn is_from_server(&self) -> bool {
        self.from_server
    }

    /// The instance name of the server that has replied, if it gave one.
    pub fn server(&self) -> Option<&str> {
        self.trailer.server.as_deref()
    }

    /// The same with the trace that the call belongs to.
    pub(super) fn in_trace(mut self, trace_id: Option<[u8; 16]>) -> Self {
        self.trailer.trace_id = trace_id.map(Box::new);
        self
    }

    /// What the server reports about itself and its times.
    pub(crate) fn trailer(&self) -> &Trailer {
        &self.trailer
    }
}

/// An error of the client itself.
impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self {
            status,
            trailer: Trailer::default(),
            from_server: false,
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        error.status
    }
}
