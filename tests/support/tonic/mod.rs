//! A gRPC server of another make than grpcio: tonic's, with its reflection (v1) and its health,
//! around the ledger of `ledger.rs`.

mod ledger;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use futures_util::{StreamExt as _, stream};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use tokio::sync::oneshot;
use tonic::transport::Server;

use self::ledger::Ledger;
use super::{eventually, root};

/// A running server. Dropping it ends it.
pub(crate) struct Tonic {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Tonic {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::with(|server| server)
    }

    /// Starts one that is configured so.
    pub(crate) fn with(configure: impl FnOnce(Server) -> Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let connections = Arc::<AtomicUsize>::default();
        let server = configure(Server::builder());
        let counted = Arc::clone(&connections);
        let served = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(server, listener, counted, stopped));
        });
        Self { address, connections, stop: Some(stop), served }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The field that says so of an upstream.
    pub(crate) fn written(&self) -> String {
        format!("url: {}", self.url())
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Has it end as a deployment does: it takes nothing new, says so by GOAWAY, and finishes what is
    /// under way.
    pub(crate) fn shut_down(&mut self) {
        drop(self.stop.take());
        eventually("the server listens no more", || {
            std::net::TcpStream::connect(self.address).err().map(drop)
        });
    }

    /// Whether all that was under way is finished.
    pub(crate) fn ended(&self) -> bool {
        self.served.is_finished()
    }
}

async fn serve(
    mut server: Server,
    listener: TcpListener,
    connections: Arc<AtomicUsize>,
    stopped: oneshot::Receiver<()>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let incoming = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(socket, _)| socket);
        Some((accepted, listener))
    });
    let incoming = incoming.inspect(move |_| {
        connections.fetch_add(1, SeqCst);
    });
    let described = descriptors();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(&described)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<Ledger>().await;
    let router =
        server.add_service(Ledger::default()).add_service(health).add_service(reflection.unwrap());
    let stopped = async { drop(stopped.await) };
    router.serve_with_incoming_shutdown(incoming, stopped).await.unwrap();
}

/// The ledger's files without those that they import from google/, as many a build leaves them out.
fn descriptors() -> Vec<u8> {
    let mut sources = ChainFileResolver::new();
    sources.add(Sources);
    sources.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(sources);
    compiler.open_files(["ledger.proto", "cloudevents.proto"]).unwrap();
    compiler.encode_file_descriptor_set()
}

/// The files of the tests, and those of google/api, which are bundled with the gateway.
struct Sources;

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let path = match name.strip_prefix("google/api/") {
            Some(bundled) => root().join("transcoding/src/bundled").join(bundled),
            None => root().join("tests/grpc").join(name),
        };
        let text = std::fs::read_to_string(path);
        File::from_source(name, &text.map_err(|_| protox::Error::file_not_found(name))?)
    }
}
