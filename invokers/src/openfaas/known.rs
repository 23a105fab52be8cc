//! Which functions there are, as the platform lists them.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header::AUTHORIZATION};
use schemas::{Class, Fault, Reveal};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{Target, basic, briefly};
use crate::{
    Tools,
    client::Client,
    list::Listed,
    platform::{Ask, ask, is_label},
};

/// How long a list is believed that has the function in it.
const BELIEVED_FOR: Duration = Duration::from_secs(30);
/// How long one is believed that has not: it may have been deployed just now.
const DOUBTED_AFTER: Duration = Duration::from_secs(1);
/// Namespaces whose lists are kept.
const NAMESPACES_MAX: usize = 64;

/// A function in the platform's list. Fields that are zero are left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Function {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    replicas: u64,
    #[serde(default)]
    available_replicas: u64,
}

/// What one core knows of the platform's functions.
pub(super) struct Known {
    target: Arc<Target>,
    secrets: Arc<dyn Reveal>,
    lists: RefCell<HashMap<String, List>>,
    /// One asks, and all the others wait for what it is told.
    asking: Mutex<()>,
}

struct List {
    told: Instant,
    names: HashSet<String>,
}

impl Known {
    pub(super) fn new(target: &Arc<Target>, tools: &Tools) -> Self {
        Self {
            target: Arc::clone(target),
            secrets: Arc::clone(&tools.secrets),
            lists: RefCell::default(),
            asking: Mutex::default(),
        }
    }

    /// Whether the platform is known not to have this function. Who cannot be asked knows nothing,
    /// and then nothing is refused.
    pub(super) async fn lacks(&self, client: &Client, function: &str, deadline: Instant) -> bool {
        if self.target.operator.is_none() {
            return false;
        }
        let (name, namespace) = function.split_once('.').unwrap_or((function, ""));
        if let Some(has) = self.told(namespace, name) {
            return !has;
        }
        let _asking = self.asking.lock().await;
        if let Some(has) = self.told(namespace, name) {
            return !has;
        }
        let asked = functions(&self.target, &*self.secrets, client, namespace, briefly(deadline));
        let Ok(all) = asked.await else { return false };
        let names: HashSet<_> = all.into_iter().map(|function| function.name).collect();
        let lacks = !names.contains(name);
        let mut lists = self.lists.borrow_mut();
        if lists.len() >= NAMESPACES_MAX {
            lists.clear();
        }
        lists.insert(namespace.to_owned(), List { told: Instant::now(), names });
        lacks
    }

    /// Whether a list that can be believed has the function; `None` if there is no such list.
    fn told(&self, namespace: &str, name: &str) -> Option<bool> {
        let lists = self.lists.borrow();
        let list = lists.get(namespace)?;
        let has = list.names.contains(name);
        let believed = if has { BELIEVED_FOR } else { DOUBTED_AFTER };
        (list.told.elapsed() < believed).then_some(has)
    }
}

/// The functions of every namespace.
///
/// # Errors
/// If the platform does not list them.
pub async fn list(target: &Target, tools: &Tools, deadline: Instant) -> Result<Vec<Listed>, Fault> {
    let client = target.client(tools);
    let secrets = &*tools.secrets;
    // A platform of one namespace may not have this list.
    let spaces = get::<Vec<String>>(target, secrets, &client, "/system/namespaces", deadline).await;
    let spaces = match spaces {
        Ok(spaces) if spaces.iter().all(|space| is_label(space)) && !spaces.is_empty() => spaces,
        Err(fault) if fault.class == Class::UpstreamAuth => return Err(fault),
        Ok(_) | Err(_) => vec![target.namespace.clone().unwrap_or_default()],
    };
    let mut all = Vec::new();
    for space in spaces {
        for one in functions(target, secrets, &client, &space, deadline).await? {
            let function = match &target.namespace {
                Some(usual) if *usual != one.namespace && !one.namespace.is_empty() => {
                    format!("{}.{}", one.name, one.namespace)
                }
                None if !one.namespace.is_empty() => format!("{}.{}", one.name, one.namespace),
                Some(_) | None => one.name,
            };
            let state = format!("{} of {} up", one.available_replicas, one.replicas);
            all.push(Listed { function, state, about: one.image });
        }
    }
    Ok(all)
}

async fn functions(
    target: &Target,
    secrets: &dyn Reveal,
    client: &Client,
    namespace: &str,
    deadline: Instant,
) -> Result<Vec<Function>, Fault> {
    let path = match namespace {
        "" => "/system/functions".to_owned(),
        namespace => format!("/system/functions?namespace={namespace}"),
    };
    get(target, secrets, client, &path, deadline).await
}

async fn get<T: serde::de::DeserializeOwned>(
    target: &Target,
    secrets: &dyn Reveal,
    client: &Client,
    path: &str,
    deadline: Instant,
) -> Result<T, Fault> {
    let mut own: Vec<(HeaderName, HeaderValue)> = Vec::new();
    if let Some((username, password)) = &target.operator {
        let password = secrets.reveal(password).map_err(|cause| {
            Fault::new(Class::UpstreamAuth, "the password cannot be had").because(cause)
        })?;
        let basic = basic(username, password.expose());
        own.extend(basic.map(|value| (AUTHORIZATION, value)));
    }
    let asked = Ask { method: Method::GET, path, own: &own, body: Bytes::new(), deadline };
    ask(client, asked).await?.ok()
}
