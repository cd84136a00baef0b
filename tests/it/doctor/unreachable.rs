//! Brokers that cannot be reached, or do not work.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::report::doctor;
use crate::call::Server;
use crate::support::ports::Ports;
use crate::support::wire::Declare;
use crate::support::{Broker, Daemon, Fibrpc, SOON, Settings, until};

#[test]
fn a_broker_short_of_memory_or_frozen_or_stopped() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let settings = Settings::new(&broker, &vhost).set("client.timeout", "2s");
    let _server = Server::start_on(&broker, &vhost, &Declare::quorum());
    broker.memory_alarm(true);
    let report = doctor(&settings);
    broker.memory_alarm(false);
    report.assert_problem(
        "alarm",
        &["does not accept messages", "low on memory", "free memory"],
    );
    // What can be known is known.
    assert_eq!(
        (report.verdict("type"), report.verdict("consumers")),
        ("ok", "ok")
    );

    broker.suspend();
    let report = doctor(&settings);
    broker.resume();
    report.assert_problem("login", &["did not complete the handshake", "hangs"]);
    assert!(
        report.output.elapsed < Duration::from_secs(10),
        "{report:#?}"
    );

    broker.kill();
    let port = (Ipv4Addr::LOCALHOST, broker.port());
    until(SOON, "the end of its socket", || {
        TcpStream::connect(port).err()
    });
    doctor(&settings).assert_problem(
        "tcp",
        &["refused the connection", "is rabbitmq-server running"],
    );
}

/// Drops every SYN, as a firewall would: nobody accepts, and the backlog is full.
struct Deaf {
    address: SocketAddr,
    _socket: Socket,
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let waiting: Vec<_> = std::iter::from_fn(connect).collect();
        Self {
            address,
            _socket: socket,
            _waiting: waiting,
        }
    }
}

#[test]
fn a_firewall() {
    let deaf = Deaf::new();
    let settings = Settings::at(&format!("amqp://{}", deaf.address)).set("client.timeout", "1s");
    let report = doctor(&settings);
    let silence = format!("no answer from {} within 1s", deaf.address);
    report.assert_problem("tcp", &[&silence, "a firewall may drop the packets"]);
    assert!(
        report.output.elapsed < Duration::from_secs(5),
        "{report:#?}"
    );
}

#[test]
fn a_wrong_name_or_port() {
    let settings = |url: &str| Settings::at(url).set("client.timeout", "3s");
    let report = doctor(&settings("amqp://no-such-host.invalid"));
    report.assert_problem("dns", &["no-such-host.invalid"]);

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let web_server = std::thread::spawn(move || {
        let mut requests = listener.incoming().map(Result::unwrap);
        // The first connection was only to see whether somebody is there.
        requests.find_map(|mut request| {
            let bytes = request.read(&mut [0; 8]).unwrap();
            (bytes > 0).then(|| request.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        })
    });
    let report = doctor(&settings(&format!("amqp://{address}")));
    report.assert_problem("login", &["web server", "port in broker.url"]);
    web_server.join().unwrap().unwrap().unwrap();
}

#[test]
fn one_broker_of_two() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let closed = Ports::<1>::reserve();
    let closed = format!("127.0.0.1:{}", closed.first());
    let urls = vec![
        format!("amqp://{closed}"),
        broker.url(&vhost),
        broker.url(&vhost).replace("127.0.0.1", "localhost"),
    ];
    let settings = Settings::default().set("broker.url", urls);
    let report = doctor(&settings);
    report.assert_warning("tcp", &["refused the connection"]);
    let tcp = report.of("tcp");
    assert_eq!(
        (&tcp[0]["broker"], &tcp[0]["verdict"]),
        (&closed.as_str().into(), &"warning".into())
    );
    assert_eq!(
        (&tcp[1]["verdict"], &tcp[2]["verdict"]),
        (&"ok".into(), &"ok".into())
    );
    let output = Fibrpc::new(&settings).args(["doctor"]).run(SOON);
    let line = format!("warning  tcp        {closed}: {closed} refused");
    assert!(output.stdout.contains(&line), "{output:?}");
}
