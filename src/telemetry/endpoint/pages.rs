//! The pages of the endpoint: which path shows what.

use super::health::{Condition, Health};
use super::negotiation;
use super::overview::overview;
use crate::protocol::control::Report;
use crate::telemetry::metrics::{Format, encode};
use crate::telemetry::source::Source;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use std::time::Instant;
use tokio::sync::watch;

/// The only methods.
const METHODS: &str = "GET, HEAD";

/// The paths, as the answer to others names them.
const PATHS: &str = "/metrics, /healthz, /readyz, /status and /status.json";

const TEXT: &str = "text/plain; charset=utf-8";

/// A response, whole.
pub(super) type Page = Response<Full<Bytes>>;

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Pages {
    source: Source,
    /// At most a second old, while the thread of the server works.
    report: watch::Receiver<Report>,
    health: Health,
}

impl Pages {
    pub(super) fn new(source: Source, report: watch::Receiver<Report>) -> Self {
        Self {
            source,
            report,
            health: Health::new(Instant::now()),
        }
    }

    /// Looks whether the server makes progress. To be called once per second.
    pub(super) fn look(&self) {
        let _ = self.health.live(&self.source, Instant::now());
    }

    /// The response to a request. Nothing of the request appears in it.
    pub(super) fn respond<B>(&self, request: &Request<B>) -> Page {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let text = format!("method not allowed: use {METHODS}\n");
            let mut page = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
            let allowed = HeaderValue::from_static(METHODS);
            page.headers_mut().insert(ALLOW, allowed);
            return page;
        }
        let now = Instant::now();
        match request.uri().path() {
            "/metrics" => self.metrics(request.headers()),
            "/healthz" => condition(self.health.live(&self.source, now)),
            "/readyz" => condition(self.health.ready(&self.source, now)),
            "/status" => {
                let ready = self.health.ready(&self.source, now);
                let report = self.report.borrow().clone();
                page(StatusCode::OK, TEXT, overview(&report, &ready))
            }
            "/status.json" => self.report(),
            _ => {
                let text = format!("not found: the paths are {PATHS}\n");
                page(StatusCode::NOT_FOUND, TEXT, text)
            }
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Page {
        let accept = headers.get_all(ACCEPT).into_iter();
        let format = negotiation::format(accept.filter_map(|value| value.to_str().ok()));
        let kind = match format {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        };
        page(StatusCode::OK, kind, encode(&self.source, format))
    }

    fn report(&self) -> Page {
        let report = self.report.borrow().clone();
        // Numbers and strings, whose serialization cannot fail.
        let text = serde_json::to_string(&report).unwrap_or_default() + "\n";
        page(StatusCode::OK, "application/json", text)
    }
}

fn condition(condition: Condition) -> Page {
    let (status, line) = match condition {
        Ok(line) => (StatusCode::OK, line),
        Err(line) => (StatusCode::SERVICE_UNAVAILABLE, line),
    };
    page(status, TEXT, line + "\n")
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Page {
    let mut page = Response::new(Full::new(text.into()));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
