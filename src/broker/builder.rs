//! What the builders of servers and clients have in common: where the brokers are, and TLS. Written once as a macro, so that both
//! document it as methods of their own.

/// Methods of a type with a `config`, and the `problems` in it.
macro_rules! broker_methods {
    () => {
        /// Another broker of the same cluster, by its URL. They are tried in random order.
        pub fn broker(mut self, url: &str) -> Self {
            match url.parse() {
                Ok(url) => self.config.broker.url.push(url),
                Err(error) => {
                    let problem = Problem::new(&format!("broker URL: {error}"));
                    self.problems.push(problem);
                }
            }
            self
        }

        /// For `amqps://`: the file (PEM) with the only roots to trust, instead of the system's.
        pub fn ca_file(mut self, file: impl AsRef<Path>) -> Self {
            self.config.broker.tls.ca_file = Some(absolute(file.as_ref()));
            self
        }

        /// For `amqps://`: the files (PEM) with the client's certificate chain and private key.
        pub fn client_certificate(
            mut self,
            chain: impl AsRef<Path>,
            key: impl AsRef<Path>,
        ) -> Self {
            self.config.broker.tls.cert_file = Some(absolute(chain.as_ref()));
            self.config.broker.tls.key_file = Some(absolute(key.as_ref()));
            self
        }

        /// For `amqps://`: the name in the broker's certificate, if it is not the URL's host.
        pub fn tls_name(mut self, name: impl Into<String>) -> Self {
            self.config.broker.tls.server_name = Some(name.into());
            self
        }
    };
}

pub(crate) use broker_methods;

use crate::config::Problem;

/// All problems in one line.
pub fn joined(problems: &[Problem]) -> String {
    let problems: Vec<_> = problems.iter().map(|problem| problem.0.as_str()).collect();
    problems.join(", and ")
}
