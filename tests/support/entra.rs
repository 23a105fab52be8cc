//! A stand-in for Entra ID and for what asks for its tokens: the token endpoint of a tenant, the endpoint
//! at which a machine is told who it is, and the front of a function app that lets nobody through
//! without a token that is for the app, known and not over.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{
    Peer,
    google::parameter,
    peer::{Exchange, Seen},
};

/// The gateway's own registration, and what shows that it is it.
pub(crate) const TENANT: &str = "7b795fb9-09d3-42f4-a494-38864f99ba3c";
pub(crate) const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const SECRET: &str = "hunter2-of-the-registration";
pub(crate) const ASSERTION: &str = "hunter2.of.the.cluster";
/// What a machine shows to be told who it is.
pub(crate) const HEADER: &str = "hunter2-of-the-machine";
/// What tokens are for.
pub(crate) const SCOPE: &str = "api://shop/.default";

/// Entra ID, and an app behind it.
pub(crate) struct Entra {
    /// Whoever mints.
    pub(crate) authority: Peer,
    /// The app: it echoes, and has a starter.
    pub(crate) front: Peer,
    shared: Arc<Shared>,
}

struct Shared {
    /// Tokens that are good, and until when.
    good: Mutex<HashMap<String, SystemTime>>,
    /// How long they are good.
    seconds: AtomicU64,
    minted: AtomicUsize,
    refused: AtomicUsize,
}

impl Entra {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared {
            good: Mutex::default(),
            seconds: AtomicU64::new(3600),
            minted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let (mints, fronts) = (Arc::clone(&shared), Arc::clone(&shared));
        let authority = Peer::start(move |exchange| {
            let seen = exchange.read();
            let answered = mints.mint(&seen);
            let (status, json) = answered.unwrap_or_else(|why| (400, refusal(why)));
            exchange.answer(status, &["Content-Type: application/json"], json.to_string());
        });
        let front = Peer::start(move |exchange| {
            let seen = exchange.read();
            fronts.serve(exchange, &seen);
        });
        Self { authority, front, shared }
    }

    /// Takes none of the tokens any more that it has minted.
    pub(crate) fn revoke(&self) {
        self.shared.good.lock().unwrap().clear();
    }

    /// Mints tokens that are good for so many seconds.
    pub(crate) fn mint_for(&self, seconds: u64) {
        self.shared.seconds.store(seconds, Relaxed);
    }

    /// How many tokens it has minted.
    pub(crate) fn minted(&self) -> usize {
        self.shared.minted.load(Relaxed)
    }

    /// How many requests its front has not let through.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Relaxed)
    }
}

impl Shared {
    fn mint(&self, seen: &Seen) -> Result<(u16, Value), &'static str> {
        let (path, query) = seen.target().split_once('?').unwrap_or((seen.target(), ""));
        if path == "/msi/token" {
            let asked = [parameter(query, "api-version"), parameter(query, "resource")];
            let shown = seen.header("x-identity-header");
            if asked != [Some("2019-08-01".to_owned()), Some("api://shop".to_owned())]
                || shown != Some(HEADER)
            {
                return Err("not who it should be, or for something else");
            }
            let (token, ends) = self.token();
            let ends = ends.duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
            let json = json!({"access_token": token, "expires_on": ends,
                "resource": "api://shop", "token_type": "Bearer"});
            return Ok((200, json));
        }
        if seen.method() != "POST" || path != format!("/{TENANT}/oauth2/v2.0/token") {
            return Err("no such tenant");
        }
        let form = str::from_utf8(&seen.body).unwrap();
        let field = |name| parameter(form, name);
        if field("grant_type").as_deref() != Some("client_credentials") {
            return Err("unsupported_grant_type");
        }
        if field("scope").as_deref() != Some(SCOPE) || field("client_id").as_deref() != Some(CLIENT)
        {
            return Err("another scope, or another client");
        }
        let by_secret = field("client_secret").as_deref() == Some(SECRET);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let by_assertion = field("client_assertion").as_deref() == Some(ASSERTION)
            && field("client_assertion_type").as_deref() == Some(kind);
        if !by_secret && !by_assertion {
            return Err("AADSTS7000215: Invalid client secret provided.");
        }
        let (token, _) = self.token();
        let seconds = self.seconds.load(Relaxed);
        Ok((200, json!({"token_type": "Bearer", "expires_in": seconds, "access_token": token})))
    }

    fn token(&self) -> (String, SystemTime) {
        let token = format!("e30.{}.hunter2", self.minted.fetch_add(1, Relaxed));
        let ends = SystemTime::now() + Duration::from_secs(self.seconds.load(Relaxed));
        self.good.lock().unwrap().insert(token.clone(), ends);
        (token, ends)
    }

    fn serve(&self, exchange: &mut Exchange<'_>, seen: &Seen) {
        let shown = seen.header("authorization").and_then(|shown| shown.strip_prefix("Bearer "));
        let ends = shown.and_then(|token| self.good.lock().unwrap().get(token).copied());
        if ends.is_none_or(|ends| ends <= SystemTime::now()) {
            self.refused.fetch_add(1, Relaxed);
            let asks = "WWW-Authenticate: Bearer realm=\"shop.azurewebsites.net\"";
            let what = "You do not have permission to view this directory or page.";
            return exchange.answer(401, &[asks], what);
        }
        match seen.target() {
            "/api/start" => exchange.answer(202, &["Location: /state"], ""),
            "/state" => {
                exchange.answer(200, &[], r#"{"runtimeStatus":"Completed","output":"done"}"#);
            }
            _ => exchange.answer(200, &[], &seen.body),
        }
    }
}

fn refusal(why: &str) -> Value {
    json!({"error": "invalid_client", "error_description": why, "error_codes": [7_000_215]})
}
