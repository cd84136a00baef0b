//! A call ends at its deadline, whatever it waits for, and whatever has arrived by then counts.

use std::time::Duration;

use crate::call::{Server, assert_answered, assert_fails, fibrpc};
use crate::support::proxy::answer::{Answering, Instead};
use crate::support::proxy::{Accept, Confirms};
use crate::support::wire::frame::method;
use crate::support::{Broker, Daemon, Fibrpc, Proxy, SOON, Settings, until};

/// A broker that accepts and never speaks.
fn silent(broker: &Broker) -> Proxy {
    let mut proxy = Proxy::new(broker.port());
    proxy.accept(Accept::Silent);
    proxy
}

fn at(urls: &[String]) -> Settings {
    Settings::at(&urls[0]).set("broker.url", urls.to_vec())
}

const LIMIT: Duration = Duration::from_secs(2);

/// Each of the silent brokers would have cost as much.
#[test]
fn the_timeout_bounds_a_call_however_many_brokers_say_nothing() {
    let broker = Broker::shared();
    let brokers = [silent(broker), silent(broker), silent(broker)];
    let settings = at(&brokers.each_ref().map(|proxy| proxy.url("any")));
    for flags in [&[][..], &["--wait"]] {
        for command in [
            &["30"][..],
            &["30", "31"],
            &["ping", "-c", "1"],
            &["status"],
        ] {
            if !flags.is_empty() && command[0] != "30" {
                continue;
            }
            let arguments = [flags, &["--timeout", "2s"], command].concat();
            let output = fibrpc(&settings, &arguments);
            assert_eq!(
                (output.code(), output.stdout.as_str()),
                (69, ""),
                "{output:?}"
            );
            let told = output.stderr.lines().next().unwrap();
            assert!(
                told.contains("no connection to the broker within 2s: "),
                "{told}"
            );
            for proxy in &brokers {
                assert!(told.contains(&proxy.port().to_string()), "{told}");
            }
            assert!(told.contains("did not answer"), "{told}");
            assert!(
                (LIMIT..3 * LIMIT).contains(&output.elapsed),
                "{arguments:?}: {output:?}"
            );
        }
    }
}

#[test]
fn brokers_that_say_nothing_do_not_hold_up_one_that_answers() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let brokers = [silent(broker), silent(broker)];
    let [one, two] = brokers.each_ref().map(|proxy| proxy.url(&vhost));
    let settings = at(&[one, two, broker.url(&vhost)]).set("client.timeout", "60s");
    // In some order both come first.
    until(10 * SOON, "a call for which both were tried", || {
        let before = brokers.each_ref().map(Proxy::accepted);
        let output = fibrpc(&settings, &["30"]);
        assert_answered(&output, "832040\n");
        assert!(output.elapsed < Duration::from_secs(10), "{output:?}");
        let after = brokers.each_ref().map(Proxy::accepted);
        (before[0] < after[0] && before[1] < after[1]).then_some(())
    });
}

/// The server answers while the client is stopped, until after its deadline.
#[test]
fn an_answer_that_came_while_the_client_was_stopped_counts() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "5s");
    let commands = [&["30"][..], &["ping", "-c", "1"], &["30", "30", "30"]];
    let stopped = [commands; 3].concat().into_iter().map(|command| {
        let started = Fibrpc::new(&settings).args(command).start();
        let numbers = command.iter().filter(|word| **word == "30").count().max(1);
        let requests: Vec<_> = (0..numbers).map(|_| server.request()).collect();
        started.0.signal("STOP");
        for request in &requests {
            server.reply(request, b"832040");
        }
        (command, started)
    });
    let stopped: Vec<_> = stopped.collect();
    std::thread::sleep(Duration::from_secs(6)); // past the timeout
    for (command, (process, _folder)) in stopped {
        process.signal("CONT");
        let output = process.output(SOON);
        assert_eq!(output.code(), 0, "{command:?}: {output:?}");
        assert_eq!(output.stderr, "");
    }
}

/// Stopped while it connects: the broker has answered, which is seen before the step is judged late.
#[test]
fn a_client_that_was_stopped_on_its_way_to_the_broker_goes_on() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("client.timeout", "60s")
        .set("broker.confirm_timeout", "3s");
    for held in [
        method::CHANNEL_OPEN,
        method::BASIC_CONSUME,
        method::CONFIRM_SELECT,
    ] {
        let (sender, asked) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let seen = Answering::to_method(held, move |_| {
            let _ = sender.lock().unwrap().send(());
            None
        });
        proxy.set(|faults| {
            faults.answer = Some(seen);
            faults.delay = Duration::from_millis(200);
        });
        let (process, _folder) = Fibrpc::new(&settings).args(["-vv", "30"]).start();
        asked.recv_timeout(SOON).unwrap();
        process.signal("STOP");
        std::thread::sleep(Duration::from_secs(4)); // past the limit of an operation
        process.signal("CONT");
        let request = server.request();
        server.reply(&request, b"832040");
        let output = process.output(SOON);
        assert_answered(&output, "832040\n");
        assert!(output.stderr.contains("lost: 0"), "{output:?}");
    }
}

