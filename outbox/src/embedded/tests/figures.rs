//! What it can do on this machine's disk. Run with `--ignored`, built for release:
//! `GUSSET_FIGURES=/a/folder cargo test --release --workspace --lib -- --ignored figures --nocapture`.

use std::{path::PathBuf, time::Instant};

use super::*;
use crate::disk::{Disk as _, Real};

const PUTTERS: usize = 64;

fn folder() -> PathBuf {
    std::env::var_os("GUSSET_FIGURES").map_or_else(std::env::temp_dir, PathBuf::from)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap()
}

/// What the process has in memory, in MiB: now, and at most.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    (line("VmRSS:"), line("VmHWM:"))
}

/// What the process has written to the disk, in bytes.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    line.parse().unwrap()
}

/// Syncs of one KiB in a row, as who syncs each event by itself does, by the second.
fn single_syncs(disk: &Real) -> f64 {
    let file = disk.create("single", 64 << 20).unwrap();
    let (start, mut syncs) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_secs(3) {
        file.write_at(u64::from(syncs % 32768) * 1024, &[1; 1024]).unwrap();
        file.sync().unwrap();
        syncs += 1;
    }
    disk.remove("single").unwrap();
    f64::from(syncs) / start.elapsed().as_secs_f64()
}

fn settings() -> Settings {
    let (settings, _) = super::settings(1);
    Settings { max_size: 4 << 30, dead_max_size: 1 << 30, ..settings }
}

fn a_kib() -> Record {
    record("u/a", vec![7; 1024])
}

async fn open(folder: &std::path::Path) -> Arc<Embedded> {
    let disk = Arc::new(Real::open(folder).unwrap());
    let store = Embedded::open(disk, settings()).unwrap();
    store.ready().await.unwrap();
    Arc::new(store)
}

/// Has many put and wait at once. Returns how many by the second, and the 99th percentile of how
/// long one waits.
async fn put_all(store: &Arc<Embedded>, events: usize) -> (f64, Duration) {
    let start = Instant::now();
    let putters = (0..PUTTERS).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut waits = Vec::with_capacity(events / PUTTERS);
            for _ in 0..events / PUTTERS {
                let start = Instant::now();
                store.put(vec![a_kib()]).await.unwrap();
                waits.push(start.elapsed());
            }
            waits
        })
    });
    let mut waits = Vec::new();
    for putter in putters.collect::<Vec<_>>() {
        waits.extend(putter.await.unwrap());
    }
    let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
    waits.sort_unstable();
    (rate, waits[waits.len() * 99 / 100])
}

/// Claims and is done until so many were.
async fn deliver(store: Arc<Embedded>, events: usize) {
    let mut done = 0;
    while done < events {
        let claims = store.claim(64).await;
        done += claims.len();
        for claim in claims {
            store.done(claim).await;
        }
    }
}

#[test]
#[ignore = "takes a minute, and says something only when built for release"]
fn how_much_it_takes_and_how_soon_it_is_back() {
    let folder = tempfile::tempdir_in(folder()).unwrap();
    let single = single_syncs(&Real::open(folder.path()).unwrap());
    println!("single syncs of 1 KiB: {single:.0}/s");
    let runtime = runtime();
    runtime.block_on(async {
        let store = open(folder.path()).await;
        store.pace("u/a", 1024);
        let before = written();
        let (rate, p99) = put_all(&store, 320_000).await;
        let amplification = (written() - before) as f64 / (320_000.0 * 1024.0);
        println!(
            "{PUTTERS} putters of 1 KiB: {rate:.0}/s, {:.1} times single syncs, p99 {p99:?}, \
             {amplification:.2} bytes written for one of data",
            rate / single
        );
        let start = Instant::now();
        deliver(Arc::clone(&store), 320_000).await;
        println!("claimed and done: {:.0}/s", 320_000.0 / start.elapsed().as_secs_f64());

        let before = written();
        let delivery = tokio::spawn(deliver(Arc::clone(&store), 320_000));
        let start = Instant::now();
        let (rate, p99) = put_all(&store, 320_000).await;
        delivery.await.unwrap();
        let both = 320_000.0 / start.elapsed().as_secs_f64();
        let amplification = (written() - before) as f64 / (320_000.0 * 1024.0);
        println!(
            "put and delivered at once: {rate:.0}/s put, {both:.0}/s delivered, p99 {p99:?}, \
             {amplification:.2} bytes written for one of data"
        );
        store.close().await;
    });
}

#[test]
#[ignore = "takes a minute, and says something only when built for release"]
fn how_soon_a_million_are_back() {
    let folder = tempfile::tempdir_in(folder()).unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        let store = open(folder.path()).await;
        let (rate, _) = put_all(&store, 1_000_000).await;
        let (now, most) = memory();
        println!("1,000,000 pending: {rate:.0}/s, {now} MiB in memory, {most} at most");
        let start = Instant::now();
        store.holds();
        println!("what is held is told in {:?}", start.elapsed());
        store.close().await;
    });
    // The process that is started again is measured by its own memory.
    let again = || {
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "how_soon_this_folder_is_back"])
            .env("GUSSET_FIGURES_FOLDER", folder.path())
            .status();
        assert!(again.unwrap().success());
    };
    again();
    // Where this is allowed, once more from the disk itself.
    if std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
        println!("with a cold page cache:");
        again();
    }
}

#[test]
#[ignore = "is run by the one above"]
fn how_soon_this_folder_is_back() {
    let Some(folder) = std::env::var_os("GUSSET_FIGURES_FOLDER") else { return };
    runtime().block_on(async {
        let start = Instant::now();
        let store = open(folder.as_ref()).await;
        let took = start.elapsed();
        let (now, most) = memory();
        let pending = store.holds().targets[0].pending;
        println!("back: {pending} pending in {took:?}, {now} MiB in memory, {most} at most");
        let start = Instant::now();
        assert_eq!(store.claim(64).await.len(), 64);
        println!("the first are claimed after {:?}", start.elapsed());
        let (start, mut after, mut pages) = (Instant::now(), None, 0);
        let filter = Filter { target: Some("u/none".to_owned()), ..Filter::default() };
        loop {
            after = store.list(&filter, after, 100).await.unwrap().next;
            pages += 1;
            if after.is_none() {
                break;
            }
        }
        let most = memory().1;
        println!(
            "a list went through all in {:?}, {pages} pages, {most} MiB at most",
            start.elapsed()
        );
        store.close().await;
    });
}
