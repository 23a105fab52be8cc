//! The bytes of a body, out of the bytes of a connection.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::{Framing, chunked::Chunked};

/// Finds the bytes of one body, and its end.
#[derive(Debug, Default)]
pub struct Decoder(State);

#[derive(Debug, Default)]
enum State {
    #[default]
    Ended,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// What the bytes at hand are.
#[derive(Debug)]
pub enum Step {
    /// Bytes of the body; never none.
    Data(Bytes),
    /// The fields behind a chunked body. Nothing follows.
    Trailers(HeaderMap),
    /// More bytes are needed.
    More,
    /// The body has ended.
    End,
}

/// The body breaks the rules of its framing, in words for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl Decoder {
    /// Starts at the first byte behind the head.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Empty => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.0, State::Ended)
    }

    /// How many bytes are still to come, if that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.0 {
            State::Ended => Some(0),
            State::Length(left) => Some(left),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// Takes the next of the body out of `bytes`.
    ///
    /// # Errors
    /// If the body is malformed; where it ends is unknown from then on.
    pub fn step(&mut self, bytes: &mut BytesMut) -> Result<Step, Malformed> {
        match &mut self.0 {
            State::Ended => Ok(Step::End),
            State::UntilClose if bytes.is_empty() => Ok(Step::More),
            State::UntilClose => Ok(Step::Data(bytes.split().freeze())),
            State::Length(_) if bytes.is_empty() => Ok(Step::More),
            State::Length(left) => {
                let count =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= count as u64;
                if *left == 0 {
                    self.0 = State::Ended;
                }
                Ok(Step::Data(bytes.split_to(count).freeze()))
            }
            State::Chunked(chunked) => {
                let step = chunked.step(bytes)?;
                if matches!(step, Step::End | Step::Trailers(_)) {
                    self.0 = State::Ended;
                }
                Ok(step)
            }
        }
    }

    /// The connection has ended: whether the body may end with it.
    ///
    /// # Errors
    /// If something was still to come.
    pub fn close(&mut self) -> Result<(), Malformed> {
        match self.0 {
            State::Ended | State::UntilClose => {
                self.0 = State::Ended;
                Ok(())
            }
            _ => Err(Malformed("the connection ended before the body did")),
        }
    }
}
