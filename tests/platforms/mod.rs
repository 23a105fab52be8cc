//! Functions of platforms, through the whole gateway and against stand-ins that answer as the
//! platforms do.

mod azure;
mod google;
mod knative;
mod openfaas;
mod weights;
