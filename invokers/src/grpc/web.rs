//! gRPC-Web: gRPC for callers that see no trailers. They come as one more frame of the body, and as
//! text the whole body is base64 (gRPC-Web protocol).

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as _, Frame};
use schemas::{Body, BodyError, Reply};

/// The flag of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// What a request speaks, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Grpc,
    Web,
    WebText,
}

const GRPC: &str = "application/grpc";
const WEB: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";

impl Dialect {
    /// What a request speaks; none of these if it is not gRPC.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let media = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let starts = |with: &str| {
            media.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
                && matches!(media.get(with.len()), None | Some(b'+' | b';' | b' '))
        };
        // The most of them are native.
        [(GRPC, Self::Grpc), (WEB, Self::Web), (TEXT, Self::WebText)]
            .into_iter()
            .find_map(|(media, dialect)| starts(media).then_some(dialect))
    }

    fn media(self) -> &'static str {
        match self {
            Self::Grpc => GRPC,
            Self::Web => WEB,
            Self::WebText => TEXT,
        }
    }
}

/// Makes a native request of one of gRPC-Web.
pub(super) fn request(dialect: Dialect, headers: &mut HeaderMap, body: Body) -> Body {
    rename(headers, dialect, Dialect::Grpc);
    match dialect {
        Dialect::Grpc | Dialect::Web => body,
        Dialect::WebText => Body::boxed(Decoding { body, held: BytesMut::new() }),
    }
}

/// Makes an answer of gRPC-Web of a native one.
pub(super) fn reply(dialect: Dialect, mut reply: Reply) -> Reply {
    rename(&mut reply.head.headers, Dialect::Grpc, dialect);
    if !reply.data.is_end_stream() {
        let text = dialect == Dialect::WebText;
        reply.data = Body::boxed(Encoding { body: reply.data, text });
    }
    reply
}

/// Changes the media type and keeps what stands behind it, such as `+proto`.
fn rename(headers: &mut HeaderMap, from: Dialect, to: Dialect) {
    let Some(media) = headers.get(header::CONTENT_TYPE) else { return };
    let Ok(text) = media.to_str() else { return };
    if let Some(rest) = text.get(from.media().len()..)
        && Dialect::of(headers) == Some(from)
        && let Ok(value) = HeaderValue::try_from(format!("{}{rest}", to.media()))
    {
        headers.insert(header::CONTENT_TYPE, value);
    }
}

/// Base64 becomes bytes. It may be padded wherever a frame ends.
struct Decoding {
    body: Body,
    /// Less than a group of four.
    held: BytesMut,
}

#[derive(Debug, thiserror::Error)]
#[error("the body is no valid base64")]
struct NoBase64;

impl Decoding {
    fn decode(&mut self, data: &[u8]) -> Option<Bytes> {
        self.held.extend_from_slice(data);
        let groups = self.held.split_to(self.held.len() / 4 * 4);
        if !groups.contains(&b'=') {
            return STANDARD.decode(&groups).ok().map(Bytes::from);
        }
        let mut all = Vec::with_capacity(groups.len() / 4 * 3);
        for group in groups.chunks(4) {
            STANDARD.decode_vec(group, &mut all).ok()?;
        }
        Some(all.into())
    }
}

impl http_body::Body for Decoding {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            let bytes = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    this.decode(&data)
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if this.held.is_empty() => return Poll::Ready(None),
                None => None,
            };
            match bytes {
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => {
                    this.body = Body::empty();
                    this.held.clear();
                    let malformed = std::io::Error::new(std::io::ErrorKind::InvalidData, NoBase64);
                    return Poll::Ready(Some(Err(BodyError::Broken(malformed.into()))));
                }
            }
        }
    }
}

/// Trailers become a frame of the body; as text, each piece is base64 by itself.
struct Encoding {
    body: Body,
    text: bool,
}

impl http_body::Body for Encoding {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)?) else {
            return Poll::Ready(None);
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => trailers(&frame.into_trailers().unwrap_or_default()),
        };
        let data = if this.text { STANDARD.encode(&data).into() } else { data };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Writes trailers as a frame.
fn trailers(trailers: &HeaderMap) -> Bytes {
    let mut text = BytesMut::new();
    for (name, value) in trailers {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    let mut frame = BytesMut::with_capacity(5 + text.len());
    frame.put_u8(TRAILERS);
    frame.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    frame.put_slice(&text);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(media: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))])
    }

    #[test]
    fn what_a_request_speaks_is_seen_by_its_media_type() {
        for (media, dialect) in [
            ("application/grpc", Some(Dialect::Grpc)),
            ("application/grpc+proto", Some(Dialect::Grpc)),
            ("Application/gRPC;v=1", Some(Dialect::Grpc)),
            ("application/grpc-web", Some(Dialect::Web)),
            ("application/grpc-web+proto", Some(Dialect::Web)),
            ("application/grpc-web-text", Some(Dialect::WebText)),
            ("application/grpc-web-text+proto", Some(Dialect::WebText)),
            ("application/grpcx", None),
            ("application/json", None),
        ] {
            assert_eq!(Dialect::of(&headers(media)), dialect, "{media}");
        }
    }

    #[test]
    fn a_media_type_keeps_what_stands_behind_it() {
        let mut all = headers("application/grpc-web-text+proto");
        rename(&mut all, Dialect::WebText, Dialect::Grpc);
        assert_eq!(all[header::CONTENT_TYPE], "application/grpc+proto");
        rename(&mut all, Dialect::Grpc, Dialect::Web);
        assert_eq!(all[header::CONTENT_TYPE], "application/grpc-web+proto");
    }

    #[test]
    fn base64_is_read_however_it_is_cut_and_padded() {
        let text = format!("{}{}", STANDARD.encode("hello"), STANDARD.encode("you"));
        for cut in 1..=text.len() {
            let mut decoding = Decoding { body: Body::empty(), held: BytesMut::new() };
            let pieces = text.as_bytes().chunks(cut);
            let all: Vec<u8> = pieces.flat_map(|piece| decoding.decode(piece).unwrap()).collect();
            assert_eq!(all, b"helloyou");
            assert!(decoding.held.is_empty());
        }
        let mut decoding = Decoding { body: Body::empty(), held: BytesMut::new() };
        assert_eq!(decoding.decode(b"a!b="), None);
    }

    #[test]
    fn trailers_become_a_frame() {
        let all = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        assert_eq!(trailers(&all), &b"\x80\0\0\0\x10grpc-status: 0\r\n"[..]);
    }
}
