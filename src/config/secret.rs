//! A string that is never printed: `Debug` is redacted, and there is no `Display` and no `Serialize`.

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// The password itself, for the one place that sends it to the broker.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Broker, Config};
    use super::super::url::BrokerUrl;
    use super::Secret;

    #[test]
    fn no_debug_output_shows_it() {
        let url = BrokerUrl {
            password: Some(Secret::new("k4nary")),
            ..BrokerUrl::default()
        };
        let config = Config::default();
        let config = Config {
            broker: Broker {
                url: vec![url.clone()],
                ..config.broker
            },
            ..config
        };
        for text in [
            format!("{:?}", Secret::new("k4nary")),
            format!("{url:?}"),
            format!("{config:#?}"),
        ] {
            assert!(text.contains("<redacted>"), "{text}");
            assert!(!text.contains("k4nary"), "{text}");
        }
    }
}
