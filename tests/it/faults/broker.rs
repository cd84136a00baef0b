//! Brokers that die, restart, freeze, lose the queue, or withdraw permissions.

use std::time::{Duration, Instant};

use super::load::Load;
use super::{
    CONSUMING, Held, IN_FLIGHT, NO_SESSION, PREFETCH, QUEUE, Scene, full, prefetch, times,
};
use crate::support::wire::{Client, Properties};
use crate::support::{Broker, Daemon, Ledger, Notify, Proxy, SOON, Settings, until};

/// From the moment that a broker is back.
const BACK: Duration = Duration::from_secs(35);

/// For a broker that died to have its own house in order: it accepts connections long before it answers
/// for its quorum queues again.
const RECOVERED: Duration = Duration::from_secs(120);

#[test]
fn a_broker_may_die_or_restart_under_load() {
    let broker = Broker::exclusive();
    let mut scene = Scene::with(&broker, |settings| {
        settings.set("broker.reconnect.max", "2s")
    });
    let held = Held::by(&scene.daemon);
    for _ in 0..times(1, 10) {
        // In order first: RabbitMQ 3.10 forgets quorum queues that were made shortly before it is killed.
        scene.faults += 1;
        broker.stop_app();
        scene.wait_for_status(NO_SESSION, SOON);
        broker.start_app();
        scene.wait_for_status(CONSUMING, BACK);
        scene.load.wait_for_answers(20, RECOVERED);

        scene.faults += 1;
        broker.kill();
        scene.wait_for_status(NO_SESSION, SOON);
        broker.start();
        scene.wait_for_status(CONSUMING, BACK);
        scene.load.wait_for_answers(20, RECOVERED);
    }
    held.assert_returned(&scene.daemon);
    scene.forgotten = scene.load.answers();
    scene.finish(&broker);
}

/// Five seconds are ridden out with the default heartbeat of 10 s; a broker that is gone for longer than
/// two heartbeats is given up.
#[test]
fn a_frozen_broker_is_waited_for_and_then_given_up() {
    let broker = Broker::exclusive();
    let mut patient = Scene::new(&broker);
    let mut hasty = Scene::with(&broker, |settings| {
        settings
            .set("broker.heartbeat", "2s")
            .set("broker.connect_timeout", "2s")
            .set("broker.reconnect.max", "2s")
    });
    let began = Instant::now();
    broker.suspend();
    hasty.faults += 1;
    // The other one would notice after twenty seconds.
    hasty.wait_for_status(NO_SESSION, Duration::from_secs(15));
    let five = Duration::from_secs(5).saturating_sub(began.elapsed());
    std::thread::sleep(five); // the fault itself
    broker.resume();
    hasty.wait_for_status(CONSUMING, BACK);
    hasty.load.wait_for_answers(20, SOON);
    patient.load.wait_for_answers(20, SOON);
    let log = patient.daemon.stderr().join("\n");
    assert!(!log.contains("disconnected"), "{log}");

    if full() {
        let began = Instant::now();
        broker.suspend();
        patient.faults += 1;
        hasty.faults += 1;
        patient.wait_for_status(NO_SESSION, Duration::from_secs(25));
        std::thread::sleep(Duration::from_secs(60).saturating_sub(began.elapsed()));
        broker.resume();
        patient.wait_for_status(CONSUMING, BACK);
        patient.load.wait_for_answers(20, SOON);
    }
    hasty.finish(&broker);
    patient.finish(&broker);
}

#[test]
fn a_queue_that_is_deleted_is_made_again_and_served() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("queue.type", "classic")
        .set("server.prefetch", prefetch());
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    for round in 0..times(5, 50) {
        for index in 0..2 * PREFETCH {
            // Those that are in the queue when it goes are lost with it, by its owner's wish.
            let request = crate::support::wire::Properties::new()
                .correlation_id(format!("doomed-{round}-{index}"));
            client.request(QUEUE, request, b"30").unwrap();
        }
        client.delete(QUEUE).unwrap();
        broker.wait_for_consumers(&vhost, QUEUE, 1);
        assert_eq!(client.call(QUEUE, b"30", SOON).unwrap().text(), "832040");
    }
    proxy.assert_clean();
}

#[test]
fn permissions_may_go_and_come_back() {
    let broker = Broker::shared();
    let mut scene = Scene::with(broker, |settings| {
        settings.set("broker.reconnect.max", "1s")
    });
    let vhost = scene.vhost.clone();
    broker.eval(&format!(
        r#"rabbit_auth_backend_internal:clear_permissions(<<"guest">>, <<"{vhost}">>, <<"tests">>)"#
    ));
    scene.faults += 1;
    broker.close_connections(&vhost);
    let status = scene.wait_for_status("refused the connection", SOON);
    assert!(
        status.contains("permissions") && status.contains(&vhost),
        "{status}"
    );
    broker.eval(&format!(
        r#"rabbit_auth_backend_internal:set_permissions(
            <<"guest">>, <<"{vhost}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)"#
    ));
    scene.wait_for_status(CONSUMING, SOON);
    scene.load.wait_for_answers(20, SOON);
    scene.finish(broker);
}

