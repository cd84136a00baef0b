//! What each path shows, in each state of the daemon.

use super::{Endpoint, NOBODY, answer, consuming, probe};
use crate::support::proxy::Accept;
use crate::support::wire::{Client, Declare, Properties};
use crate::support::{Broker, Daemon, Fibrpc, Notify, Proxy, SOON, Settings, until};

#[test]
fn a_daemon_without_a_broker_is_live_and_not_ready() {
    let endpoint = Endpoint::new();
    let settings = endpoint.on(Settings::at(NOBODY));
    let (code, line) = probe(&settings, "live");
    assert_eq!(code, 1);
    assert!(line.contains("no such socket"), "{line}");
    let mut daemon = Daemon::start(&settings);
    endpoint.wait_for("/healthz", 200);
    let ready = endpoint.wait_for("/readyz", 503);
    assert!(ready.body.starts_with("not ready: "), "{ready:?}");
    assert_eq!(probe(&settings, "live"), (0, "fibrpcd: live".into()));
    let waiting = until(SOON, "it waits for the broker", || {
        let (code, line) = probe(&settings, "ready");
        assert_eq!(code, 1, "{line}");
        line.contains("waiting for broker 127.0.0.1:1")
            .then_some(line)
    });
    assert!(waiting.starts_with("fibrpcd: not ready: "), "{waiting}");
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0));
    assert!(!endpoint.path().exists(), "the socket stays behind");
}

#[test]
fn a_probe_needs_an_address() {
    let (code, line) = probe(&Settings::at(NOBODY), "ready");
    assert_eq!(code, 78);
    assert!(line.contains("telemetry.listen: is not set"), "{line}");
    let settings = Settings::at(NOBODY).set("telemetry.listen", "localhost:1");
    let (code, line) = probe(&settings, "ready");
    assert_eq!(code, 78);
    assert!(line.contains("must be an IP address"), "{line}");
}

#[test]
fn a_daemon_that_was_stopped_does_not_answer_a_probe() {
    let endpoint = Endpoint::new();
    let settings = endpoint.on(Settings::at(NOBODY));
    let daemon = Daemon::start(&settings);
    endpoint.wait_for("/healthz", 200);
    daemon.signal("STOP");
    let (code, line) = probe(&settings, "live");
    daemon.signal("CONT");
    assert_eq!(code, 1, "{line}");
    assert!(line.contains("no answer from unix:"), "{line}");
    // It is not accused of the time in which it could do nothing.
    assert_eq!(endpoint.get("/healthz").status, 200);
}

#[test]
fn ready_means_consuming() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let endpoint = Endpoint::new();
    let settings = endpoint
        .on(Settings::new(broker, &vhost))
        .set("queue.type", "classic")
        .set("server.concurrency", 1)
        .set("server.max_n", 100_000_000)
        .set("server.drain_timeout", "10m");
    let notify = Notify::new();
    let mut daemon = Daemon::start_notifying(&settings, &notify);
    let ready = endpoint.wait_for("/readyz", 200);
    let line = ready.body.strip_prefix("ready: ").unwrap().trim_end();
    assert!(line.starts_with("consuming rpc_queue on "), "{line}");
    notify.wait_for_status(line, SOON);
    let (code, line) = probe(&settings, "ready");
    assert_eq!(code, 0, "{line}");
    // Longer than this test takes.
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client
        .request("rpc_queue", Properties::new(), b"60000000")
        .unwrap();
    until(SOON, "it is in flight", || {
        let ready = endpoint.get("/readyz");
        ready.body.contains(" 1 in flight").then_some(())
    });
    daemon.signal("TERM");
    let draining = endpoint.wait_for("/readyz", 503);
    assert!(
        draining.body.starts_with("not ready: draining"),
        "{draining:?}"
    );
    assert_eq!(endpoint.get("/healthz").status, 200);
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(75));
}

#[test]
fn a_blocked_broker_makes_it_not_ready() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.confirm_select().unwrap();
    client.declare("rpc_queue", &Declare::durable()).unwrap();
    client
        .request("rpc_queue", Properties::new(), b"30")
        .unwrap();
    client.wait_for_confirms(SOON).unwrap();
    broker.memory_alarm(true);
    // The broker delivers the request, and does not take the reply.
    let endpoint = Endpoint::new();
    let (_daemon, settings) = consuming(&broker, &vhost, &endpoint);
    let blocked = until(SOON, "it is blocked", || {
        let answer = endpoint.get("/readyz");
        answer
            .body
            .contains("blocked by the broker: ")
            .then_some(answer)
    });
    assert_eq!(blocked.status, 503);
    assert_eq!(endpoint.get("/healthz").status, 200);
    assert_eq!(probe(&settings, "ready").0, 1);
    broker.memory_alarm(false);
    endpoint.wait_for("/readyz", 200);
}

