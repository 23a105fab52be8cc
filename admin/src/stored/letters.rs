//! Records as people and programs see them. Credentials were never stored; what may be one by its
//! name is hidden all the same, and where an outcome is asked for is not shown at all.

use ::outbox::{
    Attempt, State,
    record::{RecordHead, Text, Told},
};
use ingress::explain::is_secret;
use schemars::JsonSchema;
use schemas::{Ack, Format, Ran};
use serde::{Deserialize, Serialize};

use super::told;
use crate::{data::Data, views};

const HIDDEN: &str = "(hidden)";

/// One record of the outbox in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OutboxRecord")]
pub struct Latest {
    /// Its number.
    pub number: u64,
    /// How far it has come.
    pub state: State,
    /// The route that accepted it; empty if none did.
    pub route: String,
    /// Where it goes: the target's address as written.
    pub target: String,
    /// When it was accepted (RFC 3339).
    pub accepted: String,
    /// The attributes of the CloudEvent by name; empty if it is a plain request.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub event: serde_json::Map<String, serde_json::Value>,
    /// What its data takes, in bytes.
    pub bytes: u64,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// How often it was replayed.
    pub replay: u32,
    /// When it is tried next (RFC 3339), if it waits for a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Why it is dead or parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The newest try that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Tried>,
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub struct Tried {
    /// When it ended (RFC 3339).
    pub at: String,
    /// What kind of failure it was.
    pub class: String,
    /// Whether the function may have run.
    pub ran: Ran,
    /// What happened.
    pub reason: String,
}

/// One record of the outbox with all that is kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OutboxRecordWhole")]
pub struct Letter {
    /// What a list says of it.
    #[serde(flatten)]
    pub short: Latest,
    /// The tries that failed, the newest last; of very many the middle ones are left out.
    pub tries: Vec<Tried>,
    /// The function part of its target.
    pub function: String,
    /// What the target is asked for.
    pub ack: Ack,
    /// What the target gets.
    pub format: Format,
    /// The method of the request.
    pub method: String,
    /// Path and query of the request.
    pub path: String,
    /// The key by which it keeps its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether one before it with the same key was given up.
    pub after_poison: bool,
    /// The headers that the target gets. Credentials are not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::data::headers")]
    pub headers: Vec<(String, String)>,
    /// The event's data.
    #[serde(flatten)]
    pub data: Data,
}

impl From<&::outbox::Letter> for Latest {
    fn from(letter: &::outbox::Letter) -> Self {
        let head = &letter.record.head;
        let event = head.event().map(Told::attributes);
        Self {
            number: letter.id.0,
            state: letter.state,
            route: head.route.clone(),
            target: head.target.clone(),
            accepted: told(head.accepted),
            event: event.as_ref().map(views::attributes).unwrap_or_default(),
            bytes: letter.record.data.len() as u64,
            attempts: letter.attempted,
            replay: head.replay,
            // 0 is at once.
            next: letter.due.filter(|due| due.0 > 0).map(told),
            why: letter.why.as_deref().map(str::to_owned),
            last: letter.attempts.last().map(Tried::from),
        }
    }
}

impl From<&::outbox::Letter> for Letter {
    fn from(letter: &::outbox::Letter) -> Self {
        let RecordHead { function, ack, format, method, uri, headers, order, after_poison, .. } =
            &letter.record.head;
        Self {
            short: Latest::from(letter),
            tries: letter.attempts.iter().map(Tried::from).collect(),
            function: function.clone(),
            ack: *ack,
            format: *format,
            method: method.clone(),
            path: path(uri),
            key: order.clone(),
            after_poison: *after_poison,
            headers: headers.iter().map(|(name, value)| header(name, value)).collect(),
            data: Data::from(&*letter.record.data),
        }
    }
}

impl From<&Attempt> for Tried {
    fn from(attempt: &Attempt) -> Self {
        let Attempt { at, class, ran, reason } = attempt;
        Self { at: told(*at), class: class.to_string(), ran: *ran, reason: reason.to_string() }
    }
}

fn header(name: &str, value: &Text) -> (String, String) {
    let shown = match value {
        _ if is_secret(name) => HIDDEN.to_owned(),
        Text::Text(text) => text.clone(),
        Text::Bytes { base64 } => format!("(base64) {base64}"),
    };
    (name.to_owned(), shown)
}

/// Path and query, without the values of what may be a secret.
fn path(uri: &str) -> String {
    let Some((path, query)) = uri.split_once('?') else { return uri.to_owned() };
    let shown: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(&name.to_ascii_lowercase()) => format!("{name}={HIDDEN}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", shown.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_by_its_name_is_not_shown() {
        assert_eq!(path("/a?b=1&Access_Token=x&c"), "/a?b=1&Access_Token=(hidden)&c");
        assert_eq!(path("/a"), "/a");
        let text = |text: &str| Text::Text(text.to_owned());
        assert_eq!(header("x-my-secret", &text("x")).1, "(hidden)");
        assert_eq!(header("x-tenant", &text("x")).1, "x");
        let bytes = Text::Bytes { base64: "/w==".to_owned() };
        assert_eq!(header("x-odd", &bytes).1, "(base64) /w==");
    }
}
