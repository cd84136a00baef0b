//! One HTTP exchange with a collector: a connection of its own, a request, and what the response means.
//!
//! Does not follow redirects and does not use proxies.

use super::settings::Settings;
use super::tls;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

/// The largest response that is read.
const MAX_RESPONSE: usize = 64 << 10;

/// Why a batch was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may be accepted later; perhaps the collector says when.
    Temporary(String, Option<Duration>),
    /// It never will be.
    Final(String),
}

/// Sends batches to one collector.
#[derive(Debug)]
pub(super) struct Post {
    settings: Arc<Settings>,
    /// Loaded for the first batch.
    trust: Option<Arc<ClientConfig>>,
}

impl Post {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            trust: None,
        }
    }

    /// Sends a batch; returns how many of its spans the collector rejected.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<usize, Failure> {
        let limit = self.settings.timeout;
        match timeout(limit, self.exchange(body)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Temporary(
                format!("no answer within {}", crate::text::duration(limit)),
                None,
            )),
        }
    }

    async fn exchange(&mut self, body: Bytes) -> Result<usize, Failure> {
        let collector = &self.settings.collector;
        let unreachable = |error: io::Error| Failure::Temporary(error.to_string(), None);
        let address = (collector.host.as_str(), collector.port);
        let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
        if !collector.https {
            return self.talk(tcp, body).await;
        }
        let trust = if let Some(trust) = &self.trust {
            trust.clone()
        } else {
            let trust = tls::trust(&self.settings).map_err(Failure::Final)?;
            self.trust.insert(trust).clone()
        };
        let failed = |cause| Failure::Temporary(cause, None);
        let stream = tls::handshake(tcp, &collector.host, trust)
            .await
            .map_err(failed)?;
        self.talk(stream, body).await
    }

    async fn talk<S>(&self, stream: S, body: Bytes) -> Result<usize, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let failed = |error: hyper::Error| Failure::Temporary(said(&error), None);
        let request = self.request(body)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            judge(response).await
        };
        // Its error is that of the request as well.
        let drive = async {
            let _ = connection.await;
            pending::<Infallible>().await
        };
        tokio::select! {
            answer = answer => answer,
            never = drive => match never {},
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let collector = &self.settings.collector;
        let path = if collector.path.is_empty() {
            "/"
        } else {
            &collector.path
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, collector.address())
            .header(USER_AGENT, concat!("fibrpc/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Full::new(body))
            .map_err(|error| Failure::Final(error.to_string()))?;
        let headers = request.headers_mut();
        for (name, value) in &self.settings.headers {
            headers.insert(name, value.clone());
        }
        headers.insert(CONTENT_TYPE, super::settings::PROTOBUF);
        Ok(request)
    }
}

/// What a response means (OTLP specification, "OTLP/HTTP Response").
async fn judge(response: Response<Incoming>) -> Result<usize, Failure> {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER);
    let after = after.and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now()));
    if !status.is_success() {
        let cause = format!("HTTP status {status}");
        return Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Failure::Temporary(cause, after)
            }
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                Failure::Temporary(cause, None)
            }
            _ => Failure::Final(cause),
        });
    }
    // The spans are accepted, whatever is wrong with the body.
    let body = Limited::new(response.into_body(), MAX_RESPONSE)
        .collect()
        .await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let response = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let rejected = response
        .partial_success
        .map_or(0, |partial| partial.rejected_spans);
    Ok(usize::try_from(rejected).unwrap_or(0))
}

/// How long to wait, by the header `Retry-After`: seconds, or a date. `None` for anything else, and if nothing is left to wait:
/// then our own pause is better than none.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let after = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?,
    };
    (!after.is_zero()).then_some(after)
}

/// An error with its cause, which hyper's own text leaves out.
fn said(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("0", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:38 GMT", Some(1)),
            ("Sun Nov  6 09:49:37 1994", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("Sun, 06 Nov 1994 08:50:07 CET", None),
            ("Mon, 32 Nov 1994 08:50:07 GMT", None),
        ] {
            let expect = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(text, now), expect, "{text:?}");
        }
    }
}
