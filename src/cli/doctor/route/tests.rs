//! Observations while connecting to a broker, and the findings for them.

use super::*;
use crate::config::Shortage;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn certificate(now: SystemTime, left: i64, lifetime: u32) -> Certificate {
    let days = |days: i64| DAY * u32::try_from(days.abs()).unwrap();
    let not_after = match left {
        0.. => now + days(left),
        _ => now - days(left),
    };
    Certificate {
        names: vec!["mq.example".into()],
        not_before: not_after - DAY * lifetime,
        not_after,
    }
}

fn text(finding: &Finding) -> (Verdict, String) {
    (
        finding.verdict,
        format!(
            "{}; {}",
            finding.message,
            finding.fix.as_deref().unwrap_or("-")
        ),
    )
}

#[test]
fn certificates_are_renewed_in_time() {
    let now = SystemTime::now();
    for (left, lifetime, verdict, words) in [
        (
            90,
            365,
            Verdict::Ok,
            "is for mq.example and valid for 90d more; -",
        ),
        (14, 90, Verdict::Ok, "valid for 14d more"),
        (13, 90, Verdict::Warning, "expires in 13d; renew it"),
        // A short-lived certificate is renewed late.
        (5, 6, Verdict::Ok, "valid for 5d more"),
        (1, 6, Verdict::Warning, "expires in 1d"),
    ] {
        let certificate = certificate(now, left, lifetime);
        let own = own_certificate(&certificate, now);
        assert_eq!(
            own.is_some(),
            verdict == Verdict::Warning,
            "{left} of {lifetime}"
        );
        let (found, message) = text(&tls("TLS 1.3", Some(&certificate), now));
        assert_eq!(found, verdict, "{message}");
        assert!(message.contains(words), "{message}");
    }
    let expired = own_certificate(&certificate(now, -3, 90), now).unwrap();
    let (verdict, message) = text(&expired);
    assert_eq!(verdict, Verdict::Problem);
    assert!(
        message.starts_with("our own certificate expired 3d ago; renew"),
        "{message}"
    );
}

#[test]
fn every_address_is_listed() {
    let address = |last: u8| SocketAddr::from(([10, 0, 0, last], 5672));
    let connected = || Dial::Connected(Duration::from_micros(1_500));
    let silent = || Dial::Silent(Duration::from_secs(5));
    let no_route = || Dial::Failed("no route to host".into());
    for (dials, verdict, expected) in [
        (
            vec![connected()],
            Verdict::Ok,
            "10.0.0.0:5672 connected within 1.5ms; -",
        ),
        (
            vec![Dial::Refused, connected()],
            Verdict::Ok,
            "10.0.0.0:5672 refused the connection, 10.0.0.1:5672 connected within 1.5ms; -",
        ),
        (
            vec![silent(), connected()],
            Verdict::Warning,
            "no answer from 10.0.0.0:5672 within 5s, 10.0.0.1:5672 connected within 1.5ms; a firewall",
        ),
        (
            vec![Dial::Refused, Dial::Refused],
            Verdict::Problem,
            "10.0.0.0:5672 refused the connection, 10.0.0.1:5672 refused the connection; is rabbitmq-server",
        ),
        (
            vec![silent(), Dial::Refused],
            Verdict::Problem,
            "no answer from 10.0.0.0:5672 within 5s, 10.0.0.1:5672 refused the connection; a firewall",
        ),
        (
            vec![no_route()],
            Verdict::Problem,
            "10.0.0.0:5672: no route to host; check the network",
        ),
        (
            vec![Dial::Short(Shortage::ProcessFiles)],
            Verdict::Problem,
            "10.0.0.0:5672 not tried: too many open files in this process; raise its limit",
        ),
    ] {
        let dials: Vec<_> = (0..).map(address).zip(dials).collect();
        let (found, message) = text(&tcp(&dials));
        assert_eq!(found, verdict, "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn names_and_addresses() {
    let named = |host: &str| BrokerUrl {
        host: host.into(),
        ..BrokerUrl::default()
    };
    let addresses = || {
        Ok(vec![
            ([10, 0, 0, 1], 5672).into(),
            ([10, 0, 0, 2], 5672).into(),
        ])
    };
    for (host, addresses, verdict, expected) in [
        ("mq1", addresses(), Verdict::Ok, "mq1 is 10.0.0.1, 10.0.0.2"),
        (
            "10.0.0.1",
            addresses(),
            Verdict::Ok,
            "10.0.0.1 is an address",
        ),
        (
            "mq1",
            Ok(vec![]),
            Verdict::Problem,
            "mq1 has no address; check the host",
        ),
        (
            "mq1",
            Err(Kind::Unreachable.error("not found: why; do this")),
            Verdict::Problem,
            "not found: why; do this",
        ),
    ] {
        let (found, message) = text(&dns(&named(host), &addresses));
        assert_eq!(found, verdict, "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
    for (host, verdict) in [
        ("localhost", Verdict::Ok),
        ("127.0.0.1", Verdict::Ok),
        ("::1", Verdict::Ok),
        ("mq1", Verdict::Warning),
    ] {
        assert_eq!(cleartext(&named(host)).verdict, verdict, "{host}");
    }
}

#[test]
fn login_and_vhost_are_distinguished() {
    let url = BrokerUrl {
        port: 15_672,
        ..BrokerUrl::default()
    };
    let far = BrokerUrl {
        host: "mq1".into(),
        ..BrokerUrl::default()
    };
    let guest = refused(
        &far,
        "user \"guest\"",
        &Kind::Credentials.error("refused; check"),
    );
    assert!(
        text(&guest[0]).1.contains("only from their own machine"),
        "{guest:?}"
    );
    for (kind, message, check, words) in [
        (
            Kind::Credentials,
            "refused; check",
            Check::Login,
            "refused; check",
        ),
        (
            Kind::Local,
            "broker.password_file: no such file",
            Check::Login,
            "password_file",
        ),
        (
            Kind::Denied,
            "NOT_ALLOWED - vhost x not found; look",
            Check::Vhost,
            "not found; look",
        ),
        (
            Kind::VhostDown,
            "INTERNAL_ERROR - access to vhost 'x' refused for user 'guest': vhost 'x' is down",
            Check::Vhost,
            "is down",
        ),
        (
            Kind::Denied,
            "NOT_ALLOWED - access to vhost '/' refused: user 'guest' can only connect via localhost",
            Check::Login,
            "own machine only; create another user",
        ),
        (
            Kind::Timeout,
            "too late",
            Check::Login,
            "too late; that is the management port",
        ),
    ] {
        let findings = refused(&url, "user \"guest\"", &kind.error(message));
        let problem = findings.last().unwrap();
        assert_eq!(
            (problem.check, problem.verdict),
            (check, Verdict::Problem),
            "{message}"
        );
        let (_, text) = text(problem);
        assert!(text.contains(words), "{text}");
        // The vhost is looked at once the login is done.
        let before: Vec<_> = findings
            .iter()
            .rev()
            .skip(1)
            .map(|it| (it.check, it.verdict))
            .collect();
        let login = (Check::Login, Verdict::Ok);
        assert_eq!(
            before,
            if check == Check::Vhost {
                vec![login]
            } else {
                vec![]
            }
        );
    }
}
