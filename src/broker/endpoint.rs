//! Which broker to try next: the configured URLs in random order, round after round.

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
}
