//! Which broker to try next: the configured URLs in random order, round after round, or several at once until one
//! answers.

use super::error::{Error, Kind};
use crate::config::BrokerUrl;
use crate::text::duration;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a broker has to answer before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(300);

/// How much longer than the limit an attempt may take, to report where it was stuck.
const LIMIT_GRACE: Duration = Duration::from_millis(150);

/// A wait that is longer than any caller's.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The URLs of one cluster, at least one.
#[derive(Debug, Clone)]
pub struct Endpoints {
    urls: Vec<BrokerUrl>,
    next: usize,
}

impl Endpoints {
    /// Shuffles the URLs, so that many daemons spread over a cluster. An empty list, which the configuration
    /// refuses, counts as the default URL.
    pub fn new(urls: &[BrokerUrl]) -> Self {
        let mut urls = urls.to_vec();
        if urls.is_empty() {
            urls.push(BrokerUrl::default());
        }
        fastrand::shuffle(&mut urls);
        Self { urls, next: 0 }
    }

    /// The next one to try.
    pub fn next_url(&mut self) -> BrokerUrl {
        let url = self.urls[self.next].clone();
        self.next = (self.next + 1) % self.urls.len();
        url
    }

    /// The outcome of `open` for the first URL that works, each tried once; else the most telling failure.
    ///
    /// The next URL is tried when the one before has failed or has not answered within its head start; attempts
    /// that are not needed any more are dropped. With a limit, all of it takes no longer than that.
    pub async fn first<T, F>(
        &mut self,
        limit: Option<Duration>,
        open: impl Fn(BrokerUrl) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.race(self.urls.len(), limit, open).await
    }

    /// The same, without the URL that was used last.
    pub async fn other<T, F>(&mut self, open: impl Fn(BrokerUrl) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.race(self.urls.len() - 1, None, open).await
    }

    /// Tries the next `count` URLs.
    async fn race<T, F>(
        &mut self,
        count: usize,
        limit: Option<Duration>,
        open: impl Fn(BrokerUrl) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + limit.unwrap_or(FOREVER) + LIMIT_GRACE;
        let mut untried = (self.next..self.next + count).map(|index| index % self.urls.len());
        let mut attempts = FuturesUnordered::new();
        let mut pending = Vec::new();
        let mut telling: Option<Error> = None;
        loop {
            if let Some(index) = untried.next() {
                pending.push(index);
                let attempt = open(self.urls[index].clone());
                attempts.push(async move { (index, attempt.await) });
            } else if attempts.is_empty() {
                return Err(telling.unwrap_or_else(|| {
                    Kind::Unreachable.error("broker.url names no other broker")
                }));
            }
            tokio::select! {
                biased;
                Some((index, opened)) = attempts.next() => match opened {
                    Ok(opened) => {
                        self.next = (index + 1) % self.urls.len();
                        return Ok(opened);
                    }
                    Err(error) => {
                        pending.retain(|other| *other != index);
                        // Refused credentials are more telling than another broker that is down.
                        match &telling {
                            Some(before) if before.needs_operator() || !error.needs_operator() => {}
                            _ => telling = Some(error),
                        }
                    }
                },
                () = sleep_until(deadline), if limit.is_some() => {
                    return Err(self.too_slow(limit.unwrap_or_default(), &pending, telling));
                }
                () = sleep(HEAD_START), if untried.len() > 0 => {}
            }
        }
    }

    fn too_slow(&self, limit: Duration, pending: &[usize], telling: Option<Error>) -> Error {
        let silent: Vec<_> = pending
            .iter()
            .map(|index| self.urls[*index].address())
            .collect();
        let silent = format!("{} did not answer", silent.join(" and "));
        let (kind, why) = match telling {
            Some(error) if error.needs_operator() => (error.kind, error.message),
            Some(error) => (error.kind, format!("{silent}; {}", error.message)),
            None => (
                Kind::Timeout,
                format!("{silent}; check broker.url and the network"),
            ),
        };
        kind.error(format!(
            "no connection to the broker within {}: {why}",
            duration(limit)
        ))
    }

