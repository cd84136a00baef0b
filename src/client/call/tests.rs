//! Calls whose driver is the test: what they send, and when they are forgotten.

use super::*;
use crate::client::pending::{Command, PendingCall};
use crate::client::state::{ConnectionState, Counters};
use crate::protocol::body::Text;
use crate::protocol::{Code, Message, header};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

/// A client whose driver is the test.
fn client() -> (Arc<Shared>, mpsc::UnboundedReceiver<Command>) {
    let (commands, receiver) = mpsc::unbounded_channel();
    let shared = Shared {
        commands,
        driver: Mutex::new(JoinSet::new()),
        counters: Arc::new(Counters::default()),
        state: watch::channel(ConnectionState::Ready).1,
        timeout: Duration::from_secs(10),
    };
    (Arc::new(shared), receiver)
}

fn call(shared: &Arc<Shared>) -> Call<Text> {
    Call::new(shared, "q".into(), "30")
}

/// The call that was sent, with its deadline.
fn sent(commands: &mut mpsc::UnboundedReceiver<Command>) -> (Instant, PendingCall) {
    match commands.try_recv() {
        Ok(Command::Call(_, deadline, call)) => (deadline, call),
        other => panic!("{other:?}"),
    }
}

fn message(call: &PendingCall) -> Message {
    call.request(uuid::Uuid::nil(), Duration::from_secs(1), false)
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let waker = futures_util::task::noop_waker();
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

#[test]
fn a_request_is_sent_at_the_first_poll_and_forgotten_when_dropped() {
    let (shared, mut commands) = client();
    let mut future = call(&shared).into_future();
    assert!(commands.try_recv().is_err());
    let before = Instant::now();
    assert!(poll(&mut future).is_pending());
    let (deadline, pending) = sent(&mut commands);
    assert!(deadline >= before + Duration::from_secs(10));
    assert_eq!(
        (&*pending.queue, pending.timeout),
        ("q", Duration::from_secs(10))
    );
    drop(future);
    assert!(matches!(commands.try_recv(), Ok(Command::Forget(_))));

    let mut future = call(&shared).into_future();
    assert!(poll(&mut future).is_pending());
    let (_, pending) = sent(&mut commands);
    let reply = Message {
        body: "832040".into(),
        ..Message::default()
    };
    pending.end(Ok((reply, Duration::ZERO)));
    let replied = Poll::Ready(Ok(Text("832040".into())));
    assert_eq!(poll(&mut future), replied);
    assert!(poll(&mut future).is_pending());
    drop(future);
    assert!(commands.try_recv().is_err(), "it has ended");
    drop(call(&shared).into_future());
    assert!(commands.try_recv().is_err(), "it has not begun");
}

#[test]
fn a_call_without_a_driver_fails() {
    let (shared, commands) = client();
    let mut future = call(&shared).into_future();
    assert!(poll(&mut future).is_pending());
    drop(commands);
    let code = |outcome: Poll<Result<Text, CallError>>| outcome.map(|it| it.unwrap_err().code());
    assert_eq!(code(poll(&mut future)), Poll::Ready(Code::Unknown));
    let mut future = call(&shared).into_future();
    assert_eq!(code(poll(&mut future)), Poll::Ready(Code::Unavailable));
}

#[test]
fn a_request_has_what_the_call_states() {
    let (shared, mut commands) = client();
    let since = Instant::now();
    let detailed = call(&shared).timeout(Duration::from_secs(3)).since(since);
    let detailed = detailed.method("list").priority(7).header("x-a", 1);
    let mut future = detailed
        .content_type("text/csv")
        .header("x-b", "c")
        .into_future();
    assert!(poll(&mut future).is_pending());
    let (deadline, pending) = sent(&mut commands);
    assert_eq!(deadline, since + Duration::from_secs(3));
    let properties = message(&pending).properties;
    assert_eq!(properties.content_type.as_deref(), Some("text/csv"));
    assert_eq!(properties.kind.as_deref(), Some("list"));
    let unread = properties.unread.unwrap();
    assert_eq!(unread.priority, Some(7));
    assert_eq!(
        unread.headers,
        [("x-a".into(), 1.into()), ("x-b".into(), "c".into())]
    );
    let mut plain = call(&shared).method("").into_future();
    assert!(poll(&mut plain).is_pending());
    let properties = message(&sent(&mut commands).1).properties;
    assert_eq!((properties.kind, properties.unread), (None, None));
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_first_reason() {
    let (shared, mut commands) = client();
    let long = "x".repeat(256);
    let queue = |name: &str| Call::<Text>::new(&shared, name.into(), "30");
    let body = |bytes: usize| Call::<Text>::new(&shared, "q".into(), vec![0; bytes]);
    for (call, code, words) in [
        (queue(""), Code::InvalidArgument, "the queue name is empty"),
        (
            queue(&long),
            Code::InvalidArgument,
            "the queue name is longer",
        ),
        (body(MAX_BODY + 1), Code::OutOfRange, "16777217 bytes"),
        (
            call(&shared).method("fibrpc.status"),
            Code::InvalidArgument,
            "the method name `fibrpc.status` is reserved",
        ),
        (
            call(&shared).method("amqp-1.0").header("", 1),
            Code::InvalidArgument,
            "the method name `amqp-1.0` is reserved",
        ),
        (
            call(&shared).method(long.clone()),
            Code::InvalidArgument,
            "longer than the 255 bytes",
        ),
        (
            call(&shared).content_type(long.clone()),
            Code::InvalidArgument,
            "the content type is longer",
        ),
        (
            call(&shared).header(long.clone(), 1),
            Code::InvalidArgument,
            "a header's name is longer",
        ),
        (
            call(&shared).header("fibrpc-deadline", 1),
            Code::InvalidArgument,
            "the header name `fibrpc-deadline` is reserved",
        ),
        (
            call(&shared).header("x", "y".repeat(MAX_HEADERS)),
            Code::InvalidArgument,
            "the headers have",
        ),
    ] {
        let Poll::Ready(Err(error)) = poll(&mut call.into_future()) else {
            panic!("not refused: {words}");
        };
        assert_eq!(error.code(), code);
        assert!(error.status().message().contains(words), "{error}");
        assert!(!error.is_from_server());
    }
    assert!(commands.try_recv().is_err());
    assert!(poll(&mut body(MAX_BODY).into_future()).is_pending());
}

#[tokio::test]
async fn an_error_becomes_a_status_or_any_error() {
    let (shared, _commands) = client();
    let refused = || call(&shared).method("fibrpc.x").into_future();
    let as_status = async || -> Result<Text, Status> { Ok(refused().await?) };
    assert_eq!(as_status().await.unwrap_err().code(), Code::InvalidArgument);
    let boxed = async || -> Result<Text, Box<dyn std::error::Error>> { Ok(refused().await?) };
    let text = boxed().await.unwrap_err().to_string();
    assert!(
        text.starts_with("INVALID_ARGUMENT: the method name"),
        "{text}"
    );
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn text_header(message: &Message, name: &str) -> Option<String> {
    match message.properties.header(name)? {
        HeaderValue::Text(text) => Some(text.clone()),
        _ => None,
    }
}

#[test]
fn a_call_in_a_trace_is_a_child_of_it() {
    let (shared, mut commands) = client();
    let parent = TraceContext::parse(PARENT, Some("v=1")).unwrap();
    let mut future = call(&shared).trace_context(&parent).into_future();
    assert!(poll(&mut future).is_pending());
    let request = message(&sent(&mut commands).1);
    let own = text_header(&request, header::TRACEPARENT).unwrap();
    let own = TraceContext::parse(&own, None).unwrap();
    assert_eq!(own.trace_id(), parent.trace_id());
    assert_ne!(own.span_id(), parent.span_id());
    assert!(own.is_sampled());
    let state = text_header(&request, header::TRACESTATE);
    assert_eq!(state.as_deref(), Some("v=1"));
}

#[test]
fn a_call_without_a_trace_sends_none() {
    let (shared, mut commands) = client();
    let own = TraceContext::parse(PARENT, None).unwrap();
    let by_hand = call(&shared).header(header::TRACEPARENT, "by hand");
    let mut futures = [
        call(&shared).into_future(),
        call(&shared).trace_context(None).into_future(),
        by_hand.trace_context(&own).into_future(),
    ];
    for future in &mut futures {
        assert!(poll(future).is_pending());
        let request = message(&sent(&mut commands).1);
        assert_eq!(text_header(&request, header::TRACEPARENT), None);
    }
}

#[cfg(feature = "process")] // for the subscriber
#[test]
fn a_call_begins_a_trace_if_a_subscriber_asks() {
    let _guard = tracing::subscriber::set_default(tracing_subscriber::Registry::default());
    let (shared, mut commands) = client();
    let mut future = call(&shared).into_future();
    assert!(poll(&mut future).is_pending());
    let (_, pending) = sent(&mut commands);
    let parent = text_header(&message(&pending), header::TRACEPARENT).unwrap();
    let sent = TraceContext::parse(&parent, None).unwrap();
    assert!(sent.is_sampled());
    pending.fail(&Status::unavailable("no"));
    let Poll::Ready(Err(error)) = poll(&mut future) else {
        panic!("no error");
    };
    assert_eq!(error.trailer().trace_id, Some(Box::new(sent.trace_id())));
}
