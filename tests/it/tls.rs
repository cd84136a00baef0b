//! Encrypted connections: trusted certificates, when they are read, and login with a certificate.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::{Authority, Broker, Daemon, Fibrpc, SOON, Settings, TlsFront};

const NAMES: &[&str] = &["localhost", "127.0.0.1"];
const SECRET: &str = "s3cr3t-of-the-user";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Both programs trust `ca_file` alone, and read it at each connect: a new authority needs no restart.
#[test]
fn certificates_may_change_without_a_restart() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let trusted = write(folder.path(), "ca.pem", old.certificate());
    let port = broker.listen_with_tls(&old.sign(NAMES, |_| {}), None);
    let url = format!("amqps://guest:guest@localhost:{}/{vhost}", port.first());
    let settings = Settings::at(&url)
        .set("broker.tls.ca_file", trusted.as_str())
        .set("broker.reconnect.max", "1s");
    let mut daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let ask = || Fibrpc::new(&settings).args(["30"]).run(SOON);
    assert_eq!(ask().stdout, "832040\n");

    broker.change_certificate(&port, &new.sign(NAMES, |_| {}));
    broker.close_connections(&vhost);
    let (line, text) = daemon.wait_for_line_from(0, "authority that is not trusted here", SOON);
    assert!(text.contains("broker.tls.ca_file"), "{text}");
    let refused = ask();
    assert!(refused.stderr.contains("not trusted here"), "{refused:?}");
    assert_eq!(refused.code(), 69, "{refused:?}");
    write(folder.path(), "ca.pem", new.certificate());
    daemon.wait_for_line_from(line, "connected to", SOON);
    assert_eq!(ask().stdout, "832040\n");
    assert!(daemon.is_running());
}

/// It is said at each connect, and not of those that are valid for longer.
#[test]
fn a_certificate_that_expires_soon_is_warned_of() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let trusted = write(folder.path(), "ca.pem", authority.certificate());
    let port = broker.listen_with_tls(&authority.sign(NAMES, |_| {}), None);
    let url = format!("amqps://guest:guest@localhost:{}/{vhost}", port.first());
    let settings = Settings::at(&url)
        .set("broker.tls.ca_file", trusted.as_str())
        .set("broker.reconnect.max", "1s");
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let log = daemon.stderr().join("\n");
    assert!(!log.contains("expires in"), "{log}");
    let soon = authority.sign(NAMES, |wanted| {
        let end = SystemTime::now() + Duration::from_secs(5 * 86400 - 3600);
        wanted.not_after = end.into();
    });
    broker.change_certificate(&port, &soon);
    broker.close_connections(&vhost);
    let line = daemon.wait_for_line("the certificate of the broker expires in 4d", SOON);
    assert!(line.contains("WARN"), "{line}");
}

/// If TLS is configured, nothing is sent in the clear, whatever listens there.
#[test]
fn nothing_is_said_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("amqps://user:{SECRET}@127.0.0.1:{port}");
    let settings = Settings::at(&url).set("broker.connect_timeout", "3s");
    let (process, _folder) = Fibrpc::new(&settings).args(["30"]).start();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    assert_eq!(process.output(SOON).code(), 69);
    // A record of the handshake.
    assert_eq!(said[..2], [0x16, 3]);
    for secret in ["AMQP", "PLAIN", SECRET] {
        let found = said
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret}");
    }
}

#[test]
fn a_certificate_logs_in() {
    let broker = Broker::exclusive();
    let vhost = broker.vhost();
    broker.allow_external_login();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let file = |name: &str, text: &str| write(folder.path(), name, text);
    let own = authority.sign(&[], |wanted| {
        wanted
            .distinguished_name
            .push(rcgen::DnType::CommonName, "reports");
    });
    // RabbitMQ names the user after all of the subject.
    broker.ctl(&["add_user", "CN=reports", SECRET]);
    let permissions = ["CN=reports", ".*", ".*", ".*"];
    broker.ctl(&[&["set_permissions", "-p", vhost.as_str()][..], &permissions].concat());
    let port = broker.listen_with_tls(&authority.sign(NAMES, |_| {}), Some(&authority));
    let url = format!("amqps://localhost:{}/{vhost}", port.first());
    let settings = Settings::at(&url)
        .set(
            "broker.tls.ca_file",
            file("ca.pem", authority.certificate()),
        )
        .set("broker.tls.cert_file", file("own.pem", &own.certificate))
        .set("broker.tls.key_file", file("own.key", &own.key));
    let _daemon = Daemon::start_consuming(&broker, &vhost, &settings);
    let output = Fibrpc::new(&settings).args(["30"]).run(SOON);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("832040\n", "")
    );
    let users = broker.ctl(&["list_connections", "user"]);
    assert!(
        users.contains("CN=reports") && !users.contains("guest"),
        "{users}"
    );

    broker.ctl(&["delete_user", "CN=reports"]);
    let output = Fibrpc::new(&settings)
        .args(["30"])
        .run(Duration::from_secs(30));
    assert_eq!(output.code(), 77, "{output:?}");
    assert!(output.stderr.contains("broker.tls.cert_file"), "{output:?}");
}

/// What is encrypted by something in front of the broker is as good.
#[test]
fn a_tls_front_is_passed() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let trusted = write(folder.path(), "ca.pem", authority.certificate());
    let front = TlsFront::new(broker.port(), &authority.sign(NAMES, |_| {}), None);
    let url = format!("amqps://guest:guest@localhost:{}/{vhost}", front.port());
    let settings = Settings::at(&url).set("broker.tls.ca_file", trusted);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let output = Fibrpc::new(&settings).args(["30"]).run(SOON);
    assert_eq!(output.stdout, "832040\n", "{output:?}");
}
