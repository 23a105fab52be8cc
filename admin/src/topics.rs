//! The events of a topic as they arrive, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use schemas::{Attributes, Fault};
use serde::{Deserialize, Serialize};

use crate::{data::Data, views};

const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// What arrives on a topic, until somebody stops listening or the way to it breaks.
pub type Followed = BoxStream<'static, Result<Told, Fault>>;

/// What somebody who listens is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A message.
    Arrived(Arrived),
    /// So many messages went by because the listener was too slow.
    Missed(u64),
}

/// One message that arrived on a topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arrived {
    /// Where it arrived: the topic itself, or one that a wildcard stands for.
    pub topic: String,
    /// The attributes of the CloudEvent by name; empty if the message is none.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub event: serde_json::Map<String, serde_json::Value>,
    /// The message's headers that are no attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Its data.
    #[serde(flatten)]
    pub data: Data,
}

impl Arrived {
    /// Describes a message.
    #[must_use]
    pub fn new(
        topic: impl Into<String>,
        event: Option<&Attributes>,
        headers: Vec<(String, String)>,
        data: &[u8],
    ) -> Self {
        Self {
            topic: topic.into(),
            event: event.map(views::attributes).unwrap_or_default(),
            headers,
            data: Data::from(data),
        }
    }
}

/// Turns what arrives into server-sent events: `message` for each message, `missed` with how many
/// went by too fast, and one `problem` at the end if the way to the topic broke.
pub(crate) fn sent<H: Send + 'static>(
    followed: Followed,
    held: H,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    let events = followed.map(move |told| {
        // The place among the followers is held for as long as the stream lives.
        let _held = &held;
        Ok(match told {
            Ok(Told::Arrived(arrived)) => named("message", &arrived),
            Ok(Told::Missed(count)) => named("missed", &count),
            Err(fault) => {
                named("problem", &serde_json::json!({"code": fault.name(), "detail": fault.detail}))
            }
        })
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY))
}

fn named(name: &str, said: &impl Serialize) -> Sent {
    // JSON has its line breaks escaped, so it is one line of the stream.
    Sent::default().event(name).data(serde_json::to_string(said).unwrap_or_default())
}
