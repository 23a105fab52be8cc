//! Functions of platforms, through the whole gateway and against stand-ins that answer as the
//! platforms do.

mod azure;
mod entra;
mod google;
mod knative;
mod openfaas;
mod weights;

use crate::support::Gateway;

/// Calls functions in whose place their platform speaks, and one that fails in words of its own.
/// Each row has the function, and the status, the code and `ran` that the caller gets.
#[track_caller]
fn assert_told_apart(gateway: &Gateway, rows: &[(&str, u16, &str, &str)]) {
    for (function, status, code, ran) in rows {
        let answer = gateway.post(&format!("/call/{function}"), &[], "x");
        assert_eq!(answer.problem(*status, code)["ran"], *ran, "{function}");
    }
    let own = gateway.post("/call/teapot", &[], "x");
    assert_eq!((own.status, own.text(), own.header("x-own")), (500, "its own words", Some("1")));
}
