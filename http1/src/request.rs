//! The head of a request (RFC 9112, sections 3 and 5).

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header, uri::PathAndQuery};
use memchr::memchr;

use crate::{
    Framing, Limits,
    fields::{self, Fields, Wrong},
};

/// A request's head, and what it says of the message.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target: in origin form but for `*` (OPTIONS) and the authority of CONNECT. The authority
    /// of an absolute target is in `Host`, in place of what stood there.
    pub uri: Uri,
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
    /// The fields as they came.
    pub headers: HeaderMap,
    /// How its body ends.
    pub framing: Framing,
    /// Whether the connection may carry another request.
    pub keep_alive: bool,
    /// Whether the caller waits for 100 (Continue) before it sends the body.
    pub continues: bool,
    /// Whether `Connection` names `upgrade`.
    pub upgrade: bool,
}

/// Why a head is not read on. After any of these the connection ends: where the next request would
/// start is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It can be read in more than one way, or not at all.
    Malformed(&'static str),
    /// The request target is longer than the limit.
    TargetTooLong,
    /// More bytes or fields than the limit.
    TooLarge,
    /// A version of HTTP that is not spoken here.
    Version,
    /// A transfer coding that is not read here.
    Coding,
}

impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::TooMany => Self::TooLarge,
            Wrong::Malformed(what) => Self::Malformed(what),
            Wrong::Coding => Self::Coding,
        }
    }
}

/// Takes one head out of `bytes`; `None` if it is not all here. `scanned` starts at 0 and is kept
/// between calls for one head.
///
/// # Errors
/// Whatever could be read in more than one way is refused.
pub fn request(
    bytes: &mut BytesMut,
    scanned: &mut usize,
    limits: &Limits,
) -> Result<Option<RequestHead>, Refusal> {
    // One empty line in front is the end of what an old client sent with its last body
    // (RFC 9112, section 2.2).
    if *scanned == 0 {
        match &bytes[..bytes.len().min(2)] {
            b"\r\n" => bytes.advance(2),
            b"\r" => return Ok(None),
            _ => {}
        }
    }
    let Some(end) = fields::end(bytes, scanned)? else {
        return match early(bytes, limits) {
            Some(refusal) => Err(refusal),
            None => Ok(None),
        };
    };
    *scanned = 0;
    if end > limits.head_bytes {
        return Err(early(bytes, limits).unwrap_or(Refusal::TooLarge));
    }
    let head = bytes.split_to(end).freeze();
    let (line, next) = fields::first_line(&head);
    let (method, target, version) = request_line(&head, line, limits)?;
    let Fields { map, length, chunked, hosts, close, keep_alive, upgrade, continues } =
        fields::read(&head, next, limits.fields)?;
    let mut map = map;
    let modern = version == Version::HTTP_11;
    if chunked && !modern {
        return Err(Refusal::Malformed("HTTP/1.0 knows no Transfer-Encoding"));
    }
    match hosts {
        0 if modern => return Err(Refusal::Malformed("the request has no Host header")),
        0 | 1 => {}
        _ => return Err(Refusal::Malformed("the request has more than one Host header")),
    }
    if map.get(header::HOST).is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(Refusal::Malformed("the Host header is no host"));
    }
    let uri = match target {
        Target::Path(uri) | Target::Authority(uri) => uri,
        Target::Absolute(uri, host) => {
            // The authority counts, and whoever reads Host after us must read the same.
            map.insert(header::HOST, host);
            uri
        }
    };
    let framing = match (chunked, length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) if length > 0 => Framing::Length(length),
        (false, _) => Framing::Empty,
    };
    Ok(Some(RequestHead {
        method,
        uri,
        version,
        headers: map,
        framing,
        keep_alive: !close && (modern || keep_alive),
        continues: continues && modern && framing != Framing::Empty,
        upgrade,
    }))
}

