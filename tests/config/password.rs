//! The sources of the password, and warnings and problems about its file.

use super::Folder;
use fibrpc::internals::config::{self, BrokerUrl, Config, Login, Source, login_from};
use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

#[test]
fn the_password_and_its_sources() {
    let folder = Folder::new();
    let file = folder.write("pw", "from file\n");
    let credential = folder.write("credentials/broker-password", "from credential\r\n");
    let credentials = credential.parent();
    for path in [&file, &credential] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let url: BrokerUrl = "amqp://u:from%20url@h".parse().unwrap();
    let mut broker = Config::default().broker;
    let ask =
        |broker: &config::Broker, url: &BrokerUrl, credentials: Option<&Path>| match login_from(
            broker,
            url,
            credentials,
        ) {
            Ok(Login::Password(found)) => Ok((found.secret.expose().to_owned(), found.warning)),
            Ok(Login::Certificate) => panic!("no certificate is set"),
            Err(fault) => Err(fault.problem),
        };
    let plain = |text: &str| (text.to_owned(), None);

    assert_eq!(ask(&broker, &url, None).unwrap(), plain("from url"));
    assert_eq!(
        ask(&broker, &url, Some(&folder.path("empty"))).unwrap(),
        plain("from url")
    );
    assert_eq!(
        ask(&broker, &url, credentials).unwrap(),
        plain("from credential")
    );
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(
        ask(&broker, &url, credentials).unwrap(),
        plain("from credential")
    );
    broker.password_file = Some(file.clone());
    assert_eq!(ask(&broker, &url, credentials).unwrap(), plain("from file"));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    let (_, warning) = ask(&broker, &url, None).unwrap();
    let warning = folder.plain(&warning.unwrap());
    let start = "broker.password_file: others can read pw (mode 0604); ch";
    assert!(warning.starts_with(start), "{warning}");
    for (content, words) in [
        (
            Some(&b"\n"[..]),
            "broker.password_file: cannot use pw: is empty; ",
        ),
        (Some(b""), "is empty"),
        (Some(b"k4nary\xff"), "is not UTF-8 in line 1"),
        (
            Some(b"k4nary\0"),
            "contains a NUL byte in line 1; save it as",
        ),
        (
            Some(b"\xff\xfek\x004\0"),
            "cannot use pw: is UTF-16; save it as UTF-8",
        ),
        (Some(b"\xef\xbb\xbf\r\n"), "is empty"),
        (None, "cannot use pw: no such file"),
    ] {
        match content {
            Some(content) => drop(folder.write("pw", content)),
            None => fs::remove_file(&file).unwrap(),
        }
        let problem = ask(&broker, &url, credentials).unwrap_err().0;
        assert!(folder.plain(&problem).contains(words), "{problem}");
        assert!(!problem.contains("k4nary"), "{problem}");
    }
    folder.write("credentials/broker-password", "");
    let problem = ask(&Config::default().broker, &url, credentials)
        .unwrap_err()
        .0;
    assert!(
        problem.starts_with("credential broker-password: cannot use "),
        "{problem}"
    );
    let bare: BrokerUrl = "amqp://u@h".parse().unwrap();
    let problem = ask(&Config::default().broker, &bare, None).unwrap_err().0;
    assert_eq!(
        problem,
        "broker.url: has no password for user \"u\" at h:5672; set broker.password_file"
    );
    // One newline at the end is not part of the password, other white space is.
    folder.write("pw", " a b \n\n");
    assert_eq!(ask(&broker, &url, None).unwrap().0, " a b \n");
    // A byte order mark and CRLF of an editor are not part of it either.
    folder.write("pw", b"\xef\xbb\xbfa b\r\n");
    assert_eq!(ask(&broker, &url, None).unwrap().0, "a b");
    // A pipe can be read once, but each connection reads the password.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"piped\n").unwrap();
    drop(writer);
    broker.password_file = Some(format!("/dev/fd/{}", reader.as_raw_fd()).into());
    for _ in 0..3 {
        assert_eq!(ask(&broker, &url, None).unwrap(), plain("piped"));
    }
}

/// A configured password is used; without one the certificate is used to log in, before the default login.
#[test]
fn a_password_takes_precedence_over_a_certificate() {
    let folder = Folder::new();
    let file = folder.write("pw", "from file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let credential = folder.write("credentials/broker-password", "from credential");
    let mut broker = Config::default().broker;
    broker.tls.cert_file = Some("/own.pem".into());
    broker.tls.key_file = Some("/own.key".into());
    let source = |broker: &config::Broker, url: &str, credentials| match login_from(
        broker,
        &url.parse().unwrap(),
        credentials,
    ) {
        Ok(Login::Password(password)) => Ok(Some(password.source)),
        Ok(Login::Certificate) => Ok(None),
        Err(fault) => Err(fault.problem.0),
    };
    let mut with_file = broker.clone();
    with_file.password_file = Some(file.clone());
    let credentials = credential.parent();
    // A file that is a credential: systemd reads it once.
    let mut with_credential = broker.clone();
    with_credential.password_file = Some(folder.write("credentials/other", "another credential"));
    for (broker, url, credentials, expected) in [
        (&broker, "amqps://h", None, None),
        (&broker, "amqps://u@h", None, None),
        (&broker, "amqps://u:p@h", None, Some(Source::Url)),
        (&broker, "amqps://guest:guest@h", None, Some(Source::Url)),
        (
            &broker,
            "amqps://u@h",
            credentials,
            Some(Source::Credential("broker-password".to_owned())),
        ),
        (
            &with_credential,
            "amqps://u@h",
            credentials,
            Some(Source::Credential("other".to_owned())),
        ),
        (
            &with_file,
            "amqps://u@h",
            credentials,
            Some(Source::File(file.clone())),
        ),
        (
            &with_file,
            "amqps://h",
            None,
            Some(Source::File(file.clone())),
        ),
        // Without TLS there is no client certificate.
        (&broker, "amqp://h", None, Some(Source::Default)),
        (&broker, "amqp://u:p@h", None, Some(Source::Url)),
    ] {
        assert_eq!(source(broker, url, credentials), Ok(expected), "{url}");
    }
    let problem = source(&broker, "amqp://u@h", None).unwrap_err();
    assert!(problem.contains("has no password for user"), "{problem}");
}
