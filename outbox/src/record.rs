//! What is kept of an event for one target, and its bytes.
//!
//! The bytes are: the format's version (1), the length of the head (4 bytes, big-endian), the head
//! as JSON, the data as it came. A reader of version N reads N-1; a field that is not known is
//! passed over, one that is not there has its default, so that only a change of meaning needs a
//! new version. Credentials and cookies are never in it.

mod text;
mod told;

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, Uri, header};
use schemas::{Ack, Body, Call, Context, Event, Format, Head, Identity, Mode, Value, cloudevents};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::{
    text::{Hex, Text},
    told::{Said, Told},
};
use crate::{Millis, worker::Elsewhere};

/// The version of the format that is written.
pub const VERSION: u8 = 1;

/// Headers that say who somebody is. They are never stored.
static CREDENTIALS: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-functions-key"),
    HeaderName::from_static("x-serverless-authorization"),
    HeaderName::from_static("x-amz-security-token"),
];

/// An event that was accepted for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What is said of it.
    pub head: RecordHead,
    /// Its data, byte for byte as it came.
    pub data: Bytes,
}

/// All of a record but the event's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordHead {
    /// The route that accepted it.
    pub route: String,
    /// The target's address as it is written: the queue that it stands in.
    pub target: String,
    /// The function part, expanded when the event was accepted.
    pub function: String,
    /// When it was accepted.
    pub accepted: Millis,
    /// How it is delivered: what the target is asked for.
    pub ack: Ack,
    /// What the target gets.
    pub format: Format,
    /// What its reply is made of.
    #[serde(default, skip_serializing_if = "is_auto")]
    pub reply_format: Format,
    /// The method of the request.
    pub method: String,
    /// Path and query after any rewrite.
    pub uri: String,
    /// What the path brought by name, for kinds that make fields of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// The headers that the target gets, without credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Text)>,
    /// The event's attributes; none for a plain request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<Told>>,
    /// The mode that the event came in; none for a plain request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Came>,
    /// Who the event is, for deduplication: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Hex>,
    /// Records of one target with the same key are delivered one at a time and in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Where its outcome is asked for; unguessable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How often it was replayed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replay: u32,
    /// A record before it with the same key was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_poison: bool,
}

/// The mode that an event came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Came {
    /// Attributes in headers.
    Binary,
    /// One JSON document.
    Structured,
    /// One JSON document that was not read.
    Unread,
    /// An array of events that was not read.
    Batch,
}

/// Why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// It was written by a newer version.
    #[error("the record is of version {0}, and this program reads up to {VERSION}")]
    Version(u8),
    /// It is cut short.
    #[error("the record is cut short")]
    Short,
    /// Its head is no head.
    #[error("the head of the record cannot be read")]
    Head(#[from] serde_json::Error),
}

