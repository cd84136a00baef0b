//! One AMQP connection: opened under one deadline, watched, closed or cut.
//!
//! Owns the task that reads and writes the socket: when the value is dropped the connection is cut, so neither
//! a socket nor the AMQP library's thread for it outlives its owner.

use super::channel::Channel;
use super::ending::Ending;
use super::error::{Error, Kind};
use super::handshake::{self, Attempt};
use super::last_read::LastRead;
use super::link::{self, LibraryEnd, Link, Pump};
use super::mailbox::{ConnectionEvent, Mailbox};
use super::progress::Step;
use super::reader::{MAX_CHANNEL, Reader};
use super::stages::{Observer, Stage};
use super::tls::expiry::Expiry;
use super::transport;
use super::warned::WARNED;
use crate::config::{self, BrokerUrl, Login, Scheme};
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{
    AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism,
};
use lapin::{ConnectionProperties, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// The frame size that we ask for, in bytes. The AMQP library buffers 64 frames: small ones keep an idle daemon
/// small, and large bodies travel as fast in many frames as in few.
const FRAME_MAX: u32 = 32 * 1024;

/// The purpose and the limits of a connection.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shown by the broker, for example `fibrpc mq1/4711 consume`.
    pub name: String,
    /// The limit for every later operation on it.
    pub operation_timeout: Duration,
    /// Bodies larger than this are dropped by the reader and delivered as a defect; `None`: no limit.
    pub max_body: Option<u64>,
    /// The longest that the caller waits for the handshake, if that is less than `broker.connect_timeout`.
    pub patience: Option<Duration>,
}

/// A channel and what arrives on it.
pub type Opened = Result<(Channel, Mailbox), Error>;

/// An open connection.
pub struct Connection {
    channels: Channels,
    events: Mailbox<ConnectionEvent>,
    expiry: Expiry,
    /// The pump, and nothing else. Dropped with the connection, it is aborted.
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("address", &self.channels.link.address())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens a connection: name lookup, TCP, TLS and AMQP handshake within
    /// `settings.connect_timeout`. Passwords and certificates are read afresh.
    pub async fn open(
        url: &BrokerUrl,
        settings: &config::Broker,
        options: Options,
    ) -> Result<Self, Error> {
        Self::open_observed(url, settings, options, &mut |_| {}).await
    }

    /// The same, and `observe` is called with each stage that is completed on the way.
    pub async fn open_observed(
        url: &BrokerUrl,
        settings: &config::Broker,
        options: Options,
        observe: &mut (dyn FnMut(Stage) + Send),
    ) -> Result<Self, Error> {
        let link = Link::new(url.address());
        let own = settings.connect_timeout;
        let (limit, key) = match options.patience {
            Some(patience) if patience < own => (patience, ""),
            _ => (own, " (broker.connect_timeout)"),
        };
        let establishing = Box::pin(Self::establish(url, settings, options, &link, observe));
        let opened = link::within(limit, async || {}, establishing).await;
        opened.unwrap_or_else(|| Err(handshake::late(url, limit, key, &link.progress())))
    }

    async fn establish(
        url: &BrokerUrl,
        settings: &config::Broker,
        options: Options,
        link: &Link,
        observe: Observer<'_>,
    ) -> Result<Self, Error> {
        let login = login(url, settings)?;
        observe(Stage::Prepared);
        let uri = uri(url, settings, &login);
        let mut expiry = Expiry::default();
        let stream = transport::open(url, settings, &mut |stage| {
            match &stage {
                Stage::Resolved(_) => link.reached(Step::Connecting),
                Stage::Connected => link.reached(Step::Securing),
                Stage::Secured(peer) => expiry = peer.expiry.clone(),
                Stage::Prepared | Stage::Dialled(..) => {}
            }
            observe(stage);
        })
        .await?;
        link.reached(Step::Greeting);
        link.log_in_by(handshake::mechanism(&login));
        link.limit_bodies(options.max_body.unwrap_or(u64::MAX));
        // Dropped before it is done, this cuts the connection and with it what the library has begun.
        let mut tasks = JoinSet::new();
        tasks.spawn(Pump::new(link.clone(), stream, Reader::new(None)));
        let end = Mutex::new(Some(LibraryEnd(link.clone())));
        let connect = async move |_: AMQPUri, _: link::Runtime| {
            let end = end.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Asked once, since the library's own recovery is off.
            end.map(AsyncTcpStream::Plain).ok_or_else(|| {
                ErrorKind::IOError(std::io::Error::other("a connection is opened once").into())
                    .into()
            })
        };
        let properties = ConnectionProperties::default()
            .with_connection_name(options.name.into())
            .with_client_property("product".into(), "fibrpc".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let opening =
            lapin::Connection::connector(uri, link::runtime(link.clone()), connect, properties);
        let inner = link.or_failed(Box::pin(opening)).await.map_err(|refusal| {
            let ending = link.ending().unwrap_or_else(|| {
                let cause = refusal.map_or_else(String::new, |error| link::refusal_text(&error));
                Ending::GivenUp { cause }
            });
            let attempt = Attempt {
                url,
                settings,
                login: &login,
                progress: &link.progress(),
            };
            attempt.refused(&ending)
        })?;
        let frame_max = match inner.configuration().frame_max() {
            0 => FRAME_MAX,
            max => max.min(FRAME_MAX),
        };
        Ok(Self {
            channels: Channels {
                inner: Arc::new(inner),
                link: link.clone(),
                limit: options.operation_timeout,
                frame_max: frame_max as usize,
            },
            events: link.events(),
            expiry,
            tasks,
        })
    }

    /// Opens a channel. The future borrows nothing, so that it can be kept beside the connection.
    pub fn channel(&self) -> impl Future<Output = Opened> + Send + 'static + use<> {
        self.channels.open(true)
    }

