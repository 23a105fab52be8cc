//! What is asked beside calls: which functions there are, and whether one could be called.

use std::sync::Arc;

use invokers::{Target, Tools, lambda, list};
use schemas::{FileRef, Reveal, Revealed, Secret, secret::NoSecret};
use serde_json::json;

use super::{gateway, route};
use crate::support::lambda::{Key, Lambda, Outcome, REGION};

#[test]
fn the_functions_of_the_account_are_listed_page_by_page() {
    let lambda = Lambda::start(|_| None);
    let (target, tools) = upstream(&lambda);
    assert_eq!(lambda.connections(), 0, "building opens nothing");
    let all = block_on(list::list(&target, &tools)).unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.function.as_str()).collect();
    assert_eq!(names, ["fn-0", "fn-1", "fn-2", "fn-3", "fn-4"]);
    assert_eq!((all[0].state.as_str(), all[0].about.as_str()), ("Active", "nodejs22.x"));
    assert_eq!(lambda.seen().len(), 3, "two a page");
    assert_eq!(lambda.refused(), 0);
    let shown = format!("{target:?} {tools:?} {all:?}");
    assert!(!shown.contains(&lambda.key().secret), "{shown}");
}

#[test]
fn a_list_that_is_refused_says_why() {
    let lambda = Lambda::start(|_| None);
    let (target, tools) = upstream(&lambda);
    lambda.rotate(Key::named("SECOND", true), false);
    let fault = block_on(list::list(&target, &tools)).unwrap_err();
    assert_eq!(fault.class, schemas::Class::UpstreamAuth);
}

/// The upstream by itself, with the keys that are good now.
fn upstream(lambda: &Lambda) -> (Target, Tools) {
    let secret = |name: &str| Secret::Env(name.to_owned());
    let written = lambda::Written {
        region: REGION.to_owned(),
        endpoint: Some(lambda.url()),
        credentials: Some(lambda::Keypair {
            access_key: secret("access"),
            secret_key: secret("secret"),
            session_token: Some(secret("token")),
        }),
        ..lambda::Written::default()
    };
    let target = lambda::Target::build(&"aws".parse().unwrap(), written).unwrap();
    let tools = Tools { secrets: Arc::new(Known(lambda.key())), outbox: Default::default() };
    (Target::Lambda(Arc::new(target)), tools)
}

/// The parts of a key, by name.
struct Known(Key);

impl Reveal for Known {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, NoSecret> {
        let Secret::Env(name) = secret else { return Err(NoSecret("a file".to_owned())) };
        Ok(Revealed::new(match name.as_str() {
            "access" => self.0.access.as_str(),
            "secret" => &self.0.secret,
            _ => self.0.token.as_deref().unwrap(),
        }))
    }

    fn read(&self, _: &FileRef) -> Result<Vec<u8>, NoSecret> {
        Err(NoSecret("no file".to_owned()))
    }
}

fn block_on<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(what)
}

#[test]
fn a_live_check_asks_for_each_function_and_runs_none() {
    let lambda = Lambda::start(|invocation| {
        (invocation.function == "orders").then(|| Outcome::json(&json!(1)))
    });
    let routes = "
  - { name: a, match: { path: /a }, to: \"aws/orders:prod\" }
  - { name: b, match: { path: /b }, to: aws/gone }
  - { name: c, match: { path: /c }, to: aws/gone }
";
    let gateway = gateway(&lambda, "", routes);
    let ran = gateway.gusset(&["check", "--live", "-c", "gateway.yaml"]).ends(2);
    let seen = lambda.seen();
    assert_eq!(seen.len(), 2, "each once");
    assert!(seen.iter().all(|seen| seen.header("x-amz-invocation-type") == Some("DryRun")));
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("orders:prod") && said.contains("no such function"), "{said}");
}

#[test]
fn a_function_is_invoked_from_the_command_line() {
    let lambda = Lambda::start(|invocation| Some(Outcome::json(&invocation.json()["body"])));
    let gateway = gateway(&lambda, "", &route("orders", ""));
    let ran = gateway.gusset(&["invoke", "aws/orders", "-d", "hello"]).ends(0);
    assert!(ran.out.contains("hello"), "{}", ran.out);
}
