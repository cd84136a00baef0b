//! Which broker to try next: the configured URLs in random order, round after round.

use super::Error;
use crate::config::BrokerUrl;

/// The URLs of one cluster.
#[derive(Debug, Clone)]
pub struct Endpoints {
    urls: Vec<BrokerUrl>,
    next: usize,
}

impl Endpoints {
    /// Shuffles the URLs, so that many daemons spread over a cluster.
    pub fn new(urls: &[BrokerUrl]) -> Self {
        let mut urls = urls.to_vec();
        fastrand::shuffle(&mut urls);
        Self { urls, next: 0 }
    }

    /// The next one to try. An empty list, which the configuration refuses, counts as the default URL.
    pub fn next_url(&mut self) -> BrokerUrl {
        let url = self.urls.get(self.next).cloned().unwrap_or_default();
        self.next = (self.next + 1) % self.urls.len().max(1);
        url
    }

    /// What `open` makes of the first URL that works, each tried once; else the failure that says most.
    pub async fn first<T>(
        &mut self,
        open: impl AsyncFn(BrokerUrl) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut telling: Option<Error> = None;
        loop {
            match open(self.next_url()).await {
                Ok(opened) => return Ok(opened),
                Err(error) => match &telling {
                    // Refused credentials say more than another broker that is down.
                    Some(before) if before.needs_operator() || !error.needs_operator() => {}
                    _ => telling = Some(error),
                },
            }
            if self.at_start_of_round()
                && let Some(error) = telling.take()
            {
                return Err(error);
            }
        }
    }

    /// Whether the next one begins a new round: all others have been tried since the last one did.
    pub fn at_start_of_round(&self) -> bool {
        self.next == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.urls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn urls(count: u16) -> Vec<BrokerUrl> {
        (0..count)
            .map(|port| BrokerUrl {
                port,
                ..BrokerUrl::default()
            })
            .collect()
    }

    #[test]
    fn a_round_visits_every_url_once() {
        let mut endpoints = Endpoints::new(&urls(5));
        for _ in 0..3 {
            assert!(endpoints.at_start_of_round());
            let seen: HashSet<u16> = (0..5).map(|_| endpoints.next_url().port).collect();
            assert_eq!(seen.len(), 5);
        }
    }

    #[test]
    fn the_order_differs_between_instances() {
        let firsts: HashSet<u16> = (0..200)
            .map(|_| Endpoints::new(&urls(3)).next_url().port)
            .collect();
        assert_eq!(firsts.len(), 3);
    }
    #[test]
    fn the_failure_that_says_most_is_told_in_any_order() {
        use crate::broker::Kind;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for _ in 0..20 {
            let open = async |url: BrokerUrl| {
                let kind = match url.port {
                    1 => Kind::Credentials,
                    _ => Kind::Unreachable,
                };
                Err::<(), _>(Error::new(kind, "no"))
            };
            let failed = runtime.block_on(Endpoints::new(&urls(3)).first(open));
            assert_eq!(failed.unwrap_err().kind, Kind::Credentials);
        }
    }
}
