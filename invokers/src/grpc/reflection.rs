//! Server reflection: asks a server for the descriptors of its services (gRPC Server Reflection
//! Protocol, v1, then v1alpha; the messages are the same). File descriptors stay raw bytes: printed
//! anew they would lose the options that hold the HTTP rules.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Request, Uri};
use http_body::Body as _;
use schemas::{Body, Class, EndpointId, Fault};

use super::{
    client::Line,
    connection::{Connection, Room},
    exchange,
    frame::{Reader, framed},
    metadata,
    status::{Code, Status},
    wire,
};

/// The versions, the newest first.
const VERSIONS: [(&str, &str); 2] = [
    ("v1", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    ("v1alpha", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
];

/// The bounds of what a server may tell.
const ANSWER_BYTES: usize = 16 << 20;
const FILES: usize = 10_000;
const FILES_BYTES: usize = 64 << 20;
/// How often missing imports are asked for: no chain of imports is longer.
const ROUNDS: usize = 64;

/// Fields of ServerReflectionRequest.
const FILE_BY_FILENAME: u64 = 3;
const FILE_CONTAINING_SYMBOL: u64 = 4;
const LIST_SERVICES: u64 = 7;
/// Fields of ServerReflectionResponse.
const FILE_DESCRIPTOR_RESPONSE: u64 = 4;
const LIST_SERVICES_RESPONSE: u64 = 6;
const ERROR_RESPONSE: u64 = 7;

/// What a server told.
pub(super) struct Reflected {
    /// By which version.
    pub(super) version: &'static str,
    /// The files, as FileDescriptorProto.
    pub(super) files: Vec<Bytes>,
}

/// Asks for everything. `base` is the server's URL.
pub(super) async fn ask(connection: &Connection, base: &Uri) -> Result<Reflected, Fault> {
    for (version, path) in VERSIONS {
        let session = Session { connection, base, path };
        match session.all().await {
            Ok(files) => return Ok(Reflected { version, files }),
            Err(Refusal::Unimplemented) => {}
            Err(Refusal::Other(fault)) => return Err(fault),
        }
    }
    let what =
        "the server has no reflection; switch it on there, or write `descriptors: { file: … }`";
    Err(Fault::new(Class::FunctionNotDeployed, what))
}

enum Refusal {
    /// The server does not know this version.
    Unimplemented,
    Other(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Other(fault)
    }
}

struct Session<'a> {
    connection: &'a Connection,
    base: &'a Uri,
    path: &'static str,
}

impl Session<'_> {
    async fn all(&self) -> Result<Vec<Bytes>, Refusal> {
        let answers = self.call(&[request(LIST_SERVICES, b"")]).await?;
        if answers.is_empty() {
            let what = "the server does not list its services";
            return Err(Fault::new(Class::UpstreamProtocol, what).into());
        }
        let mut services = BTreeSet::new();
        for answer in &answers {
            let Some(list) = wire::bytes(answer, LIST_SERVICES_RESPONSE) else { continue };
            for service in wire::fields(list).filter(|field| field.number == 1) {
                let name = service.bytes().and_then(|service| wire::bytes(service, 1));
                services.extend(name.map(<[u8]>::to_vec));
            }
        }
        services.retain(|name| !name.starts_with(b"grpc.reflection."));
        let mut files = BTreeMap::new();
        let mut wanted: Vec<_> =
            services.iter().map(|name| request(FILE_CONTAINING_SYMBOL, name)).collect();
        let mut asked = BTreeSet::new();
        for _ in 0..ROUNDS {
            if wanted.is_empty() {
                break;
            }
            for answer in self.call(&wanted).await? {
                collect(&answer, &mut files)?;
            }
            // What a server leaves out it has not, or takes for known; the latter is asked for by
            // its name, once.
            let imports = files.values().flat_map(|file: &Bytes| imports(file));
            let missing: BTreeSet<Vec<u8>> =
                imports.filter(|name| !files.contains_key(*name)).map(<[u8]>::to_vec).collect();
            wanted = missing
                .into_iter()
                .filter(|name| asked.insert(name.clone()))
                .map(|name| request(FILE_BY_FILENAME, &name))
                .collect();
        }
        Ok(files.into_values().collect())
    }

    /// Asks all of it. What a server has not it says in an answer, or as some do by ending the stream
    /// there; then what comes behind it is asked for again.
    async fn call(&self, mut requests: &[Vec<u8>]) -> Result<Vec<Bytes>, Refusal> {
        let mut all = Vec::new();
        while !requests.is_empty() {
            let (mut answers, status) = self.exchange(requests).await?;
            let answered = answers.len();
            all.append(&mut answers);
            requests = match status {
                Status { code: Code::Ok, .. } => break,
                Status { code: Code::NotFound, .. } => {
                    requests.get(answered + 1..).unwrap_or_default()
                }
                Status { code: Code::Unimplemented, .. } => return Err(Refusal::Unimplemented),
                status => {
                    let what = format!("the server refuses reflection: {}", status.message);
                    return Err(Fault::new(Class::FunctionFailed, what).into());
                }
            };
        }
        Ok(all)
    }

    /// Sends requests on one stream, and reads the answers to their end.
    async fn exchange(&self, requests: &[Vec<u8>]) -> Result<(Vec<Bytes>, Status), Fault> {
        let Room::Free(sender, slot) = self.connection.room() else {
            let what = "the server closed the connection on which it was asked for its descriptors";
            return Err(Fault::new(Class::ConnectFailed, what));
        };
        let line = Line { id: EndpointId(0), requests: sender, slot };
        let mut head = Request::new(());
        *head.method_mut() = http::Method::POST;
        let uri = format!("{}{}", self.base.to_string().trim_end_matches('/'), self.path);
        *head.uri_mut() = uri.parse().map_err(|error| {
            Fault::new(Class::Internal, "the server's URL is no URL").because(error)
        })?;
        metadata::speak_grpc(head.headers_mut());
        let body: Vec<u8> = requests.iter().flat_map(|request| framed(request)).collect();
        let answer = exchange::send(line, head, Body::from(Bytes::from(body))).await?;
        let (head, mut incoming) = answer.into_parts();
        let mut status = Status::read(&head.headers);
        let mut reader = Reader::new(ANSWER_BYTES, metadata::is_gzip(&head.headers));
        let mut all = Vec::new();
        while let Some(frame) =
            std::future::poll_fn(|cx| std::pin::Pin::new(&mut incoming).poll_frame(cx)).await
        {
            let broke = |error| {
                let what = "the server broke off while it told its descriptors";
                Fault::new(Class::UpstreamProtocol, what).because(error)
            };
            match frame.map_err(broke)?.into_data() {
                Ok(data) => reader.push(&data),
                Err(frame) => {
                    status = frame.into_trailers().ok().and_then(|all| Status::read(&all));
                }
            }
            while let Some(message) = reader.next().map_err(odd)? {
                all.push(message);
            }
        }
        Ok((all, status.unwrap_or_else(|| Status::of_http(head.status))))
    }
}

