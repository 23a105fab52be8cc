//! A disk that is full under the whole gateway: a small file system, if one may be mounted here.

use std::{
    collections::HashSet,
    fs,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tempfile::TempDir;

use super::{await_metric, event, start};
use crate::support::{Gateway, Peer, eventually};

/// A file system of its own. Dropping it unmounts it.
struct Small(TempDir);

impl Small {
    /// None if it is refused.
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A gateway that was just killed may have a file open still.
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

/// Posts 16 KiB. Returns the status and the body.
fn post(gateway: &Gateway, id: usize) -> (u16, String) {
    let headers = event(&id.to_string());
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let answer = gateway.post("/in", &headers, vec![b'x'; 16 << 10]);
    (answer.status, answer.text().to_owned())
}

#[test]
fn a_full_disk_is_507_loses_nothing_and_is_over_once_there_is_room() {
    let Some(small) = Small::mount(6) else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let ballast = small.0.path().join("ballast");
    fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let open = Arc::new(AtomicBool::new(false));
    let arrived = Arc::new(Mutex::new(HashSet::new()));
    let peer = Peer::start({
        let (open, arrived) = (Arc::clone(&open), Arc::clone(&arrived));
        move |exchange| {
            let seen = exchange.read();
            if !open.load(Ordering::Relaxed) {
                return exchange.answer(503, &[], "");
            }
            let id = seen.header("ce-id").unwrap_or_default().to_owned();
            arrived.lock().unwrap().insert((id, seen.body.len()));
            exchange.answer(204, &[], "");
        }
    });
    let gateway = start(&format!(
        "outbox: {{ path: {:?}, max_size: 16MiB, dead_letters: {{ max_size: 16MiB }} }}\nupstreams:\n  \
         web: {{ kind: http, url: \"{}\" }}\nroutes:\n  - {{ name: in, match: {{ path: /in }}, to: \
         web, ack: stored, delivery: {{ backoff: {{ base: 50ms, max: 200ms }} }} }}\n",
        small.0.path().join("outbox"),
        peer.url()
    ));
    let mut stored = HashSet::new();
    let mut next = 0;
    let refused = loop {
        next += 1;
        assert!(next < 400, "6 MiB hold less than 400 events of 16 KiB");
        match post(&gateway, next) {
            (202, _) => drop(stored.insert(next.to_string())),
            refused => break refused,
        }
    };
    assert_eq!(refused.0, 507, "{}", refused.1);
    assert!(
        refused.1.contains("disk_full") && stored.len() > 40,
        "{}: {}",
        stored.len(),
        refused.1
    );

    // Room comes, and it takes events again by itself.
    fs::remove_file(ballast).unwrap();
    eventually("an event is stored again", || {
        next += 1;
        let (status, said) = post(&gateway, next);
        assert!(matches!(status, 202 | 507), "{status}: {said}");
        (status == 202).then(|| stored.insert(next.to_string()))
    });
    open.store(true, Ordering::Relaxed);
    await_metric(&gateway, "gusset_outbox_pending{target=\"web\"}", 0);
    let stored: HashSet<_> = stored.into_iter().map(|id| (id, 16 << 10)).collect();
    assert_eq!(*arrived.lock().unwrap(), stored, "what was answered 202 arrives, and nothing else");
}
