//! `cargo xtask test`: every test, in groups, each with a time that it must keep.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    foreign,
    options::Options,
    process::{self, cargo},
    tools::{self, Tool},
};

/// Tests that are run together.
struct Group {
    name: &'static str,
    about: &'static str,
    cargo: &'static [&'static str],
    budget: Duration,
    needs: &'static [Tool],
}

/// All targets are named by one set of packages, so that cargo resolves the same features for all
/// of them and builds no dependency twice.
const GROUPS: [Group; 3] = [
    Group {
        name: "unit",
        about: "what lies beside the code",
        cargo: &["test", "--workspace", "--no-fail-fast", "--lib", "--bins"],
        budget: Duration::from_secs(4 * 60),
        needs: &[],
    },
    Group {
        name: "doc",
        about: "the examples in comments",
        cargo: &["test", "--workspace", "--no-fail-fast", "--doc"],
        budget: Duration::from_secs(2 * 60),
        needs: &[],
    },
    Group {
        name: "whole",
        about: "the program from outside, and the kinds, with real brokers",
        // A pattern, so that no crate's tests can be forgotten here.
        cargo: &["test", "--workspace", "--no-fail-fast", "--test", "*"],
        budget: Duration::from_secs(9 * 60),
        needs: &[
            Tool { program: "nats-server", package: "nats-server" },
            Tool { program: "rabbitmq-server", package: "rabbitmq-server" },
            Tool { program: "curl", package: "curl" },
        ],
    },
];

/// Every process of a group inherits this variable; what still has it afterwards was left behind.
const MARK: &str = "GUSSET_TEST_RUN";

/// Runs all groups, or the one that was asked for.
pub(crate) fn run(mut options: Options) -> Result<()> {
    let only = options.text("group")?;
    options.done()?;
    let groups: Vec<_> = GROUPS
        .iter()
        .filter(|group| only.as_deref().is_none_or(|name| name == group.name))
        .collect();
    let names = GROUPS.map(|group| group.name).join(", ");
    ensure!(!groups.is_empty(), "there is no such group; there are {names}");
    for group in &groups {
        tools::ensure(group.needs)?;
    }
    let began = Instant::now();
    build()?;
    println!("built in {}", seconds(began.elapsed()));

    let path = foreign::path();
    let ends: Vec<_> =
        groups.into_iter().map(|group| run_group(group, &path)).collect::<Result<_>>()?;
    println!("\nall groups, {}", seconds(began.elapsed()));
    for end in &ends {
        println!("  {}: {} in {}", end.group.name, end.word(), seconds(end.took));
        end.closing.iter().for_each(|line| println!("    {line}"));
    }
    ensure!(ends.iter().all(|end| end.faults.is_empty()), "not all groups passed");
    Ok(())
}

/// Builds every target at once: the tests, and the binary that they drive.
pub(crate) fn build() -> Result<()> {
    process::run(&mut cargo(&["build", "--workspace", "--all-targets"]))
}

/// How a group ended.
struct End {
    group: &'static Group,
    took: Duration,
    /// The runner's closing lines, one for each test binary that had a test in it.
    closing: Vec<String>,
    faults: Vec<String>,
}

impl End {
    fn word(&self) -> String {
        if self.faults.is_empty() { "passed".to_owned() } else { self.faults.join("; ") }
    }
}

fn run_group(group: &'static Group, path: &OsStr) -> Result<End> {
    println!("\ngroup {}: {}, at most {}", group.name, group.about, seconds(group.budget));
    let began = Instant::now();
    let mark = format!("{}-{}", std::process::id(), group.name);
    let mut command = cargo(group.cargo);
    command.env(MARK, &mark).env("PATH", path).stdout(Stdio::piped());
    eprintln!("$ {}", process::shown(&command));
    let mut child = command.spawn().context("cannot start cargo")?;
    let printed = child.stdout.take().context("cargo has no output")?;
    let (lines, printed_lines) = mpsc::sync_channel(64);
    let reader = thread::spawn(move || {
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });

    let mut end = End { group, took: Duration::ZERO, closing: Vec::new(), faults: Vec::new() };
    loop {
        match printed_lines.recv_timeout(group.budget.saturating_sub(began.elapsed())) {
            Ok(line) => {
                println!("{line}");
                if line.starts_with("test result:") && !line.contains(" 0 passed; 0 failed") {
                    end.closing.push(line);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                end.faults.push(format!("stopped after {}", seconds(group.budget)));
                marked(&mark)?.into_iter().for_each(|(pid, _)| process::signal("KILL", pid));
                break;
            }
        }
    }
    drop(printed_lines);
    let status = child.wait().context("cannot wait for cargo")?;
    if reader.join().is_err() {
        bail!("cannot read what the tests print");
    }
    if !status.success() && end.faults.is_empty() {
        end.faults.push(format!("failed ({status})"));
    }
    for (pid, line) in marked(&mark)? {
        process::signal("KILL", pid);
        end.faults.push(format!("left a process behind: {line}"));
    }
    end.took = began.elapsed();
    println!("group {}: {} in {}", group.name, end.word(), seconds(end.took));
    Ok(end)
}

/// The processes whose environment holds the mark, with their command lines.
fn marked(mark: &str) -> Result<Vec<(u32, String)>> {
    let wanted = format!("{MARK}={mark}");
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list processes")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end while it is looked at, or belong to somebody else.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let has = environment.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes());
        if has && pid != own {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push((pid, line.trim().to_owned()));
        }
    }
    Ok(found)
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64().ceil())
}