#[test]
fn the_status_is_that_of_the_client() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let endpoint = Endpoint::new();
    let (_daemon, settings) = consuming(broker, &vhost, &endpoint);
    let asked = Fibrpc::new(&settings).args(["10", "20", "30"]).run(SOON);
    assert_eq!(asked.code(), 0);
    let mine = until(SOON, "the report of a second later", || {
        let answer = endpoint.get("/status.json");
        assert!(answer.head.contains("application/json"), "{answer:?}");
        let report: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        (report["served"] == 3 && report["in_flight"] == 0).then_some(report)
    });
    let status = Fibrpc::new(&settings).args(["--json", "status"]).run(SOON);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let theirs = &status["daemons"][0];
    let keys = |report: &serde_json::Value| {
        let members = report.as_object().unwrap();
        members.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&mine), keys(theirs));
    assert_eq!(mine["queue_type"], "classic");
    // All but the times: nothing happens meanwhile.
    for key in keys(&mine) {
        if !["clock_ms", "uptime_s", "recent_ms"].contains(&key.as_str()) {
            assert_eq!(theirs[&key], mine[&key], "{key}");
        }
    }
    let page = endpoint.get("/status");
    assert_eq!(page.status, 200);
    let first = page.body.lines().next().unwrap();
    assert!(first.starts_with("ready: consuming "), "{first}");
    for line in [
        "queue       rpc_queue, classic, 1 consumer\n",
        "answers     3 with a value",
    ] {
        assert!(page.body.contains(line), "{page:?}");
    }
}

#[test]
fn the_status_knows_the_queue_without_a_control_queue_and_has_no_consumers_in_an_outage() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut proxy = Proxy::new(broker.port());
    let endpoint = Endpoint::new();
    let settings = endpoint
        .on(Settings::at(&proxy.url(&vhost)))
        .set("queue.type", "classic")
        .set("server.control", false);
    let _daemon = Daemon::start(&settings);
    let status = |state: &str| {
        until(SOON, state, || {
            let body = endpoint.get("/status.json").body;
            let report: serde_json::Value = serde_json::from_str(&body).unwrap();
            (report["state"] == state).then_some(report)
        })
    };
    endpoint.wait_for("/readyz", 200);
    let report = status("consuming");
    assert_eq!(
        (&report["queue_type"], &report["consumers"]),
        (&"classic".into(), &1.into())
    );
    proxy.accept(Accept::Refuse);
    proxy.reset(None);
    let report = status("waiting");
    assert_eq!(report.get("queue_type"), None, "{report}");
    assert_eq!(report["consumers"], 0, "{report}");
}

#[test]
fn paths_methods_and_formats() {
    let endpoint = Endpoint::new();
    let _daemon = Daemon::start(&endpoint.on(Settings::at(NOBODY)));
    let open = endpoint.ask(
        "GET",
        "/metrics?x=y",
        "Accept: application/openmetrics-text\r\n",
    );
    assert_eq!(open.status, 200);
    assert!(
        open.head
            .contains("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.body.ends_with("# EOF\n"));
    let text = endpoint.get("/metrics");
    assert!(
        text.head
            .contains("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(text.head.contains("connection: close"));
    for path in ["/metrics", "/healthz", "/readyz", "/status", "/status.json"] {
        let head = endpoint.ask("HEAD", path, "");
        assert!(matches!(head.status, 200 | 503), "{path}: {head:?}");
        assert_eq!(head.body, "", "{path}");
        assert!(!head.head.contains("content-length: 0"), "{path}: {head:?}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let refused = endpoint.ask(method, path, "Content-Length: 3\r\n");
            assert_eq!(refused.status, 405, "{method} {path}");
            assert!(refused.head.contains("allow: get, head"), "{refused:?}");
        }
    }
    for path in [
        "/",
        "/metrics/",
        "/%6detrics",
        "/../metrics",
        "/evil-canary",
    ] {
        let missing = endpoint.get(path);
        assert_eq!(missing.status, 404, "{path}");
        assert!(missing.body.contains("/healthz"), "{missing:?}");
        assert!(!missing.body.contains("canary"), "{missing:?}");
    }
    // HTTP/1.0, as of simple health checks, which close their side at once.
    let mut old = endpoint.connect();
    std::io::Write::write_all(&mut old, b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    old.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(answer(&super::read_all(&mut old)).status, 200);
}
