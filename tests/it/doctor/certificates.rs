//! Brokers with TLS whose certificates are good, bad, or not what is asked for.

use std::time::{Duration, SystemTime};

use super::report::doctor;
use crate::support::ports::Ports;
use crate::support::{Authority, Broker, Daemon, Fibrpc, Identity, SOON, Settings};

/// A certificate for this machine that expires after `left`, or has expired `ago`.
fn expiring(authority: &Authority, ago: Option<Duration>, left: Duration) -> Identity {
    let now = SystemTime::now();
    let end = ago.map_or(now + left, |ago| now - ago);
    authority.sign(&["localhost", "127.0.0.1"], |wanted| {
        wanted.not_after = end.into();
    })
}

#[test]
fn certificates() {
    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: Duration = Duration::from_secs(3_600);
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _daemon = Daemon::start_consuming(broker, &vhost, &Settings::new(broker, &vhost));
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let trusted = file("authority.pem", authority.certificate());
    let stranger = file("stranger.pem", Authority::new("another").certificate());
    let at = |port: &Ports<1>, trusted: &str| {
        let url = format!("amqps://guest:guest@localhost:{}/{vhost}", port.first());
        Settings::at(&url).set("broker.tls.ca_file", trusted)
    };

    let good = expiring(&authority, None, 90 * DAY + HOUR);
    let port = broker.listen_with_tls(&good, None);
    let report = doctor(&at(&port, &trusted));
    assert_eq!(report.output.code(), 0, "{report:#?}");
    let message = report.of("tls")[0]["message"].as_str().unwrap();
    for word in ["TLS 1.3", "localhost, 127.0.0.1", "valid for 90d"] {
        assert!(message.contains(word), "{message}");
    }
    let report = doctor(&at(&port, &stranger));
    report.assert_problem(
        "tls",
        &["an authority that is not trusted", "broker.tls.ca_file"],
    );
    let other_name = at(&port, &trusted).set("broker.tls.server_name", "mq.example");
    doctor(&other_name).assert_problem(
        "tls",
        &["is for localhost, 127.0.0.1 and not for mq.example"],
    );
    let cleartext = Settings::at(&format!("amqp://127.0.0.1:{}", port.first()));
    doctor(&cleartext).assert_problem("login", &["TLS instead of AMQP", "scheme"]);
    let plain_port = Settings::at(&broker.url(&vhost).replace("amqp:", "amqps:"));
    let plain_port = plain_port.set("broker.tls.ca_file", trusted.as_str());
    doctor(&plain_port).assert_problem("tls", &["does not speak TLS", "port in broker.url"]);

    let expired = expiring(&authority, Some(3 * DAY + HOUR), DAY);
    let port = broker.listen_with_tls(&expired, None);
    doctor(&at(&port, &trusted)).assert_problem("tls", &["its certificate expired 3d", "renew it"]);
    // Everybody says so, not the doctor alone.
    let asked = Fibrpc::new(&at(&port, &trusted)).args(["30"]).run(SOON);
    assert!(
        asked.stderr.contains("its certificate expired 3d"),
        "{asked:?}"
    );

    let ending = expiring(&authority, None, 5 * DAY + HOUR);
    let port = broker.listen_with_tls(&ending, None);
    doctor(&at(&port, &trusted)).assert_warning("tls", &["expires in 5d", "renew it"]);

    let port = broker.listen_with_tls(&good, Some(&authority));
    let report = doctor(&at(&port, &trusted));
    report.assert_problem(
        "tls",
        &["the broker demands a client certificate", "cert_file"],
    );
    let (certificate, key) = (
        file("own.pem", &expired.certificate),
        file("own.key", &expired.key),
    );
    let own = at(&port, &trusted)
        .set("broker.tls.cert_file", certificate)
        .set("broker.tls.key_file", key);
    doctor(&own).assert_problem(
        "tls",
        &["our own certificate expired 3d", "broker.tls.cert_file"],
    );
}
