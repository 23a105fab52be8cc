//! Lambda over the whole gateway, against a fake that checks what Lambda checks, and a real runtime
//! where one can be had.

mod credentials;
mod emulator;
mod failing;
mod invoking;
mod listing;
mod oracle;

use crate::support::{
    Gateway,
    gateway::HEAD,
    lambda::{Invocation, Lambda, Outcome},
};

/// A gateway with one upstream, `aws`, and these routes.
fn gateway(lambda: &Lambda, more: &str, routes: &str) -> Gateway {
    let key = lambda.key();
    Gateway::run_with(&config(&lambda.upstream(), more, routes), |folder| {
        for (name, value) in [
            ("access", key.access.as_str()),
            ("secret", &key.secret),
            ("token", key.token.as_deref().unwrap()),
        ] {
            std::fs::write(folder.join(name), value).unwrap();
        }
    })
}

fn config(upstream: &str, more: &str, routes: &str) -> String {
    format!("{HEAD}upstreams:\n  aws: {{ {upstream}{more} }}\nroutes:\n{routes}")
}

/// One route for everything, to one function.
fn route(function: &str, more: &str) -> String {
    format!("  - {{ name: all, match: {{ prefix: / }}, to: \"aws/{function}\"{more} }}\n")
}

/// A function that answers with what it got: the payload as a text in an answer of its own.
fn mirror(invocation: &Invocation) -> Outcome {
    let text = String::from_utf8(invocation.payload.clone()).unwrap();
    Outcome::json(&serde_json::json!({"statusCode": 200, "body": text}))
}
