//! One call of one function.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Ack, Body, Context, EndpointId, Event};

/// Everything that a kind needs to call a function once.
#[derive(Debug)]
pub struct Call {
    /// What is sent.
    pub event: Event,
    /// The request line and headers, hop-by-hop headers removed.
    pub head: Head,
    /// The function part of the address, expanded and checked by the grammar of its kind.
    pub function: Arc<str>,
    /// What the path brings by name, decoded; filled for kinds that make fields of it.
    pub parameters: Vec<(String, String)>,
    /// What the caller wants to be told.
    pub ack: Ack,
    /// What the target gets.
    pub format: Format,
    /// When nobody waits for the reply any more.
    pub deadline: Instant,
    /// Which try this is; the first is 1.
    pub attempt: u32,
    /// The endpoint that the try before this one failed on.
    pub avoid: Option<EndpointId>,
    /// Who the event is, for deduplication; only from a CloudEvents id or an Idempotency-Key.
    pub identity: Option<Identity>,
    /// The protocol that the caller asks to change to (RFC 9110, section 7.8).
    pub upgrade: Option<HeaderValue>,
    /// What the reply is made of, where the kind has more than one way to read it.
    pub reply_format: Format,
    /// Who asks, as far as anybody knows who is believed.
    pub client: Option<IpAddr>,
}

/// The head of the request as the target sees it.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The request's method.
    pub method: Method,
    /// Path and query after any rewrite. The base path of the upstream's own URL is not in it.
    pub uri: Uri,
    /// The headers. `Host` is among them only if it is to be kept as it came.
    pub headers: HeaderMap,
}

/// The identity of an event for deduplication: the hash of (route, authenticated principal or
/// none, source, id), each with its length in front, so that no two quadruples collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

/// What the target gets, and by the same names what its reply is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A plain request stays plain; an event keeps the mode it came in.
    #[default]
    Auto,
    /// A CloudEvent with its attributes in headers.
    Binary,
    /// A CloudEvent as one JSON document.
    Structured,
    /// The data alone, without attributes.
    Plain,
    /// The data is the function's message, in JSON.
    Message,
    /// The request in the document that Amazon API Gateway makes of it, version 2.0.
    #[serde(rename = "api-gateway-v2")]
    ApiGatewayV2,
    /// The same, version 1.0.
    #[serde(rename = "api-gateway-v1")]
    ApiGatewayV1,
    /// The request in the document that an Application Load Balancer makes of it.
    Alb,
}

impl Format {
    /// Whether it is a document around a whole request, and so around a whole answer.
    #[must_use]
    pub fn is_envelope(self) -> bool {
        matches!(self, Self::ApiGatewayV2 | Self::ApiGatewayV1 | Self::Alb)
    }
}

impl Identity {
    /// Hashes who the event is. `route` is empty for an event that came by none.
    #[must_use]
    pub fn of(route: &str, principal: Option<&str>, source: &str, id: &str) -> Self {
        let mut hash = Sha256::new();
        // Each part with its length in front, or ("a", "bc") and ("ab", "c") would be the same.
        for part in [route, principal.unwrap_or_default(), source, id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl Call {
    /// The same call once more, if all of its body is here.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        Some(Self {
            event: Event { context: self.event.context.clone(), data: self.event.data.again()? },
            head: self.head.clone(),
            function: Arc::clone(&self.function),
            parameters: self.parameters.clone(),
            ack: self.ack,
            format: self.format,
            deadline: self.deadline,
            attempt: self.attempt + 1,
            avoid: self.avoid,
            identity: self.identity,
            upgrade: self.upgrade.clone(),
            reply_format: self.reply_format,
            client: self.client,
        })
    }

    /// A call of `function` with `data` and nothing else, as one-shot commands and tests make it.
    #[must_use]
    pub fn new(function: impl Into<Arc<str>>, data: Body, deadline: Instant) -> Self {
        Self {
            event: Event { context: Context::Plain, data },
            head: Head { method: Method::POST, ..Head::default() },
            function: function.into(),
            parameters: Vec::new(),
            ack: Ack::Replied,
            format: Format::Auto,
            deadline,
            attempt: 1,
            avoid: None,
            identity: None,
            upgrade: None,
            reply_format: Format::Auto,
            client: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_of_two_principals_or_routes_or_sources_is_two_events() {
        let of = Identity::of;
        let all = [
            of("paid", None, "/shop", "1"),
            of("paid", Some("ada"), "/shop", "1"),
            of("paid", Some("bob"), "/shop", "1"),
            of("sent", Some("ada"), "/shop", "1"),
            of("paid", Some("ada"), "/shop/1", "1"),
            of("paid", Some("ada"), "/shop", "/11"),
            of("paid", Some("ada/shop"), "", "1"),
            of("paidada", None, "/shop", "1"),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
        assert_eq!(of("paid", Some("ada"), "/shop", "1"), all[1]);
    }
}
