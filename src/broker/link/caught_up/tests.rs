//! Tests of what is read before anything is judged late. The process that is stopped is a thread that blocks: its
//! runtime does not run, while broker and clock continue.

use super::*;
use crate::broker::codec::frame::A_HEARTBEAT;
use crate::broker::link::{LibraryEnd, Pump, runtime};
use crate::broker::mailbox::{Arrival, Mailbox};
use crate::broker::reader::Reader;
use crate::broker::transport::Stream;
use async_rs::traits::Reactor as _;
use futures_io::AsyncRead as _;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};

/// A confirm of publish 1 on channel 1.
const CONFIRM: &[u8] = b"\x01\0\x01\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\x01\0\xce";

const LIMIT: Duration = Duration::from_millis(50);

/// The broker's end of a connection, and ours.
struct Connected {
    broker: std::net::TcpStream,
    link: Link,
    mailbox: Mailbox,
    library: Library,
    _pump: tokio::task::JoinSet<()>,
}

/// Stands for the library: a thread that reads, and then takes its time over what it has read.
struct Library {
    heard: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    link: Link,
}

struct Unpark(mpsc::Sender<()>);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

impl Library {
    fn start(link: &Link) -> Self {
        let heard = Arc::new(AtomicBool::new(false));
        let mut end = LibraryEnd(link.clone());
        let thread = std::thread::spawn({
            let heard = heard.clone();
            move || {
                let (wake, woken) = mpsc::channel();
                let waker = Waker::from(Arc::new(Unpark(wake)));
                let mut bytes = [0; 64];
                let mut read = 0;
                loop {
                    match Pin::new(&mut end).poll_read(&mut Context::from_waker(&waker), &mut bytes)
                    {
                        Poll::Ready(Ok(more)) => read += more,
                        Poll::Ready(Err(_)) => return,
                        Poll::Pending if read > 0 => {
                            read = 0;
                            std::thread::sleep(Duration::from_millis(30));
                            heard.store(true, Ordering::SeqCst);
                        }
                        Poll::Pending => drop(woken.recv()),
                    }
                }
            }
        });
        Self {
            heard,
            thread: Some(thread),
            link: link.clone(),
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.link.kill();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn connected() -> Connected {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ours = tokio::net::TcpStream::connect(address).await.unwrap();
    let (broker, _) = listener.accept().unwrap();
    broker.set_nodelay(true).unwrap();
    let link = Link::new("mq:5672".into());
    let mailbox = link.mailbox(1);
    let mut pump = tokio::task::JoinSet::new();
    pump.spawn(Pump::new(
        link.clone(),
        Stream::plain(ours),
        Reader::new(None),
    ));
    let library = Library::start(&link);
    link.caught_up().await;
    Connected {
        broker,
        link,
        mailbox,
        library,
        _pump: pump,
    }
}

impl Connected {
    /// The broker speaks while our process is stopped for `time`.
    fn stopped(&mut self, time: Duration, frames: &[u8]) {
        self.broker.write_all(frames).unwrap();
        std::thread::sleep(time);
    }
}

/// As much as a socket holds for certain.
fn many() -> Vec<u8> {
    CONFIRM.repeat(2_000)
}

#[tokio::test]
async fn what_has_arrived_is_in_the_mailbox() {
    let mut all = connected().await;
    for frames in [CONFIRM.to_vec(), many()] {
        all.stopped(Duration::ZERO, &frames);
        let (mut rounds, before) = (all.link.0.rounds.subscribe(), all.link.state().rounds);
        drop(all.link.caught_up());
        // Without the library's turns, during which the runtime asks the kernel in any case.
        rounds.wait_for(|done| *done > before).await.unwrap();
        for _ in frames.chunks(CONFIRM.len()) {
            assert!(matches!(
                all.mailbox.try_next(),
                Some(Arrival::Confirmed { number: 1, .. })
            ));
        }
        assert!(all.mailbox.try_next().is_none());
    }
}

#[tokio::test]
async fn the_library_has_dealt_with_what_has_arrived() {
    let mut all = connected().await;
    all.stopped(Duration::ZERO, &A_HEARTBEAT);
    all.link.caught_up().await;
    assert!(all.library.heard.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_connection_that_has_ended_is_caught_up_with() {
    let mut all = connected().await;
    all.stopped(Duration::ZERO, CONFIRM);
    all.broker.shutdown(std::net::Shutdown::Both).unwrap();
    all.link.caught_up().await;
    assert!(matches!(
        all.mailbox.try_next(),
        Some(Arrival::Confirmed { .. })
    ));
    all.link.kill();
    all.link.caught_up().await;
}

/// The library sleeps, and then checks whether anything arrived within two heartbeat intervals.
#[tokio::test]
async fn the_library_hears_what_arrived_while_it_slept() {
    let mut all = connected().await;
    let sleep = runtime(all.link.clone()).sleep(LIMIT);
    let ((), ()) = tokio::join!(sleep, async {
        tokio::task::yield_now().await;
        // Long enough that a message alone is a sign of life for the library.
        all.stopped(STOPPED_THRESHOLD + LIMIT, CONFIRM);
    });
    assert!(all.library.heard.load(Ordering::SeqCst));
}

/// An operation whose answer is a confirm.
async fn confirmed(mailbox: &mut Mailbox) -> lapin::Result<()> {
    match mailbox.next().await {
        Arrival::Confirmed { .. } => Ok(()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_that_has_arrived_is_not_late() {
    let mut all = connected().await;
    let link = all.link.clone();
    // Stopped once the operation waits, past its end.
    let (done, ()) = {
        let Connected {
            mailbox, broker, ..
        } = &mut all;
        tokio::join!(link.run(LIMIT, "ask", 1, true, confirmed(mailbox)), async {
            tokio::task::yield_now().await;
            broker.write_all(CONFIRM).unwrap();
            std::thread::sleep(LIMIT * 2);
        })
    };
    done.unwrap();
}

#[tokio::test]
async fn an_operation_of_the_library_is_not_late_while_it_deals_with_the_answer() {
    let mut all = connected().await;
    let (link, heard) = (all.link.clone(), all.library.heard.clone());
    let answered = async {
        while !heard.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let (done, ()) = tokio::join!(link.run(LIMIT, "ask", 1, true, answered), async {
        tokio::task::yield_now().await;
        all.stopped(LIMIT * 2, &A_HEARTBEAT);
    });
    done.unwrap();
}

#[tokio::test]
async fn no_answer_is_late() {
    let all = connected().await;
    let never = std::future::pending::<lapin::Result<()>>();
    let mut asked = std::pin::pin!(all.link.run(LIMIT, "cannot ask", 1, false, never));
    tokio::select! {
        biased;
        () = sleep(LIMIT) => {}
        early = &mut asked => panic!("not late yet: {early:?}"),
    }
    let late = asked.await.unwrap_err();
    assert_eq!(late.kind, Kind::Timeout);
    assert_eq!(
        late.message,
        "cannot ask: no answer from the broker within 50ms"
    );
    assert!(all.link.failure().is_none());
    let never = std::future::pending::<lapin::Result<()>>();
    let late = all.link.run(LIMIT, "cannot ask", 1, true, never).await;
    assert_eq!(late.unwrap_err().kind, Kind::Timeout);
    assert!(all.link.failure().is_some(), "it was vital");
}

#[tokio::test]
async fn the_time_in_which_the_process_is_stopped_does_not_count() {
    let limit = STOPPED_THRESHOLD + Duration::from_millis(200);
    let answered = async {
        // The request is only sent after the stop, and answered some time later.
        sleep(Duration::from_millis(1)).await;
        std::thread::sleep(limit * 2);
        sleep(limit / 2).await;
    };
    assert!(within(limit, async || {}, answered).await.is_some());
}
