//! What must hold on the wire under any fault: no ack before the reply's confirm or return.
//!
//! The witness sees every frame that passes the proxy before it is forwarded, and notes breaches. It
//! matches replies to requests by reply address and correlation id; tests should use unique ones.

use std::collections::{BTreeMap, HashMap};

use super::super::wire::Properties;
use super::super::wire::frame::{self, Frame, method};
use super::{Role, Side};

/// Reply address and correlation id.
type Key = (Vec<u8>, Vec<u8>);

/// Everything seen so far, over all connections.
#[derive(Default)]
pub struct Witness {
    channels: HashMap<(u64, u16), Channel>,
    replies: HashMap<Key, Replies>,
    breaches: Vec<String>,
    /// Acked requests that wanted a reply and have had none.
    unanswered: BTreeMap<Key, u64>,
    left_open: u64,
}

#[derive(Default)]
struct Channel {
    /// Deliveries that want an ack, by tag.
    outstanding: BTreeMap<u64, Outstanding>,
    acked: u64,
    no_ack: bool,
    confirms: bool,
    /// Publishes without confirm so far, by number.
    unconfirmed: BTreeMap<u64, Publish>,
    published: u64,
    /// A method whose content is on its way, from the client and from the broker: both may be at once.
    expecting: [Option<Content>; 2],
}

struct Outstanding {
    key: Option<Key>,
    /// How many replies with this key had been settled when it was delivered.
    settled_before: u64,
}

struct Publish {
    key: Option<Key>,
    returned: bool,
}

enum Content {
    Delivery { tag: u64 },
    Publish { number: u64, routing_key: Vec<u8> },
    Return { routing_key: Vec<u8> },
}

#[derive(Default, Clone, Copy)]
struct Replies {
    published: u64,
    settled: u64,
    acked: u64,
}

impl Witness {
    /// What was done wrong so far.
    pub fn breaches(&self) -> &[String] {
        &self.breaches
    }

