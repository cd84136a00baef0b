//! Judges the way to a broker: name, connection, TLS, login, virtual host. Reads only the password file.

use super::finding::{Check, Finding, Verdict, skipped};
use super::limits;
use crate::broker::stages::{Certificate, Dial};
use crate::broker::{Error, Kind, RENEW};
use crate::client::probe::ConnectReport;
use crate::config::{BrokerUrl, Config, Login, Scheme, login};
use crate::text::duration;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

/// Judges the ways to all brokers. An unusable broker is only a warning if another one is usable.
pub(super) fn judge(reports: &[ConnectReport], config: &Config, now: SystemTime) -> Vec<Finding> {
    let any = reports.iter().any(ConnectReport::is_usable);
    let mut all = Vec::new();
    for report in reports {
        let mut findings = findings(report, config, now);
        findings.extend(skipped(&findings, Check::OF_A_BROKER));
        findings.sort_by_key(|finding| finding.check as u8);
        for finding in &mut findings {
            finding.broker = Some(report.url.address());
            if any && finding.verdict == Verdict::Problem {
                finding.verdict = Verdict::Warning;
            }
        }
        all.extend(findings);
    }
    all
}

fn findings(report: &ConnectReport, config: &Config, now: SystemTime) -> Vec<Finding> {
    let url = &report.url;
    let mut findings = Vec::new();
    if let Some(addresses) = &report.addresses {
        findings.push(dns(url, addresses));
    }
    if let Some(Ok(_)) = &report.addresses {
        findings.push(tcp(&report.dials));
    }
    let read = |der: &Option<Vec<u8>>| der.as_deref().and_then(Certificate::read);
    let own = read(&report.own_certificate);
    findings.extend(own.and_then(|own| own_certificate(&own, now)));
    // With TLS 1.3 the broker verifies our certificate after the end of the handshake as we see it.
    let objection = match &report.connection {
        Some(Err(error)) if error.kind == Kind::Tls => Some(error),
        _ => None,
    };
    match (&report.tls, objection) {
        (Some(Err(error)), _) | (_, Some(error)) => {
            findings.push(Check::Tls.failed(&error.message));
            return findings;
        }
        (Some(Ok(peer)), None) => {
            findings.push(tls(peer.version, read(&peer.certificate).as_ref(), now));
        }
        (None, None) if report.addresses.is_some() && report.connection.is_some() => {
            findings.push(cleartext(url));
        }
        (None, None) => {}
    }
    let user = user(url, config);
    match &report.connection {
        Some(Ok(connection)) => {
            findings.push(Check::Login.ok(format!("{user} is accepted")));
            findings.push(Check::Vhost.ok(format!("{:?} is open to the user", url.vhost)));
            let (product, version) = connection.broker_version();
            findings.push(match (&report.place, product.as_str()) {
                (Err(error), _) => Check::Broker.failed(&error.message),
                (Ok(()), "") => Check::Broker.ok("unknown: it does not identify itself"),
                (Ok(()), _) => Check::Broker.ok(format!("{product} {version}")),
            });
            findings.extend(limits::judge(&product, &version, config));
        }
        Some(Err(error)) => findings.extend(refused(url, &user, error)),
        None => {}
    }
    findings
}

fn dns(url: &BrokerUrl, addresses: &Result<Vec<SocketAddr>, Error>) -> Finding {
    let host = &url.host;
    match addresses {
        Err(error) => Check::Dns.failed(&error.message),
        Ok(addresses) if addresses.is_empty() => Check::Dns.problem(
            format!("{host} has no address"),
            "check the host in broker.url",
        ),
        Ok(_) if url.tls_name().parse::<IpAddr>().is_ok() => {
            Check::Dns.ok(format!("{host} is an address"))
        }
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(|at| at.ip().to_string()).collect();
            Check::Dns.ok(format!("{host} is {}", addresses.join(", ")))
        }
    }
}

fn tcp(dials: &[(SocketAddr, Dial)]) -> Finding {
    let outcome = |(address, dial): &(SocketAddr, Dial)| match dial {
        Dial::Connected(after) => format!("{address} connected within {}", duration(*after)),
        Dial::Refused => format!("{address} refused the connection"),
        Dial::Silent(limit) => format!("no answer from {address} within {}", duration(*limit)),
        Dial::Short(shortage) => format!("{address} not tried: {}", shortage.words()),
        Dial::Failed(why) => format!("{address}: {why}"),
    };
    let message = dials.iter().map(outcome).collect::<Vec<_>>().join(", ");
    let any = |is: fn(&Dial) -> bool| dials.iter().any(|(_, dial)| is(dial));
    let silent = any(|dial| matches!(dial, Dial::Silent(_)));
    if any(|dial| matches!(dial, Dial::Connected(_))) {
        return if silent {
            Check::Tcp.warning(
                message,
                "a firewall may drop the packets, or the name has a stale address; this delays every connection",
            )
        } else {
            Check::Tcp.ok(message)
        };
    }
    let short = dials.iter().find_map(|(_, dial)| match dial {
        Dial::Short(shortage) => Some(shortage.hint()),
        _ => None,
    });
    let fix = if let Some(cure) = short {
        cure
    } else if silent {
        "a firewall may drop the packets, or the host is down"
    } else if any(|dial| matches!(dial, Dial::Refused)) {
        "is rabbitmq-server running there? check the port in broker.url"
    } else {
        "check the network, and the host in broker.url"
    };
    Check::Tcp.problem(message, fix)
}

