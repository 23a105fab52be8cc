//! What is asked of Lambda beside calls, rarely and from the control plane: its functions, and
//! whether one could be called. By the SDK, which knows paging, retries and error shapes.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, timeout::TimeoutConfig};
use aws_credential_types::provider::{self, ProvideCredentials, error::CredentialsError, future};
use aws_sdk_lambda::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::InvocationType,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use http::StatusCode;
use schemas::{Class, Fault, Reveal};

use super::{Target, function::Function, keys::Keyring, refusal::Refusal};
use crate::{Tools, list::Listed, probe::Probed};

/// How long one request may take, with its retries.
const WITHIN: Duration = Duration::from_secs(20);
/// Functions that are listed at most.
const LISTED_MAX: usize = 10_000;

/// The functions of the account in the region, page by page.
///
/// # Errors
/// If the platform does not give the list, or it is longer than anybody reads.
pub(crate) async fn list(
    target: &Target,
    tools: &Tools,
    deadline: Instant,
) -> Result<Vec<Listed>, Fault> {
    let client = client(target, tools, deadline);
    let mut pages = client.list_functions().into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        for one in page.map_err(failed)?.functions() {
            let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
            all.push(Listed {
                function: of(one.function_name()),
                state: of(one.state().map(|state| state.as_str())),
                about: of(one.runtime().map(|runtime| runtime.as_str())),
            });
        }
        if all.len() > LISTED_MAX {
            let what = format!("the account has more than {LISTED_MAX} functions");
            return Err(Fault::new(Class::TooLarge, what));
        }
    }
    Ok(all)
}

/// Asks whether each function could be called with the gateway's credentials (a dry run), and runs
/// none. Without a function to ask for, whether the platform takes the credentials.
pub(crate) async fn probe(
    target: &Target,
    tools: &Tools,
    functions: &BTreeSet<&str>,
) -> Vec<Probed> {
    let client = client(target, tools, Instant::now() + WITHIN);
    let url = target.origin.url();
    if functions.is_empty() {
        let outcome = match client.list_functions().max_items(1).send().await {
            // Who may call and not list has shown good credentials.
            Err(error) if error.code() == Some("AccessDeniedException") => Ok(()),
            outcome => outcome.map(drop).map_err(failed),
        };
        return vec![Probed { at: url, outcome }];
    }
    let mut all = Vec::with_capacity(functions.len());
    for function in functions {
        let outcome = dry_run(&client, function).await;
        all.push(Probed { at: format!("{url} {function}"), outcome });
    }
    all
}

async fn dry_run(client: &Client, function: &str) -> Result<(), Fault> {
    let Some(Function { name, qualifier }) = Function::parse(function) else {
        return Err(Fault::new(Class::FunctionNotDeployed, "the address names no function"));
    };
    let asked = client.invoke().function_name(name).set_qualifier(qualifier.map(str::to_owned));
    asked.invocation_type(InvocationType::DryRun).send().await.map(drop).map_err(failed)
}

fn client(target: &Target, tools: &Tools, deadline: Instant) -> Client {
    let credentials = Shared {
        keyring: Arc::clone(&target.keyring),
        secrets: Arc::clone(&tools.secrets),
        deadline,
    };
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(target.connect_timeout)
        .operation_timeout(WITHIN)
        .build();
    let mut config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(target.region.clone()))
        .timeout_config(timeouts)
        .credentials_provider(credentials);
    config.set_endpoint_url(target.endpoint.clone());
    Client::from_conf(config.build())
}

/// The credentials of the calls, for the SDK.
struct Shared {
    keyring: Arc<Keyring>,
    secrets: Arc<dyn Reveal>,
    deadline: Instant,
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Shared(…)")
    }
}

impl Shared {
    async fn found(&self) -> provider::Result {
        let keys = self.keyring.current(&self.secrets, self.deadline).await;
        keys.map(|keys| keys.credentials().clone())
            .map_err(|fault| CredentialsError::provider_error(Chain(fault.chain())))
    }
}

impl ProvideCredentials for Shared {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.found())
    }
}

/// A whole chain of causes in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Chain(String);

/// What a failure of the SDK means, in the words of calls.
fn failed<E>(error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) else {
        let (class, what) = match &error {
            SdkError::TimeoutError(_) => (Class::Timeout, "the platform has not answered in time"),
            SdkError::ConstructionFailure(_) => {
                (Class::UpstreamAuth, "the gateway has no credentials for the platform")
            }
            _ => (Class::ConnectFailed, "no connection to the platform could be made"),
        };
        return Fault::new(class, what).because(error);
    };
    let kind = error.code().unwrap_or_default();
    Refusal::said(status, kind, error.message().unwrap_or_default()).fault(true)
}
