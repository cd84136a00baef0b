//! One address, two brokers: a TCP proxy in front of brokers that are not a cluster is detected before anything is
//! served.

use std::io::copy;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::doctor::report::doctor;
use crate::support::proxy::Side;
use crate::support::proxy::answer::{Answering, Instead, close_channel, declared};
use crate::support::wire::frame::{Frame, method};
use crate::support::{Broker, Daemon, Proxy, SOON, Settings};

/// Connects to several brokers in turn, as a balancer does; it ends with the test process.
struct Balancer {
    port: u16,
    /// Whether all connections go to the first broker.
    steady: Arc<AtomicBool>,
}

impl Balancer {
    fn new(brokers: [u16; 2]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let steady = Arc::new(AtomicBool::new(false));
        let count = AtomicUsize::new(0);
        let all_to_one = Arc::clone(&steady);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let turn = count.fetch_add(1, Ordering::Relaxed) % 2;
                let chosen = if all_to_one.load(Ordering::Relaxed) {
                    0
                } else {
                    turn
                };
                if let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, brokers[chosen])) {
                    pipe(&client, &broker);
                    pipe(&broker, &client);
                }
            }
        });
        Self { port, steady }
    }

    fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }
}

fn pipe(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}

fn cluster_name(broker: &Broker) -> String {
    let name = broker.eval("rabbit_nodes:cluster_name()");
    name.trim_matches(['<', '>', '"']).to_owned()
}

#[test]
fn two_brokers_behind_one_address_are_not_served() {
    const QUEUE: &str = "two_places";
    let (one, other) = (Broker::shared(), Broker::exclusive());
    let names = [cluster_name(one), cluster_name(&other)];
    assert_ne!(names[0], names[1]);
    let balancer = Balancer::new([one.port(), other.port()]);
    let settings = Settings::at(&balancer.url()).set("queue.name", QUEUE);
    let daemon = Daemon::start(&settings);
    let line = daemon.wait_for_line("reached two brokers", SOON);
    for word in [
        names[0].as_str(),
        &names[1],
        "not clustered",
        "broker.url must name one",
    ] {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
    for broker in [one, &other] {
        assert_eq!(
            broker.depth("/", QUEUE),
            None,
            "it was neither made nor consumed from"
        );
    }
    let consuming = |line: &String| line.contains("consuming");
    assert!(!daemon.stderr().iter().any(consuming));

    // The doctor opens two connections, like a daemon.
    doctor(&settings).assert_problem(
        "broker",
        &["reached two brokers", "broker.url must name one"],
    );

    // A reload ends the wait.
    balancer.steady.store(true, Ordering::Relaxed);
    daemon.signal("HUP");
    one.wait_for_consumers("/", QUEUE, 1);
    drop(daemon);
    one.eval(&format!(
        r#"{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{QUEUE}">>)),
        rabbit_amqqueue:delete(Queue, false, false, <<"tests">>), ok"#
    ));
}

/// A broker that sends no cluster name: the publishing connection has to find the queue.
#[test]
fn without_names_both_connections_have_to_find_the_queue() {
    const QUEUE: &str = "rpc_queue";
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost));
    proxy.set(|faults| faults.answer = Some(Answering::new(nameless)));
    drop(Daemon::start_consuming(broker, &vhost, &settings));

    // Each session looks over the consuming connection first.
    let looks = AtomicUsize::new(0);
    let elsewhere = Answering::new(move |from, frame| {
        let looks_at_it = from == Side::Client
            && frame.method_id() == Some(method::QUEUE_DECLARE)
            && declared(frame) == (QUEUE.into(), true);
        if looks_at_it && looks.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            let text = "NOT_FOUND - no queue 'rpc_queue' in vhost '/'";
            return Some(close_channel(frame, 404, text));
        }
        nameless(from, frame)
    });
    proxy.set(|faults| faults.answer = Some(elsewhere));
    let daemon = Daemon::start(&settings);
    let line = daemon.wait_for_line("reached two brokers", SOON);
    assert!(line.contains("broker.url must name one"), "{line}");
}

/// The broker's greeting without the name of its cluster.
fn nameless(from: Side, frame: &Frame) -> Option<Instead> {
    let greets = from == Side::Broker && frame.method_id() == Some(method::CONNECTION_START);
    greets.then(|| {
        let mut frame = frame.clone();
        let name = b"cluster_name";
        let windows = frame.payload.windows(name.len());
        let at = windows.into_iter().position(|bytes| bytes == name).unwrap();
        frame.payload[at] = b'_';
        Instead::Forward(frame)
    })
}
