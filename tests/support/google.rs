//! A stand-in for Google Cloud: a front that lets nobody through without a token that is for the
//! function, known and not over; and who mints tokens: the metadata server, the token endpoint of
//! service accounts, and the IAM Credentials API. Each checks what the real one checks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::alg_id;
use serde_json::{Value, json};

use super::{
    Peer,
    peer::{Exchange, Seen},
};

/// The service account whose key it knows.
pub(crate) const ACCOUNT: &str = "gateway@shop.iam.gserviceaccount.com";
/// The service account that others may act as.
pub(crate) const CALLER: &str = "caller@shop.iam.gserviceaccount.com";

/// What an access token has to be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The page that Google's front answers with.
fn page(what: &str) -> String {
    format!(
        "\n<html><head>\n<meta http-equiv=\"content-type\" content=\"text/html;charset=utf-8\">\n\
         <title>{what}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: {what}</h1>\n\
         <h2>This is all that is known.</h2>\n</body></html>\n"
    )
}

/// A cloud. Its functions are `echo`, `teapot` (fails by itself), `crash` (its framework says so),
/// `forbidden`, `busy`, `slow` and `down`; all others are not there.
pub(crate) struct Cloud {
    /// Functions.
    pub(crate) front: Peer,
    /// Whoever mints.
    pub(crate) mint: Peer,
    shared: Arc<Shared>,
}

struct Shared {
    key: KeyPair,
    /// Where it is itself: the front, and whoever mints.
    places: OnceLock<[String; 2]>,
    /// ID tokens that are good: for whom, and until when.
    good: Mutex<HashMap<String, (String, SystemTime)>>,
    /// How long tokens are good.
    seconds: AtomicU64,
    /// How far its clock is ahead, in seconds.
    ahead: AtomicI64,
    minted: AtomicUsize,
    refused: AtomicUsize,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let shared = Arc::new(Shared {
            key,
            places: OnceLock::new(),
            good: Mutex::default(),
            seconds: AtomicU64::new(3600),
            ahead: AtomicI64::new(0),
            minted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let (fronts, mints) = (Arc::clone(&shared), Arc::clone(&shared));
        let front = Peer::start(move |exchange| {
            let seen = exchange.read();
            fronts.serve(exchange, &seen);
        });
        let mint = Peer::start(move |exchange| {
            let seen = exchange.read();
            mints.mint(exchange, &seen);
        });
        shared.places.set([front.url(), mint.url()]).unwrap();
        Self { front, mint, shared }
    }

    /// The key of the service account, as Google Cloud hands it out.
    pub(crate) fn key_file(&self) -> String {
        json!({
            "type": "service_account", "project_id": "shop", "private_key_id": "k1",
            "private_key": self.shared.key.serialize_pem(), "client_email": ACCOUNT,
            "token_uri": format!("{}/token", self.mint.url()),
        })
        .to_string()
    }

    /// The functions of an upstream, by their URLs.
    pub(crate) fn functions(&self) -> String {
        let names = ["echo", "teapot", "crash", "forbidden", "busy", "slow", "down", "gone"];
        let url = self.front.url();
        let all: Vec<_> = names.iter().map(|name| format!("{name}: \"{url}/{name}\"")).collect();
        format!("{{ {} }}", all.join(", "))
    }

    /// Takes none of the tokens any more that it has minted.
    pub(crate) fn revoke(&self) {
        self.shared.good.lock().unwrap().clear();
    }

    /// Mints tokens that are good for so many seconds.
    pub(crate) fn mint_for(&self, seconds: u64) {
        self.shared.seconds.store(seconds, Relaxed);
    }

    /// Puts its clock ahead.
    pub(crate) fn put_ahead(&self, seconds: i64) {
        self.shared.ahead.store(seconds, Relaxed);
    }

    /// How many ID tokens it has minted.
    pub(crate) fn minted(&self) -> usize {
        self.shared.minted.load(Relaxed)
    }

    /// How many requests its front has not let through.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Relaxed)
    }
}