fn odd(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    let what = "the server's answer to reflection cannot be read";
    Fault::new(Class::UpstreamProtocol, what).because(error)
}

fn request(field: u64, text: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(text.len() + 8);
    wire::put(&mut message, field, text);
    message
}

/// Takes the files out of an answer. An error is one file less: what cannot do without it says so
/// when the descriptors are put together.
fn collect(answer: &[u8], files: &mut BTreeMap<Vec<u8>, Bytes>) -> Result<(), Fault> {
    if wire::bytes(answer, ERROR_RESPONSE).is_some() {
        return Ok(());
    }
    let Some(found) = wire::bytes(answer, FILE_DESCRIPTOR_RESPONSE) else { return Ok(()) };
    for field in wire::fields(found).filter(|field| field.number == 1) {
        let Some(file) = field.bytes() else { continue };
        // FileDescriptorProto { name = 1, dependency = 3 }.
        let Some(name) = wire::bytes(file, 1) else { continue };
        files.insert(name.to_vec(), Bytes::copy_from_slice(file));
    }
    let bytes: usize = files.values().map(Bytes::len).sum();
    if files.len() > FILES || bytes > FILES_BYTES {
        let what = "the server has more descriptors than are read here";
        return Err(Fault::new(Class::UpstreamProtocol, what));
    }
    Ok(())
}

fn imports(file: &Bytes) -> impl Iterator<Item = &[u8]> {
    wire::fields(file).filter(|field| field.number == 3).filter_map(|field| field.bytes())
}
