//! The modes of files that hold a secret.

use super::{FIBRPC, FIBRPCD, folder, is_root, seen, set_mode, somebody_else};
use crate::support::certificates::Authority;
use std::fs;
use std::process::Command;

/// Whatever a warning says to do, whoever gave it can still read the file, and then there is no warning.
#[test]
fn the_advice_about_the_mode_of_a_secret_can_be_followed() {
    let authority = Authority::new("tests");
    let pair = authority.sign(&["localhost"], |_| {});
    let folder = folder(&[
        ("certificate.pem", pair.certificate.as_str()),
        ("key.pem", &pair.key),
        ("password", "secret"),
    ]);
    let place = folder.path();
    let file = |name: &str| place.join(name).display().to_string();
    let tls = format!(
        "[broker]\nurl = \"amqps://u@h\"\n[broker.tls]\nca_file = {0:?}\ncert_file = {0:?}\nkey_file = {1:?}\n",
        file("certificate.pem"),
        file("key.pem"),
    );
    let password = format!(
        "[broker]\nurl = \"amqp://u@h\"\npassword_file = {:?}\n",
        file("password")
    );
    set_mode(&place.join("certificate.pem"), 0o644);
    let check = |text: &str| {
        fs::write(place.join("c.toml"), text).unwrap();
        set_mode(&place.join("c.toml"), 0o644);
        let mut command = somebody_else(FIBRPCD, &folder, &["--check", "--config", "c.toml"]);
        let (code, _, said) = seen(&folder, &command.output().unwrap());
        assert_eq!(code, Some(0), "{said}");
        said
    };
    let good = "fibrpcd: configuration is good: c.toml\n";
    for (text, key, name) in [
        (&password, "broker.password_file", "password"),
        (&tls, "broker.tls.key_file", "key.pem"),
    ] {
        let secret = place.join(name);
        // Root's where we are root, and then asked by somebody else; else ours.
        set_mode(&secret, 0o644);
        let said = check(text);
        let start = format!("fibrpcd: warning: {key}: others can read {name} (mode 0644); ");
        let advice = said
            .strip_prefix(&start)
            .unwrap_or_else(|| panic!("{said}"));
        let (advice, rest) = advice.split_once('\n').unwrap();
        assert_eq!(rest, good);
        let follow = Command::new("sh")
            .args(["-ec", advice])
            .current_dir(place)
            .status();
        assert!(follow.unwrap().success(), "{advice}");
        assert_eq!(check(text), good, "after: {advice}");
        if is_root() {
            let group = advice.strip_prefix("chgrp ");
            assert!(
                group.is_some_and(|rest| rest.ends_with(&format!(" && chmod 0640 {name}"))),
                "{advice}"
            );
            for mode in [0o640, 0o440, 0o660] {
                set_mode(&secret, mode);
                assert_eq!(check(text), good, "{mode:o}");
            }
        }
    }
}
