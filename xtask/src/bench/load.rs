//! Load by wrk from core 1, and what a request cost the peer on core 0.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{cpu, peers::Peer};
use crate::process;

const CONNECTIONS: &str = "50";

/// What is asked of a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    /// A small answer, the same every time.
    GetSmall,
    /// 1 KiB of JSON there, a small answer back.
    Post1k,
    /// A path that only the last of many routes serves.
    Routed { last: usize },
    /// 1 KiB of JSON to this path, where a broker takes it.
    Publish(&'static str),
    /// A short message in JSON to this path.
    Message(&'static str),
}

/// One round of one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// CPU microseconds of the peer for each request.
    pub(crate) cpu_us: f64,
    /// Requests a second; limited by core 1, not by the peer.
    pub(crate) per_second: f64,
    /// Answers that were neither 2xx nor 3xx, and connections that broke.
    pub(crate) bad: u64,
    /// Resident megabytes before its first request; not a number where that was not looked at.
    pub(crate) fresh_mb: f64,
}

impl Case {
    /// A case by the name that is written on the command line.
    pub(crate) fn named(name: &str) -> Result<Self> {
        match name {
            "get_small" => Ok(Self::GetSmall),
            "post_1k" => Ok(Self::Post1k),
            _ => bail!(
                "no case {name:?}; there are get_small, post_1k, armed, routes_10000, reload, grpc, lambda, platforms, nats, amqp and stored"
            ),
        }
    }

    /// The heading of its table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::GetSmall => "GET, small answer",
            Self::Post1k => "POST of 1 KiB, small answer",
            Self::Routed { .. } => "GET through many routes",
            Self::Publish(_) => "POST of 1 KiB to a broker",
            Self::Message(_) => "POST of a short message",
        }
    }

    fn path(self) -> String {
        match self {
            Self::GetSmall | Self::Post1k => "/".to_owned(),
            Self::Routed { last } => format!("/area-{last}/things/7"),
            Self::Publish(path) | Self::Message(path) => path.to_owned(),
        }
    }

    fn posts(self) -> bool {
        matches!(self, Self::Post1k | Self::Publish(_))
    }
}

/// Warms the peer up, then measures it.
pub(crate) fn measure(peer: &Peer, case: Case, secs: u64) -> Result<Measured> {
    wrk(peer, case, 1)?;
    let before = cpu::used_us(peer.pid())?;
    let load = wrk(peer, case, secs)?;
    let used = cpu::used_us(peer.pid())? - before;
    Ok(Measured {
        cpu_us: used / load.requests,
        per_second: load.requests / load.took.as_secs_f64(),
        bad: load.bad,
        fresh_mb: peer.fresh_mb,
    })
}

struct Load {
    requests: f64,
    took: Duration,
    bad: u64,
}

fn wrk(peer: &Peer, case: Case, secs: u64) -> Result<Load> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "wrk", "-t", "1", "-c", CONNECTIONS, "-d", &format!("{secs}s")]);
    if case.posts() {
        command.arg("-s").arg(script()?);
    } else if matches!(case, Case::Message(_)) {
        command.arg("-s").arg(message()?);
    }
    command.arg(format!("http://127.0.0.1:{}{}", peer.port, case.path()));
    let began = Instant::now();
    let said = process::output(&mut command)?;
    let load = Load {
        requests: number_before(&said, " requests in ").context("wrk did not count requests")?,
        took: began.elapsed().min(Duration::from_secs(secs + 1)),
        bad: bad(&said),
    };
    if load.requests < 1.0 {
        bail!("{} answered no request: {said}", peer.kind.name());
    }
    Ok(load)
}

/// A wrk script that posts 1 KiB of JSON, written once.
pub(super) fn script() -> Result<std::path::PathBuf> {
    let path = process::cache("bench")?.join("post.lua");
    let text = "wrk.method = 'POST'\n\
                wrk.headers['Content-Type'] = 'application/json'\n\
                wrk.body = '{\"data\":\"' .. string.rep('x', 1013) .. '\"}'\n";
    fs::write(&path, text).context("cannot write the script of wrk")?;
    Ok(path)
}

/// The same for a short message.
fn message() -> Result<std::path::PathBuf> {
    let path = process::cache("bench")?.join("message.lua");
    let text = "wrk.method = 'POST'\n\
                wrk.headers['Content-Type'] = 'application/json'\n\
                wrk.body = '{\"id\":\"0123456789\",\"name\":\"a name\",\"count\":\"42\"}'\n";
    fs::write(&path, text).context("cannot write the script of wrk")?;
    Ok(path)
}

/// The number that stands before a text, as wrk prints its counts.
fn number_before(said: &str, text: &str) -> Option<f64> {
    let (before, _) = said.split_once(text)?;
    before.split_whitespace().next_back()?.parse().ok()
}

pub(super) fn bad(said: &str) -> u64 {
    let lines = said.lines().map(str::trim);
    let counted = lines.filter(|line| {
        line.starts_with("Socket errors:") || line.starts_with("Non-2xx or 3xx responses:")
    });
    counted
        .flat_map(|line| line.split([' ', ',']))
        .filter_map(|word| word.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 5s test @ http://127.0.0.1:8080/
  1 threads and 50 connections
  263524 requests in 5.10s, 31.16MB read
  Socket errors: connect 0, read 3, write 0, timeout 4
  Non-2xx or 3xx responses: 12
Requests/sec:  51671.21
";

    #[test]
    fn what_wrk_prints_is_understood() {
        assert_eq!(number_before(SAID, " requests in "), Some(263_524.0));
        assert_eq!(bad(SAID), 19);
        assert_eq!(bad("  1 requests in 5.10s, 1MB read\n"), 0);
    }
}