fn cleartext(url: &BrokerUrl) -> Finding {
    if url.is_loopback() {
        Check::Tls.ok("not used, and not needed within this machine")
    } else {
        Check::Tls.warning(
            "not used: password and requests are sent in cleartext",
            "use amqps:// in broker.url",
        )
    }
}

/// TLS of this version, with the broker's certificate if it could be read.
fn tls(version: &str, certificate: Option<&Certificate>, now: SystemTime) -> Finding {
    let Some(certificate) = certificate else {
        return Check::Tls.ok(format!("{version}; the broker's certificate is trusted"));
    };
    let names = certificate.names.join(", ");
    let message = |left| format!("{version}; the broker's certificate is for {names} and {left}");
    match left(certificate, now) {
        (Verdict::Ok, left) => Check::Tls.ok(message(left)),
        (_, left) => Check::Tls.warning(message(left), "renew it"),
    }
}

/// Our own certificate, if it expires soon. The broker verifies it, perhaps only after the handshake.
fn own_certificate(certificate: &Certificate, now: SystemTime) -> Option<Finding> {
    let fix = "renew the one in broker.tls.cert_file";
    match left(certificate, now) {
        (Verdict::Problem, left) => {
            Some(Check::Tls.problem(format!("our own certificate {left}"), fix))
        }
        (Verdict::Warning, left) => {
            Some(Check::Tls.warning(format!("our own certificate {left}"), fix))
        }
        _ => None,
    }
}

/// The remaining lifetime of a certificate, and whether that is enough.
fn left(certificate: &Certificate, now: SystemTime) -> (Verdict, String) {
    let Certificate {
        not_before,
        not_after,
        ..
    } = *certificate;
    let whole = not_after.duration_since(not_before).unwrap_or_default();
    match not_after.duration_since(now) {
        Err(expired) => (
            Verdict::Problem,
            format!("expired {} ago", duration(expired.duration())),
        ),
        // One that lives for a week only is renewed later.
        Ok(left) if left < RENEW.min(whole / 3) => {
            (Verdict::Warning, format!("expires in {}", duration(left)))
        }
        Ok(left) => (Verdict::Ok, format!("valid for {} more", duration(left))),
    }
}

/// The user that logs in, for messages.
fn user(url: &BrokerUrl, config: &Config) -> String {
    match login(&config.broker, url) {
        Ok(Login::Certificate) => "the user of the certificate".to_owned(),
        Ok(Login::Password(_)) | Err(_) => format!("user {:?}", url.user),
    }
}

/// The AMQP handshake has failed: before, in or after the login.
fn refused(url: &BrokerUrl, user: &str, error: &Error) -> Vec<Finding> {
    let message = &error.message;
    // Brokers report missing, stopped, full or forbidden virtual hosts after they have accepted the login.
    if message.contains("via localhost") {
        vec![Check::Login.problem(
            format!(
                "user {:?} may log in from the broker's own machine only",
                url.user
            ),
            "create another user for other machines",
        )]
    } else if matches!(error.kind, Kind::Limit | Kind::VhostDown)
        || matches!(error.kind, Kind::Denied | Kind::Protocol | Kind::Lost)
            && (message.contains("vhost") || message.contains("after the login was accepted"))
    {
        vec![
            Check::Login.ok(format!("{user} is accepted")),
            Check::Vhost.failed(message),
        ]
    } else if error.kind == Kind::Credentials && url.user == "guest" && !url.is_loopback() {
        vec![Check::Login.problem(
            format!("broker {url} refused user \"guest\" or its password"),
            "by default, brokers accept guest only from their own machine: create another user",
        )]
    } else if error.kind == Kind::Timeout
        && let Some(hint) = port_hint(url)
    {
        vec![Check::Login.problem(message, hint)]
    } else {
        vec![Check::Login.failed(message)]
    }
}

/// A hint by the port number.
fn port_hint(url: &BrokerUrl) -> Option<&'static str> {
    match (url.scheme, url.port) {
        (Scheme::Amqp, 5671) => Some("5671 is the TLS port; use amqps:// in broker.url"),
        (_, 15671 | 15672) => Some("that is the management port; AMQP uses 5672"),
        (_, 4369 | 25672) => Some("that is a port for traffic between brokers; AMQP uses 5672"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
