//! The functions of a function app, as its host lists them to who has the master key.

use std::{collections::HashSet, sync::Arc, time::Instant};

use bytes::Bytes;
use http::Method;
use schemas::{Class, Fault};
use serde::Deserialize;

use super::{Target, Who};
use crate::{
    Tools,
    client::Client,
    list::Listed,
    platform::{Ask, Authoriser, Own, ask},
};

/// A function in the host's list.
#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default, rename = "isDisabled")]
    disabled: bool,
    #[serde(default)]
    config: Config,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    bindings: Vec<Binding>,
}

#[derive(Deserialize)]
struct Binding {
    #[serde(default, rename = "type")]
    kind: String,
}

/// All functions, whatever triggers them.
///
/// # Errors
/// If there is no master key, or the host does not list them.
pub async fn list(
    target: &Arc<Target>,
    tools: &Tools,
    deadline: Instant,
) -> Result<Vec<Listed>, Fault> {
    if target.master_key.is_none() {
        let what =
            "the functions of an app are listed to who has its master key; write `master_key`";
        return Err(Fault::new(Class::BadRequest, what));
    }
    let master = Who::new(target, tools).with(target.master_key.as_ref());
    let all = functions(&master, &target.client(tools), deadline).await?;
    let listed = all.into_iter().map(|one| {
        let triggers = one.config.bindings.iter().map(|binding| binding.kind.as_str());
        let trigger = triggers.clone().find(|kind| kind.ends_with("Trigger")).unwrap_or_default();
        let language = one.language.as_deref().unwrap_or_default();
        Listed {
            state: if one.disabled { "disabled" } else { "enabled" }.to_owned(),
            about: format!("{language} {trigger}").trim().to_owned(),
            function: one.name,
        }
    });
    Ok(listed.collect())
}

/// The names of the functions that are not disabled, in lower case, as the host compares them.
pub(super) async fn names(
    master: &Authoriser,
    client: &Client,
    deadline: Instant,
) -> Result<HashSet<String>, Fault> {
    let all = functions(master, client, deadline).await?;
    let enabled = all.into_iter().filter(|one| !one.disabled);
    Ok(enabled.map(|one| one.name.to_ascii_lowercase()).collect())
}

async fn functions(
    master: &Authoriser,
    client: &Client,
    deadline: Instant,
) -> Result<Vec<Function>, Fault> {
    let mut own = Own::new();
    master.show(&mut own, deadline).await?;
    let path = "/admin/functions";
    let asked = Ask { method: Method::GET, path, own: &own, body: Bytes::new(), deadline };
    ask(client, asked).await?.ok()
}