#[test]
fn without_the_right_to_publish_a_request_waits() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let user = format!("user-{vhost}");
    broker.ctl(&["add_user", &user, "secret"]);
    let may_write = |pattern: &str| {
        broker.ctl(&["set_permissions", "-p", &vhost, &user, ".*", pattern, ".*"]);
        broker.close_connections(&vhost);
    };
    may_write(".*");
    let url = format!("amqp://{user}:secret@127.0.0.1:{}/{vhost}", broker.port());
    let settings = Settings::at(&url)
        .set("queue.type", "classic")
        .set("broker.reconnect.max", "1s");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);

    may_write("^$");
    let mut client = Client::connect(broker.port(), &vhost).unwrap();
    client
        .request(QUEUE, Properties::new().correlation_id("waits"), b"30")
        .unwrap();
    let mut from = 0;
    until(SOON, "the refusal as the reason of a disconnect", || {
        let (line, text) = daemon.wait_for_line_from(from, "disconnected from", SOON);
        from = line;
        text.contains("ACCESS_REFUSED").then_some(())
    });
    assert!(client.next_delivery(Duration::ZERO).is_err());
    let depth = broker.depth(&vhost, QUEUE).unwrap();
    assert_eq!(depth.ready + depth.unacked, 1, "nothing is acknowledged");

    broker.ctl(&["set_permissions", "-p", &vhost, &user, ".*", ".*", ".*"]);
    let reply = client.next_delivery(RECOVERED).unwrap();
    assert_eq!(
        (reply.correlation_id().as_str(), reply.text().as_str()),
        ("waits", "832040")
    );
    broker.wait_for_depth(&vhost, QUEUE, SOON, |depth| {
        depth.ready + depth.unacked == 0
    });
}

#[test]
fn a_password_may_change_without_a_restart() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let user = format!("user-{vhost}");
    broker.ctl(&["add_user", &user, "old"]);
    broker.ctl(&["set_permissions", "-p", &vhost, &user, ".*", ".*", ".*"]);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("password");
    let write = |password: &str| {
        std::fs::write(&file, password).unwrap();
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, owner_only).unwrap();
    };
    write("old");
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&format!("amqp://{user}@127.0.0.1:{}/{vhost}", proxy.port()))
        .set("broker.password_file", file.to_str().unwrap())
        .set("queue.type", "classic")
        .set("server.prefetch", prefetch())
        .set("broker.reconnect.max", "1s");
    let notify = Notify::new();
    let mut daemon = Daemon::start_notifying(&settings, &notify);
    // There is no queue before that, and the broker drops messages that are routed to no queue.
    notify.wait_for_status_from(0, CONSUMING, SOON);
    let load = Load::start(broker.port(), &vhost);
    load.wait_for_answers(20, SOON);

    broker.ctl(&["change_password", &user, "new"]);
    load.wait_for_answers(20, SOON); // existing connections stay
    proxy.reset(None);
    let (told, text) = notify.wait_for_status_from(0, "or its password", SOON);
    assert!(text.contains("broker.password_file"), "{text}");
    write("new");
    let (told, _) = notify.wait_for_status_from(told, CONSUMING, SOON);
    load.wait_for_answers(20, SOON);

    // And back, on the broker's side alone.
    broker.ctl(&["change_password", &user, "old"]);
    proxy.reset(None);
    let (told, _) = notify.wait_for_status_from(told, "or its password", SOON);
    broker.ctl(&["change_password", &user, "new"]);
    notify.wait_for_status_from(told, CONSUMING, SOON);
    load.wait_for_answers(20, SOON);

    let ledger: Ledger = load.finish(SOON);
    proxy.assert_clean();
    ledger.assert_clean(2 * IN_FLIGHT);
    assert!(daemon.is_running());
    broker.ctl(&["delete_user", &user]);
}

/// Two daemons share the queue; one after the other is killed as by the kernel's memory killer.
#[test]
fn killed_daemons_lose_nothing() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&vhost))
        .set("queue.type", "classic")
        .set("server.prefetch", prefetch());
    let mut daemons = [(); 2].map(|()| Daemon::start(&settings));
    broker.wait_for_consumers(&vhost, QUEUE, 2);
    let load = Load::start(broker.port(), &vhost);
    load.wait_for_answers(20, SOON);
    let rounds = times(5, 50);
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..300))); // any moment
        daemons[round % 2].signal("KILL");
        daemons[round % 2].wait(SOON);
        load.wait_for_answers(20, SOON);
        daemons[round % 2] = Daemon::start(&settings);
        broker.wait_for_consumers(&vhost, QUEUE, 2);
    }
    let ledger = load.finish(Duration::from_secs(60));
    proxy.assert_clean();
    ledger.assert_clean(rounds as u64 * IN_FLIGHT);
}

/// The broker's own limit for an acknowledgement. Its granularity is a minute: full set only.
#[test]
fn a_request_that_takes_longer_than_the_broker_allows_is_not_the_end() {
    if !full() {
        return;
    }
    let broker = Broker::exclusive();
    broker.eval("application:set_env(rabbit, consumer_timeout, 10000)");
    let mut scene = Scene::with(&broker, |settings| {
        settings.set("broker.confirm_timeout", "10m")
    });
    scene.proxy.set(|faults| {
        faults.confirms = crate::support::proxy::Confirms::Hold;
    });
    scene.faults += 1;
    let limit = Duration::from_secs(200);
    scene.daemon.wait_for_line("acknowledgement", limit);
    scene.proxy.set(|faults| {
        faults.confirms = crate::support::proxy::Confirms::Pass;
    });
    scene.wait_for_status(CONSUMING, SOON);
    scene.load.wait_for_answers(20, SOON);
    broker.eval("application:set_env(rabbit, consumer_timeout, 1800000)");
    scene.finish(&broker);
}
