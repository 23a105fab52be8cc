//! A Lambda that checks what Lambda checks: signature, clock, session token, limits, qualifiers. Its
//! functions are a closure; it gives out credentials as a container's endpoint does.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{
    peer::{Exchange, Peer, Seen},
    sigv4::{self, Signature},
};

/// The region of every test.
pub(crate) const REGION: &str = "eu-west-1";

/// The service.
pub(crate) struct Lambda {
    peer: Peer,
    state: Arc<State>,
}

/// What becomes of a call; nothing where there is no such function.
type Functions = Box<dyn Fn(&Invocation) -> Option<Outcome> + Send + Sync>;

/// What it knows of who may call, and of the time.
struct State {
    keys: Mutex<Vec<Key>>,
    /// Seconds that its clock is ahead.
    ahead: AtomicI64,
    /// How often credentials were given out.
    given: AtomicUsize,
    /// Requests that were refused because of who made them.
    refused: AtomicUsize,
    functions: Functions,
}

/// An access key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) access: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    /// It is known, and its time is over.
    pub(crate) expired: bool,
}

impl Key {
    /// A key by its name, with a session token or without.
    pub(crate) fn named(name: &str, token: bool) -> Self {
        Self {
            access: format!("AKIA{name}"),
            secret: format!("secret/of+{name}"),
            token: token.then(|| format!("token-of-{name}//+==")),
            expired: false,
        }
    }
}

/// One call of a function, as Lambda has understood it.
pub(crate) struct Invocation {
    pub(crate) function: String,
    pub(crate) qualifier: Option<String>,
    pub(crate) payload: Vec<u8>,
    pub(crate) streaming: bool,
}

impl Invocation {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

/// What comes of a call.
pub(crate) enum Outcome {
    /// The function returns this.
    Returns(Vec<u8>),
    /// The function fails with this.
    Fails(Value),
    /// Lambda refuses: status, type, more headers.
    Refuses(u16, &'static str, &'static [&'static str]),
    /// The function writes pieces; then it is complete, or has failed.
    Streams(&'static str, Vec<Vec<u8>>, Value),
    /// These bytes, and the connection ends.
    Breaks(Vec<u8>),
    /// Nothing is ever answered.
    Silent,
}

impl Outcome {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Returns(value.to_string().into_bytes())
    }
}

type Refusal = (u16, &'static str, String);

impl Lambda {
    /// Starts it with one key, which has a session token.
    pub(crate) fn start(
        functions: impl Fn(&Invocation) -> Option<Outcome> + Send + Sync + 'static,
    ) -> Self {
        Self::with(Key::named("FIRST", true), functions)
    }

    /// Starts it with this key.
    pub(crate) fn with(
        key: Key,
        functions: impl Fn(&Invocation) -> Option<Outcome> + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(State {
            keys: Mutex::new(vec![key]),
            ahead: AtomicI64::new(0),
            given: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            functions: Box::new(functions),
        });
        let of_peer = Arc::clone(&state);
        let peer = Peer::start(move |exchange| of_peer.serve(exchange));
        Self { peer, state }
    }

    pub(crate) fn url(&self) -> String {
        self.peer.url()
    }

    /// The fields of an upstream that calls it with keys from files beside the configuration.
    pub(crate) fn upstream(&self) -> String {
        format!(
            "kind: lambda, region: {REGION}, endpoint: \"{}\", credentials: {{ access_key: {{ file: \
             access }}, secret_key: {{ file: secret }}, session_token: {{ file: token }} }}",
            self.url()
        )
    }

    /// The key that is given out, and good.
    pub(crate) fn key(&self) -> Key {
        self.state.keys().last().unwrap().clone()
    }

    /// Gives out another key from now on. The one before is good no more: as expired or as unknown.
    pub(crate) fn rotate(&self, key: Key, expired: bool) {
        let mut keys = self.state.keys();
        if expired {
            keys.iter_mut().for_each(|key| key.expired = true);
        } else {
            keys.clear();
        }
        keys.push(key);
    }

    /// Sets its clock.
    pub(crate) fn be_ahead(&self, seconds: i64) {
        self.state.ahead.store(seconds, SeqCst);
    }

    /// How often credentials were given out.
    pub(crate) fn given(&self) -> usize {
        self.state.given.load(SeqCst)
    }

    /// How many requests were refused because of who made them.
    pub(crate) fn refused(&self) -> usize {
        self.state.refused.load(SeqCst)
    }

    /// Every request that was made, those for credentials left out.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let all = self.peer.seen();
        let call =
            |seen: &Seen| !["/credentials", "/sts"].iter().any(|p| seen.target().starts_with(p));
        all.into_iter().filter(call).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.peer.connections()
    }

    pub(crate) fn await_cancelled(&self, count: usize) {
        self.peer.await_cancelled(count);
    }
}

impl State {
    fn keys(&self) -> std::sync::MutexGuard<'_, Vec<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ahead = self.ahead.load(SeqCst);
        UNIX_EPOCH + Duration::from_secs(since.checked_add_signed(ahead).unwrap())
    }

    fn serve(&self, exchange: &mut Exchange<'_>) {
        let seen = exchange.read();
        if seen.target().starts_with("/credentials") {
            return self.give(exchange);
        }
        if seen.target().starts_with("/sts") {
            return self.assume(exchange, &seen);
        }
        if let Err((status, kind, message)) = self.check(&seen) {
            self.refused.fetch_add(1, SeqCst);
            return self.refuse(exchange, status, kind, &message, &[]);
        }
        if seen.method() == "GET" {
            return self.list(exchange, &seen);
        }
        self.invoke(exchange, &seen);
    }

    /// As a container's endpoint does.
    fn give(&self, exchange: &mut Exchange<'_>) {
        self.given.fetch_add(1, SeqCst);
        let key = self.keys().last().unwrap().clone();
        let body = json!({
            "AccessKeyId": key.access,
            "SecretAccessKey": key.secret,
            "Token": key.token,
            "Expiration": "2099-01-01T00:00:00Z",
        });
        exchange.answer(200, &["Content-Type: application/json"], body.to_string());
    }

    /// As the Security Token Service does, where a role trusts who has its external id.
    fn assume(&self, exchange: &mut Exchange<'_>, seen: &Seen) {
        let asked = String::from_utf8_lossy(&seen.body).into_owned();
        let scope = seen.header("authorization").unwrap_or_default().contains("/sts/aws4_request");
        if !scope || !asked.contains("Action=AssumeRole") || !asked.contains("ExternalId=e-1") {
            return exchange.answer(403, &[], "<ErrorResponse/>");
        }
        self.given.fetch_add(1, SeqCst);
        let key = self.keys().last().unwrap().clone();
        let (access, secret, token) = (key.access, key.secret, key.token.unwrap_or_default());
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials><AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{secret}\
             </SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/gateway/gusset</Arn>\
             <AssumedRoleId>A:gusset</AssumedRoleId></AssumedRoleUser>\
             </AssumeRoleResult></AssumeRoleResponse>"
        );
        exchange.answer(200, &["Content-Type: text/xml"], body);
    }

