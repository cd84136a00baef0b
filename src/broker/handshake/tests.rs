//! Tables: what is known of an attempt, and what is said of its end.

use super::*;
use crate::broker::codec::method::{Greeting, Reason};
use crate::config::{Password, Secret, Tls};

fn password(source: Source) -> Login {
    Login::Password(Password {
        secret: Secret::new("k4nary"),
        source,
        warning: None,
    })
}

fn progress(step: Step) -> Progress {
    Progress {
        step,
        greeting: Greeting {
            product: "RabbitMQ".into(),
            version: "3.10.8".into(),
            cluster_name: String::new(),
            mechanisms: "PLAIN AMQPLAIN".into(),
        },
        login_size: 400,
    }
}

/// The message about the end of a connection with this URL, without the leading `broker mq:5672`.
fn refusal(login: &Login, progress: &Progress, ending: &Ending) -> Error {
    let url = "amqp://u:k4nary@mq".parse().unwrap();
    let settings = config::Config::default().broker;
    let attempt = Attempt {
        url: &url,
        settings: &settings,
        login,
        progress,
    };
    attempt.refused(ending)
}

fn lost() -> Ending {
    let (cause, closed) = ("reset (os error 104)".into(), true);
    Ending::Lost { cause, closed }
}

fn closed(code: u16, text: &str) -> Ending {
    let text = text.into();
    Ending::Closed(Reason { code, text })
}

#[test]
fn an_end_without_a_reason_is_explained_by_its_step() {
    let login = password(Source::Url);
    for (step, words, hint) in [
        (
            Step::Greeting,
            "it was closed before it sent anything",
            "a proxy without a running broker",
        ),
        (
            Step::Login,
            "it was closed after the login was sent, without giving a reason",
            "see the broker's log",
        ),
        (
            Step::Opening,
            "after the login was accepted, without giving a reason",
            "see the broker's log",
        ),
    ] {
        let error = refusal(&login, &progress(step), &lost());
        assert_eq!(error.kind, Kind::Lost);
        let text = error.message;
        assert!(text.contains(words) && text.contains(hint), "{text}");
        assert_eq!(text.contains("port"), step == Step::Greeting, "{text}");
    }
    let other = Ending::Lost {
        cause: "No route to host".into(),
        closed: false,
    };
    let text = refusal(&login, &progress(Step::Login), &other).message;
    assert!(text.contains("No route to host after the login"), "{text}");
    let cause = "the library's word".to_owned();
    let library = refusal(&login, &progress(Step::Login), &Ending::GivenUp { cause });
    assert_eq!(
        library.message,
        "broker mq:5672 refused the connection: the library's word"
    );
}

#[test]
fn a_client_certificate_may_be_what_is_missing() {
    let mut settings = config::Config::default().broker;
    let url = "amqps://mq".parse().unwrap();
    let progress = progress(Step::Greeting);
    for (cert_file, named) in [(None, true), (Some("/own.pem".into()), false)] {
        settings.tls = Tls {
            cert_file,
            ..Tls::default()
        };
        let attempt = Attempt {
            url: &url,
            settings: &settings,
            login: &password(Source::Default),
            progress: &progress,
        };
        let text = attempt.refused(&lost()).message;
        assert_eq!(text.contains("(broker.tls.cert_file)"), named, "{text}");
    }
}

#[test]
fn a_futile_login_is_explained() {
    let mut lacks = progress(Step::Login);
    lacks.greeting.mechanisms = "AMQPLAIN EX\u{1b}TERNAL".into();
    let error = refusal(&password(Source::Url), &lacks, &Ending::FutileLogin);
    assert_eq!(error.kind, Kind::Credentials);
    let text = error.message;
    assert!(text.contains("does not offer PLAIN"), "{text}");
    assert!(
        text.contains("(it offers AMQPLAIN, EX\\u{1b}TERNAL); allow PLAIN"),
        "{text}"
    );
    let text = refusal(
        &Login::Certificate,
        &progress(Step::Login),
        &Ending::FutileLogin,
    )
    .message;
    assert!(text.contains("EXTERNAL, the login by certificate (it offers PLAIN, AMQPLAIN); set broker.password_file"), "{text}");
    // A broker that has not greeted has offered nothing.
    let silent = refusal(&Login::Certificate, &progress(Step::Greeting), &lost());
    assert!(silent.message.contains("before it sent anything"));

    let mut large = progress(Step::Login);
    large.login_size = 4_097;
    assert!(large.login_is_too_large());
    let error = refusal(&password(Source::Url), &large, &Ending::FutileLogin);
    assert_eq!(error.kind, Kind::Credentials);
    assert!(
        error.message.contains("the login has 4097 bytes"),
        "{error}"
    );
    for (product, version) in [
        ("RabbitMQ", "4.1.0"),
        ("RabbitMQ", "5"),
        ("LavinMQ", "2.0.0"),
    ] {
        (large.greeting.product, large.greeting.version) = (product.into(), version.into());
        assert!(!large.login_is_too_large());
        let error = refusal(&password(Source::Url), &large, &lost());
        assert_eq!(error.kind, Kind::Lost);
        assert!(
            error
                .message
                .contains("perhaps more than the broker accepts"),
            "{error}"
        );
    }
    large.login_size = 4_096;
    (large.greeting.product, large.greeting.version) = ("RabbitMQ".into(), "4.0.5".into());
    assert!(!large.login_is_too_large());
}

