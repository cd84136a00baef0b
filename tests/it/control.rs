//! `fibrpc ping` and `fibrpc status`, against daemons with and without a control queue, and plain servers.

mod queue;

use std::process::Stdio;

use serde_json::Value;

use crate::support::wire::{self, Declare, Properties};
use crate::support::{
    Broker, Daemon, Fibrpc, Output, SOON, Settings, lacks_pika, python, until, until_still,
};

/// What the daemon logs once if it cannot have a control queue.
const NOT_LISTENING: &str = "not listening for status requests";

fn fibrpc(settings: &Settings, arguments: &[&str]) -> Output {
    Fibrpc::new(settings).args(arguments).run(SOON)
}

fn objects(output: &Output) -> Vec<Value> {
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `fibrpc status --json`, one look.
fn status(settings: &Settings) -> Value {
    let output = fibrpc(settings, &["status", "--json"]);
    assert_eq!(output.stderr, "");
    objects(&output).remove(0)
}

/// Looks again until as many daemons answer: they listen a moment after they have begun to serve.
fn status_of(settings: &Settings, daemons: usize) -> Value {
    until(SOON, "the daemons' answers", || {
        let status = status(settings);
        (status["daemons"].as_array()?.len() == daemons).then_some(status)
    })
}

/// Settings for a user with these permissions only: patterns for configure, write and read.
fn as_user(broker: &Broker, vhost: &str, permissions: [&str; 3]) -> Settings {
    let name = format!("user-{vhost}-{}", permissions.concat().len());
    let [configure, write, read] = permissions;
    broker.eval(&format!(
        r#"rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"secret">>, <<"tests">>),
        rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{vhost}">>,
            <<"{configure}">>, <<"{write}">>, <<"{read}">>, <<"tests">>)"#
    ));
    let guest = broker.url(vhost);
    Settings::at(&guest.replace("guest:guest", &format!("{name}:secret")))
}

fn declare(broker: &Broker, vhost: &str, queue: &Declare) {
    let mut client = wire::Client::connect(broker.port(), vhost).unwrap();
    client.declare("rpc_queue", queue).unwrap();
}

#[test]
fn a_daemon_answers_pings_and_counts_them_apart() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = settings.clone().set("server.instance", "blue");
    let daemon = Daemon::start_consuming(broker, &vhost, &daemon);

    let output = fibrpc(&settings, &["ping", "-c", "3", "-i", "10ms"]);
    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (seq, line) in (1..).zip(&lines[..3]) {
        assert!(line.starts_with("reply from blue ("), "{line}");
        let rest = format!("/{}): seq={seq} time=", daemon.pid());
        assert!(line.contains(&rest) && line.ends_with('s'), "{line}");
    }
    assert!(
        lines[3].starts_with("3 sent, 3 received, 0% lost, min/avg/p99/max = "),
        "{lines:?}"
    );

    let output = fibrpc(&settings, &["ping", "--json", "-c1"]);
    let objects = objects(&output);
    assert_eq!(objects[0]["server"], "blue");
    assert_eq!(objects[0]["fibrpc"], true);
    assert_eq!(objects[1]["received"], 1);
    assert!(objects[0]["round_trip_us"].as_u64() > Some(0));

    let report = &status_of(&settings, 1)["daemons"][0];
    assert_eq!(
        (&report["pinged"], &report["received"]),
        (&4.into(), &4.into())
    );
    assert_eq!(
        (&report["served"], &report["failed"]),
        (&0.into(), &0.into())
    );
    assert_eq!(report.get("p50_us"), None, "no request was worked out");
}

#[test]
fn a_ping_goes_the_way_of_all_requests() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = wire::Client::connect(broker.port(), &vhost).unwrap();
    let (mine, ..) = client.declare("", &Declare::exclusive()).unwrap();
    client.declare("not_allowed", &Declare::durable()).unwrap();
    client.consume(&mine, true).unwrap();
    let ask = |to: &str, id: &[u8]| {
        let mut properties = Properties::request(to, id);
        properties.kind = Some(b"fibrpc.ping".to_vec());
        properties
    };
    // An address that the policy refuses, then one that it allows.
    let refused = ask("not_allowed", b"1");
    client.publish("rpc_queue", &refused, b"0").unwrap();
    client
        .publish("rpc_queue", &ask(&mine, b"\xff2"), b"")
        .unwrap();
    let answer = client.next_delivery(SOON).unwrap();
    let text = |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap()).unwrap();
    assert_eq!(text(&answer.properties.kind), "fibrpc.pong");
    assert_eq!(
        answer.properties.correlation_id.as_deref(),
        Some(&b"\xff2"[..])
    );
    assert_eq!(text(&answer.properties.content_type), "application/json");
    assert_eq!(
        answer.properties.find_text("fibrpc-status").as_deref(),
        Some("OK")
    );
    let report: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(report["pid"], daemon.pid());
    assert_eq!(report["state"], "consuming");
    broker.wait_for_depth(&vhost, "rpc_queue", SOON, |depth| depth.unacked == 0);
    assert_eq!(broker.depth(&vhost, "not_allowed").unwrap().ready, 0);
}

