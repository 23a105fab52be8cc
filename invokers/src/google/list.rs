//! What a project has in a region: its functions, as the Cloud Functions API lists them, and its
//! services, as that of Cloud Run does.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Method, header::AUTHORIZATION};
use schemas::{Class, Fault};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Target,
    access::{Access, bearer},
};
use crate::{
    Tools,
    client::{CONNECT_TIMEOUT, Client, Origin},
    list::Listed,
    platform::{Ask, Told, ask},
};

/// Where the two APIs are.
const FUNCTIONS: &str = "https://cloudfunctions.googleapis.com";
const SERVICES: &str = "https://run.googleapis.com";

/// Pages that are read, and what is asked for on each.
const PAGES_MAX: usize = 100;
const PAGE_LEN: &str = "500";

/// The project and the region whose functions are listed, and where it is asked.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) project: String,
    pub(super) region: String,
    /// Where both APIs are; none where Google has them.
    pub(super) endpoint: Option<Arc<Origin>>,
}

/// A page of either list.
trait Page: DeserializeOwned {
    /// The last part of its path.
    const WORD: &'static str;
    /// Where its API is.
    const AT: &'static str;
    /// The role that may read it.
    const ROLE: &'static str;
    /// What is on it.
    type One;

    fn taken(self) -> Taken<Self::One>;
}

/// A page, taken apart.
struct Taken<One> {
    all: Vec<One>,
    next: Option<String>,
    /// Regions of which nothing is on it.
    unreachable: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Functions {
    functions: Vec<Function>,
    next_page_token: Option<String>,
    unreachable: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Function {
    name: String,
    state: String,
    url: Option<String>,
    build_config: BuildConfig,
    service_config: ServiceConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BuildConfig {
    runtime: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceConfig {
    uri: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Services {
    services: Vec<Service>,
    next_page_token: Option<String>,
    unreachable: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Service {
    name: String,
    uri: String,
    labels: BTreeMap<String, String>,
    terminal_condition: Condition,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    state: String,
}

impl Page for Functions {
    const WORD: &'static str = "functions";
    const AT: &'static str = FUNCTIONS;
    const ROLE: &'static str = "roles/cloudfunctions.viewer";
    type One = Function;

    fn taken(self) -> Taken<Function> {
        let Self { functions: all, next_page_token: next, unreachable } = self;
        Taken { all, next, unreachable }
    }
}

impl Page for Services {
    const WORD: &'static str = "services";
    const AT: &'static str = SERVICES;
    const ROLE: &'static str = "roles/run.viewer";
    type One = Service;

    fn taken(self) -> Taken<Service> {
        let Self { services: all, next_page_token: next, unreachable } = self;
        Taken { all, next, unreachable }
    }
}

/// All functions and services, whatever starts them.
///
/// # Errors
/// If nobody says which project, or one of the APIs does not give its list. A project that does not use
/// one of the two has nothing there.
pub async fn list(target: &Target, tools: &Tools, deadline: Instant) -> Result<Vec<Listed>, Fault> {
    let refuse = |what| Err(Fault::new(Class::BadRequest, what));
    let Some(listing) = &target.listing else {
        return refuse("the functions of a project are listed; write `project` and `region`");
    };
    let Some(identity) = &target.identity else {
        return refuse("a project lists its functions to who has a token; leave out `auth: none`");
    };
    let access = Access { tools: tools.clone() };
    let token = bearer(&access.token(identity, deadline).await?)?;
    let own = [(AUTHORIZATION, token)];
    let functions = pages::<Functions>(listing, &own, tools, deadline).await?;
    let services = pages::<Services>(listing, &own, tools, deadline).await?;
    if functions.is_none() && services.is_none() {
        let what =
            "the project uses neither Cloud Functions nor Cloud Run; enable one of the two APIs";
        return Err(Fault::new(Class::UpstreamAuth, what));
    }
    let functions = functions.unwrap_or_default().into_iter().map(|one| {
        let url = one.service_config.uri.or(one.url).unwrap_or_default();
        let name = last(&one.name);
        Listed {
            function: target.named(&url).unwrap_or(name).to_owned(),
            state: one.state,
            about: format!("{} {url}", one.build_config.runtime).trim().to_owned(),
        }
    });
    // What stands behind a function of the second generation is listed with the functions.
    let own =
        |one: &Service| one.labels.get("goog-managed-by").is_none_or(|by| by != "cloudfunctions");
    let services = services.unwrap_or_default().into_iter().filter(own).map(|one| Listed {
        function: target.named(&one.uri).unwrap_or(last(&one.name)).to_owned(),
        state: one.terminal_condition.state,
        about: format!("service {}", one.uri).trim().to_owned(),
    });
    Ok(functions.chain(services).collect())
}

/// Reads a list to its end; `None` where the project does not use its API.
async fn pages<P: Page>(
    listing: &Listing,
    own: &[(http::HeaderName, http::HeaderValue)],
    tools: &Tools,
    deadline: Instant,
) -> Result<Option<Vec<P::One>>, Fault> {
    let origin = match &listing.endpoint {
        Some(origin) => Arc::clone(origin),
        None => Arc::new(Origin::parse(P::AT, None).expect("it is a URL")),
    };
    let client = Client::new(&[origin], None, CONNECT_TIMEOUT, tools).expect("there is one origin");
    let Listing { project, region, .. } = listing;
    let mut all = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("pageSize", PAGE_LEN);
        if let Some(token) = &token {
            query.append_pair("pageToken", token);
        }
        let (word, query) = (P::WORD, query.finish());
        let path = format!("/v2/projects/{project}/locations/{region}/{word}?{query}");
        let asked = Ask { method: Method::GET, path: &path, own, body: Bytes::new(), deadline };
        let told = ask(&client, asked).await?;
        if told.status.as_u16() == 403 && is_disabled(&told) {
            return Ok(None);
        }
        if matches!(told.status.as_u16(), 401 | 403) {
            let what = format!(
                "the project does not list its {word} to the gateway's service account; give it {}",
                P::ROLE
            );
            return Err(Fault::new(Class::UpstreamAuth, what));
        }
        let page = told.ok::<P>()?.taken();
        if !page.unreachable.is_empty() {
            let what = format!("the {word} of the region cannot be listed now; ask again later");
            return Err(Fault::new(Class::Unavailable, what));
        }
        all.extend(page.all);
        token = page.next.filter(|next| !next.is_empty());
        if token.is_none() {
            return Ok(Some(all));
        }
    }
    let what = format!("the list of {} has more than {PAGES_MAX} pages", P::WORD);
    Err(Fault::new(Class::UpstreamProtocol, what))
}

/// Whether the project does not use the API at all (AIP-193, `ErrorInfo`).
fn is_disabled(told: &Told) -> bool {
    #[derive(Deserialize)]
    struct Refused {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        #[serde(default)]
        details: Vec<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default)]
        reason: String,
    }
    let refused = told.json::<Refused>();
    refused.is_ok_and(|refused| {
        refused.error.details.iter().any(|detail| detail.reason == "SERVICE_DISABLED")
    })
}

/// The last part of a resource's name.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
