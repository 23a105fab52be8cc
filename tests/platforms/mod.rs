//! Functions of platforms, through the whole gateway and against stand-ins that answer as the
//! platforms do.

mod azure;
mod entra;
mod google;
mod knative;
mod openfaas;
mod weights;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

use crate::support::{Gateway, Peer, eventually};

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

/// Calls this path again and again, from four clients at once, while something is done. No call may
/// fail.
#[track_caller]
fn under_load(gateway: &Gateway, path: &str, work: impl FnOnce()) {
    /// Ends the calls, also where the work fails.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let (done, failed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let request = format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx");
    thread::scope(|scope| {
        let working = Done(&done);
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = gateway.client();
                while !done.load(Relaxed) {
                    if client.round_trip(&request).status != 200 {
                        failed.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        work();
        drop(working);
    });
    assert_eq!(failed.load(Relaxed), 0, "calls have failed");
}

/// Waits until so many more calls have come.
#[track_caller]
fn go_on(peer: &Peer, calls: usize) {
    let before = peer.seen().len();
    eventually("calls go on", || (peer.seen().len() > before + calls).then_some(()));
}

/// Tokens are revoked again and again while functions are called: no call fails, and no core asks for
/// more than one token each time.
#[track_caller]
fn revoked_under_load(
    gateway: &Gateway,
    front: &Peer,
    revoke: impl Fn(),
    minted: impl Fn() -> usize,
) {
    let rounds = 3;
    under_load(gateway, "/call/echo", || {
        for _ in 0..rounds {
            // Long enough for each core to have a token that works: a call that was refused is sent
            // again once.
            go_on(front, 200);
            revoke();
        }
        go_on(front, 50);
    });
    let cores = thread::available_parallelism().unwrap().get();
    assert!(minted() <= (rounds + 1) * cores, "{} tokens", minted());
}
