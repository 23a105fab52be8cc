//! Functions of Google Cloud and services of Cloud Run: called as any HTTP service is, with an ID
//! token that names the function.

mod access;
mod config;
mod key;
mod list;
mod mint;
mod said;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use schemas::{Call, Class, Fault, Invoker, Reply};

use self::{access::Access, config::is_function, mint::Minter, said::Front};
pub use self::{
    config::{Auth, Credentials, Impersonate, Machine, Target, Written},
    list::list,
};
use crate::{
    Tools,
    client::{Client, Origin},
    platform::{self, Aim, Authoriser, Own, Tokens},
    probe::Probed,
};

/// The field for the gateway's own token where the caller's Authorization is the function's. Where it
/// is there, Google's front looks at it and at no other.
const BESIDE: HeaderName = HeaderName::from_static("x-serverless-authorization");

/// Functions whose tokens are kept.
const FUNCTIONS_MAX: usize = 1024;

/// One core's connections and tokens.
pub struct Lane {
    target: Arc<Target>,
    tools: Tools,
    /// The connections to what has a URL of its own.
    functions: HashMap<String, Client>,
    /// Those to the functions of a project.
    project: Option<Client>,
    /// Who the gateway is to each function; under no name, to all of them.
    identities: RefCell<HashMap<String, Rc<Identity>>>,
}

/// The token for one audience, in either field.
struct Identity {
    /// In the place of a caller's.
    alone: Authoriser,
    /// Beside a caller's.
    beside: Authoriser,
}

impl Lane {
    /// Makes the lane; it connects, and asks for tokens, with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: &Tools) -> Self {
        let client = |origin| target.reach.client(std::slice::from_ref(origin), tools);
        let functions = target.functions.iter();
        Self {
            functions: functions.map(|(name, origin)| (name.clone(), client(origin))).collect(),
            project: target.project.as_ref().map(client),
            identities: RefCell::default(),
            tools: tools.clone(),
            target,
        }
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let function = Arc::clone(&call.function);
        let prefix;
        let (client, prefix) = match (self.functions.get(&*function), &self.project) {
            (Some(client), _) => (client, ""),
            (None, Some(client)) if is_function(&function) => {
                prefix = format!("/{function}");
                (client, &*prefix)
            }
            (None, _) => {
                let what = "the gateway has no URL of this function";
                return Err(Fault::new(Class::FunctionNotDeployed, what));
            }
        };
        let identity = self.identity(&function);
        let authoriser = match &identity {
            None => &Authoriser::NOBODY,
            Some(identity) if call.head.headers.contains_key(AUTHORIZATION) => &identity.beside,
            Some(identity) => &identity.alone,
        };
        let aim = Aim { client, prefix, method: None, own: Own::new(), authoriser };
        platform::call(&Front, aim, call).await
    }

    /// Who the gateway is to a function; nobody where no token is sent.
    fn identity(&self, function: &str) -> Option<Rc<Identity>> {
        self.target.identity.as_ref()?;
        // One audience for all of them has one token.
        let name = if self.target.audience.is_some() { "" } else { function };
        let mut identities = self.identities.borrow_mut();
        if let Some(known) = identities.get(name) {
            return Some(Rc::clone(known));
        }
        if identities.len() >= FUNCTIONS_MAX {
            identities.clear();
        }
        let tokens = Rc::new(Tokens::new(Minter {
            target: Arc::clone(&self.target),
            audience: self.target.audience_of(function)?,
            access: Access { tools: self.tools.clone() },
        }));
        let made = Rc::new(Identity {
            alone: Authoriser::token(AUTHORIZATION, Rc::clone(&tokens)),
            beside: Authoriser::token(BESIDE, tokens),
        });
        identities.insert(name.to_owned(), Rc::clone(&made));
        Some(made)
    }
}

/// Takes out the field in which no caller may bring a token.
pub(crate) fn remove_reserved(headers: &mut HeaderMap) {
    headers.remove(BESIDE);
}

/// Connects to every place once, and sends nothing.
pub async fn probe(target: &Target, tools: &Tools) -> Vec<Probed> {
    let mut all = Vec::new();
    let places = target.project.iter().chain(target.functions.values());
    for origin in places {
        let one: &[Arc<Origin>] = std::slice::from_ref(origin);
        all.extend(target.reach.client(one, tools).probe().await);
    }
    all
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("google::Lane").field("target", &self.target).finish_non_exhaustive()
    }
}
