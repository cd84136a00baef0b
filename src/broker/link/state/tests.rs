//! The link without a socket: what one side writes, and what the others read.

use super::*;
use crate::broker::codec::frame::A_HEARTBEAT;
use crate::broker::error::Kind;
use crate::broker::link::LibraryEnd;
use crate::broker::reader::Broken;
use futures_io::{AsyncRead as _, AsyncWrite as _};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

const GREETING: &[u8] = b"AMQP\0\0\x09\x01";

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn write(library: &mut LibraryEnd, bytes: &[u8]) {
    let written = Pin::new(library).poll_write(&mut context(), bytes);
    assert!(matches!(written, Poll::Ready(Ok(length)) if length == bytes.len()));
}

fn read(library: &mut LibraryEnd) -> Poll<io::Result<usize>> {
    Pin::new(library).poll_read(&mut context(), &mut [0; 16])
}

/// Our frames are never put into the middle of one of the library's.
#[test]
fn frames_go_out_whole() {
    let link = Link::new("mq:5672".into());
    let mut library = LibraryEnd(link.clone());
    let written = [GREETING, &A_HEARTBEAT, &A_HEARTBEAT].concat();
    for byte in written.chunks(1) {
        link.write(|out| out.push(b'+'));
        write(&mut library, byte);
    }
    let sent = String::from_utf8(
        link.state()
            .outbound
            .clone()
            .iter()
            .map(|byte| if *byte == b'+' { b'+' } else { b'.' })
            .collect(),
    )
    .unwrap();
    assert_eq!(sent, "++++++++........++++++++........++++++++........");
}

#[test]
fn the_end_is_reported_everywhere_once() {
    let link = Link::new("mq:5672".into());
    let mut library = LibraryEnd(link.clone());
    let mut before = link.mailbox(1);
    let mut events = link.events();
    assert!(before.try_next().is_none() && events.try_next().is_none());
    assert!(read(&mut library).is_pending());
    link.kill();
    link.end(Ending::Broken(Broken("too late")));
    let mut after = link.mailbox(2);
    for mailbox in [&mut before, &mut after] {
        let Some(Arrival::Failed(error)) = mailbox.try_next() else {
            panic!("not told")
        };
        assert_eq!(error.message, "connection to mq:5672 lost: it was cut");
        assert!(mailbox.try_next().is_none());
    }
    let Some(ConnectionEvent::Failed(error)) = events.try_next() else {
        panic!("no event")
    };
    assert_eq!(error.message, link.failure().unwrap().message);
    assert!(events.try_next().is_none());
    assert!(matches!(read(&mut library), Poll::Ready(Err(_))));
    let spoken = Pin::new(&mut library).poll_write(&mut context(), b"x");
    assert!(matches!(spoken, Poll::Ready(Err(_))));
}

#[tokio::test]
async fn operations_fail_with_the_end_of_the_connection_at_once() {
    let link = Link::new("mq:5672".into());
    let limit = std::time::Duration::from_secs(60);
    link.run(limit, "ask", 0, true, async { Ok(()) })
        .await
        .unwrap();
    let never = || std::future::pending::<lapin::Result<()>>();
    let (lost, ()) = tokio::join!(link.run(limit, "ask", 0, true, never()), async {
        link.kill();
    });
    for lost in [lost, link.run(limit, "ask", 0, true, never()).await] {
        let error = lost.unwrap_err();
        assert_eq!(error.kind, Kind::Lost);
        assert_eq!(error.message, "connection to mq:5672 lost: it was cut");
    }
}

/// The broker's reason for closing a channel or connection is the error of the pending operation, whatever the library
/// makes of it.
#[tokio::test]
async fn operations_fail_with_the_reason_of_the_broker() {
    let limit = std::time::Duration::from_secs(60);
    let refusal = || {
        let state = lapin::ChannelState::Error;
        Err::<(), _>(lapin::ErrorKind::InvalidChannelState(state, "any").into())
    };
    let link = Link::new("mq:5672".into());
    let mut mailbox = link.mailbox(1);
    link.mailbox(2);
    let unknown = link
        .run(limit, "cannot ask", 1, true, async { refusal() })
        .await;
    let unknown = unknown.unwrap_err();
    assert_eq!(unknown.message, "cannot ask: the channel is already closed");
    let closed = Control::ChannelClose(reason(404, "no queue 'q' in vhost '/'"));
    receive(&link, 1, closed);
    let refused = link
        .run(limit, "cannot ask", 1, true, async { refusal() })
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, Kind::NoQueue);
    assert_eq!(refused.message, "cannot ask: no queue 'q' in vhost '/'");
    let Some(Arrival::Failed(error)) = mailbox.try_next() else {
        panic!("the channel is open")
    };
    assert_eq!(error.kind, Kind::NoQueue);
    assert_eq!(error.message, "channel closed: no queue 'q' in vhost '/'");
    assert!(link.failure().is_none());

    let closed = Control::ConnectionClose(reason(541, "INTERNAL_ERROR"));
    receive(&link, 0, closed);
    let refused = link
        .run(limit, "cannot ask", 2, true, async { refusal() })
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, Kind::Protocol);
    assert_eq!(refused.message, "cannot ask: INTERNAL_ERROR");
}

#[test]
fn the_first_ending_counts() {
    let link = Link::new("mq:5672".into());
    let mut mailbox = link.mailbox(1);
    let mut events = link.events();
    receive(&link, 0, Control::Blocked("low on memory".into()));
    receive(&link, 0, Control::Unblocked);
    receive(&link, 0, Control::ConnectionClose(reason(320, "shutdown")));
    link.end(Ending::here("the broker closed it"));
    let failure = link.failure().unwrap().message;
    assert_eq!(failure, "connection to mq:5672 lost: shutdown");
    assert!(matches!(mailbox.try_next(), Some(Arrival::Failed(error)) if error.message == failure));
    assert!(mailbox.try_next().is_none());
    let reason = "low on memory";
    assert!(matches!(events.try_next(), Some(ConnectionEvent::Blocked(text)) if text == reason));
    assert!(matches!(
        events.try_next(),
        Some(ConnectionEvent::Unblocked)
    ));
    assert!(
        matches!(events.try_next(), Some(ConnectionEvent::Failed(error)) if error.message == failure)
    );
    assert!(events.try_next().is_none());
}

/// The library still has to answer the broker's close.
#[test]
fn an_orderly_end_goes_on_after_the_failure() {
    let link = Link::new("mq:5672".into());
    let mut library = LibraryEnd(link.clone());
    write(&mut library, GREETING);
    link.state().outbound.clear();
    receive(&link, 0, Control::ConnectionClose(reason(320, "shutdown")));
    assert!(read(&mut library).is_pending());
    write(&mut library, &A_HEARTBEAT);
    assert_eq!(link.state().outbound, A_HEARTBEAT);
}

fn receive(link: &Link, channel: u16, control: Control) {
    link.deliver(&mut Intake {
        control: vec![(channel, control)],
        ..Intake::default()
    });
}

fn reason(code: u16, text: &str) -> Reason {
    let text = text.into();
    Reason { code, text }
}