    /// Opens a channel for something optional: if the broker does not answer an operation on it in time, the operation
    /// fails and the connection stays.
    pub fn side_channel(&self) -> impl Future<Output = Opened> + Send + 'static + use<> {
        self.channels.open(false)
    }

    /// Opens channels independently of the owner of the connection, until that ends.
    pub fn channels(&self) -> Channels {
        self.channels.clone()
    }

    /// The next event. Pends forever after [`ConnectionEvent::Failed`].
    pub async fn event(&mut self) -> ConnectionEvent {
        self.events.next().await
    }

    /// Completes when all that had arrived in the socket at the time of the call has been read and put into the
    /// mailboxes of the channels and events; at once if the connection has failed. The future borrows nothing.
    ///
    /// To be awaited when a deadline has passed, before anything is judged late by it: a process that was
    /// stopped finds its timers expired before it has read the answers that came meanwhile. What was read
    /// has still to be taken out of the mailbox ([`Mailbox::try_next`](super::Mailbox::try_next)) after this.
    pub fn caught_up(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.channels.link.caught_up()
    }

    /// Why the connection has failed; `None` while it works.
    pub fn failure(&self) -> Option<Error> {
        self.channels.link.failure()
    }

    /// The broker's product and version, for example `("RabbitMQ", "3.10.8")`; empty if it does not name them.
    pub fn broker_version(&self) -> (String, String) {
        let greeting = self.channels.link.progress().greeting;
        (greeting.product, greeting.version)
    }

    /// The name of the broker's cluster, which a single broker has as well; `None` if it does not name it (`LavinMQ`).
    pub fn cluster_name(&self) -> Option<String> {
        let name = self.channels.link.progress().greeting.cluster_name;
        (!name.is_empty()).then_some(name)
    }

    /// When the certificates of the connection expire.
    pub fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// When something was last read, also for other threads.
    pub fn last_read(&self) -> &Arc<LastRead> {
        self.channels.link.last_read()
    }

    /// Changes `max_body` for what arrives from now on.
    pub fn limit_bodies(&self, max_body: u64) {
        self.channels.link.limit_bodies(max_body);
    }

    /// Bytes received and sent.
    pub fn bytes(&self) -> (u64, u64) {
        self.channels.link.bytes()
    }

    /// Closes the connection in order, or cuts it if that takes longer than `limit`.
    pub async fn close(mut self, limit: Duration) -> Result<(), Error> {
        let link = self.channels.link.clone();
        let closing = async {
            // The reader observes the outcome.
            let goodbye = self.channels.inner.close(200, "bye".into());
            let _ = link.or_failed(goodbye).await;
            // Ends once the library has let go, and all that it has written is out.
            self.tasks.join_next().await;
        };
        match link::within(limit, async || link.caught_up().await, closing).await {
            Some(()) => match self.channels.link.ending() {
                None | Some(Ending::Left) => Ok(()),
                Some(ending) => {
                    Err(ending.error_of_operation("cannot close the connection", link.address()))
                }
            },
            None => Err(Kind::Timeout.error("the broker did not close the connection in time")),
        }
    }

    /// Cuts the connection: every pending operation on it fails at once.
    pub fn kill(&self) {
        self.channels.link.kill();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.channels.link.kill();
    }
}

/// Opens channels of a connection, independently of its owner. See [`Connection::channels`].
#[derive(Clone)]
pub struct Channels {
    inner: Arc<lapin::Connection>,
    link: Link,
    limit: Duration,
    frame_max: usize,
}

impl Channels {
    /// See [`Connection::caught_up`].
    pub fn caught_up(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.link.caught_up()
    }

    /// Opens a channel; if the broker does not answer in time, `vital` decides whether the connection is cut.
    pub fn open(&self, vital: bool) -> impl Future<Output = Opened> + Send + 'static + use<> {
        let Self {
            inner,
            link,
            limit,
            frame_max,
        } = self.clone();
        async move {
            let opening = inner.create_channel();
            let channel = link
                .run(limit, "cannot open a channel", 0, vital, opening)
                .await?;
            Ok(Channel::new(channel, frame_max, link, vital, limit))
        }
    }
}

/// The part of the URL that the AMQP library needs; never the scheme, since it must not choose between TLS and
/// cleartext.
fn uri(url: &BrokerUrl, settings: &config::Broker, login: &Login) -> AMQPUri {
    let (mechanism, password) = match login {
        Login::Certificate => (SASLMechanism::External, String::new()),
        Login::Password(password) => (SASLMechanism::Plain, password.secret.expose().to_owned()),
    };
    AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: url.user.clone(),
                password,
            },
            host: url.host.clone(),
            port: url.port,
        },
        vhost: url.vhost.clone(),
        query: AMQPQueryString {
            frame_max: Some(FRAME_MAX),
            channel_max: Some(MAX_CHANNEL),
            heartbeat: Some(u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX)),
            auth_mechanism: Some(mechanism),
            ..AMQPQueryString::default()
        },
    }
}

/// The credentials. Warns once of a password that is, or will be, exposed.
fn login(url: &BrokerUrl, settings: &config::Broker) -> Result<Login, Error> {
    let login = config::login(settings, url)?;
    let Login::Password(password) = &login else {
        return Ok(login);
    };
    if let Some(warning) = &password.warning {
        WARNED.warn(warning);
    }
    if url.scheme == Scheme::Amqp && !url.is_loopback() {
        WARNED.warn(&format!(
            "the password goes to broker {} in cleartext; use amqps:// in broker.url",
            url.address()
        ));
    }
    Ok(login)
}