    /// Whether the next one begins a new round: all others have been tried since the last one did.
    pub fn at_start_of_round(&self) -> bool {
        self.next == 0
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.urls.len() > 1
    }

    /// All of them, in words.
    pub fn addresses(&self) -> String {
        let addresses: Vec<_> = self.urls.iter().map(BrokerUrl::address).collect();
        addresses.join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::HashSet;

    fn urls(count: u16) -> Vec<BrokerUrl> {
        (1..=count)
            .map(|port| BrokerUrl {
                port,
                ..BrokerUrl::default()
            })
            .collect()
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(test)
    }

    fn failure(url: &BrokerUrl) -> Error {
        let kind = match url.port {
            1 => Kind::Credentials,
            _ => Kind::Unreachable,
        };
        kind.error(format!("no {}", url.port))
    }

    #[test]
    fn a_round_visits_every_url_once() {
        let mut endpoints = Endpoints::new(&urls(5));
        for _ in 0..3 {
            assert!(endpoints.at_start_of_round());
            let seen: HashSet<u16> = (0..5).map(|_| endpoints.next_url().port).collect();
            assert_eq!(seen.len(), 5);
        }
        assert_eq!(Endpoints::new(&[]).next_url(), BrokerUrl::default());
    }

    #[test]
    fn the_order_differs_between_instances() {
        let firsts: HashSet<u16> = (0..200)
            .map(|_| Endpoints::new(&urls(3)).next_url().port)
            .collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn the_most_telling_failure_is_reported_in_any_order() {
        for _ in 0..20 {
            let open = async |url: BrokerUrl| Err::<(), _>(failure(&url));
            let failed = run(Endpoints::new(&urls(3)).first(None, open));
            assert_eq!(failed.unwrap_err().kind, Kind::Credentials);
        }
    }

    #[test]
    fn a_silent_broker_does_not_hold_up_the_next_one() {
        for _ in 0..3 {
            let mut endpoints = Endpoints::new(&urls(3));
            let tried = RefCell::new(HashSet::new());
            let open = async |url: BrokerUrl| {
                tried.borrow_mut().insert(url.port);
                if url.port != 2 {
                    std::future::pending::<()>().await;
                }
                Ok(url.port)
            };
            assert_eq!(run(endpoints.first(None, open)).unwrap(), 2);
            // The next round begins after the broker that works.
            let last = tried.borrow().len();
            assert_eq!(endpoints.next, last % 3);
        }
    }

    #[test]
    fn other_brokers_are_tried_without_the_present_one() {
        let mut endpoints = Endpoints::new(&urls(3));
        let present = endpoints.next_url().port;
        let tried = RefCell::new(Vec::new());
        let open = async |url: BrokerUrl| {
            tried.borrow_mut().push(url.port);
            Err::<(), _>(failure(&url))
        };
        run(endpoints.other(open)).unwrap_err();
        let mut tried = tried.into_inner();
        tried.push(present);
        tried.sort_unstable();
        assert_eq!(tried, [1, 2, 3]);
        let alone = run(Endpoints::new(&urls(1)).other(async |_| Ok(())));
        assert_eq!(alone.unwrap_err().kind, Kind::Unreachable);
    }

    #[test]
    fn one_limit_bounds_all_attempts_and_silent_brokers_are_named() {
        let limit = Duration::from_millis(900);
        let began = Instant::now();
        let failed = run(Endpoints::new(&urls(3)).first(Some(limit), async |url| {
            if url.port == 3 {
                return Err::<(), _>(failure(&url));
            }
            std::future::pending().await
        }));
        assert!(began.elapsed() >= limit);
        let message = failed.unwrap_err().message;
        let start = "no connection to the broker within 900ms: ";
        let rest = message.strip_prefix(start).unwrap();
        assert!(
            rest.contains("localhost:1") && rest.contains("localhost:2"),
            "{message}"
        );
        assert!(rest.ends_with(" did not answer; no 3"), "{message}");
    }
}