#[test]
fn a_refused_login_names_the_source_of_the_password() {
    const REFUSED: &str = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    for (login, words) in [
        (
            password(Source::File("/pw".into())),
            "check the password in /pw (broker.password_file)",
        ),
        (
            password(Source::Credential("pw".into())),
            "check the systemd credential pw, which systemd reads when the service starts (restart it after a change)",
        ),
        (
            password(Source::Url),
            "check broker.url, and that the user may log in",
        ),
        (
            password(Source::Default),
            "that is the default login: check broker.url",
        ),
    ] {
        let error = refusal(&login, &progress(Step::Login), &closed(403, REFUSED));
        assert_eq!(error.kind, Kind::Credentials);
        let text = error.message;
        assert!(
            text.starts_with("broker mq:5672 refused user \"u\" or its password; "),
            "{text}"
        );
        assert!(text.contains(words) && !text.contains("k4nary"), "{text}");
    }
    let mut external = progress(Step::Login);
    external.greeting.mechanisms = "EXTERNAL".into();
    let error = refusal(&Login::Certificate, &external, &closed(403, REFUSED));
    assert!(
        error.message.contains("check broker.tls.cert_file"),
        "{error}"
    );
}

#[test]
fn reasons_of_the_broker_have_their_own_hints() {
    let login = password(Source::Url);
    for (step, code, text, kind, hint) in [
        (
            Step::Opening,
            530,
            "NOT_ALLOWED - vhost v not found",
            Kind::Denied,
            "; check that vhost \"/\" exists and that user \"u\" has permissions on it",
        ),
        (
            Step::Opening,
            403,
            "ACCESS_REFUSED - no access",
            Kind::Denied,
            "; check that vhost",
        ),
        (
            Step::Opening,
            530,
            "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (5) is reached",
            Kind::Limit,
            "; close connections, or raise the limit",
        ),
        (
            Step::Opening,
            541,
            "INTERNAL_ERROR - access to vhost 'v' refused for user 'u': vhost 'v' is down",
            Kind::VhostDown,
            "; see the broker's log, and restart it (rabbitmqctl restart_vhost)",
        ),
        (
            Step::Opening,
            530,
            "NOT_ALLOWED - negotiated frame_max = 4096 is lower than the minimum allowed value (8192)",
            Kind::Refused,
            "",
        ),
        (Step::Opening, 541, "INTERNAL_ERROR", Kind::Protocol, ""),
        (
            Step::Login,
            503,
            "COMMAND_INVALID - unknown authentication mechanism 'X'",
            Kind::Protocol,
            "",
        ),
        (
            Step::Greeting,
            320,
            "CONNECTION_FORCED - shutdown",
            Kind::Lost,
            "",
        ),
    ] {
        let error = refusal(&login, &progress(step), &closed(code, text));
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(
            error.message.replacen(hint, "", 1).len(),
            error.message.len() - hint.len(),
            "{error}"
        );
        if hint.is_empty() {
            let quoted = format!("broker mq:5672 refused the connection: {text}");
            assert_eq!(error.message, quoted, "nothing is guessed");
        }
    }
}

#[test]
fn a_timeout_is_explained_by_its_step() {
    let url = BrokerUrl::default();
    for (step, words) in [
        (
            Step::Lookup,
            "no answer from the name service; check /etc/resolv.conf",
        ),
        (Step::Connecting, "no answer to TCP; a firewall"),
        (
            Step::Securing,
            "no answer to the TLS handshake; is that a port for TLS?",
        ),
        (Step::Greeting, "but sends nothing; is that an AMQP port?"),
        (
            Step::Login,
            "did not answer the login; see the broker's log",
        ),
        (
            Step::Opening,
            "did not open the vhost; see the broker's log",
        ),
    ] {
        let limit = Duration::from_secs(10);
        let error = late(&url, limit, " (broker.connect_timeout)", &progress(step));
        assert_eq!(error.kind, Kind::Timeout);
        assert!(error.message.contains(words), "{error}");
    }
}
