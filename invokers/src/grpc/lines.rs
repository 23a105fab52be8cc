//! The messages of a client that streams, from JSON texts with line breaks between them (NDJSON).

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use schemas::{Body, BodyError};
use transcoding::{Binding, Capture, Options, Place, Request, Violation};

use super::{frame::framed, json::Meant};

/// A body of lines on its way to become messages. What the path and the query bring is in each.
#[derive(Debug)]
pub(super) struct Lines {
    body: Body,
    bytes: BytesMut,
    /// How much of `bytes` is known to hold no line break.
    looked: usize,
    over: bool,
    /// Which line is next; the first is 1.
    line: usize,
    line_max: usize,
    binding: Binding,
    captures: Vec<(String, String)>,
    query: String,
    options: Options,
}

impl Lines {
    pub(super) fn new(body: Body, meant: &Meant<'_>, options: &Options, line_max: usize) -> Self {
        let captures = meant.captures.iter();
        Self {
            body,
            bytes: BytesMut::new(),
            looked: 0,
            over: false,
            line: 0,
            line_max,
            binding: meant.binding.clone(),
            captures: captures.map(|one| (one.field.to_string(), one.text.to_string())).collect(),
            query: meant.query.to_owned(),
            options: options.clone(),
        }
    }

    /// The next line that is here whole.
    fn next(&mut self) -> Option<Bytes> {
        let found = self.bytes[self.looked..].iter().position(|byte| *byte == b'\n');
        match found {
            Some(at) => {
                let line = self.bytes.split_to(self.looked + at + 1);
                self.looked = 0;
                Some(line.freeze())
            }
            None => {
                self.looked = self.bytes.len();
                (self.over && !self.bytes.is_empty()).then(|| {
                    self.looked = 0;
                    self.bytes.split().freeze()
                })
            }
        }
    }

    fn message(&self, line: &[u8]) -> Result<Bytes, Violation> {
        let captures: Vec<Capture<'_>> = self
            .captures
            .iter()
            .map(|(field, text)| Capture { field: field.into(), text: text.into() })
            .collect();
        let request = Request { body: line, captures: &captures, query: &self.query };
        self.binding.request(&request, &self.options).map_err(|mut violation| {
            // Where it stands in the whole body.
            if let Place::Body { line, .. } = &mut violation.place {
                *line += self.line - 1;
            }
            violation
        })
    }
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            while let Some(line) = this.next() {
                this.line += 1;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Poll::Ready(Some(match this.message(&line) {
                    Ok(message) => Ok(Frame::data(framed(&message))),
                    Err(violation) => Err(BodyError::Broken(violation.into())),
                }));
            }
            if this.bytes.len() > this.line_max {
                return Poll::Ready(Some(Err(BodyError::TooLarge { limit: this.line_max })));
            }
            if this.over {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    this.bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.over = true,
            }
        }
    }
}
