//! Why a message did not get through, in the words of a caller.

use schemas::{Class, Fault};

use crate::{
    link::{self, AGAIN, Broker as _},
    nats::session::Servers,
    tls::BadTls,
};

/// Why a session did not take a message or did not confirm it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no connection, and the message was not handed to one.
    Down,
    /// The connection ended after the message was handed to it.
    Lost,
    /// The server does not let the gateway's user publish to this subject.
    Denied,
    /// The server refused something, and it cannot be told what.
    Doubt,
    /// The user may not publish to its inbox, so that nothing would confirm the message.
    NoFence,
    /// Too many wait for their replies.
    Busy,
    /// The message is larger than the server takes.
    TooLarge(usize),
    /// This is no subject.
    Subject,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Down => link::down(Servers::NAME),
            Refusal::Lost => Self::new(
                Class::Unavailable,
                "the connection to the NATS server was lost before it confirmed the message",
            )
            .maybe()
            .after(AGAIN),
            Refusal::Denied => Self::new(
                Class::UpstreamAuth,
                "the gateway's NATS user may not publish to this subject",
            ),
            Refusal::Doubt => Self::new(
                Class::UpstreamAuth,
                "the NATS server refused something while the message was under way",
            )
            .maybe(),
            Refusal::NoFence => Self::new(
                Class::UpstreamAuth,
                "the gateway's NATS user may not publish to its own inbox, so that nothing would \
                 confirm the message; allow it `_INBOX.>`",
            ),
            Refusal::Busy => Self::new(
                Class::Overloaded,
                "too many requests wait for replies on the connection to the NATS server",
            )
            .after(AGAIN),
            Refusal::TooLarge(limit) => Self::new(
                Class::TooLarge,
                format!(
                    "the message with its headers is larger than the {limit} bytes that the NATS \
                     server takes"
                ),
            ),
            Refusal::Subject => Self::new(
                Class::BadRequest,
                "this is not a subject that can be published to; write tokens with dots between \
                 them",
            ),
        }
    }
}

/// TLS cannot be set up from what is configured.
pub(super) fn no_tls(bad: BadTls) -> Fault {
    Fault::new(Class::ConnectFailed, "TLS to the NATS server cannot be set up").because(bad)
}

/// What a server refuses without ending the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Publish(String),
    /// A publish whose reply subject is not allowed.
    Reply(String),
    Subscribe,
}

impl Refused {
    /// Reads what a server says: `Permissions Violation for Publish to "a.b"`.
    pub(super) fn read(said: &str) -> Option<Self> {
        let rest = said.strip_prefix("Permissions Violation for ")?;
        if rest.starts_with("Subscription to ") {
            return Some(Self::Subscribe);
        }
        if let Some(subject) = rest.strip_prefix("Publish to ") {
            return unquote(subject).map(Self::Publish);
        }
        rest.strip_prefix("Publish with Reply of ").and_then(unquote).map(Self::Reply)
    }
}

/// Undoes Go's quoting as far as subjects need it.
fn unquote(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => out.push(c),
                _ => return None,
            },
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_and_an_unknown_one_is_not_guessed() {
        let publish = |subject: &str| Some(Refused::Publish(subject.to_owned()));
        for (said, expected) in [
            (r#"Permissions Violation for Publish to "a.b""#, publish("a.b")),
            (r#"Permissions Violation for Publish to "a\"b\\""#, publish(r#"a"b\"#)),
            (r#"Permissions Violation for Publish to "a\u00ad""#, None),
            (
                r#"Permissions Violation for Publish with Reply of "_INBOX.x.1""#,
                Some(Refused::Reply("_INBOX.x.1".to_owned())),
            ),
            (
                r#"Permissions Violation for Subscription to "a" using queue "q""#,
                Some(Refused::Subscribe),
            ),
            ("Something Else", None),
        ] {
            assert_eq!(Refused::read(said), expected, "{said}");
        }
    }
}
