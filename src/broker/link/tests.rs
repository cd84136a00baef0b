//! The link without a socket: what one side says, and what the others hear.

use super::*;
use crate::broker::Kind;
use crate::broker::codec::frame::A_HEARTBEAT;
use crate::broker::reader::Broken;
use futures_io::{AsyncRead as _, AsyncWrite as _};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

const GREETING: &[u8] = b"AMQP\0\0\x09\x01";

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn say(library: &mut LibraryEnd, bytes: &[u8]) {
    let written = Pin::new(library).poll_write(&mut context(), bytes);
    assert!(matches!(written, Poll::Ready(Ok(length)) if length == bytes.len()));
}

fn hear(library: &mut LibraryEnd) -> Poll<io::Result<usize>> {
    Pin::new(library).poll_read(&mut context(), &mut [0; 16])
}

/// Our frames are never put into the middle of one of the library's.
#[test]
fn frames_go_out_whole() {
    let link = Link::new("mq:5672".into());
    let mut library = LibraryEnd(link.clone());
    let said = [GREETING, &A_HEARTBEAT, &A_HEARTBEAT].concat();
    for byte in said.chunks(1) {
        link.write(|out| out.push(b'+'));
        say(&mut library, byte);
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
fn who_waits_is_told_of_the_end_once() {
    let link = Link::new("mq:5672".into());
    let mut library = LibraryEnd(link.clone());
    let mut before = link.mailbox(1);
    assert!(before.try_next().is_none());
    assert!(hear(&mut library).is_pending());
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
    assert!(matches!(hear(&mut library), Poll::Ready(Err(_))));
    let spoken = Pin::new(&mut library).poll_write(&mut context(), b"x");
    assert!(matches!(spoken, Poll::Ready(Err(_))));
}

#[test]
fn who_asks_in_the_moment_of_the_end_is_told_too() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let link = Link::new("mq:5672".into());
    let lost = async |link: &Link| {
        let error = link.or_ended(std::future::pending::<lapin::Result<()>>());
        Error::from_lapin("cannot ask", &error.await.unwrap_err())
    };
    runtime.block_on(async {
        assert!(link.or_ended(async { Ok(()) }).await.is_ok());
        let (error, ()) = tokio::join!(lost(&link), async { link.kill() });
        assert_eq!(error.message, "cannot ask: it was cut");
        assert_eq!(lost(&link).await.kind, Kind::Lost);
        // What the library has to say of it comes first.
        let said = link.or_ended(async {
            tokio::task::yield_now().await;
            Ok("said")
        });
        assert_eq!(said.await.unwrap(), "said");
    });
}

#[test]
fn what_the_broker_closes_with_says_more_than_what_follows() {
    let link = Link::new("mq:5672".into());
    let mut mailbox = link.mailbox(1);
    let mut intake = Intake {
        closed: Some(Reason {
            code: 320,
            text: "shutdown".into(),
        }),
        ..Intake::default()
    };
    link.deliver(&mut intake);
    link.end(Ending::here("the broker closed it"));
    let failure = link.failure().unwrap().message;
    assert_eq!(failure, "connection to mq:5672 lost: shutdown");
    assert!(matches!(mailbox.try_next(), Some(Arrival::Failed(error)) if error.message == failure));
    assert!(mailbox.try_next().is_none());
}