impl Shared {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.ahead.load(Relaxed).unsigned_abs())
    }

    fn serve(&self, exchange: &mut Exchange<'_>, seen: &Seen) {
        let path = seen.target().split('?').next().unwrap();
        let name = path.split('/').nth(1).unwrap();
        let own = format!("{}/{name}", self.places.get().unwrap()[0]);
        let field = ["x-serverless-authorization", "authorization"];
        let shown = field.into_iter().find_map(|field| seen.header(field));
        let token = shown.and_then(|shown| shown.strip_prefix("Bearer "));
        let good = self.good.lock().unwrap();
        let lets = token
            .and_then(|token| good.get(token))
            .is_some_and(|(audience, ends)| *audience == own && self.now() < *ends);
        drop(good);
        let html = "Content-Type: text/html; charset=UTF-8";
        if !lets {
            self.refused.fetch_add(1, Relaxed);
            let asks = "WWW-Authenticate: Bearer error=\"invalid_token\"";
            return exchange.answer(401, &[html, asks], page("Unauthorized"));
        }
        match name {
            "echo" => exchange.answer(200, &[], &seen.body),
            "teapot" => exchange.answer(500, &["X-Own: 1"], "its own words"),
            "crash" => exchange.answer(500, &["X-Google-Status: crash", html], "<html>x"),
            "forbidden" => exchange.answer(403, &[html], page("Forbidden")),
            "busy" => exchange.answer(429, &["Content-Type: text/plain"], "Rate exceeded."),
            "slow" => {
                exchange.answer(504, &["Content-Type: text/plain"], "upstream request timeout");
            }
            "down" => exchange.answer(503, &[html], page("Service Unavailable")),
            _ => exchange.answer(404, &[html], page("Page not found")),
        }
    }

    fn mint(&self, exchange: &mut Exchange<'_>, seen: &Seen) {
        let (path, query) = seen.target().split_once('?').unwrap_or((seen.target(), ""));
        if let Some(parent) = path.strip_prefix("/v2/projects/") {
            return self.list(exchange, seen, parent, query);
        }
        let answered = match path {
            "/token" => self.of_assertion(seen),
            "/computeMetadata/v1/instance/service-accounts/default/identity" => {
                let asked = seen.header("metadata-flavor") == Some("Google");
                let audience = parameter(query, "audience").filter(|_| asked);
                return match audience {
                    Some(audience) => exchange.answer(200, &[], self.id_token(&audience)),
                    None => exchange.answer(403, &[], "Missing Metadata-Flavor:Google header."),
                };
            }
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                Ok(json!({"access_token": "ya29.machine", "expires_in": 3599}))
            }
            path if path == format!("/v1/projects/-/serviceAccounts/{CALLER}:generateIdToken") => {
                let shown = seen.header("authorization").unwrap_or_default();
                let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
                match (shown.starts_with("Bearer ya29."), asked["audience"].as_str()) {
                    (true, Some(audience)) => Ok(json!({"token": self.id_token(audience)})),
                    _ => Err((401, "UNAUTHENTICATED")),
                }
            }
            path if path
                == format!("/v1/projects/-/serviceAccounts/{CALLER}:generateAccessToken") =>
            {
                let shown = seen.header("authorization").unwrap_or_default();
                let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
                match shown.starts_with("Bearer ya29.") && asked["scope"] == json!([SCOPE]) {
                    true => Ok(json!({"accessToken": "ya29.caller"})),
                    false => Err((401, "UNAUTHENTICATED")),
                }
            }
            _ => Err((404, "not found")),
        };
        let date = format!("Date: {}", httpdate::fmt_http_date(self.now()));
        match answered {
            Ok(json) => exchange.answer(200, &["Content-Type: application/json"], json.to_string()),
            Err((status, why)) => {
                let json = json!({"error": "invalid_grant", "error_description": why});
                exchange.answer(status, &[&date], json.to_string());
            }
        }
    }

    /// What an assertion is exchanged for (RFC 7523), if it is signed with the account's key, for
    /// this endpoint, and of this hour.
    fn of_assertion(&self, seen: &Seen) -> Result<Value, (u16, &'static str)> {
        let body = str::from_utf8(&seen.body).unwrap();
        let grant = parameter(body, "grant_type");
        if grant.as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return Err((400, "unsupported_grant_type"));
        }
        let assertion = parameter(body, "assertion").ok_or((400, "no assertion"))?;
        let (said, signature) = assertion.rsplit_once('.').ok_or((400, "no JWT"))?;
        let (head, claims) = said.split_once('.').ok_or((400, "no JWT"))?;
        let json = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (head, claims) = (json(head), json(claims));
        if head["alg"] != "RS256" || head["kid"] != "k1" {
            return Err((400, "not signed by RS256 with a key that is known"));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let known = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let rsa = known.all.iter().find(|one| one.signature_alg_id() == alg_id::RSA_PKCS1_SHA256);
        let verified =
            rsa.unwrap().verify_signature(self.key.public_key_raw(), said.as_bytes(), &signature);
        verified.map_err(|_| (400, "Invalid JWT Signature."))?;
        let endpoint = format!("{}/token", self.places.get().unwrap()[1]);
        if claims["iss"] != ACCOUNT || claims["aud"] != endpoint.as_str() {
            return Err((400, "of another account, or for another endpoint"));
        }
        let now = self.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        if exp <= now || iat > now + 60 || exp - iat > 3600 {
            return Err((400, "Invalid JWT: check your iat and exp values, and your clock"));
        }
        match (claims["target_audience"].as_str(), claims["scope"].as_str()) {
            (Some(audience), None) => Ok(json!({"id_token": self.id_token(audience)})),
            (None, Some(SCOPE)) => Ok(json!({"access_token": "ya29.key", "expires_in": 3599})),
            _ => Err((400, "neither an audience nor a scope")),
        }
    }

    /// Lists what a project has, page by page. What is odd about a project, its name says.
    fn list(&self, exchange: &mut Exchange<'_>, seen: &Seen, parent: &str, query: &str) {
        let json = ["Content-Type: application/json"];
        let refuse = |exchange: &mut Exchange<'_>, status, word: &str, details: Value| {
            let error = json!({"error": {"code": status, "status": word, "details": details}});
            exchange.answer(status, &json, error.to_string());
        };
        let shown = seen.header("authorization").unwrap_or_default();
        if !shown.starts_with("Bearer ya29.") {
            return refuse(exchange, 401, "UNAUTHENTICATED", json!([]));
        }
        let parts: Vec<_> = parent.split('/').collect();
        let [project, "locations", "europe-west1", word] = parts[..] else {
            return refuse(exchange, 404, "NOT_FOUND", json!([]));
        };
        let disabled = json!([{"reason": "SERVICE_DISABLED", "domain": "googleapis.com"}]);
        let page = parameter(&query.replace('+', " "), "pageToken");
        assert!(parameter(query, "pageSize").is_some(), "{query}");
        let front = &self.places.get().unwrap()[0];
        let named = |word: &str, name: &str| format!("projects/x/locations/y/{word}/{name}");
        let answer = match (project, word, page.as_deref()) {
            ("forbidden", ..) => {
                return refuse(exchange, 403, "PERMISSION_DENIED", json!([]));
            }
            ("bare", "functions", _) | ("empty", ..) => {
                return refuse(exchange, 403, "PERMISSION_DENIED", disabled);
            }
            ("far", "functions", _) => json!({"unreachable": ["europe-west1"]}),
            (_, "functions", None) => json!({
                "functions": [{"name": named("functions", "resize"), "state": "ACTIVE",
                    "buildConfig": {"runtime": "nodejs22"},
                    "serviceConfig": {"uri": "https://resize-x.a.run.app"}}],
                "nextPageToken": "2 &+"
            }),
            (_, "functions", Some("2 &+")) => json!({
                "functions": [{"name": named("functions", "old"), "state": "FAILED",
                    "environment": "GEN_1", "url": "https://europe-west1-shop.cloudfunctions.net/old"}]
            }),
            (_, "services", None) => json!({"services": [
                {"name": named("services", "resize"), "uri": "https://resize-x.a.run.app",
                    "labels": {"goog-managed-by": "cloudfunctions"}},
                {"name": named("services", "repeater"), "uri": format!("{front}/echo"),
                    "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"}},
                {"name": named("services", "web"), "uri": "https://web-x.a.run.app",
                    "terminalCondition": {"type": "Ready", "state": "CONDITION_FAILED"}}
            ]}),
            _ => return refuse(exchange, 400, "INVALID_ARGUMENT", json!([])),
        };
        exchange.answer(200, &json, answer.to_string());
    }

    fn id_token(&self, audience: &str) -> String {
        let number = self.minted.fetch_add(1, Relaxed);
        let seconds = self.seconds.load(Relaxed);
        let now = self.now();
        let iat = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"aud": audience, "iat": iat, "exp": iat + seconds, "jti": number});
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let ends = UNIX_EPOCH + Duration::from_secs(iat + seconds);
        self.good.lock().unwrap().insert(token.clone(), (audience.to_owned(), ends));
        token
    }
}

/// A parameter of a form or of a query.
pub(crate) fn parameter(form: &str, name: &str) -> Option<String> {
    let mut all = form_urlencoded::parse(form.as_bytes());
    all.find_map(|(known, value)| (known == name).then(|| value.into_owned()))
}
