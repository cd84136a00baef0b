//! The login: which mechanism is used, with which credentials, and why it is refused.

use std::path::Path;

use crate::doctor::report::doctor;
use crate::support::proxy::answer::Answering;
use crate::support::tls_front::Versions;
use crate::support::{Authority, Broker, Daemon, Fibrpc, Proxy, SOON, Settings, TlsFront};

use super::{ask, assert_says};

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A peer that demands a client certificate need not derive the user from it: the password is sent if there is one.
#[test]
fn a_certificate_for_tls_and_a_password_for_the_login() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let own = authority.sign(&["guest"], |_| {});
    let file = |name: &str, text: &str| write(folder.path(), name, text);
    let identity = authority.sign(&["localhost"], |_| {});
    let trusted = file("ca.pem", authority.certificate());
    for versions in [Versions::Tls12, Versions::Tls13] {
        let front = TlsFront::speaking(versions, broker.port(), &identity, Some(&authority));
        let at = |login: &str| {
            let url = format!("amqps://{login}localhost:{}/{vhost}", front.port());
            Settings::at(&url).set("broker.tls.ca_file", trusted.as_str())
        };
        let with_certificate = |settings: Settings| {
            settings
                .set("broker.tls.cert_file", file("own.pem", &own.certificate))
                .set("broker.tls.key_file", file("own.key", &own.key))
        };
        let by_file =
            with_certificate(at("guest@")).set("broker.password_file", file("pw", "guest\n"));
        let _daemon = Daemon::start_consuming(broker, &vhost, &by_file);
        for settings in [&by_file, &with_certificate(at("guest:guest@"))] {
            let output = ask(settings);
            assert_eq!(output.stdout, "832040\n", "{output:?}");
            assert_eq!(output.stderr, "", "{output:?}");
        }

        // Without a password the certificate would have to do, and this broker knows no such login.
        let lacking = ["does not offer EXTERNAL", "PLAIN", "broker.password_file"];
        assert_says(
            &ask(&with_certificate(at(""))),
            77,
            &lacking,
            &["AMQP port"],
        );
        let report = doctor(&with_certificate(at("")));
        report.assert_problem("login", &lacking);

        // Without a certificate the front refuses, with TLS 1.3 after what we take for the handshake's end.
        let refused = ["client certificate", "broker.tls.cert_file"];
        let output = ask(&at("guest:guest@"));
        assert_says(&output, 69, &refused, &["AMQP port", "docs.rs"]);
        doctor(&at("guest:guest@")).assert_problem("tls", &refused);
    }
}

#[test]
fn the_mechanism_has_to_be_offered() {
    let broker = Broker::shared();
    let proxy = Proxy::new(broker.port());
    let offer = Answering::offer_mechanisms("AMQPLAIN EXTERNAL");
    proxy.set(|faults| faults.answer = Some(offer));
    let output = ask(&Settings::at(&proxy.url(&broker.vhost())));
    let words = ["does not offer PLAIN", "it offers AMQPLAIN, EXTERNAL"];
    assert_says(&output, 77, &words, &["AMQP port"]);
}

#[test]
fn a_login_that_fits_no_frame_is_told() {
    let broker = Broker::shared();
    let url = broker.url(&broker.vhost());
    let ask = |bytes: usize| {
        let password = "k4nary".repeat(bytes / 6);
        ask(&Settings::at(
            &url.replace(":guest@", &format!(":{password}@")),
        ))
    };
    let largest = broker.generation().largest_login();
    // The client sends its own properties as well.
    assert_says(&ask(largest - 400), 77, &["refused user"], &["k4nary"]);
    // It cannot be known any more since it is a setting.
    let (code, words) = if largest == 4_096 {
        (77, ["the login has 4", "4096", "shorter password"])
    } else {
        (69, ["the login has 8", "initial_frame_max", "broker's log"])
    };
    assert_says(&ask(largest + 100), code, &words, &["AMQP port", "k4nary"]);
}

/// A message about refused credentials names their source.
#[test]
fn a_refused_password_is_told_by_its_source() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let user = broker.user(&vhost, [".*", ".*", ".*"]);
    let folder = tempfile::tempdir().unwrap();
    let url = broker.url(&vhost);
    let bare = Settings::at(&url.replace("guest:guest", &user));
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    write(&credentials, "broker-password", "wrong");
    let output = Fibrpc::new(&bare)
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .args(["30"])
        .run(SOON);
    let words = [
        "credential broker-password",
        "systemd reads when the service starts",
        "restart",
    ];
    assert_says(&output, 77, &words, &["check broker.url"]);

    let file = write(folder.path(), "pw", "wrong");
    let by_file = bare.set("broker.password_file", file.as_str());
    assert_says(
        &ask(&by_file),
        77,
        &[&file, "broker.password_file"],
        &["broker.url"],
    );

    let by_url = Settings::at(&url.replace("guest:guest", &format!("{user}:wrong")));
    assert_says(&ask(&by_url), 77, &["check broker.url"], &["password_file"]);
}

/// What is to be said of the password is said once, and not at each of two connections of each session.
#[test]
fn warnings_are_given_once() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "pw", "guest");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, open).unwrap();
    // Loopback, and not by its name.
    let url = format!("amqp://guest@0.0.0.0:{}/{vhost}", broker.port());
    let settings = Settings::at(&url)
        .set("broker.password_file", file)
        .set("broker.reconnect.max", "1s");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut line = 0;
    for _ in 0..3 {
        (line, _) = daemon.wait_for_line_from(line, "connected to", SOON);
        broker.close_connections(&vhost);
    }
    daemon.wait_for_line_from(line, "connected to", SOON);
    let log = daemon.stderr();
    for warning in ["in cleartext", "can read"] {
        let lines = log.iter().filter(|line| line.contains(warning));
        assert_eq!(lines.count(), 1, "{warning}: {log:#?}");
    }
}
