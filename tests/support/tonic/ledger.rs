//! The ledger of `tests/grpc/ledger.proto`, over tonic's handlers and without generated code: its
//! messages have the fields that the tests set and look at.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicI64, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use prost::Message as _;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    metadata::MetadataMap,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

#[derive(Clone, PartialEq, prost::Message)]
struct TransferRequest {
    #[prost(string, tag = "1")]
    from: String,
    #[prost(string, tag = "2")]
    to: String,
    #[prost(int64, tag = "3")]
    amount_cents: i64,
    #[prost(int32, tag = "4")]
    kind: i32,
    #[prost(bytes, tag = "6")]
    note: Vec<u8>,
    #[prost(string, repeated, tag = "10")]
    tags: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TransferReply {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, tag = "2")]
    request: Option<TransferRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FailRequest {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    #[prost(int32, tag = "2")]
    count: i32,
    #[prost(bool, tag = "3")]
    fail: bool,
    #[prost(int32, tag = "4")]
    size: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(int64, tag = "1")]
    number: i64,
    #[prost(bytes, tag = "2")]
    padding: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SumReply {
    #[prost(int64, tag = "1")]
    sum: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetadataReply {
    #[prost(map = "string, string", tag = "1")]
    metadata: HashMap<String, String>,
    #[prost(bool, tag = "2")]
    has_deadline: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SeenRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct SeenReply {
    #[prost(int64, tag = "1")]
    told: i64,
    #[prost(int32, tag = "2")]
    left: i32,
    #[prost(int32, tag = "3")]
    failed: i32,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes, tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

/// What has been seen of the calls before.
#[derive(Default)]
struct Seen {
    told: AtomicI64,
    left: AtomicI32,
    failed: AtomicI32,
}

#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Seen>);

impl NamedService for Ledger {
    const NAME: &'static str = "ledger.v1.Ledger";
}

impl Service<http::Request<Body>> for Ledger {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            let method = request.uri().path().trim_start_matches("/ledger.v1.Ledger/").to_owned();
            let fails = |request| fail(request, Arc::clone(&seen));
            let watches = |request| watch(request, Arc::clone(&seen));
            let chats = |request| chat(request, Arc::clone(&seen));
            let tells = |request| tell(request, Arc::clone(&seen));
            Ok(match method.as_str() {
                "Transfer" => grpc().unary(service_fn(transfer), request).await,
                "Fail" => grpc().unary(service_fn(fails), request).await,
                "Watch" => grpc().server_streaming(service_fn(watches), request).await,
                "Sum" => grpc().client_streaming(service_fn(sum), request).await,
                "Chat" => grpc().streaming(service_fn(chats), request).await,
                "Metadata" => grpc().unary(service_fn(metadata), request).await,
                "Seen" => grpc().unary(service_fn(tells), request).await,
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

fn grpc<O, I>() -> Grpc<ProstCodec<O, I>>
where
    O: prost::Message + 'static,
    I: prost::Message + Default + 'static,
{
    Grpc::new(ProstCodec::default())
}

async fn transfer(request: Request<TransferRequest>) -> Result<Response<TransferReply>, Status> {
    let reply = TransferReply { id: "t1".to_owned(), request: Some(request.into_inner()) };
    let mut response = Response::new(reply);
    response.metadata_mut().insert("x-ledger", "main".parse().unwrap());
    Ok(response)
}

async fn fail(
    request: Request<FailRequest>,
    seen: Arc<Seen>,
) -> Result<Response<TransferReply>, Status> {
    const MESSAGE: &str = "as asked: café";
    seen.failed.fetch_add(1, SeqCst);
    let code = request.into_inner().code;
    let info = ErrorInfo { reason: "ASKED_FOR".to_owned(), domain: "ledger.test".to_owned() };
    let detail = Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: info.encode_to_vec(),
    };
    let status = RpcStatus { code, message: MESSAGE.to_owned(), details: vec![detail] };
    let details = status.encode_to_vec().into();
    let mut metadata = MetadataMap::new();
    metadata.insert("x-cost", "7".parse().unwrap());
    Err(Status::with_details_and_metadata(Code::from(code), MESSAGE, details, metadata))
}

async fn watch(
    request: Request<WatchRequest>,
    seen: Arc<Seen>,
) -> Result<Response<BoxStream<'static, Result<Entry, Status>>>, Status> {
    let WatchRequest { count, fail, size } = request.into_inner();
    let padding = vec![b'x'; usize::try_from(size).unwrap()];
    let counted = Arc::clone(&seen);
    let entries = (0..i64::from(count)).map(move |number| {
        counted.told.fetch_add(1, SeqCst);
        Ok(Entry { number, padding: padding.clone() })
    });
    let torn = fail.then(|| Err(Status::data_loss("the page is torn")));
    let told = stream::iter(entries.chain(torn));
    Ok(Response::new(Watched::new(told, seen).boxed()))
}

async fn sum(request: Request<Streaming<Entry>>) -> Result<Response<SumReply>, Status> {
    let add = |sum, entry: Entry| async move { Ok(sum + entry.number) };
    let sum = request.into_inner().try_fold(0, add).await?;
    Ok(Response::new(SumReply { sum }))
}

async fn chat(
    request: Request<Streaming<Entry>>,
    seen: Arc<Seen>,
) -> Result<Response<BoxStream<'static, Result<Entry, Status>>>, Status> {
    Ok(Response::new(Watched::new(request.into_inner(), seen).boxed()))
}

async fn metadata(request: Request<WatchRequest>) -> Result<Response<MetadataReply>, Status> {
    let headers = request.into_parts().0.into_headers();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let has_deadline = headers.contains_key("grpc-timeout");
    Ok(Response::new(MetadataReply { metadata: all.collect(), has_deadline }))
}

async fn tell(_: Request<SeenRequest>, seen: Arc<Seen>) -> Result<Response<SeenReply>, Status> {
    let reply = SeenReply {
        told: seen.told.load(SeqCst),
        left: seen.left.load(SeqCst),
        failed: seen.failed.load(SeqCst),
    };
    Ok(Response::new(reply))
}

/// A stream that counts if its caller leaves before its end.
struct Watched<S> {
    stream: S,
    over: bool,
    seen: Arc<Seen>,
}

impl<S> Watched<S> {
    fn new(stream: S, seen: Arc<Seen>) -> Self {
        Self { stream, over: false, seen }
    }
}

impl<S: Stream<Item = Result<Entry, Status>> + Unpin> Stream for Watched<S> {
    type Item = Result<Entry, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.poll_next_unpin(cx);
        self.over = match &next {
            Poll::Ready(Some(Err(status))) => status.code() != Code::Cancelled,
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => false,
        };
        next
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        if !self.over {
            self.seen.left.fetch_add(1, SeqCst);
        }
    }
}
