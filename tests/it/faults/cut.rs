//! A hung connection can be ended from outside, which ends every operation that waits for it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use fibrpc::internals::broker::{Arrival, Connection, Options};
use fibrpc::internals::config::Config;
use fibrpc::internals::protocol::Message;

use crate::support::{Broker, Proxy, SOON};

/// What is promised is 10 ms. Without a cut each would wait for as long as this.
const OPERATION: Duration = SOON.saturating_mul(10);

fn is_waiting<T>(future: Pin<&mut impl Future<Output = T>>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(future.poll(&mut context), Poll::Pending)
}

#[tokio::test]
async fn a_kill_ends_all_that_waits_on_a_hung_connection() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut proxy = Proxy::new(broker.port());
    let mut config = Config::default();
    config.broker.url = vec![proxy.url(&vhost).parse().unwrap()];
    let url = config.broker.url[0].clone();
    let options = || Options {
        name: "to be cut".into(),
        operation_timeout: OPERATION,
        max_body: None,
        patience: None,
    };
    let mut times = Vec::new();
    for _ in 0..10 {
        let connection = Connection::open(&url, &config.broker, options())
            .await
            .unwrap();
        let (channel, mut inbox) = connection.channel().await.unwrap();
        channel.confirm_select().await.unwrap();
        proxy.black_hole();
        let opening = connection.channel();
        let declaring = channel.queue_status("any");
        let closing = channel.close(OPERATION);
        channel.publish("any", false, &Message::default()).unwrap();
        let confirm = inbox.next();
        let (mut opening, mut declaring) = (pin!(opening), pin!(declaring));
        let (mut closing, mut confirm) = (pin!(closing), pin!(confirm));
        tokio::time::sleep(Duration::from_millis(20)).await; // the fault itself
        assert!(is_waiting(opening.as_mut()) && is_waiting(declaring.as_mut()));
        assert!(is_waiting(closing.as_mut()) && is_waiting(confirm.as_mut()));

        let began = Instant::now();
        connection.kill();
        let ended = async { tokio::join!(opening, declaring, closing, confirm) };
        let (opened, declared, closed, arrival) =
            tokio::time::timeout(SOON, ended).await.expect("an end");
        times.push(began.elapsed());
        assert!(opened.is_err() && declared.is_err() && closed.is_err());
        let Arrival::Failed(error) = arrival else {
            panic!("{arrival:?}")
        };
        assert!(error.message.ends_with("lost: it was cut"), "{error}");
        let failure = connection.failure().unwrap();
        assert_eq!(failure.message, error.message);
        proxy.heal();
    }
    times.sort_unstable();
    eprintln!("ended within {times:?}");
    // A machine that does other things besides is late now and then, not each time.
    assert!(times[5] < OPERATION / 1000, "{times:?}");
}
