//! Speaks to the admin API of a running gateway.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use ingress::config::Problem;
use schemas::Body;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time::timeout};

use crate::cli::{Stop, arguments};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A gateway's admin API.
#[derive(Debug)]
pub(crate) struct Admin {
    authority: String,
    /// `Bearer` and the token.
    authorization: Option<HeaderValue>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) body: Bytes,
}

/// What is asked for beside method and path.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) media: &'static str,
    /// The version of the configuration that is meant.
    pub(crate) meant: Option<String>,
    pub(crate) body: Bytes,
}

/// What a problem document says.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) ran: String,
    /// What is wrong with a configuration.
    #[serde(default)]
    pub(crate) problems: Vec<Problem>,
}

impl Admin {
    /// Names the gateway to speak to.
    pub(crate) fn new(argument: &arguments::Admin) -> Result<Self, Stop> {
        let url = &argument.url;
        let wrong = || {
            Stop::unusable(format!(
                "{url:?} is no admin URL; write http://HOST:PORT, such as http://127.0.0.1:8081"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let only_host = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some("http") || !only_host || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(80);
        let token = argument.token_file.as_deref().map(token).transpose()?;
        let authority = format!("{}:{port}", authority.host());
        Ok(Self { authority, authorization: token })
    }

    /// Asks for a document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Stop> {
        self.ask(Method::GET, path, Bytes::new()).await?.document()
    }

    /// Asks, and reads the answer whole, whatever it is.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, Stop> {
        self.ask_within(ANSWER_WITHIN, method, path, body).await
    }

    /// Asks for a change of the configuration.
    pub(crate) async fn change(
        &self,
        method: Method,
        path: &str,
        asked: Asked,
    ) -> Result<Answer, Stop> {
        self.whole(ANSWER_WITHIN, self.open_with(method, path, asked)).await
    }

    /// The same, waiting so long for the answer.
    pub(crate) async fn ask_within(
        &self,
        within: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, Stop> {
        self.whole(within, self.open(method, path, body)).await
    }

    async fn whole(
        &self,
        within: Duration,
        opened: impl Future<Output = Result<Response<Incoming>, Stop>>,
    ) -> Result<Answer, Stop> {
        let asked = async {
            let response = opened.await?;
            let ok = response.status().is_success();
            let body = Body::incoming(response.into_body())
                .collect(ANSWER_BYTES_MAX)
                .await
                .map_err(|error| self.silent(&error.to_string()))?;
            Ok(Answer { ok, body })
        };
        timeout(within, asked)
            .await
            .map_err(|_| self.silent(&format!("no answer within {}s", within.as_secs())))?
    }

    /// Asks, and hands the answer over as it comes.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Stop> {
        let asked = Asked { media: "application/json", meant: None, body };
        self.open_with(method, path, asked).await
    }

    async fn open_with(
        &self,
        method: Method,
        path: &str,
        asked: Asked,
    ) -> Result<Response<Incoming>, Stop> {
        let stream = timeout(CONNECT_WITHIN, TcpStream::connect(&self.authority))
            .await
            .map_err(|_| self.absent("connecting took longer than 3s"))?
            .map_err(|error| self.absent(&error.to_string()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.silent(&error.to_string()))?;
        // It ends with the answer's last byte, or with the runtime.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, asked.media);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(meant) = asked.meant {
            request = request.header(header::IF_MATCH, format!("\"{meant}\""));
        }
        let request = request
            .body(Full::new(asked.body))
            .map_err(|error| Stop::unusable(format!("{path:?} is no path: {error}")))?;
        sender.send_request(request).await.map_err(|error| self.silent(&error.to_string()))
    }

    fn absent(&self, why: &str) -> Stop {
        Stop::failed(format!(
            "no gateway answers at http://{}: {why}; start one with `gusset dev` or `gusset run`, \
             or name another with --admin",
            self.authority
        ))
    }

    fn silent(&self, why: &str) -> Stop {
        Stop::failed(format!("the gateway at http://{} gave no answer: {why}", self.authority))
    }
}

impl Answer {
    /// The answer as a document.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> Result<T, Stop> {
        if !self.ok {
            let refusal = self.refusal();
            let hint = if refusal.code == "unauthorized" {
                "; name its file with --token-file or GUSSET_TOKEN_FILE"
            } else {
                ""
            };
            return Err(Stop::failed(refusal.detail + hint));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            Stop::failed(format!(
                "the gateway answered what this version of gusset does not know: {error}"
            ))
        })
    }

    /// What the problem document says.
    pub(crate) fn refusal(&self) -> Refusal {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| Refusal {
            detail: "the answer is not that of a gusset gateway; is --admin right?".to_owned(),
            code: String::new(),
            ran: String::new(),
            problems: Vec::new(),
        })
    }
}

/// Reads a token, as the header that brings it.
fn token(file: &Path) -> Result<HeaderValue, Stop> {
    let cannot = |why: &str| {
        Stop::unusable(format!("the token file {}: {why}; see --token-file", file.display()))
    };
    let token = fs::read_to_string(file).map_err(|error| cannot(&error.to_string()))?;
    let token = token.trim_end_matches(['\r', '\n']);
    if token.is_empty() {
        return Err(cannot("it is empty"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| cannot("it holds more than one line of text"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A runtime for one command.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Lanes may keep tasks of their own on this thread.
    Ok(tokio::task::LocalSet::new().block_on(&runtime, work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_url_is_a_host_and_a_port() {
        let check = |url: &str| {
            let argument = arguments::Admin { url: url.to_owned(), token_file: None };
            Admin::new(&argument).map(|admin| admin.authority)
        };
        assert_eq!(check("http://127.0.0.1:8081").unwrap(), "127.0.0.1:8081");
        assert_eq!(check("http://localhost/").unwrap(), "localhost:80");
        assert_eq!(check("http://[::1]:9").unwrap(), "[::1]:9");
        for url in ["127.0.0.1:8081", "https://a:1", "http://u:p@a:1", "http://a:1/x", ""] {
            assert!(matches!(check(url), Err(Stop::Failed(2, _))), "{url}");
        }
    }

    #[test]
    fn a_token_is_read_without_its_line_break_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "s3cret\n").unwrap();
        let value = token(&file).unwrap();
        assert_eq!(value, "Bearer s3cret");
        assert!(!format!("{value:?}").contains("s3cret"));
        for bad in ["", "\n", "two\nlines\n"] {
            fs::write(&file, bad).unwrap();
            assert!(matches!(token(&file), Err(Stop::Failed(2, _))), "{bad:?}");
        }
    }

    #[test]
    fn a_gateway_that_is_not_there_is_said_with_what_to_do() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let admin = Admin { authority: free.to_string(), authorization: None };
        let stop = block_on(admin.get::<()>("/readyz")).unwrap().unwrap_err();
        let Stop::Failed(1, said) = stop else { panic!("{stop:?}") };
        assert!(said.contains("gusset dev"), "{said}");
    }
}
