//! What does a platform have? Asks it for its functions, and runs none of them.

use std::time::{Duration, Instant};

use schemas::{Class, Fault};

use crate::{Target, Tools, azure, google, grpc, lambda, openfaas};

/// How long a platform may take, all pages together.
const WITHIN: Duration = Duration::from_secs(20);

/// A function that a platform has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The function part of its address.
    pub function: String,
    /// How it stands, in the platform's words; empty where it does not say.
    pub state: String,
    /// What it is: an image, a runtime, a URL.
    pub about: String,
}

/// The functions of a platform, sorted by name.
///
/// # Errors
/// If the kind has no list, or the platform does not give it.
pub async fn list(target: &Target, tools: &Tools) -> Result<Vec<Listed>, Fault> {
    let deadline = Instant::now() + WITHIN;
    let mut all = match target {
        Target::Grpc(target) => grpc::list(target, tools, deadline).await?,
        Target::Lambda(target) => lambda::list(target, tools, deadline).await?,
        Target::OpenFaas(target) => openfaas::list(target, tools, deadline).await?,
        Target::Azure(target) => azure::list(target, tools, deadline).await?,
        Target::Knative(_) => {
            let what = "the services of a Knative are objects of Kubernetes, whose API is not asked \
                        yet; `kubectl get ksvc` lists them";
            return Err(Fault::new(Class::BadRequest, what));
        }
        Target::Google(target) => google::list(target, tools, deadline).await?,
        Target::Http(_) | Target::Nats(_) | Target::Amqp(_) | Target::Embedded(_) => {
            let what = format!("kind {} has no list of functions to be asked for", target.kind());
            return Err(Fault::new(Class::BadRequest, what));
        }
    };
    all.sort_unstable();
    Ok(all)
}
