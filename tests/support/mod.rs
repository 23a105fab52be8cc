//! What the tests are made of. Everything ends by itself: what is started is killed when its value
//! is dropped, and every wait has an end.

pub(crate) mod azure;
pub(crate) mod entra;
pub(crate) mod faas;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod google;
pub(crate) mod grpc;
pub(crate) mod knative;
pub(crate) mod lambda;
pub(crate) mod nats;
pub(crate) mod peer;
pub(crate) mod python;
pub(crate) mod rabbit;
pub(crate) mod raw;
pub(crate) mod shell;
pub(crate) mod sigv4;
pub(crate) mod strict;
pub(crate) mod tonic;
pub(crate) mod yaml;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub(crate) use gateway::Gateway;
pub(crate) use peer::Peer;
pub(crate) use raw::{Answer, Client};
pub(crate) use strict::Strict;

/// The longest that any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers as texts.
pub(crate) fn all_of(range: std::ops::Range<u32>) -> BTreeSet<String> {
    range.map(|number| number.to_string()).collect()
}

/// The repository's top folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The text of a file below the top folder.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// The files of a folder below the top folder whose names end so, sorted.
pub(crate) fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(end));
    found.sort();
    found
}

/// The binary under test. Cargo puts it beside the folder of the test executables.
pub(crate) fn gusset() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("gusset");
    assert!(
        path.is_file(),
        "{} is missing; run the tests with `cargo xtask test`, or `cargo build -p gateway` first",
        path.display()
    );
    path
}

/// A port that nobody listens on. Another process may take it before it is used, which is why
/// nothing but a real broker, which cannot choose its own, is started on one.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes that do not repeat soon, so that a lost, doubled or swapped chunk shows.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
