//! How a call ends other than with an answer: the timeout, a signal, a closed pipe, a broker's limit.

use std::process::Command;
use std::time::Duration;

use super::{Server, assert_answered, assert_fails, fibrpc};
use crate::support::{Broker, Daemon, Fibrpc, Proxy, SOON, Settings, lacks_pika, python};

#[test]
fn no_answer_ends_with_the_timeout() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost);
    let output = fibrpc(&settings, &["--timeout", "3s", "30"]);
    assert_fails(
        &output,
        75,
        "fibrpc: 30: no reply from queue \"rpc_queue\" within 3s; is a server busy or stuck (try \
         a longer timeout), or was the request or its reply dropped (by a limit, a policy or the deletion of \
         the queue, or server.reply_to_allow)?",
    );
    assert!(output.elapsed >= Duration::from_secs(3), "{output:?}");
}

#[test]
fn ctrl_c_ends_it_by_the_signal() {
    use std::os::unix::process::ExitStatusExt as _;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    let (process, _folder) = Fibrpc::new(&settings).args(["30"]).start();
    server.request();
    process.signal("INT");
    assert_eq!(process.output(SOON).status.signal(), Some(2));
}

#[test]
fn a_closed_pipe_ends_it_quietly_and_a_full_disk_does_not() {
    if lacks_pika() {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _server = python("tutorial_server.py", broker, &vhost, &[]);
    broker.wait_for_consumers(&vhost, "rpc_queue", 1);
    for (script, code, stderr) in [
        (
            r#"{ "$0" $(seq 2000); echo $? >&2; } | head -n 1 >/dev/null"#,
            0,
            "0\n",
        ),
        (
            r#""$0" 30 >/dev/full"#,
            74,
            "fibrpc: cannot write to standard output: No space left",
        ),
        (
            r#""$0" --help >/dev/full"#,
            74,
            "fibrpc: cannot write to standard output: No space left",
        ),
        (
            r#""$0" 30 1</dev/null"#,
            74,
            "fibrpc: cannot write to standard output: Bad file descriptor",
        ),
        (
            r#""$0" config show 1</dev/null"#,
            74,
            "fibrpc: cannot write to standard output: Bad file descriptor",
        ),
    ] {
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_fibrpc")])
            .env("FIBRPC_BROKER__URL", broker.url(&vhost))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.starts_with(stderr), "{text}");
    }
}

/// Not the login alone: each step up to the first request ends at the timeout.
#[test]
fn a_broker_that_falls_silent_after_the_login_costs_one_timeout() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let proxy = Proxy::new(broker.port());
    // start-ok, tune-ok, open
    proxy.set(|faults| faults.hold_client_after = Some(3));
    let settings = Settings::at(&proxy.url(&vhost))
        .set("client.timeout", "1s")
        .set("broker.heartbeat", "10m");
    for arguments in [
        &["30"][..],
        &["ping", "-c", "1"],
        &["status"],
        &["bench", "-d", "100ms"],
    ] {
        // A connection that is silent is given up after two heartbeats.
        let output = fibrpc(&settings, arguments);
        assert!([69, 75].contains(&output.code()), "{output:?}");
    }
}

/// A limit that others can free is not a lack of permission.
#[test]
fn too_many_connections_are_told_from_a_lack_of_permission() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let limit = |most: i8| {
        let limits = format!(r#"{{"max-connections": {most}}}"#);
        broker.ctl(&["set_vhost_limits", "-p", &vhost, &limits]);
    };
    limit(0);
    let output = fibrpc(&settings, &["30"]);
    assert_eq!(output.code(), 69, "{output:?}");
    let advice = "limit (0) is reached; close connections, or raise the limit";
    assert!(output.stderr.contains(advice), "{output:?}");
    let waiting = settings.clone().set("client.timeout", "1m");
    let (process, _folder) = Fibrpc::new(&waiting).args(["-vv", "--wait", "30"]).start();
    process.wait_for_line("limit (0) is reached", SOON);
    limit(-1);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let output = process.output(Duration::from_secs(60));
    assert_answered(&output, "832040\n");
}
