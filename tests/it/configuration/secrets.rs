//! Credentials that only the service can see, and the modes of files that contain secrets.

use super::{FIBRPC, FIBRPCD, folder, is_root, seen, set_mode, somebody_else};
use crate::support::certificates::Authority;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A check that is a command of the unit gets no credentials, and the service has them.
#[test]
fn a_credential_that_only_the_service_sees_is_not_judged() {
    let folder = folder(&[("broker-password", "secret"), ("empty", "")]);
    let place = folder.path();
    let unseen = place.join("unseen");
    fs::create_dir(&unseen).unwrap();
    fs::write(unseen.join("broker-password"), "secret").unwrap();
    set_mode(&unseen, 0o000);
    let check = |text: &str, directory: Option<&Path>| {
        fs::write(place.join("c.toml"), text).unwrap();
        set_mode(&place.join("c.toml"), 0o644);
        let ask = |program: &str, arguments: &[&str]| {
            let mut command = somebody_else(program, &folder, arguments);
            directory.map(|directory| command.env("CREDENTIALS_DIRECTORY", directory));
            seen(&folder, &command.output().unwrap())
        };
        let (daemon, _, said) = ask(FIBRPCD, &["--check", "--config", "c.toml"]);
        let (client, _, same) = ask(FIBRPC, &["config", "check", "--config", "c.toml"]);
        assert_eq!(daemon, client, "{said}{same}");
        (daemon.unwrap(), said)
    };
    let url = "broker.url = \"amqp://u@h\"\n";
    let warned = |found: (i32, String), words: &str| {
        assert_eq!(found.0, 0, "{}", found.1);
        assert_eq!(found.1.lines().count(), 2, "{}", found.1);
        assert!(found.1.starts_with(words), "{}", found.1);
        assert!(
            found.1.ends_with("configuration is good: c.toml\n"),
            "{}",
            found.1
        );
    };
    let none_here = "fibrpcd: warning: broker.url: has no password for user \"u\" at h:5672 (c.toml:1), and \
                     the credential broker-password does not exist here; set broker.password_file, unless the \
                     service has that credential\n";
    warned(check(url, None), none_here);
    warned(check(url, Some(&place.join("missing"))), none_here);
    let unlooked = "fibrpcd: warning: credential broker-password: cannot look at unseen/broker-password, a \
                    credential of the service; not checked\n";
    warned(check(url, Some(&unseen)), unlooked);
    // Files that name a credential by its path.
    for (url, key, path) in [
        ("amqp", "broker.password_file", unseen.join("password")),
        ("amqps", "broker.tls.ca_file", unseen.join("ca")),
        (
            "amqps",
            "broker.tls.ca_file",
            "/run/credentials/no.service/ca".into(),
        ),
    ] {
        let text = format!("broker.url = \"{url}://guest:guest@h\"\n{key} = {path:?}\n");
        let shown = folder_plain(&folder, &path);
        let words = format!("fibrpcd: warning: {key}: cannot look at {shown}, a credential of ");
        let (code, said) = check(&text, Some(&unseen));
        assert_eq!(code, 0, "{said}");
        assert!(said.lines().any(|line| line.starts_with(&words)), "{said}");
    }
    // What is not used is not looked for.
    let text =
        "broker = { url = 'amqp://guest:guest@h', tls.ca_file = '/run/credentials/no.service/ca' }";
    let (code, said) = check(text, None);
    assert!(code == 0 && !said.contains("cannot look"), "{said}");
    // What is seen is judged.
    let password_file = format!("{url}broker.password_file = {:?}", place.join("gone"));
    let (code, said) = check(&password_file, Some(place));
    assert_eq!(code, 78, "{said}");
    fs::write(place.join("broker-password"), "").unwrap();
    set_mode(&place.join("broker-password"), 0o644);
    let (code, said) = check(url, Some(place));
    assert!(
        code == 78 && said.contains("broker-password: is empty"),
        "{said}"
    );
    set_mode(&unseen, 0o700);
}

fn folder_plain(folder: &TempDir, path: &Path) -> String {
    let place = format!("{}/", folder.path().display());
    path.display().to_string().replace(&place, "")
}

/// After following a warning's advice, the program that gave it can still read the file, and warns no more.
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
        "[broker]\nurl = \"amqps://h\"\n[broker.tls]\nca_file = {0:?}\ncert_file = {0:?}\nkey_file = {1:?}\n",
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
        // Root's if we are root, and then checked as somebody else; else ours.
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
