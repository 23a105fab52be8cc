//! Why a message did not get through, in the words of a caller.

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};
use schemas::{Class, Fault};

use super::session::Servers;
use crate::{
    link::{self, AGAIN, Broker as _, Why},
    tls::BadTls,
};

/// Why a session did not take a message or did not confirm it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no connection, and the message was not handed to one.
    Down,
    /// The connection ended after the message was handed to it.
    Lost,
    /// The broker takes no messages now, and this one was not handed to it.
    Blocked,
    /// The broker stopped taking messages when this one was under way.
    BlockedMeanwhile,
    /// No queue takes the message.
    Unroutable,
    /// There is no such exchange.
    NoExchange,
    /// The gateway's user may not publish to this exchange.
    Denied,
    /// The message is larger than the broker takes.
    TooLarge,
    /// A queue did not take the message.
    Nacked,
    /// The broker closed the channel because of this message or of one that was under way beside it.
    Beside,
    /// Too many wait for their replies.
    Busy,
    /// The broker closed the channel for another reason.
    Odd,
}

impl Refusal {
    /// What ended a channel on which one message was under way, or its connection.
    pub(super) fn of(error: &lapin::Error) -> Self {
        let ErrorKind::ProtocolError(said) = error.kind() else { return Self::Lost };
        match said.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Self::NoExchange,
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Self::Denied,
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
                if said.get_message().as_str().contains("larger than") =>
            {
                Self::TooLarge
            }
            AMQPErrorKind::Soft(_) => Self::Odd,
            AMQPErrorKind::Hard(_) => Self::Lost,
        }
    }

    /// What is known of one of several messages that were under way on the channel.
    pub(super) fn among_others(self) -> Self {
        match self {
            Self::Lost => Self::Lost,
            _ => Self::Beside,
        }
    }

    /// As a fault of this message.
    pub(super) fn fault(self, exchange: &str, key: &str) -> Fault {
        match self {
            Self::Down => link::down(Servers::NAME),
            Self::Lost => Fault::new(
                Class::Unavailable,
                "the connection to the AMQP broker was lost before it confirmed the message",
            )
            .maybe()
            .after(AGAIN),
            Self::Blocked => Fault::new(
                Class::Unavailable,
                "the AMQP broker takes no messages now: it is short of memory or of disk",
            )
            .code("broker_blocked")
            .after(AGAIN),
            Self::BlockedMeanwhile => Fault::new(
                Class::Unavailable,
                "the AMQP broker ran short of memory or of disk before it confirmed the message",
            )
            .code("broker_blocked")
            .maybe()
            .after(AGAIN),
            Self::Unroutable => Fault::new(
                Class::FunctionNotDeployed,
                format!(
                    "no queue takes a message to the exchange {exchange:?} with the key {key:?}"
                ),
            )
            .code("unroutable"),
            Self::NoExchange => Fault::new(
                Class::FunctionNotDeployed,
                format!("the AMQP broker has no exchange {exchange:?}"),
            )
            .code("no_exchange"),
            Self::Denied => Fault::new(
                Class::UpstreamAuth,
                format!("the gateway's AMQP user may not publish to the exchange {exchange:?}"),
            ),
            Self::TooLarge => {
                Fault::new(Class::TooLarge, "the message is larger than the AMQP broker takes")
            }
            Self::Nacked => Fault::new(
                Class::Unavailable,
                "a queue of the AMQP broker did not take the message: it is full, or it failed",
            )
            .code("nacked")
            .maybe()
            .after(AGAIN),
            Self::Beside => Fault::new(
                Class::Unavailable,
                "the AMQP broker closed the channel before it confirmed the message; it was of this \
                 message or of one beside it that the broker could make nothing",
            )
            .maybe()
            .after(AGAIN),
            Self::Busy => Fault::new(
                Class::Overloaded,
                "too many requests wait for replies on the connection to the AMQP broker",
            )
            .after(AGAIN),
            Self::Odd => Fault::new(
                Class::UpstreamProtocol,
                "the AMQP broker closed the channel before it confirmed the message",
            )
            .maybe(),
        }
    }
}

/// Why there is no connection.
pub(super) fn unopened(error: lapin::Error) -> Why {
    let (class, detail) = match error.kind() {
        ErrorKind::ProtocolError(said) => match said.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                (Class::UpstreamAuth, "the AMQP broker does not accept the gateway's credential")
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => (
                Class::UpstreamAuth,
                "the AMQP broker has no such virtual host, or the gateway's user may not use it",
            ),
            AMQPErrorKind::Hard(AMQPHardError::COMMANDINVALID | AMQPHardError::NOTIMPLEMENTED) => {
                (Class::UpstreamAuth, "the AMQP broker does not take this kind of credential")
            }
            AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => {
                (Class::Unavailable, "the AMQP broker is shutting down")
            }
            _ => (Class::UpstreamProtocol, "the AMQP broker refused the connection"),
        },
        _ => (Class::Unavailable, "no connection to the AMQP broker"),
    };
    Why::new(class, detail).because(error)
}

/// Why something could not be declared. Nothing is published before it is.
pub(super) fn undeclared(what: &str, name: &str, error: &lapin::Error) -> Why {
    let (class, why) = match error.kind() {
        ErrorKind::ProtocolError(said) => match said.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                (Class::UpstreamAuth, "the gateway's user may not")
            }
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
                (Class::UpstreamProtocol, "it is there with other properties")
            }
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => {
                (Class::UpstreamProtocol, "the exchange or the queue is not there")
            }
            _ => (Class::UpstreamProtocol, "the AMQP broker refused it"),
        },
        _ => (Class::Unavailable, "the connection was lost"),
    };
    Why::new(class, format!("the {what} {name:?} cannot be declared: {why}")).because(error.clone())
}

/// TLS cannot be set up from what is configured.
pub(super) fn no_tls(bad: BadTls) -> Why {
    Why::from(
        Fault::new(Class::ConnectFailed, "TLS to the AMQP broker cannot be set up").because(bad),
    )
}

/// The password cannot be read.
pub(super) fn no_secret(error: schemas::secret::NoSecret) -> Why {
    Why::new(Class::UpstreamAuth, "the gateway's AMQP password cannot be read").because(error)
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;
    use schemas::Ran;

    use super::*;

    #[test]
    fn what_ended_a_channel_says_whether_the_message_may_be_there() {
        let soft = |kind: AMQPSoftError, said: &str| {
            lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind.into(), said.into())))
        };
        let hard = AMQPError::new(AMQPHardError::CONNECTIONFORCED.into(), "".into());
        for (error, name, ran) in [
            (soft(AMQPSoftError::NOTFOUND, "no exchange 'x'"), "no_exchange", Ran::No),
            (soft(AMQPSoftError::ACCESSREFUSED, ""), "upstream_auth", Ran::No),
            (
                soft(AMQPSoftError::PRECONDITIONFAILED, "message size 9 is larger than 8"),
                "too_large",
                Ran::No,
            ),
            (soft(AMQPSoftError::PRECONDITIONFAILED, "x"), "upstream_protocol", Ran::Maybe),
            (ErrorKind::ProtocolError(hard).into(), "unavailable", Ran::Maybe),
            (ErrorKind::MissingHeartbeatError.into(), "unavailable", Ran::Maybe),
        ] {
            let fault = Refusal::of(&error).fault("e", "k");
            assert_eq!((fault.name(), fault.ran), (name, ran), "{error}");
        }
    }
}
