//! [`TraceContext`]: the place of a request in a distributed trace, as W3C Trace Context describes it.
//!
//! Guarantees that its ids are not zero and that its `tracestate` is well-formed, so that whatever is read can be sent. Pure:
//! random ids are arguments.

use super::message::{HeaderValue, header};
use super::status::Code;
use std::fmt;
use std::sync::Arc;
use tracing::Span;
use uuid::Uuid;

/// The target of all spans that this crate makes for requests and calls, and of the events in them.
pub(crate) const SPAN_TARGET: &str = "fibrpc::rpc";

/// A subscriber that enables this target asks for spans of requests and calls without a trace context; each begins a trace,
/// which is sampled. The question is asked for each of them, so a filter that enables it now and then samples a part.
pub(crate) const ROOT_TARGET: &str = "fibrpc::rpc::root";

/// A span of a request or a call, with the fields that both have. `caller` is the context that it continues, if any.
#[cfg(any(feature = "server", feature = "client"))]
macro_rules! rpc_span {
    (
        $(parent: $parent:expr,)? $name:literal, $kind:literal, $context:expr, $caller:expr,
        method: $method:expr, queue: $queue:expr, id: $id:expr
    ) => {
        tracing::info_span!(
            target: $crate::protocol::trace_context::SPAN_TARGET,
            $(parent: $parent,)?
            $name,
            otel.name = $method.unwrap_or("rabbitmq"),
            otel.kind = $kind,
            rpc.system.name = "rabbitmq",
            rpc.method = $method,
            rpc.status_code = tracing::field::Empty,
            error.type = tracing::field::Empty,
            messaging.system = "rabbitmq",
            messaging.destination.name = $queue,
            messaging.message.conversation_id = $id,
            fibrpc_trace_id = %Hex(&$context.trace_id()),
            fibrpc_span_id = %Hex(&$context.span_id()),
            fibrpc_parent_id = $caller.map(|caller| Hex(&caller.span_id()).to_string()),
            fibrpc_sampled = $context.is_sampled(),
            fibrpc_tracestate = $context.state(),
        )
    };
}

#[cfg(any(feature = "server", feature = "client"))]
pub(crate) use rpc_span;

/// Notes the code of the reply in such a span.
pub(crate) fn record_code(span: &Span, code: &str) {
    span.record("rpc.status_code", code);
    if code != Code::Ok.name() {
        span.record("error.type", code);
    }
}

/// The length of a `traceparent` of version 00; later versions may be longer.
const LENGTH: usize = 55;

/// The flags that have a meaning: sampled, and that the trace id is random. Others are not passed on.
const SAMPLED: u8 = 1;
const KNOWN_FLAGS: u8 = SAMPLED | 2;

/// The limits of a `tracestate`, which every program has to pass on at least.
const MAX_STATE_BYTES: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;

/// The place of a request in a distributed trace: W3C Trace Context, the headers `traceparent` and `tracestate`.
///
/// It identifies a trace, and the span in it that caused the request.
///
/// ```
/// use fibrpc::TraceContext;
///
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context = TraceContext::parse(parent, Some("vendor=1")).ok_or("not a trace context")?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), parent);
/// assert_eq!(context.state(), Some("vendor=1"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// A context without a `tracestate`; `None` if an id is zero.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) -> Option<Self> {
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id,
            span_id,
            flags: u8::from(sampled),
            state: None,
        })
    }

    /// Reads the values of the headers `traceparent` and `tracestate`.
    ///
    /// `None` if the first is not valid, as the recommendation requires: a new trace begins then. A `tracestate` that is
    /// malformed, longer than 512 bytes, or has more than 32 members is left out.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let (first, rest) = bytes.split_at_checked(LENGTH)?;
        let [version] = hex(&first[..2])?;
        match version {
            0 if rest.is_empty() => {}
            1..=0xfe if rest.is_empty() || rest[0] == b'-' => {}
            _ => return None,
        }
        if [first[2], first[35], first[52]] != [b'-'; 3] {
            return None;
        }
        let [flags] = hex(&first[53..])?;
        let context = Self::new(hex(&first[3..35])?, hex(&first[36..52])?, false)?;
        Some(Self {
            flags: flags & KNOWN_FLAGS,
            state: tracestate.filter(|state| is_state(state)).map(Arc::from),
            ..context
        })
    }

    /// A span with ids made of these random UUIDs, which are never zero: a child of the caller's, or the root of a trace that
    /// is sampled.
    pub(crate) fn of_span(caller: Option<&Self>, trace_id: Uuid, span_id: Uuid) -> Self {
        let (_, span_id) = span_id.as_u64_pair();
        let span_id = span_id.to_be_bytes();
        match caller {
            Some(caller) => Self {
                span_id,
                ..caller.clone()
            },
            None => Self {
                trace_id: trace_id.into_bytes(),
                span_id,
                flags: SAMPLED,
                state: None,
            },
        }
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the span, which is the parent of those that continue the trace from here.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Whether the trace is recorded by its callers.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `tracestate`, unparsed.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The headers of a message that carries it.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, HeaderValue)> {
        let text = |text: &str| HeaderValue::Text(text.to_owned());
        let parent = (header::TRACEPARENT, HeaderValue::Text(self.to_string()));
        let state = self.state().map(|state| (header::TRACESTATE, text(state)));
        std::iter::once(parent).chain(state)
    }
}

/// As a `traceparent` of version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace_id, span_id) = (Hex(&self.trace_id), Hex(&self.span_id));
        write!(f, "00-{trace_id}-{span_id}-{:02x}", self.flags)
    }
}

/// Bytes in hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads `2 * N` hexadecimal digits, of which letters are lower case.
pub(crate) fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Whether it is a well-formed `tracestate` within the limits, with at least one member. Members may be empty.
fn is_state(state: &str) -> bool {
    let members = || {
        state
            .split(',')
            .map(|member| member.trim_matches([' ', '\t']))
    };
    let members = || members().filter(|member| !member.is_empty());
    state.len() <= MAX_STATE_BYTES
        && (1..=MAX_STATE_MEMBERS).contains(&members().count())
        && members().all(is_member)
}

/// Whether it is `key=value`. The value does not end with a space, because members are trimmed.
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    let key_byte =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value_byte = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    (1..=256).contains(&key.len())
        && (1..=256).contains(&value.len())
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(key_byte)
        && value.bytes().all(value_byte)
}

#[cfg(test)]
mod tests;