fn is_auto(format: &Format) -> bool {
    *format == Format::Auto
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Record {
    /// What is to be kept of a call that `route` accepts for `target`. `data` is the call's, whole.
    /// Credentials are left out.
    #[must_use]
    pub fn of(call: &Call, data: Bytes, route: &str, target: &str, ack: Ack) -> Self {
        let (event, mode) = match &call.event.context {
            Context::Plain => (None, None),
            Context::Opaque(Mode::Batch) => (None, Some(Came::Batch)),
            Context::Opaque(_) => (None, Some(Came::Unread)),
            Context::Event(event, Mode::Binary) => (Some(event), Some(Came::Binary)),
            Context::Event(event, _) => (Some(event), Some(Came::Structured)),
        };
        let headers = call.head.headers.iter().filter(|(name, _)| !CREDENTIALS.contains(name));
        let head = RecordHead {
            route: route.to_owned(),
            target: target.to_owned(),
            function: (*call.function).to_owned(),
            accepted: Millis::now(),
            ack,
            format: call.format,
            reply_format: call.reply_format,
            method: call.head.method.to_string(),
            uri: call.head.uri.to_string(),
            parameters: call.parameters.clone(),
            headers: headers.map(|(name, value)| (name.to_string(), Text::of(value))).collect(),
            event: event.map(|event| Box::new(Told::of(event))),
            mode,
            identity: call.identity.map(|Identity(bytes)| Hex::of(&bytes)),
            order: None,
            token: None,
            replay: 0,
            after_poison: false,
        };
        Self { head, data }
    }

    /// The call that delivers it.
    #[must_use]
    pub fn call(&self, deadline: Instant) -> Call {
        let marked;
        let head = if self.head.after_poison || self.head.replay > 0 {
            marked = self.head.marked();
            &marked
        } else {
            &self.head
        };
        let context = match (&head.event, head.mode) {
            (Some(event), Some(Came::Binary)) => {
                Context::Event(Box::new(event.attributes()), Mode::Binary)
            }
            (Some(event), _) => Context::Event(Box::new(event.attributes()), Mode::Structured),
            (None, Some(Came::Batch)) => Context::Opaque(Mode::Batch),
            (None, Some(_)) => Context::Opaque(Mode::Structured),
            (None, None) => Context::Plain,
        };
        let mut headers = HeaderMap::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
            // What was a header when it was stored is one still.
            if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value.value()) {
                headers.append(name, value);
            }
        }
        Call {
            event: Event { context, data: Body::from(self.data.clone()) },
            head: Head {
                method: Method::from_bytes(head.method.as_bytes()).unwrap_or(Method::POST),
                uri: Uri::try_from(&head.uri).unwrap_or_default(),
                headers,
            },
            function: head.function.as_str().into(),
            parameters: head.parameters.clone(),
            ack: head.ack,
            format: head.format,
            deadline,
            attempt: 1,
            avoid: None,
            identity: head.identity(),
            upgrade: None,
            reply_format: head.reply_format,
            client: None,
        }
    }

    /// The copy of this record, which was given up, for somebody else. It says where it was to go
    /// and why it did not get there: an event in extension attributes, a plain request in headers.
    /// An event has those of the target's platform beside them.
    #[must_use]
    pub fn letter_to(
        &self,
        to: &Elsewhere,
        why: &str,
        class: &str,
        attempts: u32,
        words: &[(&'static str, Value)],
    ) -> Self {
        let mut copy = self.clone();
        let head = &mut copy.head;
        for (name, value) in [
            ("route", head.route.clone()),
            ("target", head.target.clone()),
            ("class", class.to_owned()),
            ("reason", why.to_owned()),
            ("attempts", attempts.to_string()),
        ] {
            head.say(name, value);
        }
        for (name, value) in words {
            head.set_extension(name, value);
        }
        head.target.clone_from(&to.target);
        head.function.clone_from(&to.function);
        (head.ack, head.format, head.reply_format) = (to.ack, to.format, Format::Auto);
        head.accepted = Millis::now();
        // It is another message, and not the one that the identity was given to.
        (head.identity, head.order, head.token) = (None, None, None);
        copy
    }

    /// This record once more, for somebody who may be another: as it came, marked as a replay, and
    /// accepted now, so that it is tried as long as a new one. Nobody waits for it any more.
    #[must_use]
    pub fn replay_to(&self, to: &Elsewhere) -> Self {
        let mut copy = self.clone();
        let head = &mut copy.head;
        head.target.clone_from(&to.target);
        head.function.clone_from(&to.function);
        (head.ack, head.format, head.reply_format) = (to.ack, to.format, Format::Auto);
        head.accepted = Millis::now();
        head.replay = head.replay.saturating_add(1);
        (head.token, head.after_poison) = (None, false);
        copy
    }

    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(512 + self.data.len());
        bytes.put_u8(VERSION);
        bytes.put_u32(0);
        let mut writer = bytes.writer();
        // Texts and numbers alone: there is nothing in a head that JSON cannot say.
        serde_json::to_writer(&mut writer, &self.head).unwrap_or_default();
        let mut bytes = writer.into_inner();
        let length = u32::try_from(bytes.len() - 5).unwrap_or(u32::MAX);
        bytes[1..5].copy_from_slice(&length.to_be_bytes());
        bytes.put_slice(&self.data);
        bytes.freeze()
    }

    /// Reads a record. The data is a part of `bytes`, not a copy.
    ///
    /// # Errors
    /// [`BadRecord`] if these are not the bytes of a record.
    pub fn decode(bytes: &Bytes) -> Result<Self, BadRecord> {
        let [version, a, b, c, d, ..] = bytes[..] else { return Err(BadRecord::Short) };
        if version > VERSION || version == 0 {
            return Err(BadRecord::Version(version));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let end = length.checked_add(5).filter(|end| *end <= bytes.len());
        let end = end.ok_or(BadRecord::Short)?;
        let head = serde_json::from_slice(&bytes[5..end])?;
        Ok(Self { head, data: bytes.slice(end..) })
    }
}

impl RecordHead {
    /// Who the event is to a target that knows events again: a replay is another than the original.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        let own = self.identity.as_ref().and_then(Hex::bytes)?;
        if self.replay == 0 {
            return Some(Identity(own));
        }
        let mut hash = Sha256::new();
        hash.update(own);
        hash.update(self.replay.to_be_bytes());
        Some(Identity(hash.finalize().into()))
    }

    /// The same with what its target has to know of its way here.
    fn marked(&self) -> Self {
        let mut marked = self.clone();
        if self.after_poison {
            marked.say("afterpoison", "true".to_owned());
        }
        if self.replay > 0 {
            marked.say("replay", self.replay.to_string());
        }
        marked
    }

    /// Says something to the target: of an event in the extension `gusset<name>`, of a plain request
    /// in the header `gusset-<name>`.
    fn say(&mut self, name: &str, value: String) {
        if self.event.is_some() {
            return self.set_extension(&format!("gusset{name}"), &Value::String(value));
        }
        self.set_header(format!("gusset-{name}"), &value);
    }

    /// Sets an extension attribute of the event. A plain request has none.
    fn set_extension(&mut self, name: &str, value: &Value) {
        let Some(event) = &mut self.event else { return };
        event.say(name, Said::of(value));
        // An event that goes on as it came has its attributes in headers.
        if self.headers.iter().any(|(name, _)| name == "ce-id") {
            self.set_header(format!("ce-{name}"), &value.text());
        }
    }

    fn set_header(&mut self, header: String, value: &str) {
        self.headers.retain(|(known, _)| *known != header);
        let value = cloudevents::encode_value(value).into_owned();
        self.headers.push((header, Text::Text(value)));
    }

    /// The event's attributes; none for a plain request.
    #[must_use]
    pub fn event(&self) -> Option<&Told> {
        self.event.as_deref()
    }
}

#[cfg(test)]
mod tests;