#[test]
fn a_plain_server_is_shown_as_such() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _server = python("tutorial_server.py", broker, &vhost, &[]);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);

    let output = fibrpc(&settings, &["ping", "-c", "1"]);
    assert_eq!(output.code(), 0);
    let line = "reply from a plain server (no fibrpcd, or an old one): seq=1 time=";
    assert!(output.stdout.starts_with(line), "{output:?}");

    // There is no control queue, so there is nothing to wait for.
    let output = fibrpc(&settings, &["status"]);
    assert_eq!(output.code(), 0);
    assert_eq!(
        output.stdout,
        "queue rpc_queue: type unknown, 0 waiting, 1 consumer\n\
         1 of 1 consumer did not answer within 500ms: another kind of server, an older fibrpcd, \
         one without server.control or permission for it, or one too busy\n"
    );

    // A daemon beside it: it is shown, and it knows the type of the queue.
    let _daemon = Daemon::start(&settings.clone().set("server.instance", "blue"));
    broker.wait_for_consumers(&vhost, "rpc_queue", 2);
    let status = status_of(&settings, 1);
    assert_eq!(status["daemons"][0]["instance"], "blue");
    assert_eq!(status["silent"], 1);
    assert_eq!(status["queue"]["type"], "classic");
}

#[test]
fn a_missing_queue_or_server_is_reported_at_once() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let no_queue =
        "fibrpc: no queue \"rpc_queue\"; start a server on it, or check queue.name and the vhost";
    let output = fibrpc(&settings, &["status"]);
    assert_eq!((output.code(), output.stderr.as_str()), (69, no_queue));
    assert_eq!(output.stdout, "");
    let output = fibrpc(&settings, &["ping", "-c1"]);
    assert_eq!(output.code(), 69);
    assert_eq!(output.stdout, "1 sent, 0 received, 100% lost\n");

    declare(broker, &vhost, &Declare::quorum());
    let output = fibrpc(&settings, &["status"]);
    assert_eq!((output.code(), output.stderr.as_str()), (69, ""));
    assert_eq!(
        output.stdout,
        "queue rpc_queue: type unknown, 0 waiting, 0 consumers\nno server on the queue; is fibrpcd running? (a server that polls cannot be seen)\n"
    );
    let output = fibrpc(&settings, &["ping", "-c2", "-i1ms", "--json"]);
    assert_eq!(output.code(), 69);
    let objects = objects(&output);
    assert_eq!(
        (&objects[0]["seq"], &objects[0]["code"]),
        (&1.into(), &"UNAVAILABLE".into())
    );
    assert_eq!(objects[2]["loss_percent"], 100.0);
}

#[test]
fn status_shows_every_daemon_and_what_it_has_done() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = |name: &str| Daemon::start(&settings.clone().set("server.instance", name));
    let (green, blue) = (daemon("green"), daemon("blue"));
    broker.wait_for_consumers(&vhost, "rpc_queue", 2);
    let output = fibrpc(&settings, &["30", "31", "32", "100000000000"]);
    assert_eq!(output.code(), 65);

    // A request is in flight until its reply is confirmed.
    let status = until(SOON, "nothing in flight", || {
        let status = status_of(&settings, 2);
        let daemons = status["daemons"].as_array()?;
        let idle = daemons.iter().all(|daemon| daemon["in_flight"] == 0);
        idle.then_some(status)
    });
    assert_eq!(
        status["queue"],
        serde_json::json!({"name": "rpc_queue", "type": "quorum", "messages": 0, "consumers": 2})
    );
    assert_eq!(status["silent"], 0);
    let daemons = status["daemons"].as_array().unwrap();
    let of = |key: &'static str| daemons.iter().map(move |daemon| daemon[key].clone());
    assert_eq!(of("instance").collect::<Vec<_>>(), ["blue", "green"]);
    assert_eq!(of("pid").collect::<Vec<_>>(), [blue.pid(), green.pid()]);
    assert!(of("version").all(|version| version == env!("CARGO_PKG_VERSION")));
    assert!(of("state").all(|state| state == "consuming"));
    let sum = |key| of(key).filter_map(|count| count.as_u64()).sum::<u64>();
    assert_eq!((sum("served"), sum("failed")), (3, 1));
    assert!(of("p50_us").any(|time| time.is_u64()), "{daemons:?}");

    let output = fibrpc(&settings, &["status"]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "queue rpc_queue: quorum, 0 waiting, 2 consumers");
    assert!(lines[1].starts_with("INSTANCE  VERSION"), "{lines:?}");
    assert!(lines[2].starts_with("blue "), "{lines:?}");
    assert!(lines[3].contains(" consuming "), "{lines:?}");
}

