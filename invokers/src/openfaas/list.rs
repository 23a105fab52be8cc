//! The functions that there are, as the platform lists them.

use std::{collections::HashSet, time::Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header::AUTHORIZATION};
use schemas::{Class, Fault, Reveal};
use serde::Deserialize;

use super::{Target, basic};
use crate::{
    Tools,
    client::Client,
    list::Listed,
    platform::{Ask, ask, is_label},
};

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

/// The names of the functions of one namespace.
pub(super) async fn names(
    target: &Target,
    secrets: &dyn Reveal,
    client: &Client,
    namespace: &str,
    deadline: Instant,
) -> Result<HashSet<String>, Fault> {
    let all = functions(target, secrets, client, namespace, deadline).await?;
    Ok(all.into_iter().map(|function| function.name).collect())
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
