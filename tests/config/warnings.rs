//! What deserves a warning and is not an error.

use super::{Folder, load_file};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn contradictions_and_risks_are_warnings() {
    let folder = Folder::new();
    for (mode, text, words) in [
        (
            0o600,
            "broker.tls.ca_file = \"/x\"",
            Some("broker.tls: is not used"),
        ),
        (
            0o600,
            "broker.url = [\"amqp://h\", \"amqp://h:5672\"]",
            Some("names amqp://guest:guest@h:5672/%2f twice"),
        ),
        (
            0o644,
            "broker.url = \"amqp://u:k4nary@h\"",
            Some("contains a password, and everyone can read the file"),
        ),
        (0o640, "broker.url = \"amqp://u:k4nary@h\"", None),
        (0o644, "broker.url = \"amqp://h\"", None),
        (
            0o600,
            "broker.url = \"amqp://u@h\"",
            Some("has no password for user \"u\" at h:5672"),
        ),
        // Without TLS there is no client certificate.
        (
            0o600,
            "broker.url = [\"amqp://u@h\", \"amqps://g\"]\nbroker.tls = { cert_file = \"/c\", key_file = \"/k\" }",
            Some("has no password for user \"u\" at h:5672"),
        ),
        (
            0o600,
            "broker.url = \"amqps://h\"\nbroker.tls = { cert_file = \"/c\", key_file = \"/k\" }",
            None,
        ),
        (
            0o600,
            "broker.url = \"amqps://u@h\"\nbroker.tls = { cert_file = \"/c\", key_file = \"/k\" }",
            Some("user \"u\" at h:5671 is not used"),
        ),
        (
            0o600,
            "broker.url = \"amqp://u:k4nary@h\"\nbroker.password_file = \"/pw\"",
            Some("its password for h:5672 is not used, broker.password_file takes precedence"),
        ),
        (
            0o600,
            "broker.url = \"amqp://guest:guest@h\"\nbroker.password_file = \"/pw\"",
            None,
        ),
        (
            0o600,
            "broker = { url = \"amqp://u@h\", password_file = \"/x\" }",
            None,
        ),
    ] {
        let path = folder.write("a.toml", text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = load_file(&path).unwrap().warnings;
        assert_eq!(
            warnings.len(),
            usize::from(words.is_some()),
            "{text}: {warnings:?}"
        );
        assert!(
            warnings
                .iter()
                .all(|warning| warning.contains(words.unwrap())),
            "{warnings:?}"
        );
        assert!(!warnings.concat().contains("k4nary"));
    }
}