#[test]
fn a_client_without_the_permission_to_ask_sees_the_queue() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let caller = as_user(broker, &vhost, ["", "amq.default", "^rpc_queue$"]);

    let output = fibrpc(&caller, &["status"]);
    assert_eq!(output.code(), 77, "{output:?}");
    let queue = "queue rpc_queue: type unknown, 0 waiting, 1 consumer\ncannot query the daemons: ";
    assert!(output.stdout.starts_with(queue), "{output:?}");
    assert!(
        output.stdout.contains("exchange 'amq.direct'"),
        "{output:?}"
    );
    let output = fibrpc(&caller, &["ping", "-c1"]);
    assert_eq!(output.code(), 0, "a ping needs no more than a call");
}

#[test]
fn a_status_query_during_an_alarm_reports_the_alarm() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let settings = Settings::new(&broker, &vhost);
    let _daemon = Daemon::start_consuming(&broker, &vhost, &settings);
    broker.memory_alarm(true);
    let output = fibrpc(&settings, &["--timeout", "2s", "status"]);
    broker.memory_alarm(false);
    assert_eq!(output.code(), 75, "{output:?}");
    assert!(
        output
            .stderr
            .contains("cannot query the servers within 2s: "),
        "{output:?}"
    );
    assert!(output.stderr.contains("low on memory"), "{output:?}");
}

#[test]
fn an_interrupted_ping_sums_up_and_ends_by_the_signal() {
    use std::os::unix::process::ExitStatusExt as _;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let (ping, _folder) = Fibrpc::new(&settings).args(["ping", "-i", "10ms"]).start();
    until(SOON, "pings", || {
        let report = &status_of(&settings, 1)["daemons"][0];
        (report["pinged"].as_u64() >= Some(3)).then_some(())
    });
    ping.signal("INT");
    let output = ping.output(SOON);
    assert_eq!(output.status.signal(), Some(2), "{output:?}");
    let last = output.stdout.lines().last().unwrap();
    assert!(
        last.contains(" received, ") && last.contains("min/avg/p99/max = "),
        "{last}"
    );
}

#[test]
fn a_watch_goes_on_through_an_absence_of_the_broker() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let settings = Settings::new(&broker, &vhost).set("broker.reconnect.max", "2s");
    let _daemon = Daemon::start_consuming(&broker, &vhost, &settings);
    let shown = tempfile::NamedTempFile::new().unwrap();
    let stdout = shown.reopen().unwrap();
    let watch = Fibrpc::new(&settings).args(["status", "--watch"]);
    let (mut watch, _folder) = watch.start_with(Stdio::null(), stdout);
    let wait_for_looks = |count| {
        until(SOON, "a look", || {
            let text = std::fs::read_to_string(shown.path()).unwrap();
            (text.matches("queue rpc_queue: ").count() >= count).then_some(())
        });
    };
    wait_for_looks(1);
    broker.stop_app();
    watch.wait_for_line("fibrpc: ", SOON);
    let before = std::fs::read_to_string(shown.path()).unwrap();
    broker.start_app();
    wait_for_looks(before.matches("queue rpc_queue: ").count() + 1);
    watch.signal("TERM");
    watch.wait(SOON);
}

#[test]
fn an_interrupt_waits_briefly_for_a_stopped_reader() {
    use std::os::unix::process::ExitStatusExt as _;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let [first, second] = [false, true].map(|again| {
        let (_unread, stdout) = std::io::pipe().unwrap();
        let ping = Fibrpc::new(&settings).args(["ping", "--json", "-i", "1ms"]);
        let (mut ping, _folder) = ping.start_with(Stdio::null(), stdout);
        // The pipe is full when pings are no longer sent.
        until_still(|| ping.processor_time());
        let took = ping.interrupt(again);
        assert_eq!(ping.wait(SOON).signal(), Some(2));
        took
    });
    // The first one gives it two seconds to write what it has.
    assert!(second < first, "{second:?}, {first:?}");
}