    /// How many requests were acked that wanted a reply and got none: refused ones, or lost ones.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.values().sum()
    }

    /// How many deliveries were neither acked nor handed back when the client closed their channel.
    pub fn left_open(&self) -> u64 {
        self.left_open
    }

    /// A connection has ended, and with it what was outstanding on it.
    pub fn ended(&mut self, connection: u64) {
        self.channels.retain(|(id, _), _| *id != connection);
    }

    /// A frame passes.
    pub fn see(&mut self, connection: u64, role: Role, from: Side, frame: &Frame) {
        let mut channel = self
            .channels
            .remove(&(connection, frame.channel))
            .unwrap_or_default();
        match (from, frame.kind) {
            (_, frame::HEADER) => self.content(&mut channel, from, frame),
            (Side::Client, frame::METHOD) => self.client_says(&mut channel, role, frame),
            (Side::Broker, frame::METHOD) => self.broker_says(&mut channel, frame),
            _ => {}
        }
        if frame.method_id() != Some(method::CHANNEL_CLOSE_OK) {
            self.channels.insert((connection, frame.channel), channel);
        }
    }

    fn client_says(&mut self, channel: &mut Channel, role: Role, frame: &Frame) {
        let mut arguments = frame.arguments();
        match frame.method_id() {
            Some(method::CONFIRM_SELECT) => channel.confirms = true,
            Some(method::BASIC_CONSUME) => {
                arguments.u16();
                arguments.short();
                arguments.short();
                channel.no_ack = arguments.u8() & 2 != 0;
            }
            Some(method::BASIC_PUBLISH) => {
                channel.published += 1;
                arguments.u16();
                arguments.short();
                channel.expecting[Side::Client as usize] = Some(Content::Publish {
                    number: channel.published,
                    routing_key: arguments.short().to_vec(),
                });
            }
            Some(method::BASIC_ACK) => {
                let (tag, multiple) = (arguments.u64(), arguments.u8() & 1 != 0);
                self.acked(channel, role, tag, multiple);
            }
            Some(method::BASIC_NACK) => {
                let (tag, multiple) = (arguments.u64(), arguments.u8() & 1 != 0);
                let first = if multiple { 0 } else { tag };
                let last = if tag == 0 { u64::MAX } else { tag };
                channel
                    .outstanding
                    .retain(|one, _| !(first..=last).contains(one));
            }
            Some(method::BASIC_REJECT) => {
                channel.outstanding.remove(&arguments.u64());
            }
            Some(method::CHANNEL_CLOSE) => self.left_open += channel.outstanding.len() as u64,
            _ => {}
        }
    }

    fn broker_says(&mut self, channel: &mut Channel, frame: &Frame) {
        let mut arguments = frame.arguments();
        match frame.method_id() {
            Some(method::BASIC_DELIVER) => {
                arguments.short();
                let tag = arguments.u64();
                channel.expecting[Side::Broker as usize] = Some(Content::Delivery { tag });
            }
            Some(method::BASIC_RETURN) => {
                arguments.u16();
                arguments.short();
                arguments.short();
                let routing_key = arguments.short().to_vec();
                channel.expecting[Side::Broker as usize] = Some(Content::Return { routing_key });
            }
            Some(method::BASIC_ACK) => {
                let (tag, multiple) = (arguments.u64(), arguments.u8() & 1 != 0);
                let first = if multiple { 0 } else { tag };
                for number in numbers(&channel.unconfirmed, first, tag) {
                    let publish = channel.unconfirmed.remove(&number);
                    let publish = publish.filter(|publish| !publish.returned);
                    if let Some(key) = publish.and_then(|publish| publish.key) {
                        self.replies.entry(key).or_default().settled += 1;
                    }
                }
            }
            Some(method::BASIC_NACK) => {
                let (tag, multiple) = (arguments.u64(), arguments.u8() & 1 != 0);
                let first = if multiple { 0 } else { tag };
                for number in numbers(&channel.unconfirmed, first, tag) {
                    channel.unconfirmed.remove(&number);
                }
            }
            _ => {}
        }
    }

    /// A content header: now it is known what the method before it was about.
    fn content(&mut self, channel: &mut Channel, from: Side, frame: &Frame) {
        let (_, properties) = Properties::decode(&frame.payload);
        match channel.expecting[from as usize].take() {
            Some(Content::Delivery { tag }) if !channel.no_ack => {
                let key = properties.reply_to.map(|reply_to| {
                    let id = properties.correlation_id.or(properties.message_id);
                    (reply_to, id.unwrap_or_default())
                });
                let replies = key.as_ref().and_then(|key| self.replies.get(key));
                let settled_before = replies.map_or(0, |replies| replies.settled);
                let outstanding = Outstanding {
                    key,
                    settled_before,
                };
                channel.outstanding.insert(tag, outstanding);
            }
            Some(Content::Publish {
                number,
                routing_key,
            }) if channel.confirms => {
                let key = (routing_key, properties.correlation_id.unwrap_or_default());
                if self.unanswered.remove(&key).is_some() {
                    self.breaches.push(format!(
                        "acked before its reply was published: {}",
                        show(&key)
                    ));
                }
                self.replies.entry(key.clone()).or_default().published += 1;
                let publish = Publish {
                    key: Some(key),
                    returned: false,
                };
                channel.unconfirmed.insert(number, publish);
            }
            Some(Content::Return { routing_key }) => {
                let key = (routing_key, properties.correlation_id.unwrap_or_default());
                let returned = channel.unconfirmed.values_mut().find(|publish| {
                    !publish.returned && publish.key.as_ref().is_some_and(|one| *one == key)
                });
                if let Some(publish) = returned {
                    publish.returned = true;
                    self.replies.entry(key).or_default().settled += 1;
                }
            }
            _ => {}
        }
    }

    fn acked(&mut self, channel: &mut Channel, role: Role, tag: u64, multiple: bool) {
        let first = if multiple { 0 } else { tag };
        let tags = numbers(&channel.outstanding, first, tag);
        if tags.last() != Some(&tag) {
            self.breaches.push(format!(
                "acked tag {tag} (multiple: {multiple}), which was not outstanding ({role:?}, after {} acks)",
                channel.acked
            ));
        }
        for tag in tags {
            let outstanding = channel.outstanding.remove(&tag);
            channel.acked += 1;
            let Some((key, before)) =
                outstanding.and_then(|one| one.key.map(|key| (key, one.settled_before)))
            else {
                continue; // nobody wants a reply
            };
            let replies = self.replies.entry(key.clone()).or_default();
            replies.acked += 1;
            if replies.settled > before && replies.settled >= replies.acked {
                if replies.settled == replies.acked && replies.settled == replies.published {
                    self.replies.remove(&key);
                }
            } else if replies.published > replies.settled {
                self.breaches.push(format!(
                    "acked before its reply was confirmed: tag {tag}, {}",
                    show(&key)
                ));
            } else {
                *self.unanswered.entry(key).or_default() += 1;
            }
        }
    }
}

fn numbers<T>(map: &BTreeMap<u64, T>, first: u64, last: u64) -> Vec<u64> {
    map.range(first..=last).map(|(number, _)| *number).collect()
}

fn show((reply_to, id): &Key) -> String {
    let (reply_to, id) = (reply_to.escape_ascii(), id.escape_ascii());
    format!("correlation id {id}, reply to {reply_to}")
}