#[test]
fn an_unanswered_close_does_not_delay_the_exit() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let proxy = Proxy::new(broker.port());
    let deaf = Answering::to_method(method::CONNECTION_CLOSE, |_| Some(Instead::Nothing));
    let settings = Settings::at(&proxy.url(&vhost));
    let fastest = || {
        (0..5)
            .map(|_| fibrpc(&settings, &["30"]).elapsed)
            .min()
            .unwrap()
    };
    let answered = fastest();
    proxy.set(|faults| faults.answer = Some(deaf));
    let unanswered = fastest();
    // It used to take a second more.
    assert!(
        unanswered < answered + Duration::from_millis(700),
        "{answered:?} {unanswered:?}"
    );
}

#[test]
fn a_request_that_the_broker_never_confirmed_is_told_from_one_that_nobody_answered() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost));
    proxy.set(|faults| faults.confirms = Confirms::Swallow);
    let output = fibrpc(&settings, &["--timeout", "3s", "30"]);
    let message = "fibrpc: 30: the broker has not confirmed the request to queue \"rpc_queue\" within 3s; has the queue \
                   lost the majority of its nodes, or is the broker overloaded? the request may still be worked on";
    assert_fails(&output, 75, message);
    server.request();
    proxy.set(|faults| faults.confirms = Confirms::Pass);
    let output = fibrpc(&settings, &["--timeout", "3s", "30"]);
    assert_eq!(output.code(), 75, "{output:?}");
    assert!(output.stderr.contains("no reply from queue"), "{output:?}");
}

/// User, virtual host and permissions come one after the other.
#[test]
fn with_wait_it_waits_for_whatever_is_set_up_last() {
    let broker = Broker::exclusive();
    let vhost = "late-vhost";
    let url = broker.url(vhost).replace("guest:guest", "late:late");
    let settings = Settings::at(&url).set("queue.name", "rpc_queue");
    let output = fibrpc(&settings, &["--wait", "--timeout", "3s", "30"]);
    assert_eq!(
        (output.code(), output.stdout.as_str()),
        (69, ""),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("refused user \"late\""),
        "{output:?}"
    );
    let (process, _folder) = Fibrpc::new(&settings)
        .args(["--wait", "-vv", "--timeout", "100s", "30"])
        .start();
    process.wait_for_line("refused user", SOON);
    broker.ctl(&["add_user", "late", "late"]);
    process.wait_for_line("late-vhost", SOON);
    broker.ctl(&["add_vhost", vhost]);
    process.wait_for_line("access to vhost", SOON);
    broker.ctl(&["set_permissions", "-p", vhost, "late", ".*", ".*", ".*"]);
    broker.ctl(&["set_permissions", "-p", vhost, "guest", ".*", ".*", ".*"]);
    let mut server = Server::start(&broker, vhost);
    let request = server.request();
    server.reply(&request, b"832040");
    let output = process.output(SOON);
    broker.ctl(&["delete_vhost", vhost]);
    broker.ctl(&["delete_user", "late"]);
    assert_answered(&output, "832040\n");
}

/// What an operator changes at the broker is often in order again a moment later.
#[test]
fn a_refusal_of_a_moment_ends_no_call() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let user = broker.user(&vhost, [".*", ".*", ".*"]);
    let mut server = Server::start(broker, &vhost);
    let url = broker
        .url(&vhost)
        .replace("guest:guest", &format!("{user}:{user}"));
    let settings = Settings::at(&url).set("client.timeout", "60s");
    let (process, _folder) = Fibrpc::new(&settings).args(["-vv", "30"]).start();
    server.request();
    broker.eval(&format!("rabbit_auth_backend_internal:clear_permissions(<<\"{user}\">>, <<\"{vhost}\">>, <<\"test\">>)"));
    assert_eq!(broker.close_connections(&vhost), 2);
    process.wait_for_line("access to vhost", SOON);
    broker.eval(&format!(
        "rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"{vhost}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"test\">>)"
    ));
    let mut server = Server::start(broker, &vhost);
    let request = server.request();
    server.reply(&request, b"832040");
    let output = process.output(SOON);
    assert_answered(&output, "832040\n");
}

/// All daemons answer while the process that asks is stopped, until after its timeout.
#[test]
fn a_status_query_that_was_stopped_sees_who_has_answered() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost)).set("client.timeout", "5s");
    let (sender, asked) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let seen = Answering::to_method(method::BASIC_PUBLISH, move |_| {
        let _ = sender.lock().unwrap().send(());
        None
    });
    proxy.set(|faults| {
        faults.answer = Some(seen);
        faults.delay = Duration::from_millis(50);
    });
    for _ in 0..3 {
        let (process, _folder) = Fibrpc::new(&settings).args(["status"]).start();
        asked.recv_timeout(SOON).unwrap();
        process.signal("STOP");
        std::thread::sleep(Duration::from_secs(6)); // past the limit
        process.signal("CONT");
        let output = process.output(SOON);
        assert_eq!(
            (output.code(), output.stderr.as_str()),
            (0, ""),
            "{output:?}"
        );
        assert!(output.stdout.contains(" consuming "), "{output:?}");
        assert!(!output.stdout.contains("did not answer"), "{output:?}");
    }
}

/// A service may have limits of its own, so that its error says nothing about clocks.
#[test]
fn deadline_exceeded_with_time_left_is_passed_on_as_it_is() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    let (process, _folder) = Fibrpc::new(&settings).args(["30"]).start();
    let request = server.request();
    server.refuse(&request, "DEADLINE_EXCEEDED", "too late");
    let output = process.output(SOON);
    assert_eq!((output.code(), output.stdout.as_str()), (75, ""));
    assert_eq!(output.stderr, "fibrpc: 30: too late", "{output:?}");
}