    /// Who is it, and is it now?
    fn check(&self, seen: &Seen) -> Result<(), Refusal> {
        let header = |name: &str| seen.header(name).unwrap_or_default();
        let Some(signature) = Signature::read(header("authorization")) else {
            let what = "Missing Authentication Token".to_owned();
            return Err((403, "MissingAuthenticationTokenException", what));
        };
        let unknown = || {
            let what = "The security token included in the request is invalid.".to_owned();
            (403, "UnrecognizedClientException", what)
        };
        let keys = self.keys().clone();
        let key = keys.iter().find(|key| key.access == signature.access_key).ok_or_else(unknown)?;
        if key.token.as_deref() != seen.header("x-amz-security-token") {
            return Err(unknown());
        }
        if key.expired {
            let what = "The security token included in the request is expired".to_owned();
            return Err((403, "ExpiredTokenException", what));
        }
        let invalid = |what: String| (403, "InvalidSignatureException", what);
        let date = header("x-amz-date");
        let told = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date)
            .map_err(|fault| invalid(fault.to_string()))?;
        let told = jiff::tz::TimeZone::UTC.to_timestamp(told).unwrap().as_second();
        let now = self.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if (told - i64::try_from(now).unwrap()).abs() > 300 {
            return Err(invalid(format!("Signature expired: {date} is now earlier than {now}")));
        }
        let scope = format!("{}/{REGION}/lambda/aws4_request", date.get(..8).unwrap_or_default());
        let signed: Vec<&str> = signature.signed_headers.split(';').collect();
        let token = key.token.as_ref().map(|_| "x-amz-security-token");
        for must in ["host", "x-amz-date"].into_iter().chain(token) {
            if !signed.contains(&must) {
                return Err(invalid(format!("{must} is not signed")));
            }
        }
        let headers = |name: &str| seen.head.all(name);
        let canonical = sigv4::canonical(
            seen.method(),
            seen.target(),
            &signature.signed_headers,
            headers,
            &seen.body,
        );
        let expected = sigv4::signature(&key.secret, &scope, date, &canonical);
        if signature.scope != scope || signature.signature != expected {
            return Err(invalid(format!("The canonical request should have been\n{canonical}")));
        }
        Ok(())
    }

