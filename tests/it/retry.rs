//! How soon a daemon retries after a refusal, and what ends the wait; messages about the state file.

use std::fs;

use crate::support::wire::Client;
use crate::support::{Broker, Daemon, Process, SOON, Settings, example};

/// The delay that a line announces, in seconds.
fn announced(line: &str) -> f64 {
    let (_, rest) = line.rsplit_once(" in ").unwrap();
    let delay = rest.split([' ', ';']).next().unwrap();
    match delay.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse::<f64>().unwrap() / 1e3,
        None => delay.strip_suffix('s').unwrap().parse().unwrap(),
    }
}

/// Permissions that are taken away and given again, as while they are set anew.
#[test]
fn a_refusal_of_a_moment_costs_a_moment() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let user = broker.user(&vhost, [".*", ".*", ".*"]);
    let url = broker
        .url(&vhost)
        .replace("guest:guest", &format!("{user}:{user}"));
    let daemon = Daemon::start_consuming(broker, &vhost, &Settings::at(&url));
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client.call("rpc_queue", b"30", SOON).unwrap();
    let permissions = |call: &str, patterns: &str| {
        broker.eval(&format!(
            r#"rabbit_auth_backend_internal:{call}(<<"{user}">>, <<"{vhost}">>, {patterns} <<"tests">>)"#
        ));
    };
    let (mut line, _) = daemon.wait_for_line_from(0, "connected to", SOON);
    permissions("clear_permissions", "");
    broker.close_connections(&vhost);
    let mut delays = Vec::new();
    let refused = "systemctl reload (SIGHUP) tries at once";
    for longest in [1.0, 2.0, 4.0] {
        let (next, text) = daemon.wait_for_line_from(line, refused, SOON);
        let delay = announced(&text);
        assert!(delay <= longest, "{text}, after {delays:?}");
        assert!(delay >= longest / 2.5, "{text}, after {delays:?}");
        delays.push(delay);
        line = next;
    }
    // It persists, so that the waits get longer; what they are waiting for need not wait for them.
    permissions("set_permissions", r#"<<".*">>, <<".*">>, <<".*">>,"#);
    daemon.signal("HUP");
    let (_, text) = daemon.wait_for_line_from(line, "onnected ", SOON);
    assert!(text.contains("connected to"), "the next attempt: {text}");
}

/// In the place of the file is a folder; then there is not.
#[test]
fn a_state_file_that_cannot_be_written_is_said_once_and_tried_again() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("+requests");
    fs::create_dir(&file).unwrap();
    // The state of an instance of that name, beside it.
    fs::create_dir(state.path().join("session")).unwrap();
    let mut command = example("crash");
    command
        .env("FIBRPC_BROKER__URL", broker.url(&vhost))
        .env("STATE_DIRECTORY", state.path());
    let server = Process::start(&mut command, b"");
    let line = server.wait_for_line(
        "a request that kills this process will not be detected",
        SOON,
    );
    assert!(line.contains("+requests"), "{line}");
    broker.wait_for_depth(&vhost, "rpc_queue", SOON, |depth| depth.consumers > 0);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    let mut end_of_a_session = |from: usize| {
        // Each death of a session is a change, and so is each request in isolation.
        let (from, _) = server.wait_for_line_from(from, "connected to", SOON);
        broker.close_connections(&vhost);
        let (from, _) = server.wait_for_line_from(from, "disconnected", SOON);
        client = Client::connect(broker.port(), &vhost).unwrap();
        let answer = client.call("rpc_queue", b"good", SOON).unwrap();
        assert_eq!(answer.text(), "good");
        from
    };
    let from = end_of_a_session(0);
    let log = server.stderr().join("\n");
    assert_eq!(log.matches("not be detected").count(), 1, "{log}");
    fs::remove_dir(&file).unwrap();
    end_of_a_session(from);
    let line = server.wait_for_line("can be written again", SOON);
    assert!(line.contains("+requests"), "{line}");
    assert!(fs::read_to_string(&file).unwrap().starts_with("running"));
}