/// What is known of a head that is not all here.
fn early(bytes: &[u8], limits: &Limits) -> Option<Refusal> {
    // So that whoever speaks another protocol hears it at once.
    let first = *bytes.first()?;
    if !(first.is_ascii_alphanumeric() || b"\r!#$%&'*+-.^_`|~".contains(&first)) {
        return Some(Refusal::Malformed("this is no HTTP"));
    }
    let line = memchr(b'\n', bytes);
    // Method and version stand beside the target.
    if line.unwrap_or(bytes.len()) > limits.target_bytes + 64 {
        return Some(Refusal::TargetTooLong);
    }
    (bytes.len() > limits.head_bytes).then_some(Refusal::TooLarge)
}

enum Target {
    /// A path, or `*`.
    Path(Uri),
    /// A path, and the authority that stood before it.
    Absolute(Uri, HeaderValue),
    /// Only an authority, for CONNECT.
    Authority(Uri),
}

/// Bytes of a method; the longest that is registered has 17.
const METHOD_BYTES: usize = 32;

/// `METHOD SP target SP HTTP/1.1`, with one blank between each and nothing else.
fn request_line(
    head: &Bytes,
    line: &[u8],
    limits: &Limits,
) -> Result<(Method, Target, Version), Refusal> {
    const BAD: Refusal = Refusal::Malformed("the request line is not METHOD TARGET HTTP/1.1");
    let method_end = memchr(b' ', line).filter(|end| *end <= METHOD_BYTES).ok_or(BAD)?;
    let rest = &line[method_end + 1..];
    let target_end = method_end + 1 + memchr(b' ', rest).ok_or(BAD)?;
    let version = match &line[target_end + 1..] {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        other if is_version(other) => return Err(Refusal::Version),
        _ => return Err(BAD),
    };
    let method = Method::from_bytes(&line[..method_end]).map_err(|_| BAD)?;
    let target = &line[method_end + 1..target_end];
    if target.len() > limits.target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    let text = head.slice(method_end + 1..target_end);
    Ok((method.clone(), self::target(&method, text)?, version))
}

fn is_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// One of the four forms of RFC 9112, section 3.2.
fn target(method: &Method, text: Bytes) -> Result<Target, Refusal> {
    const BAD: Refusal = Refusal::Malformed("the request target is no path and no URL");
    if text.iter().any(|byte| !(0x21..0x7f).contains(byte) || *byte == b'#') {
        return Err(BAD);
    }
    let first = text.first().copied().ok_or(BAD)?;
    if *method == Method::CONNECT {
        let uri = Uri::from_maybe_shared(text).map_err(|_| BAD)?;
        let authority_alone = uri.scheme().is_none()
            && uri.authority().is_some_and(|authority| is_host(authority.as_str().as_bytes()))
            && uri.path_and_query().is_none();
        return if authority_alone { Ok(Target::Authority(uri)) } else { Err(BAD) };
    }
    if first == b'*' {
        if text.len() > 1 || *method != Method::OPTIONS {
            return Err(BAD);
        }
        return Ok(Target::Path(Uri::from_static("*")));
    }
    if first == b'/' {
        return Uri::from_maybe_shared(text).map(Target::Path).map_err(|_| BAD);
    }
    let mut parts = Uri::from_maybe_shared(text).map_err(|_| BAD)?.into_parts();
    let http = parts.scheme.is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https"));
    let authority = parts.authority.filter(|_| http).ok_or(BAD)?;
    if authority.host().is_empty() || !is_host(authority.as_str().as_bytes()) {
        return Err(BAD);
    }
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| BAD)?;
    let path = match parts.path_and_query.take() {
        // `OPTIONS http://host` asks of the server as a whole (RFC 9112, section 3.2.4).
        Some(path) if path.path().is_empty() => {
            let text = path.query().map_or_else(|| "/".to_owned(), |query| format!("/?{query}"));
            PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|_| BAD)?
        }
        Some(path) => path,
        None => PathAndQuery::from_static("/"),
    };
    Ok(Target::Absolute(Uri::from(path), host))
}

/// Whether these bytes can be a host and a port: no user, no path, no list (RFC 3986, section 3.2.2).
fn is_host(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_~:[]%!$&'()*+;=".contains(byte))
}
