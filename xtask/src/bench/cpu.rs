//! What a process has cost: the scheduler's own account of every thread, and resident memory.

use std::fs;

use anyhow::{Context, Result};

/// Microseconds of CPU that a process, its children and all their threads have used.
///
/// Fails if the kernel does not account for it (`/proc/PID/task/TID/schedstat`).
pub(crate) fn used_us(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for one in family(pid) {
        let tasks = fs::read_dir(format!("/proc/{one}/task"))
            .with_context(|| format!("process {one} has ended"))?;
        for task in tasks.flatten() {
            // A thread may end while it is looked at.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let ran = text.split(' ').next().and_then(|field| field.parse::<f64>().ok());
            nanoseconds += ran.context("the kernel does not account for CPU time by thread")?;
        }
    }
    Ok(nanoseconds / 1_000.0)
}

/// Resident megabytes (10^6 bytes) of a process and its children.
pub(crate) fn resident_mb(pid: u32) -> f64 {
    family(pid).into_iter().filter_map(|one| status_kib(one, "VmRSS:")).sum::<f64>() * 1024.0 / 1e6
}

/// A process and the processes below it.
fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        found.extend(
            children.unwrap_or_default().split(' ').filter_map(|id| id.parse::<u32>().ok()),
        );
        at += 1;
    }
    found
}

fn status_kib(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
