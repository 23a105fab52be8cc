//! Reads the server-sent events of the admin API.

use std::pin::Pin;

use admin::topics::Told;
use futures_util::{Stream, stream};
use http_body::Body as _;
use schemas::Body;

use crate::cli::Stop;

/// More than any event with a message of the largest size in it.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    name: String,
    data: String,
}

impl Parser {
    /// The events of a body, until it ends.
    pub(super) fn stream(body: Body) -> impl Stream<Item = Result<Told, Stop>> {
        let state = (body, Self::default(), std::collections::VecDeque::new());
        stream::unfold(state, async |(mut body, mut parser, mut ready)| {
            loop {
                if let Some(told) = ready.pop_front() {
                    return Some((told, (body, parser, ready)));
                }
                let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await?;
                match frame.map(http_body::Frame::into_data) {
                    Ok(Ok(bytes)) => ready.extend(parser.push(&bytes)),
                    Ok(Err(_)) => {}
                    Err(_) => ready.push_back(Err(Stop::failed("the gateway broke off"))),
                }
            }
        })
    }

    /// Takes bytes in, and gives the events that are complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<Result<Told, Stop>> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                *self = Self::default();
                events.push(Err(Stop::failed("the gateway sent an event without an end")));
            } else if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                events.extend(
                    self.take(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])),
                );
            }
        }
        events
    }

    fn take(&mut self, line: &str) -> Option<Result<Told, Stop>> {
        if line.is_empty() {
            let Self { name, data, .. } = std::mem::take(self);
            return (!data.is_empty()).then(|| event(&name, &data));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => self.data.push_str(value),
            // Comments keep the connection alive.
            _ => {}
        }
        None
    }
}

fn event(name: &str, data: &str) -> Result<Told, Stop> {
    let unknown = |_| Stop::failed("the gateway sent what this version of gusset does not know");
    match name {
        "message" => serde_json::from_str(data).map(Told::Arrived).map_err(unknown),
        "missed" => serde_json::from_str(data).map(Told::Missed).map_err(unknown),
        _ => {
            let problem: serde_json::Value = serde_json::from_str(data).map_err(unknown)?;
            Err(Stop::failed(problem["detail"].as_str().unwrap_or("the stream ended")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let sent = ": hi\n\nevent: message\ndata: {\"topic\":\"a\",\"data\":\"x\"}\n\n\
                    event: missed\ndata: 7\n\nevent: problem\ndata: {\"detail\":\"gone\"}\n\n";
        for size in [1, 7, sent.len()] {
            let mut parser = Parser::default();
            let events: Vec<_> =
                sent.as_bytes().chunks(size).flat_map(|bytes| parser.push(bytes)).collect();
            let [Ok(Told::Arrived(arrived)), Ok(Told::Missed(7)), Err(Stop::Failed(1, said))] =
                events.as_slice()
            else {
                panic!("{events:?}")
            };
            assert_eq!((arrived.topic.as_str(), said.as_str()), ("a", "gone"));
        }
    }
}
