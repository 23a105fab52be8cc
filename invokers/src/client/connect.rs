//! Making a connection: addresses in turn, and TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use schemas::{Class, Fault};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::OnceCell,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{Origin, stream::Stream};
use crate::{
    Tools,
    tls::{BadTls, Tls},
};

/// What is spoken on a connection; with TLS it is agreed upon (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// Makes the connections of one lane.
#[derive(Debug)]
pub(crate) struct Connector {
    speaks: Speaks,
    tools: Tools,
    timeout: Duration,
    tls: Option<Tls>,
    /// Made when the first connection needs it: it reads files.
    ready: OnceCell<Arc<ClientConfig>>,
}

/// Why there is no connection. Names what the log needs; the caller gets the fault's own words.
#[derive(Debug, thiserror::Error)]
enum NoConnection {
    #[error("{host} cannot be resolved")]
    Resolve {
        host: String,
        #[source]
        cause: io::Error,
    },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("{address} cannot be reached")]
    Refused {
        address: SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("no connection to {authority} within {millis} ms")]
    TooSlow { authority: String, millis: u128 },
    #[error("TLS cannot be set up")]
    SetUp(#[from] BadTls),
    #[error("the TLS handshake with {authority} failed")]
    Handshake {
        authority: String,
        #[source]
        cause: io::Error,
    },
    #[error("{authority} does not agree to HTTP/2 by ALPN")]
    NoHttp2 { authority: String },
}

impl Connector {
    pub(crate) fn new(speaks: Speaks, tls: Option<Tls>, timeout: Duration, tools: &Tools) -> Self {
        Self { speaks, tools: tools.clone(), timeout, tls, ready: OnceCell::new() }
    }

    /// How long connecting may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects by the deadline, and within the upstream's own time for it.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        deadline: std::time::Instant,
    ) -> Result<Stream, Fault> {
        let deadline = Instant::from_std(deadline);
        let ends = Instant::now().checked_add(self.timeout).unwrap_or(deadline);
        match timeout_at(ends.min(deadline), self.dial(origin, ends.min(deadline))).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(why)) => Err(why.into()),
            Err(_) if deadline <= ends => Err(Fault::new(
                Class::Timeout,
                "the time for the call was up before there was a connection to the upstream",
            )),
            Err(_) => {
                let authority = authority(origin);
                Err(NoConnection::TooSlow { authority, millis: self.timeout.as_millis() }.into())
            }
        }
    }

    async fn dial(&self, origin: &Origin, ends: Instant) -> Result<Stream, NoConnection> {
        let stream = reach(origin, ends).await?;
        let Some(name) = &origin.server_name else { return Ok(Stream::Plain(stream)) };
        let config = self.ready.get_or_try_init(|| self.set_up()).await?;
        let tls = TlsConnector::from(Arc::clone(config));
        let handshake = tls.connect(name.clone(), stream).await;
        let stream = handshake
            .map_err(|cause| NoConnection::Handshake { authority: authority(origin), cause })?;
        // A server of HTTP/1.1 may agree upon nothing; one of HTTP/2 has to (RFC 9113, section 3.3).
        if self.speaks == Speaks::Http2
            && stream.get_ref().1.alpn_protocol() != Some(Speaks::Http2.alpn())
        {
            return Err(NoConnection::NoHttp2 { authority: authority(origin) });
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Reads what TLS needs, off the core's thread: the system's roots are many files.
    async fn set_up(&self) -> Result<Arc<ClientConfig>, BadTls> {
        let (tls, secrets) = (self.tls.clone(), Arc::clone(&self.tools.secrets));
        let alpn = self.speaks.alpn().to_vec();
        let reading = tokio::task::spawn_blocking(move || {
            let mut config = tls.unwrap_or_default().client_config(secrets.as_ref())?;
            config.alpn_protocols = vec![alpn];
            Ok(Arc::new(config))
        });
        reading.await.map_err(|_| BadTls::Stopped)?
    }
}

/// Connects to the first address that answers. Each gets its share of the time that is left, so
/// that one that swallows packets leaves some to the next.
async fn reach(origin: &Origin, ends: Instant) -> Result<TcpStream, NoConnection> {
    let host = || origin.host.clone();
    let found = lookup_host((origin.host.as_str(), origin.port)).await;
    let addresses: Vec<_> =
        found.map_err(|cause| NoConnection::Resolve { host: host(), cause })?.collect();
    let mut failed = NoConnection::NoAddress { host: host() };
    for (at, address) in addresses.iter().copied().enumerate() {
        let left = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + ends.saturating_duration_since(now) / left;
        let cause = match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match stream.set_nodelay(true) {
                Ok(()) => return Ok(stream),
                Err(cause) => cause,
            },
            Ok(Err(cause)) => cause,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        failed = NoConnection::Refused { address, cause };
    }
    Err(failed)
}

fn authority(origin: &Origin) -> String {
    format!("{}:{}", origin.host, origin.port)
}

impl From<NoConnection> for Fault {
    fn from(why: NoConnection) -> Self {
        let detail = match &why {
            NoConnection::Resolve { .. } | NoConnection::NoAddress { .. } => {
                "the upstream's host name has no address"
            }
            NoConnection::Refused { .. } => "no connection to the upstream could be made",
            NoConnection::TooSlow { .. } => "no connection to the upstream could be made in time",
            NoConnection::SetUp(_) => "TLS towards the upstream cannot be set up",
            NoConnection::Handshake { .. } => {
                "no TLS connection to the upstream could be made; its certificate may not be trusted"
            }
            NoConnection::NoHttp2 { .. } => "the upstream does not speak HTTP/2",
        };
        Self::new(Class::ConnectFailed, detail).because(why)
    }
}