    fn invoke(&self, exchange: &mut Exchange<'_>, seen: &Seen) {
        let (path, query) = seen.target().split_once('?').unwrap_or((seen.target(), ""));
        let parts: Vec<&str> = path.split('/').collect();
        let streaming = match parts[..] {
            ["", "2015-03-31", "functions", _, "invocations"] => false,
            ["", "2021-11-15", "functions", _, "response-streaming-invocations"] => true,
            _ => return self.refuse(exchange, 404, "UnknownOperationException", "", &[]),
        };
        let kind = seen.header("x-amz-invocation-type").unwrap_or("RequestResponse");
        let limit = if kind == "Event" { 1 << 20 } else { 6 << 20 };
        if seen.body.len() > limit {
            let what = format!("{} byte payload is too large", seen.body.len());
            return self.refuse(exchange, 413, "RequestTooLargeException", &what, &[]);
        }
        if !seen.body.is_empty() && serde_json::from_slice::<Value>(&seen.body).is_err() {
            let what = "Could not parse request body into json";
            return self.refuse(exchange, 400, "InvalidRequestContentException", what, &[]);
        }
        let invocation = Invocation {
            function: parts[3].replace("%3A", ":"),
            qualifier: query.strip_prefix("Qualifier=").map(|text| text.replace("%24", "$")),
            payload: seen.body.clone(),
            streaming,
        };
        let Some(outcome) = (self.functions)(&invocation) else {
            let what = format!("Function not found: {}", invocation.function);
            return self.refuse(exchange, 404, "ResourceNotFoundException", &what, &[]);
        };
        if let Outcome::Refuses(status, kind, more) = outcome {
            return self.refuse(exchange, status, kind, "inner words", more);
        }
        match kind {
            "DryRun" => return exchange.send("HTTP/1.1 204 No Content\r\n\r\n"),
            "Event" => return exchange.answer(202, &["X-Amzn-RequestId: request-1"], ""),
            _ => {}
        }
        match outcome {
            Outcome::Returns(value) => {
                let head = ["Content-Type: application/json", "X-Amz-Executed-Version: $LATEST"];
                exchange.answer(200, &head, value);
            }
            Outcome::Fails(error) => {
                let head = ["Content-Type: application/json", "X-Amz-Function-Error: Unhandled"];
                exchange.answer(200, &head, error.to_string());
            }
            Outcome::Streams(media, pieces, end) => stream(exchange, media, &pieces, &end),
            Outcome::Breaks(bytes) => {
                exchange.send(bytes);
                exchange.close();
            }
            Outcome::Silent => exchange.await_leaving(),
            Outcome::Refuses(..) => {}
        }
    }

    fn refuse(
        &self,
        exchange: &mut Exchange<'_>,
        status: u16,
        kind: &str,
        message: &str,
        more: &[&str],
    ) {
        let date = format!("Date: {}", httpdate::fmt_http_date(self.now()));
        let kind_line = format!("x-amzn-ErrorType: {kind}:http://internal.amazon.com/coral/");
        let mut head = vec!["Content-Type: application/json", &date];
        if !kind.is_empty() {
            head.push(&kind_line);
        }
        head.extend(more);
        exchange.answer(status, &head, json!({"message": message, "Type": "User"}).to_string());
    }

    /// Two a page.
    fn list(&self, exchange: &mut Exchange<'_>, seen: &Seen) {
        let query = seen.target().split_once('?').map_or("", |(_, query)| query);
        let marker = query.split('&').find_map(|pair| pair.strip_prefix("Marker="));
        let first: usize = marker.map_or(0, |marker| marker.parse().unwrap());
        let named = |n: usize| json!({"FunctionName": format!("fn-{n}"), "Runtime": "nodejs22.x", "State": "Active"});
        let all: Vec<Value> = (0..5).map(named).collect();
        let page = &all[first..(first + 2).min(all.len())];
        let next = (first + 2 < all.len()).then(|| (first + 2).to_string());
        let body = json!({"Functions": page, "NextMarker": next});
        exchange.answer(200, &["Content-Type: application/json"], body.to_string());
    }
}

/// Sends each piece in a frame of its own.
fn stream(exchange: &mut Exchange<'_>, media: &str, pieces: &[Vec<u8>], end: &Value) {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n");
    exchange.send(head);
    let mut send = |frame: Vec<u8>| {
        let size = format!("{:x}\r\n", frame.len());
        exchange.send([size.as_bytes(), &frame, b"\r\n"].concat());
    };
    for piece in pieces {
        send(frame("PayloadChunk", "application/octet-stream", piece));
    }
    send(frame("InvokeComplete", "application/json", end.to_string().as_bytes()));
    exchange.send("0\r\n\r\n");
}

/// A frame of `application/vnd.amazon.eventstream`: lengths, their sum, headers, payload, sum.
fn frame(event: &str, media: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in
        [(":message-type", "event"), (":event-type", event), (":content-type", media)]
    {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend(name.as_bytes());
        headers.push(7); // a string
        headers.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload);
    frame.extend(crc32(&frame).to_be_bytes());
    frame
}

/// The sum of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum: u32, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
        })
    })
}
